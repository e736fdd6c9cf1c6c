//! Files that say what a tenant keeps in the engine: each names an image, and its time tells when the image was used
//! last. Knows no engine.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::json;
use sha2::{Digest, Sha256};

use crate::docker::tenant::hex;
use crate::store::StoreError;

const VERSION: u32 = 1;

/// What a file says.
#[derive(Debug, Serialize, Deserialize)]
struct Note {
    version: u32,
    /// What the engine calls the image.
    name: String,
}

/// Writes down that a tenant uses the copy of an image that it keeps; `dir` is that of the engine's layers.
pub(crate) fn note_copy(dir: &Path, tenant: &str, name: &str) -> Result<(), StoreError> {
    let digits = hex(&Sha256::digest(name.as_bytes())[..16]);
    write(&dir.join(tenant).join(format!("copy-{digits}")), name)
}

/// The image is used now.
pub(super) fn write(file: &Path, name: &str) -> Result<(), StoreError> {
    let wrong = |source| StoreError::Write {
        path: file.to_owned(),
        source,
    };
    if let Some(folder) = file.parent() {
        fs::create_dir_all(folder).map_err(wrong)?;
    }
    let note = Note {
        version: VERSION,
        name: name.to_owned(),
    };
    fs::write(file, json!(note).to_string()).map_err(wrong)
}

/// The name in a note; nothing in one that was cut off while it was written.
pub(super) fn read(file: &Path) -> Result<Option<String>, StoreError> {
    match fs::read(file) {
        Ok(text) => Ok(serde_json::from_slice(&text).ok().map(|it: Note| it.name)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(source) => Err(StoreError::Read {
            path: file.to_owned(),
            source,
        }),
    }
}
