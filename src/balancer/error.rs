//! What can go wrong at a load balancer, whoever sells it.

use crate::{
    config::Environment,
    failure::Failure,
    rollout::port::{Fault, Retry},
    secret::SecretError,
};

/// Why a balancer could not be opened, read or changed.
#[derive(Debug, thiserror::Error)]
pub enum BalancerError {
    #[error("environments/{environment}.toml: {why}")]
    Settings { environment: String, why: String },
    #[error("the balancer's account cannot be used")]
    Account(#[source] SecretError),
    #[error("cannot reach the balancer's API at {endpoint}")]
    Unreachable {
        endpoint: String,
        #[source]
        source: reqwest::Error,
    },
    #[error("the balancer does not accept the account: {answer}; {advice}")]
    Denied { answer: String, advice: String },
    #[error("the balancer refuses {action}: {answer}")]
    Refused {
        action: &'static str,
        answer: String,
        retry: Retry,
    },
    #[error("the balancer's answer to {action} is not understood: {why}")]
    Malformed { action: &'static str, why: String },
    #[error("{member} is not behind the balancer; {group} has: {members}")]
    NotMember {
        member: String,
        group: String,
        members: String,
    },
    #[error("host {host} is the last one in service: at weight 0 nothing would answer")]
    LastMember { host: String },
}

impl BalancerError {
    /// Something in the environment's file that this balancer cannot work with.
    pub(super) fn settings(environment: &Environment, why: impl Into<String>) -> Self {
        Self::Settings {
            environment: environment.name.clone(),
            why: why.into(),
        }
    }
}

impl From<BalancerError> for Failure {
    fn from(error: BalancerError) -> Self {
        match error {
            BalancerError::Settings { .. }
            | BalancerError::Account(_)
            | BalancerError::Unreachable { .. }
            | BalancerError::Denied { .. }
            | BalancerError::Refused { .. }
            | BalancerError::Malformed { .. }
            | BalancerError::NotMember { .. }
            | BalancerError::LastMember { .. } => Self::system(error),
        }
    }
}

impl Fault for BalancerError {
    fn retry(&self) -> Retry {
        match self {
            Self::Unreachable { .. } => Retry::SOON,
            Self::Refused { retry, .. } => *retry,
            Self::Settings { .. }
            | Self::Account(_)
            | Self::Denied { .. }
            | Self::Malformed { .. }
            | Self::NotMember { .. }
            | Self::LastMember { .. } => Retry::Never,
        }
    }
}
