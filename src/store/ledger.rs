//! The ledger: which digest each project pushed for which commit, in the order it happened.
//!
//! One file per project, one JSON line per digest, only ever appended to and flushed to the disk
//! before the push is told to be done. Deploys read their digests here and nowhere else.
//! Knows no gate and no registry.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::failure::Class;

/// One pushed digest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Record {
    pub project: i64,
    /// The commit that GitLab named.
    pub commit: String,
    #[serde(rename = "ref")]
    pub reference: String,
    #[serde(rename = "protected")]
    pub is_protected: bool,
    pub pipeline: i64,
    pub job: i64,
    /// The repository with its registry, without tag.
    pub image: String,
    pub tag: String,
    pub digest: String,
    pub at: jiff::Timestamp,
}

/// Why the ledger cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    #[error("the ledger {path} cannot be opened")]
    Open {
        path: PathBuf,
        source: std::io::Error,
    },
    #[error("the ledger {path} cannot be written")]
    Write {
        path: PathBuf,
        source: std::io::Error,
    },
    #[error("the ledger {path} cannot be read")]
    Read {
        path: PathBuf,
        source: std::io::Error,
    },
    #[error("line {line} of the ledger {path} is damaged")]
    Damaged {
        path: PathBuf,
        line: usize,
        source: serde_json::Error,
    },
}

impl LedgerError {
    /// Always the operator's: a job cannot write here.
    pub fn class(&self) -> Class {
        match self {
            Self::Open { .. } | Self::Write { .. } | Self::Read { .. } | Self::Damaged { .. } => {
                Class::System
            }
        }
    }
}

/// The ledger of every project.
#[derive(Debug, Clone)]
pub struct Ledger {
    dir: PathBuf,
}

impl Ledger {
    /// The ledger below a state directory; made when first written.
    pub fn new(state_dir: &Path) -> Self {
        Self {
            dir: state_dir.join("ledger"),
        }
    }

    /// Writes a record and waits until it is on the disk. Two writers do not mix their lines.
    pub fn append(&self, record: &Record) -> Result<(), LedgerError> {
        let path = self.path(record.project);
        let opened = self.make_dir().and_then(|()| Self::open(&path));
        let (mut file, is_new) = opened.map_err(|source| LedgerError::Open {
            path: path.clone(),
            source,
        })?;
        let written = write(&mut file, record).and_then(|()| {
            // A new name is on the disk only when its folder is.
            if is_new {
                File::open(&self.dir)?.sync_all()
            } else {
                Ok(())
            }
        });
        written.map_err(|source| LedgerError::Write { path, source })
    }

    /// The newest record of a project, commit and image, if there is one.
    pub fn lookup(
        &self,
        project: i64,
        commit: &str,
        image: &str,
    ) -> Result<Option<Record>, LedgerError> {
        let all = self.read(project)?;
        Ok(all
            .into_iter()
            .rev()
            .find(|record| record.commit == commit && record.image == image))
    }

    /// Every record of a project, oldest first.
    pub fn read(&self, project: i64) -> Result<Vec<Record>, LedgerError> {
        let path = self.path(project);
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            Err(source) => return Err(LedgerError::Read { path, source }),
        };
        let lines = text.split_inclusive('\n').enumerate();
        // A write cut short by a crash was never told to anybody: its push did not succeed.
        lines
            .filter(|(_, line)| line.ends_with('\n') && *line != "\n")
            .map(|(index, line)| {
                serde_json::from_str(line).map_err(|source| LedgerError::Damaged {
                    path: path.clone(),
                    line: index + 1,
                    source,
                })
            })
            .collect()
    }

    fn path(&self, project: i64) -> PathBuf {
        self.dir.join(format!("{project}.jsonl"))
    }

    fn make_dir(&self) -> std::io::Result<()> {
        DirBuilder::new()
            .recursive(true)
            .mode(0o755)
            .create(&self.dir)
    }

    fn open(path: &Path) -> std::io::Result<(File, bool)> {
        let is_new = !path.exists();
        let file = OpenOptions::new()
            .read(true)
            .append(true)
            .create(true)
            .mode(0o644)
            .open(path)?;
        Ok((file, is_new))
    }
}

/// One write, so that the line is whole; after a line that a crash cut short, on a line of its own.
fn write(file: &mut File, record: &Record) -> std::io::Result<()> {
    file.lock()?;
    let end = file.metadata()?.len();
    let mut last = [b'\n'];
    if end > 0 {
        file.read_exact_at(&mut last, end - 1)?;
    }
    if last != [b'\n'] {
        cut(file, end)?;
    }
    let mut line = serde_json::to_vec(record)?;
    line.push(b'\n');
    file.write_all(&line)?;
    file.sync_all()
}

/// Cuts off what a crash left of a line.
fn cut(file: &mut File, end: u64) -> std::io::Result<()> {
    let mut text = Vec::new();
    file.take(end).read_to_end(&mut text)?;
    let whole = text
        .iter()
        .rposition(|byte| *byte == b'\n')
        .map_or(0, |last| last + 1);
    file.set_len(u64::try_from(whole).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(commit: &str, digest: &str) -> Record {
        Record {
            project: 42,
            commit: commit.to_owned(),
            reference: "v1.0.0".to_owned(),
            is_protected: true,
            pipeline: 77,
            job: 1001,
            image: "harbor.example.com/test/app".to_owned(),
            tag: "v1.0.0".to_owned(),
            digest: digest.to_owned(),
            at: "2026-11-22T20:00:00Z".parse().unwrap(),
        }
    }

    #[test]
    fn the_newest_record_of_a_commit_and_image_is_found() {
        let folder = tempfile::tempdir().unwrap();
        let ledger = Ledger::new(folder.path());
        assert_eq!(
            ledger
                .lookup(42, "a", "harbor.example.com/test/app")
                .unwrap(),
            None
        );
        for (commit, digest) in [("a", "sha256:1"), ("b", "sha256:2"), ("a", "sha256:3")] {
            ledger.append(&record(commit, digest)).unwrap();
        }
        let found = ledger
            .lookup(42, "a", "harbor.example.com/test/app")
            .unwrap()
            .unwrap();
        assert_eq!(found.digest, "sha256:3");
        assert_eq!(
            ledger
                .lookup(43, "a", "harbor.example.com/test/app")
                .unwrap(),
            None
        );
        assert_eq!(
            ledger
                .lookup(42, "a", "harbor.example.com/test/other")
                .unwrap(),
            None
        );
    }

    #[test]
    fn a_record_is_one_json_line() {
        let folder = tempfile::tempdir().unwrap();
        Ledger::new(folder.path())
            .append(&record("a", "sha256:1"))
            .unwrap();
        let text = std::fs::read_to_string(folder.path().join("ledger/42.jsonl")).unwrap();
        assert_eq!(
            text,
            "{\"project\":42,\"commit\":\"a\",\"ref\":\"v1.0.0\",\"protected\":true,\"pipeline\":77,\
             \"job\":1001,\"image\":\"harbor.example.com/test/app\",\"tag\":\"v1.0.0\",\
             \"digest\":\"sha256:1\",\"at\":\"2026-11-22T20:00:00Z\"}\n"
        );
    }

    #[test]
    fn a_line_cut_short_is_forgotten_and_a_damaged_one_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let ledger = Ledger::new(folder.path());
        let path = folder.path().join("ledger/42.jsonl");
        ledger.append(&record("a", "sha256:1")).unwrap();
        let whole = std::fs::read_to_string(&path).unwrap();
        std::fs::write(&path, format!("{whole}{{\"project\":42,\"com")).unwrap();
        assert_eq!(ledger.read(42).unwrap().len(), 1);
        ledger.append(&record("b", "sha256:2")).unwrap();
        assert_eq!(ledger.read(42).unwrap().len(), 2);
        std::fs::write(&path, format!("damaged\n{whole}")).unwrap();
        assert!(matches!(
            ledger.read(42),
            Err(LedgerError::Damaged { line: 1, .. })
        ));
    }
}
