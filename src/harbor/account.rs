//! A name and password in a file of their own.

use std::path::Path;

use serde::Deserialize;

use super::error::HarborError;
use crate::secret::{self, Secret, SecretFile};

/// The file that `registry.account` or `registry.static-account` names.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Account {
    pub(crate) username: String,
    pub(crate) password: Secret,
}

impl SecretFile for Account {
    const SHAPE: &'static str = r#"{"username": "…", "password": "…"}"#;
}

impl Account {
    /// Reads the file, which nobody but its owner can read.
    pub(crate) fn load(path: &Path) -> Result<Self, HarborError> {
        secret::load(path).map_err(HarborError::Account)
    }
}
