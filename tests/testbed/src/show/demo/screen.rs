//! What the demo looks like: sections, job names in a column, colours only where a person looks.

use std::fmt::Write as _;
use std::io::{IsTerminal as _, Stdout, Write as _};
use std::time::Duration;

use crate::runner::plain;

const BOLD: &str = "1";
const DIM: &str = "2";
const RED: &str = "31;1";
const GREEN: &str = "32;1";
const CYAN: &str = "36";

#[derive(Debug)]
pub(super) struct Screen {
    out: Stdout,
    has_colours: bool,
}

impl Screen {
    pub(super) fn new() -> Self {
        let is_wanted = std::env::var_os("NO_COLOR").is_none();
        let out = std::io::stdout();
        let has_colours = is_wanted && out.is_terminal();
        Self { out, has_colours }
    }

    fn colour(&self, code: &str, text: &str) -> String {
        if self.has_colours {
            format!("\x1b[{code}m{text}\x1b[0m")
        } else {
            text.to_owned()
        }
    }

    /// A screen that is gone is no reason to stop: what was begun must be removed again.
    pub(super) fn line(&self, line: &str) {
        let _ = writeln!(self.out.lock(), "{line}");
    }

    pub(super) fn heading(&self, text: &str) {
        let rule = "─".repeat(text.chars().count());
        self.line(&format!(
            "\n{}\n{}",
            self.colour(BOLD, text),
            self.colour(DIM, &rule)
        ));
    }

    pub(super) fn step(&self, text: &str) {
        self.line(&format!("  {} {text}", self.colour(DIM, "·")));
    }

    pub(super) fn job(&self, job: &str, text: &str) {
        self.line(&format!(
            "\n{} {text}",
            self.colour(CYAN, &format!("{job:>8} ┌"))
        ));
    }

    /// A line of a job's log. Progress that overwrites itself is shown as it was in the end.
    pub(super) fn log(&self, job: &str, line: &str) {
        let text = plain(line);
        let text = text.trim_end().rsplit('\r').next().unwrap_or_default();
        if line.starts_with("section_end") || text.is_empty() {
            return;
        }
        let text = if line.starts_with("section_start") {
            self.colour(BOLD, text)
        } else if self.has_colours && !line.contains('\r') {
            line.to_owned()
        } else {
            text.to_owned()
        };
        self.line(&format!(
            "{} {text}",
            self.colour(CYAN, &format!("{job:>8} │"))
        ));
    }

    pub(super) fn end(&self, job: &str, is_good: bool, word: &str, after: Duration) {
        let code = if is_good { GREEN } else { RED };
        let word = self.colour(code, &word.to_lowercase());
        let seconds = after.as_secs_f32();
        let edge = self.colour(CYAN, &format!("{job:>8} └"));
        self.line(&format!("{edge} {word} after {seconds:.1} s"));
    }

    pub(super) fn weights(&self, seconds: f32, weights: &[(String, u32)]) {
        let mut line = format!(
            "{} ",
            self.colour(DIM, &format!(" weights ▪ {seconds:>5.1} s"))
        );
        for (name, weight) in weights {
            let shown = format!("{weight:>3}");
            let code = if *weight == 0 { RED } else { GREEN };
            // Writing to a string cannot fail.
            let _ = write!(line, "  {name} {}", self.colour(code, &shown));
        }
        self.line(&line);
    }

    pub(super) fn verdict(&self, is_good: bool, text: &str) {
        let mark = if is_good {
            self.colour(GREEN, "✓")
        } else {
            self.colour(RED, "✗")
        };
        self.line(&format!("  {mark} {text}"));
    }

    pub(super) fn failure(&self, text: &str) {
        self.line(&format!("  {} {text}", self.colour(RED, "✗")));
    }
}
