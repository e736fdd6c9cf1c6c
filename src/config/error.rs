//! Why the configuration cannot be used.

use std::path::PathBuf;

use crate::failure::Failure;

/// Why the configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    #[error("cannot read {path}")]
    Unreadable {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("{path} is not trusted: {why}")]
    Untrusted { path: PathBuf, why: String },
    #[error("{path} has an error\n{text}")]
    Malformed { path: PathBuf, text: String },
    #[error("the lane {lane} of {path} runs no jobs on this host as it is\n{text}")]
    Host {
        path: PathBuf,
        lane: String,
        text: String,
    },
    #[error("{path} has no lane called `{lane}` (it has: {known})")]
    UnknownLane {
        path: PathBuf,
        lane: String,
        known: String,
    },
    #[error("there is no environment called `{name}`: {path} does not exist")]
    UnknownEnvironment { name: String, path: PathBuf },
    #[error("`{name}` cannot be the name of an environment: use a-z, 0-9, `-` and `_`")]
    BadEnvironmentName { name: String },
}

impl From<ConfigError> for Failure {
    fn from(error: ConfigError) -> Self {
        match error {
            ConfigError::Unreadable { .. }
            | ConfigError::Untrusted { .. }
            | ConfigError::Malformed { .. }
            | ConfigError::Host { .. }
            | ConfigError::UnknownLane { .. }
            | ConfigError::UnknownEnvironment { .. }
            | ConfigError::BadEnvironmentName { .. } => Self::system(error),
        }
    }
}
