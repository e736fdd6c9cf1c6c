//! Why a step did not succeed, and short ways to say it.

use super::{
    plan::Refusal,
    port::{HostName, Weight},
    world::{GaveUp, Source},
};

/// Why a step did not succeed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StepError {
    #[error("the balancer does not move the weight of {host}")]
    Balancer {
        host: HostName,
        #[source]
        source: Source,
    },
    #[error("the balancer did not apply weight {wanted} to {host} in time")]
    Unapplied { host: HostName, wanted: Weight },
    #[error("somebody else moved the weight of {host} to {seen}, and it should be {expected}")]
    Drift {
        host: HostName,
        expected: Weight,
        seen: Weight,
    },
    #[error(transparent)]
    Floor(#[from] Refusal),
    #[error("{what} failed on {host}")]
    Host {
        host: HostName,
        what: &'static str,
        #[source]
        source: Source,
    },
    #[error("{host} does not become healthy: {why}")]
    Unwell { host: HostName, why: String },
    #[error("cannot write the journal")]
    Journal {
        #[source]
        source: Source,
    },
    #[error("cannot write down what is owed to {host}")]
    Debt {
        host: HostName,
        #[source]
        source: Source,
    },
    #[error("asked to stop")]
    Cancelled,
}

pub(super) fn drift(host: &str, expected: Weight, seen: Weight) -> StepError {
    StepError::Drift {
        host: host.into(),
        expected,
        seen,
    }
}

pub(super) fn balancer(host: &str, gave_up: GaveUp<Source>) -> StepError {
    let host = host.into();
    match gave_up {
        GaveUp::Stopped => StepError::Cancelled,
        GaveUp::Failed(source) => StepError::Balancer { host, source },
    }
}

pub(super) fn on(host: &str, what: &'static str, gave_up: GaveUp<Source>) -> StepError {
    match gave_up {
        GaveUp::Stopped => StepError::Cancelled,
        GaveUp::Failed(source) => failed_on(host, what, source),
    }
}

pub(super) fn failed_on(host: &str, what: &'static str, source: impl Into<Source>) -> StepError {
    StepError::Host {
        host: host.into(),
        what,
        source: source.into(),
    }
}

pub(super) fn unknown(host: &str) -> StepError {
    let why = "the environment has no such host any more";
    failed_on(host, "looking for it", why)
}

pub(super) fn unwell(host: &str, why: String) -> StepError {
    let host = host.into();
    StepError::Unwell { host, why }
}
