//! The certificates that the engine trusts for this registry: Harbor's API has the same one, so that an
//! admin installs a company's CA once.

use std::{fs, io, path::Path};

use reqwest::Certificate;

use super::error::HarborError;

const ENGINE: &str = "/etc/docker/certs.d";

/// What lies in the engine's folder for `host`, beside the system's own roots.
pub(super) fn certificates(host: &str) -> Result<Vec<Certificate>, HarborError> {
    read(&Path::new(ENGINE).join(host))
}

fn read(folder: &Path) -> Result<Vec<Certificate>, HarborError> {
    let failed = |path: &Path, source| HarborError::Certificate {
        path: path.to_owned(),
        source,
    };
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(|source| failed(folder, source))?,
    };
    let mut all = Vec::new();
    for entry in entries {
        let path = entry.map_err(|source| failed(folder, source))?.path();
        // As the engine reads it: `.crt` is a root, `.cert` and `.key` are the client's own.
        if path.extension().is_some_and(|end| end == "crt") {
            let text = fs::read(&path).map_err(|source| failed(&path, source))?;
            let found = Certificate::from_pem_bundle(&text);
            all.extend(found.map_err(|error| failed(&path, io::Error::other(error)))?);
        }
    }
    Ok(all)
}
