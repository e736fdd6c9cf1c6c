//! The compose files that came with a run's release: `environments/NAME/files/RUN.json`. A rollback brings them out
//! again, without GitLab.

use std::{
    fs::{self, DirBuilder, OpenOptions},
    io::{self, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use super::lines::{FORMAT, StoreError, prune, sync};
use crate::rollout::port::ComposeFile;

#[derive(Serialize, Deserialize)]
struct Content {
    format: u32,
    files: Vec<ComposeFile>,
}

/// The format alone: a newer file may hold anything else.
#[derive(Deserialize)]
struct Format {
    format: u32,
}

/// Those of one environment.
#[derive(Debug, Clone)]
pub(crate) struct ComposeFiles {
    folder: PathBuf,
}

impl ComposeFiles {
    pub(crate) fn new(state_dir: &Path, environment: &str) -> Self {
        let folder = state_dir.join("environments").join(environment);
        Self {
            folder: folder.join("files"),
        }
    }

    fn path(&self, run: &str) -> PathBuf {
        self.folder.join(format!("{run}.json"))
    }

    /// Keeps a run's files; where there are none, nothing is written. They survive a power cut then.
    pub(crate) fn keep(&self, run: &str, files: &[ComposeFile]) -> Result<(), StoreError> {
        if files.is_empty() {
            return Ok(());
        }
        let path = self.path(run);
        let content = Content {
            format: FORMAT,
            files: files.to_vec(),
        };
        let written = self.write(&path, &content);
        written.map_err(|source| StoreError::Write { path, source })
    }

    fn write(&self, path: &Path, content: &Content) -> io::Result<()> {
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&self.folder)?;
        let text = serde_json::to_vec(content)?;
        let new = path.with_extension("new");
        let mut options = OpenOptions::new();
        let options = options.write(true).create(true).truncate(true).mode(0o600);
        let mut file = options.open(&new)?;
        file.write_all(&text)?;
        file.sync_all()?;
        fs::rename(&new, path)?;
        sync(&self.folder)
    }

    /// A run's files; none where none came with it, or they are not kept any more.
    pub(crate) fn read(&self, run: &str) -> Result<Vec<ComposeFile>, StoreError> {
        let path = self.path(run);
        let bytes = match fs::read(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            bytes => bytes.map_err(|source| StoreError::Read {
                path: path.clone(),
                source,
            })?,
        };
        let damaged = |source: serde_json::Error| StoreError::Damaged {
            path: path.clone(),
            line: source.line(),
            source,
        };
        let Format { format } = serde_json::from_slice(&bytes).map_err(damaged)?;
        if format > FORMAT {
            return Err(StoreError::Newer {
                path,
                line: 1,
                format,
                known: FORMAT,
            });
        }
        let content: Content = serde_json::from_slice(&bytes).map_err(damaged)?;
        Ok(content.files)
    }

    /// Removes what belongs to none of these runs.
    pub(crate) fn prune(&self, runs: &[&str]) -> Result<(), StoreError> {
        prune(&self.folder, runs)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_s_files_are_kept_as_long_as_the_run() {
        let folder = tempfile::tempdir().unwrap();
        let kept = ComposeFiles::new(folder.path(), "production");
        let files = [ComposeFile {
            path: "deploy/a.yml".into(),
            text: "services: {}\r\n".into(),
        }];
        kept.keep("r0", &[]).unwrap();
        kept.keep("r1", &files).unwrap();
        kept.keep("r2", &files).unwrap();
        assert_eq!(kept.read("r0").unwrap(), []);
        assert_eq!(kept.read("r1").unwrap(), files);
        kept.prune(&["r1"]).unwrap();
        assert_eq!(kept.read("r1").unwrap(), files);
        assert_eq!(kept.read("r2").unwrap(), []);
    }

    #[test]
    fn what_cannot_be_understood_is_not_taken_for_no_files() {
        for (text, expect) in [
            ("", "is damaged"),
            ("{\"format\":2,\"what\":[]}", "by a newer dockmaster"),
        ] {
            let folder = tempfile::tempdir().unwrap();
            let kept = ComposeFiles::new(folder.path(), "production");
            fs::create_dir_all(&kept.folder).unwrap();
            fs::write(kept.path("r1"), text).unwrap();
            let error = kept.read("r1").unwrap_err().to_string();
            assert!(error.contains(expect), "{error}");
        }
    }
}
