//! What goes wrong with Harbor, and what to do about it.

use std::path::PathBuf;

use super::refusal::Fault;
use crate::{failure::Failure, secret::SecretError};

/// Why Harbor did not do what it was asked for.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HarborError {
    #[error("the account for the registry cannot be used")]
    Account(#[source] SecretError),
    #[error("Harbor at {url} cannot be reached")]
    Unreachable {
        url: String,
        #[source]
        source: reqwest::Error,
    },
    #[error("the certificate {} cannot be used", .path.display())]
    Certificate {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error(
        "{url} has no Harbor API v2: check registry.url; for another registry, or Harbor before 2.0, use registry.static-account"
    )]
    NoApi { url: String },
    #[error(
        "Harbor at {url} does not know the account of {}: its name or password is wrong, or it is disabled, expired or deleted",
        .account.display()
    )]
    Anonymous { url: String, account: PathBuf },
    #[error(
        "Harbor at {url} is {version}, and accounts for jobs need 2.2: use registry.static-account"
    )]
    TooOld { url: String, version: String },
    #[error("Harbor did not {what}: {answer} ({status}): {advice}", advice = .fault.advice())]
    Refused {
        what: String,
        status: u16,
        fault: Fault,
        answer: String,
    },
    #[error("Harbor's answer to {what} is not what its API promises")]
    Unexpected {
        what: String,
        #[source]
        source: serde_json::Error,
    },
}

impl HarborError {
    /// Whether Harbor gave this status.
    pub(crate) fn is(&self, wanted: u16) -> bool {
        matches!(self, Self::Refused { status, .. } if *status == wanted)
    }
}

impl From<HarborError> for Failure {
    /// The operator's: the account, the address and the policy are.
    fn from(error: HarborError) -> Self {
        match error {
            HarborError::Account(_)
            | HarborError::Unreachable { .. }
            | HarborError::Certificate { .. }
            | HarborError::NoApi { .. }
            | HarborError::Anonymous { .. }
            | HarborError::TooOld { .. }
            | HarborError::Refused { .. }
            | HarborError::Unexpected { .. } => Self::system(error),
        }
    }
}
