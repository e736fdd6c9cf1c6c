//! What the classic builder tells, as if it had read the author's own Dockerfile. Pure.

use std::collections::BTreeMap;

use serde_json::{Value, json};

/// A longer line is passed on as it is.
const LONGEST: usize = 256 * 1024;

/// The progress of one build.
#[derive(Debug, Default)]
pub(super) struct Output {
    /// What the engine calls an image, and what the author calls it.
    names: BTreeMap<String, String>,
    /// The instruction that is ours.
    label: String,
    /// How many of them there are.
    labels: usize,
    line: Vec<u8>,
    /// How many of our steps came until now.
    passed: usize,
    is_ours: bool,
    /// The images that the stages became, the last the result.
    made: Vec<String>,
    is_good: bool,
    /// Whether the engine tells the result alone.
    is_quiet: bool,
    lines: usize,
}

impl Output {
    pub(super) fn new(
        names: BTreeMap<String, String>,
        label: String,
        labels: usize,
        is_quiet: bool,
    ) -> Self {
        Self {
            names,
            label,
            labels,
            is_quiet,
            ..Self::default()
        }
    }

    /// The images of the stages, the result last; nothing if the build failed before.
    pub(super) fn made(&self) -> &[String] {
        &self.made
    }

    /// Whether the build came to its end.
    pub(super) fn is_good(&self) -> bool {
        self.is_good
    }

    /// Takes the next bytes; hands out what the client gets of them.
    pub(super) fn take(&mut self, bytes: &[u8]) -> Vec<u8> {
        let mut out = Vec::with_capacity(bytes.len());
        for part in bytes.split_inclusive(|byte| *byte == b'\n') {
            self.line.extend_from_slice(part);
            if part.ends_with(b"\n") || self.line.len() > LONGEST {
                let line = std::mem::take(&mut self.line);
                out.extend(self.line(line));
            }
        }
        // The engine does not end each of its lines.
        if self.line.ends_with(b"}") && serde_json::from_slice::<Value>(&self.line).is_ok() {
            let line = std::mem::take(&mut self.line);
            out.extend(self.line(line));
        }
        out
    }

    /// What is left when the stream ends.
    pub(super) fn finish(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.line)
    }

    /// A line as the client gets it, with its end.
    fn line(&mut self, mut line: Vec<u8>) -> Vec<u8> {
        if line.iter().all(u8::is_ascii_whitespace) {
            // The end of a line that was passed on already.
            return Vec::new();
        }
        if !line.ends_with(b"\n") {
            line.extend_from_slice(b"\r\n");
        }
        let Ok(value) = serde_json::from_slice::<Value>(&line) else {
            return line;
        };
        self.lines += 1;
        if value["error"].is_string() || (self.is_quiet && self.lines > 1) {
            // What steps printed may look like a result.
            self.made.clear();
            self.is_good = false;
            self.is_quiet = false;
            return line;
        }
        if let Some(id) = value["aux"]["ID"].as_str() {
            self.made.retain(|known| known != id);
            self.made.push(id.to_owned());
            return line;
        }
        let Some(text) = value["stream"].as_str() else {
            return line;
        };
        if let Some(rest) = text.strip_prefix("Step ") {
            return self.step(rest).unwrap_or(line);
        }
        if self.is_quiet && is_id(text.trim()) {
            // All that a quiet build says, if it says nothing more.
            self.made = vec![text.trim().to_owned()];
            self.is_good = true;
        }
        if text.starts_with("Successfully built ") {
            self.is_good = true;
            self.is_ours = false;
        }
        if self.is_ours { Vec::new() } else { line }
    }

    /// `3/9 : RUN true`.
    fn step(&mut self, text: &str) -> Option<Vec<u8>> {
        let (place, instruction) = text.split_once(" : ")?;
        let (number, all) = place.split_once('/')?;
        let (number, all): (usize, usize) = (number.parse().ok()?, all.parse().ok()?);
        self.is_ours = instruction.starts_with(&self.label);
        if self.is_ours {
            self.passed += 1;
            return Some(Vec::new());
        }
        let mut instruction = instruction.to_owned();
        for (name, author) in &self.names {
            instruction = instruction.replace(name, author);
        }
        // A step of the author's can print such a line, too.
        let number = number.saturating_sub(self.passed);
        let all = all.saturating_sub(self.labels);
        let text = format!("Step {number}/{all} : {instruction}");
        Some(format!("{}\r\n", json!({ "stream": text })).into_bytes())
    }
}

fn is_id(text: &str) -> bool {
    text.strip_prefix("sha256:")
        .is_some_and(|hex| hex.len() == 64 && hex.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(text: &str) -> String {
        format!("{}\r\n", json!({ "stream": text }))
    }

    #[test]
    fn the_author_sees_his_own_names_and_steps() {
        let id = format!("sha256:{}", "a".repeat(64));
        let names = [(id.clone(), "alpine:3".to_owned())].into();
        let mut output = Output::new(names, "LABEL dockmaster.cache=x".to_owned(), 1, false);
        let ours = line("Step 2/3 : LABEL dockmaster.cache=x")
            + &line("\n")
            + &line(" ---> Using cache\n");
        let told = [
            line(&format!("Step 1/3 : FROM {id}")),
            line("\n"),
            line(" ---> aaaaaaaaaaaa\n"),
            ours,
            line("Step 3/3 : RUN true"),
            line(" ---> bbbbbbbbbbbb\n"),
            format!("{}\r\n", json!({ "aux": { "ID": id } })),
            line("Successfully built bbbbbbbbbbbb\n"),
        ]
        .concat();
        let mut shown = Vec::new();
        for part in told.as_bytes().chunks(7) {
            shown.extend(output.take(part));
        }
        shown.extend(output.finish());
        let expected = [
            line("Step 1/2 : FROM alpine:3"),
            line("\n"),
            line(" ---> aaaaaaaaaaaa\n"),
            line("Step 2/2 : RUN true"),
            line(" ---> bbbbbbbbbbbb\n"),
            format!("{}\r\n", json!({ "aux": { "ID": id } })),
            line("Successfully built bbbbbbbbbbbb\n"),
        ]
        .concat();
        assert_eq!(String::from_utf8(shown).unwrap(), expected);
        assert_eq!(output.made(), [id]);
        assert!(output.is_good());
    }

    #[test]
    fn what_a_step_prints_is_no_result() {
        let id = format!("sha256:{}", "a".repeat(64));
        let failed = format!("{}\r\n", json!({ "errorDetail": {}, "error": "exit 1" }));
        for is_quiet in [false, true] {
            let mut output = Output::new(BTreeMap::new(), "LABEL x".to_owned(), 1, is_quiet);
            let told = [
                line("Step 1/2 : FROM scratch\n"),
                line(&format!("{id}\n")),
                line("Successfully built aaaaaaaaaaaa\n"),
                failed.clone(),
            ];
            output.take(told.concat().as_bytes());
            assert_eq!((output.made().len(), output.is_good()), (0, false));
        }
        let mut loud = Output::new(BTreeMap::new(), "LABEL x".to_owned(), 1, false);
        loud.take(line(&format!("{id}\n")).as_bytes());
        assert_eq!(loud.made().len(), 0);
        let mut quiet = Output::new(BTreeMap::new(), "LABEL x".to_owned(), 1, true);
        quiet.take(line(&format!("{id}\n")).as_bytes());
        assert_eq!(
            (quiet.made(), quiet.is_good()),
            ([id.clone()].as_slice(), true)
        );
        quiet.take(failed.as_bytes());
        assert_eq!((quiet.made().len(), quiet.is_good()), (0, false));
    }
}
