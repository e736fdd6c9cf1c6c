//! Where a rollout's lines go.

use std::io::{self, Write};

use jiff::Timestamp;
use tokio::sync::mpsc;

use crate::{
    paint,
    rollout::{narrate, port::Narrator},
};

/// The lines of a rollout, on their way to the job.
#[derive(Clone)]
pub(super) struct Story(pub(super) mpsc::UnboundedSender<String>);

impl Story {
    fn tell(&self, line: String) {
        // The receiver lives as long as the rollout does.
        let _ = self.0.send(line);
    }
}

/// Who hears a rollout.
pub(super) enum Voice {
    /// A job, in its log.
    Story(Story),
    /// An admin, on standard output.
    Admin,
}

impl Narrator for Voice {
    fn say(&self, line: &str) {
        match self {
            Self::Story(story) => story.tell(line.to_owned()),
            Self::Admin => {
                let _ = writeln!(io::stdout(), "{line}");
            }
        }
    }

    fn open_section(&self, name: &str, title: &str) {
        match self {
            Self::Story(story) => story.tell(narrate::section_start(now(), name, title)),
            Self::Admin => self.say(&paint::bold(title)),
        }
    }

    fn close_section(&self, name: &str) {
        if let Self::Story(story) = self {
            story.tell(narrate::section_end(now(), name));
        }
    }
}

fn now() -> u64 {
    Timestamp::now().as_second().try_into().unwrap_or_default()
}
