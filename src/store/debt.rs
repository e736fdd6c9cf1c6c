//! What is owed to an environment's members: `environments/NAME/debt.json`, replaced as a whole.
//!
//! A file that cannot be read is no empty one: it may be the only memory of a weight that was taken.

use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use super::lines::{FORMAT, StoreError, first, sync};
use crate::rollout::{
    debt::{Debt, Owed},
    port::Debts,
};

/// The file of one environment; none is no debt.
#[derive(Debug, Clone)]
pub struct DebtFile {
    path: PathBuf,
}

#[derive(Serialize, Deserialize)]
struct Content {
    #[serde(default = "first")]
    format: u32,
    owed: Vec<Owed>,
}

/// The format alone: a newer file may hold anything else.
#[derive(Deserialize)]
struct Format {
    #[serde(default = "first")]
    format: u32,
}

impl DebtFile {
    /// `environment` was checked to be a plain name when its file was found.
    pub fn new(state_dir: &Path, environment: &str) -> Self {
        let folder = state_dir.join("environments").join(environment);
        Self {
            path: folder.join("debt.json"),
        }
    }

    /// All that is owed.
    pub fn load(&self) -> Result<Debt, StoreError> {
        let bytes = match fs::read(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Debt::default()),
            bytes => bytes.map_err(|source| StoreError::Read {
                path: self.path.clone(),
                source,
            })?,
        };
        let damaged = |source: serde_json::Error| StoreError::Damaged {
            path: self.path.clone(),
            line: source.line(),
            source,
        };
        let Format { format } = serde_json::from_slice(&bytes).map_err(damaged)?;
        if format > FORMAT {
            return Err(StoreError::Newer {
                path: self.path.clone(),
                line: 1,
                format,
                known: FORMAT,
            });
        }
        let content: Content = serde_json::from_slice(&bytes).map_err(damaged)?;
        Ok(content.owed.into_iter().collect())
    }

    fn replace(&self, debt: &Debt) -> io::Result<()> {
        let folder = self.path.parent().unwrap_or(Path::new("/"));
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(folder)?;
        let content = Content {
            format: FORMAT,
            owed: debt.owed().cloned().collect(),
        };
        let mut text = serde_json::to_vec_pretty(&content)?;
        text.push(b'\n');
        let new = self.path.with_extension("new");
        let mut file: File = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&new)?;
        file.write_all(&text)?;
        file.sync_all()?;
        fs::rename(&new, &self.path)?;
        sync(folder)
    }
}

impl Debts for DebtFile {
    type Error = StoreError;

    async fn read(&self) -> Result<Debt, StoreError> {
        self.load()
    }

    async fn write(&self, debt: &Debt) -> Result<(), StoreError> {
        self.replace(debt).map_err(|source| StoreError::Write {
            path: self.path.clone(),
            source,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rollout::port::{Member, Weight};

    fn owed(server: &str, weight: u8) -> Owed {
        Owed {
            member: Member {
                balancer: "lb-1".into(),
                group: "rsp-1".into(),
                server: server.into(),
                port: 3131,
            },
            host: server.into(),
            weight: Weight::new(weight).unwrap(),
            run: "r1".into(),
        }
    }

    #[test]
    fn what_is_written_is_read_and_none_is_no_debt() {
        let folder = tempfile::tempdir().unwrap();
        let file = DebtFile::new(folder.path(), "production");
        assert!(file.load().unwrap().is_empty());
        let debt: Debt = [owed("i-1", 100), owed("i-2", 80)].into_iter().collect();
        file.replace(&debt).unwrap();
        assert_eq!(file.load().unwrap(), debt);
        file.replace(&Debt::default()).unwrap();
        assert!(file.load().unwrap().is_empty());
    }

    #[test]
    fn a_write_that_fails_leaves_what_was_there() {
        let folder = tempfile::tempdir().unwrap();
        let file = DebtFile::new(folder.path(), "production");
        let debt: Debt = [owed("i-1", 100)].into_iter().collect();
        file.replace(&debt).unwrap();
        // The new file cannot be made where a folder has its name.
        fs::create_dir(file.path.with_extension("new")).unwrap();
        assert!(file.replace(&Debt::default()).is_err());
        assert_eq!(file.load().unwrap(), debt);
    }

    #[track_caller]
    fn check(text: &str, expect: &str) {
        let folder = tempfile::tempdir().unwrap();
        let file = DebtFile::new(folder.path(), "production");
        fs::create_dir_all(file.path.parent().unwrap()).unwrap();
        fs::write(&file.path, text).unwrap();
        let error = file.load().unwrap_err().to_string();
        assert!(error.contains("production/debt.json"), "{error}");
        assert!(error.contains(expect), "{error}");
    }

    #[test]
    fn a_file_that_cannot_be_understood_is_not_taken_for_an_empty_one() {
        check("", "is damaged");
        check("{\"format\":1,\"owed\":[{}]}", "is damaged");
        check("{\"format\":2,\"what\":[]}", "by a newer dockmaster");
    }
}
