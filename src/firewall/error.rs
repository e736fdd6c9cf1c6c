//! What keeps jobs from being run behind a firewall.

use crate::failure::Failure;

/// Why there is no firewall.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FirewallError {
    #[error(
        "the lanes {first} and {second} say different things in `network`: one firewall holds for the host"
    )]
    Divided { first: String, second: String },
    #[error("no lane of {path} has `firewall = true` in its `network`")]
    Unwanted { path: String },
    #[error("{program} failed: {why}")]
    Tool { program: String, why: String },
    #[error(
        "the firewall around jobs cannot be had: {program} took the rules and does not show them"
    )]
    NotHeld { program: String },
}

impl From<FirewallError> for Failure {
    fn from(error: FirewallError) -> Self {
        match &error {
            FirewallError::Divided { .. } | FirewallError::Unwanted { .. } => Self::system(error),
            FirewallError::Tool { .. } | FirewallError::NotHeld { .. } => Self::system(error).hint(
                "try: dockmaster firewall apply, as root; `firewall = false` runs jobs without it",
            ),
        }
    }
}
