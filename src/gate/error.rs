//! What goes wrong with a gate itself; what a job does wrong is an answer to it.

use std::path::PathBuf;

use super::daemon::DaemonError;
use crate::{failure::Failure, store::StoreError};

/// What keeps a gate from opening, closing or being swept.
#[derive(Debug, thiserror::Error)]
pub enum GateError {
    #[error("the job's Docker socket {path} cannot be made")]
    Socket {
        path: PathBuf,
        source: std::io::Error,
    },
    #[error("the folder {path} of a job's Docker socket cannot be made or removed")]
    Folder {
        path: PathBuf,
        source: std::io::Error,
    },
    #[error("the job's record of image names cannot be used")]
    Record(#[from] StoreError),
    #[error("the bind mount {path} cannot be removed")]
    Unmount {
        path: PathBuf,
        source: std::io::Error,
    },
    #[error(transparent)]
    Engine(#[from] DaemonError),
}

impl From<GateError> for Failure {
    fn from(error: GateError) -> Self {
        match error {
            GateError::Socket { .. }
            | GateError::Folder { .. }
            | GateError::Record(_)
            | GateError::Unmount { .. }
            | GateError::Engine(_) => Self::system(error),
        }
    }
}
