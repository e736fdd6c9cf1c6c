//! What a rollout saw and said besides its journal, for reports. Nothing is decided by it: it may be
//! lost without harm.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{
    journal::Direction,
    state::{Health, HostName, Weight},
};

/// One thing that was seen or said.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "fact", rename_all = "kebab-case")]
pub enum Fact {
    /// What follows is about that run, or about none any more. A new one's journal begins now.
    Run { run: Option<String>, is_new: bool },
    /// A line of the log, about one host or about all.
    Said {
        host: Option<HostName>,
        text: String,
    },
    /// A weight that was read back.
    Weighed { host: HostName, weight: Weight },
    /// A host was waited for until nobody was connected, or long enough.
    Drained {
        host: HostName,
        milliseconds: u64,
        /// Connections that were left; `None` where they could not be counted.
        left: Option<u64>,
    },
    /// Compose has replaced its container.
    Switched {
        host: HostName,
        to: String,
        way: Direction,
    },
    /// It was asked from outside; the trouble is why it did not answer.
    Probed {
        host: HostName,
        trouble: Option<String>,
    },
    /// What its container said last.
    LastWords { host: HostName, lines: Vec<String> },
    /// The last look.
    Ended { hosts: Vec<HostReport> },
}

/// One host in the end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct HostReport {
    pub host: HostName,
    /// The weight it has; `None` without a balancer or when it cannot be read.
    pub weight: Option<Weight>,
    /// The weight it had.
    pub original: Option<Weight>,
    /// What it ran before.
    pub ran: String,
    /// What it runs.
    pub runs: String,
    /// True when that is the new release.
    pub is_new: bool,
    pub health: Option<Health>,
    /// Why a person has to look at it.
    pub problem: Option<String>,
}

/// What was noted of one host.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Noted {
    /// How long it took until nobody was connected, each time.
    pub drained: Vec<Duration>,
    /// Connections that were cut; `None` where one drain could not see them.
    pub cut: Option<u64>,
    /// How many times its container was replaced.
    pub restarted: usize,
    /// True where another process began the run: what that one noted is not among the facts.
    pub is_partial: bool,
}

/// What the facts say of one host.
pub(crate) fn noted<'a>(facts: impl IntoIterator<Item = &'a Fact>, host: &str) -> Noted {
    let mut noted = Noted {
        cut: Some(0),
        ..Noted::default()
    };
    for fact in facts {
        match fact {
            Fact::Drained {
                host: of,
                milliseconds,
                left,
            } if of == host => {
                noted.drained.push(Duration::from_millis(*milliseconds));
                noted.cut = noted.cut.zip(*left).map(|(all, left)| all + left);
            }
            Fact::Switched { host: of, .. } if of == host => noted.restarted += 1,
            Fact::Run { run, is_new } => noted.is_partial |= run.is_some() && !is_new,
            Fact::Said { .. }
            | Fact::Weighed { .. }
            | Fact::Drained { .. }
            | Fact::Switched { .. }
            | Fact::Probed { .. }
            | Fact::LastWords { .. }
            | Fact::Ended { .. } => {}
        }
    }
    noted
}
