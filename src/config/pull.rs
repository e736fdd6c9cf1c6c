//! When an image is pulled.

use std::ops::Deref;

use serde::{Deserialize, Deserializer, de::Error as _};

/// When an image is pulled.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PullPolicy {
    #[default]
    Always,
    IfNotPresent,
    Never,
}

impl PullPolicy {
    /// As both files write it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Always => "always",
            Self::IfNotPresent => "if-not-present",
            Self::Never => "never",
        }
    }
}

/// One policy, or a list of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PullPolicies(Vec<PullPolicy>);

impl Default for PullPolicies {
    fn default() -> Self {
        Self(vec![PullPolicy::default()])
    }
}

impl Deref for PullPolicies {
    type Target = [PullPolicy];

    fn deref(&self) -> &[PullPolicy] {
        &self.0
    }
}

impl<'de> Deserialize<'de> for PullPolicies {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(
            untagged,
            expecting = "one of \"always\", \"if-not-present\", \"never\", or a list of them"
        )]
        enum Written {
            One(PullPolicy),
            Several(Vec<PullPolicy>),
        }
        let policies = match Written::deserialize(deserializer)? {
            Written::One(policy) => vec![policy],
            Written::Several(policies) => policies,
        };
        if policies.is_empty() {
            return Err(D::Error::custom("a list of pull policies needs one"));
        }
        Ok(Self(policies))
    }
}
