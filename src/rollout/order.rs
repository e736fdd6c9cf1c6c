//! What is to be rolled out, what was left open, and why a rollout did not begin.

use super::{
    journal::{Cause, Owner, Run},
    plan::Refusal,
    port::{HostName, Release},
    report::Report,
    world::{GaveUp, Source},
};
use crate::failure::{Failure, JobCode};

/// Why a rollout did not begin: nothing was touched.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Refused(#[from] Refusal),
    #[error("cannot read the balancer's weights")]
    Balancer {
        #[source]
        source: Source,
    },
    #[error("cannot read what the balancer's own health checks say")]
    Checks {
        #[source]
        source: Source,
    },
    #[error("cannot look at {host}")]
    Host {
        host: HostName,
        #[source]
        source: Source,
    },
    #[error("{host} cannot pull {reference}")]
    Pull {
        host: HostName,
        reference: String,
        /// What the author of the job has to mend.
        code: Option<JobCode>,
        #[source]
        source: Source,
    },
    #[error("cannot write the journal, so nothing was begun")]
    Journal {
        #[source]
        source: Source,
    },
    #[error("what earlier rollouts owe cannot be read, so nothing was begun")]
    Debts {
        #[source]
        source: Source,
    },
    /// An earlier rollout of the same release is stuck, and trying again changes nothing.
    #[error("an earlier rollout of this very release is {summary}")]
    StillStuck { summary: String },
    #[error("stopped (asked to stop): nothing was touched")]
    Stopped,
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        match error {
            Error::Pull {
                code: Some(code), ..
            } => Self::build(code, error),
            Error::Refused(_)
            | Error::Balancer { .. }
            | Error::Checks { .. }
            | Error::Host { .. }
            | Error::Pull { code: None, .. }
            | Error::Journal { .. }
            | Error::Stopped => Self::system(error),
            Error::StillStuck { .. } | Error::Debts { .. } => Self::build(JobCode::Stuck, error),
        }
    }
}

/// What is to be rolled out, and where that is written down.
pub(crate) struct Order<J> {
    /// The run's id: letters, digits, `-`, `.`; never used before.
    pub run: String,
    pub release: Release,
    pub owner: Owner,
    pub cause: Cause,
    pub journal: J,
}

/// A run that was left open.
pub struct Earlier<J> {
    pub run: Run,
    pub journal: J,
}

/// What a recovery came to.
#[derive(Debug, Default)]
pub(crate) struct Recovered {
    /// One for each run that was open.
    pub reports: Vec<Report>,
    /// What is owed to hosts of no open run, and why still: a line each.
    pub owed: Vec<String>,
}

/// Without the weights nothing is begun.
pub(super) fn unread(gave_up: GaveUp<Source>) -> Error {
    match gave_up {
        GaveUp::Stopped => Error::Stopped,
        GaveUp::Failed(source) => Error::Balancer { source },
    }
}
