//! Where a rollout's lines go.

use jiff::Timestamp;
use tokio::sync::mpsc;

use super::stream;
use crate::{
    paint,
    rollout::{narrate, port::Narrator},
};

/// Sends a rollout's lines to the job that asked for it.
#[derive(Clone)]
pub(super) struct JobLines(pub(super) mpsc::UnboundedSender<String>);

impl JobLines {
    fn send(&self, line: String) {
        // The receiver lives as long as the rollout does.
        let _ = self.0.send(line);
    }
}

/// Who reads a rollout's lines.
pub(super) enum Output {
    /// A job, in its log.
    Job(JobLines),
    /// An admin, on standard output.
    Admin,
}

impl Narrator for Output {
    fn say(&self, line: &str) {
        match self {
            Self::Job(lines) => lines.send(line.to_owned()),
            Self::Admin => stream::tell_admin(line),
        }
    }

    fn open_section(&self, name: &str, title: &str) {
        match self {
            Self::Job(lines) => lines.send(narrate::section_start(now(), name, title)),
            Self::Admin => self.say(&paint::bold(title)),
        }
    }

    fn close_section(&self, name: &str) {
        if let Self::Job(lines) = self {
            lines.send(narrate::section_end(now(), name));
        }
    }
}

fn now() -> u64 {
    Timestamp::now().as_second().try_into().unwrap_or_default()
}
