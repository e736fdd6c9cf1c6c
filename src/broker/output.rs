//! Where a rollout's lines go.

use std::cell::RefCell;

use jiff::Timestamp;
use tokio::sync::mpsc;

use super::{protocol::Answer, stream};
use crate::{
    paint,
    rollout::{
        narrate,
        port::{Fact, Narrator},
    },
    store::Stories,
};

/// Sends what a rollout says to the job that asked for it.
#[derive(Clone)]
pub(super) struct JobLines(pub(super) mpsc::UnboundedSender<Answer>);

impl JobLines {
    fn send(&self, log: String) {
        self.answer(Answer::Log { log });
    }

    pub(super) fn answer(&self, answer: Answer) {
        // The receiver lives as long as the rollout does.
        let _ = self.0.send(answer);
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

/// Passes lines on and keeps them, with all other facts, for a report of the run that they are about.
pub(super) struct Recorded {
    output: Output,
    stories: Stories,
    run: RefCell<Option<String>>,
    /// What was said before a run began.
    early: RefCell<Vec<(Timestamp, Fact)>>,
}

impl Recorded {
    pub(super) fn new(output: Output, stories: Stories) -> Self {
        Self {
            output,
            stories,
            run: RefCell::default(),
            early: RefCell::default(),
        }
    }

    fn keep(&self, fact: &Fact) {
        let now = Timestamp::now();
        if let Fact::Run { run, is_new } = fact {
            self.run.replace(run.clone());
            if *is_new {
                for (at, fact) in self.early.take() {
                    self.write(at, &fact);
                }
            }
        } else if self.run.borrow().is_some() {
            self.write(now, fact);
        } else {
            self.early.borrow_mut().push((now, fact.clone()));
        }
    }

    /// A report may lack a line; no rollout waits or fails for one.
    fn write(&self, at: Timestamp, fact: &Fact) {
        if let Some(run) = self.run.borrow().as_ref()
            && let Err(error) = self.stories.add(run, at, fact)
        {
            tracing::warn!(%error, "a report lacks a line");
        }
    }

    fn said(&self, host: Option<&str>, text: &str) {
        self.keep(&Fact::Said {
            host: host.map(str::to_owned),
            text: text.to_owned(),
        });
    }
}

impl Narrator for Recorded {
    fn say(&self, line: &str) {
        self.said(None, line);
        self.output.say(line);
    }

    fn say_of(&self, host: &str, text: &str, width: usize) {
        self.said(Some(host), text);
        self.output.say_of(host, text, width);
    }

    fn note(&self, fact: &Fact) {
        self.keep(fact);
    }

    fn open_section(&self, name: &str, title: &str) {
        self.said(None, title);
        self.output.open_section(name, title);
    }

    fn close_section(&self, name: &str) {
        self.output.close_section(name);
    }
}
