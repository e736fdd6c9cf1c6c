//! Protected or not: what caches, slots and lanes are kept apart by.

use serde::Deserialize;

/// What GitLab says of a job's branch or tag.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Tier {
    Protected,
    Unprotected,
}

impl Tier {
    /// As the configuration writes it.
    pub(crate) fn text(self) -> &'static str {
        match self {
            Self::Protected => "protected",
            Self::Unprotected => "unprotected",
        }
    }

    /// The one that a job is of.
    pub(crate) fn of(is_protected: bool) -> Self {
        if is_protected {
            Self::Protected
        } else {
            Self::Unprotected
        }
    }
}
