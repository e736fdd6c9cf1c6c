//! The job log: what GitLab would show, line by line as it comes.

use std::fmt;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Result, bail};

use super::mask::Masker;

pub(crate) const RED: &str = "\x1b[31;1m";
pub(crate) const YELLOW: &str = "\x1b[0;33m";
pub(crate) const CYAN: &str = "\x1b[36;1m";
pub(crate) const GREEN: &str = "\x1b[32;1m";
pub(crate) const RESET: &str = "\x1b[0;m";

/// A log that is written by the runner and read while it grows.
#[derive(Clone, Debug)]
pub struct Log(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    grown: Condvar,
}

struct State {
    text: String,
    limit: usize,
    is_over_limit: bool,
    is_closed: bool,
    secrets: Vec<String>,
    watch: Box<dyn FnMut(&str) + Send>,
}

impl fmt::Debug for State {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("State")
            .field("bytes", &self.text.len())
            .finish_non_exhaustive()
    }
}

impl Log {
    pub(crate) fn new(watch: impl FnMut(&str) + Send + 'static) -> Self {
        let state = State {
            text: String::new(),
            limit: usize::MAX,
            is_over_limit: false,
            is_closed: false,
            secrets: Vec::new(),
            watch: Box::new(watch),
        };
        Self(Arc::new(Shared {
            state: Mutex::new(state),
            grown: Condvar::new(),
        }))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn hide(&self, secrets: Vec<String>, limit: usize) {
        let mut state = self.state();
        state.secrets = secrets;
        state.limit = limit;
    }

    /// A line of the runner's own.
    pub(crate) fn line(&self, line: &str) {
        let mut stream = self.stream();
        stream.write(line.as_bytes());
        stream.write(b"\n");
        stream.finish();
    }

    pub(crate) fn warning(&self, text: &str) {
        self.line(&format!("{YELLOW}WARNING: {text}{RESET}"));
    }

    pub(crate) fn error(&self, text: &str) {
        self.line(&format!("{RED}{text}{RESET}"));
    }

    /// Begins a section under its heading.
    pub(crate) fn open_section(&self, name: &str, heading: &str) {
        self.line(&format!(
            "section_start:{}:{name}\r\x1b[0K{CYAN}{heading}{RESET}",
            seconds_since_epoch()
        ));
    }

    pub(crate) fn close_section(&self, name: &str) {
        self.line(&format!(
            "section_end:{}:{name}\r\x1b[0K",
            seconds_since_epoch()
        ));
    }

    /// One of a driver's output streams, from here to the end of its call.
    pub(crate) fn stream(&self) -> Stream {
        let masker = Masker::new(self.state().secrets.iter().map(String::as_str));
        Stream {
            log: self.clone(),
            masker,
            pending: Vec::new(),
        }
    }

    pub(crate) fn close(&self) {
        self.state().is_closed = true;
        self.0.grown.notify_all();
    }

    fn append(&self, line: &str) {
        let mut state = self.state();
        if state.is_over_limit {
            return;
        }
        (state.watch)(line);
        state.text.push_str(line);
        state.text.push('\n');
        if state.text.len() > state.limit {
            let limit = state.limit;
            state.is_over_limit = true;
            let notice = format!(
                "{YELLOW}Job's log exceeded limit of {limit} bytes.\n\
                 Job execution will continue but no more output will be collected.{RESET}\n"
            );
            state.text.push_str(&notice);
        }
        drop(state);
        self.0.grown.notify_all();
    }

    /// The log so far, as GitLab stores it.
    pub fn raw(&self) -> String {
        self.state().text.clone()
    }

    /// Waits for a line that contains the text.
    pub fn wait_for(&self, text: &str, limit: Duration) -> Result<String> {
        let deadline = Instant::now() + limit;
        let mut state = self.state();
        let mut read = 0;
        loop {
            let found = state.text[read..]
                .lines()
                .find(|line| plain(line).contains(text));
            if let Some(line) = found {
                return Ok(plain(line));
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if state.is_closed || left.is_zero() {
                bail!(
                    "no line with {text:?} in the job log:\n{}",
                    plain(&state.text)
                );
            }
            read = state.text.len();
            state = self
                .0
                .grown
                .wait_timeout(state, left)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
    }
}

/// Masks bytes and releases them in whole lines.
#[derive(Debug)]
pub(crate) struct Stream {
    log: Log,
    masker: Masker,
    pending: Vec<u8>,
}

impl Stream {
    pub(crate) fn write(&mut self, bytes: &[u8]) {
        let shown = self.masker.push(bytes);
        self.release(&shown);
    }

    pub(crate) fn finish(&mut self) {
        let shown = self.masker.finish();
        self.release(&shown);
        if !self.pending.is_empty() {
            let last = std::mem::take(&mut self.pending);
            self.log.append(&String::from_utf8_lossy(&last));
        }
    }

    fn release(&mut self, shown: &[u8]) {
        for piece in shown.split_inclusive(|&byte| byte == b'\n') {
            let Some(end) = piece.strip_suffix(b"\n") else {
                self.pending.extend_from_slice(piece);
                continue;
            };
            self.pending.extend_from_slice(end);
            self.log.append(&String::from_utf8_lossy(&self.pending));
            self.pending.clear();
        }
    }
}

fn seconds_since_epoch() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs())
}

/// The text without colours and section marks.
pub fn plain(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    for line in text.split_inclusive('\n') {
        let mark = line
            .find("\r\x1b[0K")
            .filter(|_| line.starts_with("section_"));
        let shown = without_colours(mark.map_or(line, |end| &line[end + 5..]));
        // The end of a section is a mark and nothing else.
        if mark.is_none() || !shown.trim().is_empty() {
            plain.push_str(&shown);
        }
    }
    plain
}

fn without_colours(line: &str) -> String {
    let mut characters = line.chars();
    let mut shown = String::new();
    while let Some(character) = characters.next() {
        if character == '\x1b' {
            characters.by_ref().find(char::is_ascii_alphabetic);
        } else {
            shown.push(character);
        }
    }
    shown
}
