//! The ways in which a test lets the API fail.

use std::time::Duration;

use super::answer::Refusal;

/// What happens to one call instead of the ordinary.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// Refused, nothing is done.
    Refuse(Refusal),
    /// The connection is cut before anything is done.
    CutBefore,
    /// Done, but the connection is cut instead of an answer.
    CutAfter,
    /// Done at once, answered late.
    AnswerLate(Duration),
    /// Answered at once; only later can it be read back and felt.
    ApplyLate(Duration),
    /// Answered as if done, and never done.
    NeverApply,
}

impl Fault {
    pub fn refuse(status: u16, code: &str, message: &str) -> Self {
        Self::Refuse(Refusal::new(status, code, message))
    }

    pub fn system_busy() -> Self {
        Self::refuse(449, "SystemBusy", "The system is busy.")
    }

    pub fn configuring() -> Self {
        Self::Refuse(configuring())
    }

    /// `retry_after` travels in a header of its own, and may be missing.
    pub fn throttled(retry_after: Option<Duration>) -> Self {
        let message = "Request was denied due to user flow control.";
        let refusal = Refusal::new(400, "Throttling.User", message);
        Self::Refuse(Refusal {
            retry_after,
            ..refusal
        })
    }

    pub fn unavailable() -> Self {
        let message = "The request has failed due to a temporary failure of the server.";
        Self::refuse(503, "ServiceUnavailable", message)
    }

    pub fn forbidden() -> Self {
        let message = "User not authorized to operate on the specified resource.";
        Self::refuse(403, "Forbidden.RAM", message)
    }

    pub fn wrong_signature() -> Self {
        let message = "Specified signature is not matched with our calculation.";
        Self::refuse(400, "SignatureDoesNotMatch", message)
    }
}

pub(super) fn configuring() -> Refusal {
    let message =
        "A previous configuration of the load balancer is pending; please try again later.";
    Refusal::new(409, "BackendServer.configuring", message)
}
