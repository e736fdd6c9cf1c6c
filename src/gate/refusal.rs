//! Why the gate says no, in the words a Docker client prints.
//!
//! Knows no endpoint and no field: whoever refuses names them.

use serde_json::json;

use crate::failure::{Failure, JobCode};

/// A refused request: the status and the sentence the client shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Denied {
    pub status: u16,
    pub message: String,
}

/// What a job may not be called, whoever reads the name.
impl From<Denied> for Failure {
    fn from(denied: Denied) -> Self {
        Self::build(JobCode::Malformed, denied.message)
    }
}

impl Denied {
    /// Policy: the job may not do this here. The text says what, and what to do instead.
    pub(crate) fn forbidden(message: impl Into<String>) -> Self {
        Self {
            status: 403,
            message: message.into(),
        }
    }

    /// The request could not be read.
    pub(crate) fn malformed(message: impl Into<String>) -> Self {
        Self {
            status: 400,
            message: message.into(),
        }
    }

    /// Not there, or not the job's: the two are told alike.
    pub(crate) fn missing(message: impl Into<String>) -> Self {
        Self {
            status: 404,
            message: message.into(),
        }
    }

    /// Taken by somebody else.
    pub(crate) fn conflict(message: impl Into<String>) -> Self {
        Self {
            status: 409,
            message: message.into(),
        }
    }

    /// The daemon failed us, not the job.
    pub(crate) fn broken(message: impl Into<String>) -> Self {
        Self {
            status: 502,
            message: message.into(),
        }
    }

    /// The body of the answer, as the engine shapes its own errors.
    pub(crate) fn body(&self) -> String {
        json!({ "message": format!("dockmaster: {}", self.message) }).to_string()
    }
}
