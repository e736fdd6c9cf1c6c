//! The ledger: which digest each project pushed for which commit, in the order it happened.
//!
//! One file per project, one JSON line per digest, only ever appended to, flushed to the disk before
//! the push is told to be done, and chained: what was edited, removed or moved is found.
//! Deploys read their digests here and nowhere else. Knows no gate and no registry.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use super::{
    chain::Chain,
    flaw::Flaw,
    lines::{Lines, StoreError},
};

/// One pushed digest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
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
    /// What the tag names in the registry: a manifest, or an index of several.
    pub digest: String,
    /// Where that is an index: the manifest of the platform it was built for, if it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub manifest: Option<String>,
    /// What a scan found before the push was recorded, if one was waited for: `2 Critical, 5 High`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scan: Option<String>,
    pub at: jiff::Timestamp,
}

/// The push that a deploy looks for.
#[derive(Debug, Clone, Copy)]
pub struct Wanted<'a> {
    pub project: i64,
    pub commit: &'a str,
    pub image: &'a str,
    /// The deploy's own pipeline: its push is preferred.
    pub pipeline: i64,
    /// Its tag or branch, whose pushes come next: another one at this commit may build another image.
    pub reference: &'a str,
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
    pub fn append(&self, record: &Record) -> Result<(), StoreError> {
        self.file(record.project).append(record)
    }

    /// What was pushed of a commit's image, in the order of time: by the own pipeline if it pushed any,
    /// else by the newest of the own ref, else by the newest. What an unprotected ref pushed does not count, for anybody may have had it
    /// built.
    pub fn pushed(&self, wanted: Wanted<'_>) -> Result<Vec<Record>, StoreError> {
        let mut records: Vec<Record> = self.file(wanted.project).read()?;
        records.retain(|record| {
            record.is_protected && record.commit == wanted.commit && record.image == wanted.image
        });
        let newest = |is_meant: &dyn Fn(&Record) -> bool| {
            let found = records.iter().rfind(|record| is_meant(record));
            found.map(|record| record.pipeline)
        };
        let pipeline = newest(&|record| record.pipeline == wanted.pipeline)
            .or_else(|| newest(&|record| record.reference == wanted.reference))
            .or_else(|| newest(&|_| true));
        records.retain(|record| Some(record.pipeline) == pipeline);
        Ok(records)
    }

    /// Every record of every project, or of one, in the order of time.
    pub fn all(&self, project: Option<i64>) -> Result<Vec<Record>, StoreError> {
        let mut records: Vec<Record> = Vec::new();
        for project in self.projects(project)? {
            records.extend(self.file(project).read::<Record>()?);
        }
        records.sort_by_key(|record| record.at);
        Ok(records)
    }

    /// Looks for what is not as it was written.
    pub fn verify(&self, project: Option<i64>) -> Result<Vec<Verified>, StoreError> {
        let projects = self.projects(project)?;
        let verified = projects.into_iter().map(|project| {
            let file = self.file(project);
            let (lines, flaws) = file.verify()?;
            Ok(Verified {
                path: file.path().to_owned(),
                lines,
                flaws,
            })
        });
        verified.collect()
    }

    /// The projects that have a file, or that one.
    fn projects(&self, one: Option<i64>) -> Result<Vec<i64>, StoreError> {
        if let Some(project) = one {
            return Ok(vec![project]);
        }
        let unreadable = |source| StoreError::Read {
            path: self.dir.clone(),
            source,
        };
        let entries = match fs::read_dir(&self.dir) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries.map_err(unreadable)?,
        };
        let mut projects = Vec::new();
        for entry in entries {
            let path = entry.map_err(unreadable)?.path();
            // An end without its lines is a file that somebody removed.
            let is_ours = path
                .extension()
                .is_some_and(|end| end == "jsonl" || end == "end");
            let name = path.file_stem().and_then(|name| name.to_str());
            let project = name.and_then(|name| name.parse::<i64>().ok());
            projects.extend(project.filter(|_| is_ours));
        }
        projects.sort_unstable();
        projects.dedup();
        Ok(projects)
    }

    fn file(&self, project: i64) -> Chain {
        Chain::new(Lines {
            path: self.dir.join(format!("{project}.jsonl")),
            mode: 0o644,
        })
    }
}

/// One file of the ledger, looked through.
#[derive(Debug)]
pub struct Verified {
    pub path: PathBuf,
    pub lines: usize,
    pub flaws: Vec<Flaw>,
}

#[cfg(test)]
mod tests;
