//! The ledger: which digest each project pushed for which commit, in the order it happened.
//!
//! One file per project, one JSON line per digest, only ever appended to and flushed to the disk
//! before the push is told to be done. Deploys read their digests here and nowhere else.
//! Knows no gate and no registry.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::lines::{Lines, StoreError};

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
    pub digest: String,
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

    /// The newest push of a commit's image, of the own pipeline if it made one. What an
    /// unprotected ref pushed does not count, for anybody may have had it built.
    pub fn lookup(&self, wanted: Wanted<'_>) -> Result<Option<Record>, StoreError> {
        let records: Vec<Record> = self.file(wanted.project).read()?;
        Ok(records
            .into_iter()
            .filter(|record| {
                record.is_protected
                    && record.commit == wanted.commit
                    && record.image == wanted.image
            })
            // Of equals, the last one wins: the ledger's order is time's.
            .max_by_key(|record| record.pipeline == wanted.pipeline))
    }

    fn file(&self, project: i64) -> Lines {
        Lines {
            path: self.dir.join(format!("{project}.jsonl")),
            mode: 0o644,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(pipeline: i64, digest: &str, is_protected: bool) -> Record {
        Record {
            project: 42,
            commit: "a".into(),
            reference: "v1".into(),
            is_protected,
            pipeline,
            job: 1,
            image: "h/app".into(),
            tag: "v1".into(),
            digest: digest.into(),
            at: jiff::Timestamp::UNIX_EPOCH,
        }
    }

    const WANTED: Wanted<'static> = Wanted {
        project: 42,
        commit: "a",
        image: "h/app",
        pipeline: 77,
    };

    #[track_caller]
    fn check(records: &[Record], expected: Option<&str>) {
        let folder = tempfile::tempdir().unwrap();
        let ledger = Ledger::new(folder.path());
        for record in records {
            ledger.append(record).unwrap();
        }
        let found = ledger.lookup(WANTED).unwrap();
        assert_eq!(found.map(|record| record.digest).as_deref(), expected);
    }

    #[test]
    fn the_newest_push_of_the_own_pipeline_is_the_release() {
        check(&[], None);
        check(&[record(76, "a", true)], Some("a"));
        check(&[record(77, "a", true), record(77, "b", true)], Some("b"));
        check(&[record(77, "a", true), record(78, "b", true)], Some("a"));
        check(&[record(75, "a", true), record(76, "b", true)], Some("b"));
    }

    #[test]
    fn what_an_unprotected_ref_pushed_is_not_deployed() {
        check(&[record(77, "a", false)], None);
        check(&[record(77, "a", true), record(77, "b", false)], Some("a"));
    }

    #[test]
    fn another_commit_s_image_is_not_deployed() {
        let mut other = record(77, "a", true);
        other.commit = "b".into();
        let mut image = record(77, "a", true);
        image.image = "h/other".into();
        let mut project = record(77, "a", true);
        project.project = 43;
        check(&[other, image, project], None);
    }

    #[test]
    fn a_line_reads_as_documented() {
        let folder = tempfile::tempdir().unwrap();
        Ledger::new(folder.path())
            .append(&record(77, "sha256:1", true))
            .unwrap();
        let text = std::fs::read_to_string(folder.path().join("ledger/42.jsonl")).unwrap();
        assert_eq!(
            text,
            "{\"format\":1,\"project\":42,\"commit\":\"a\",\"ref\":\"v1\",\"protected\":true,\
             \"pipeline\":77,\"job\":1,\"image\":\"h/app\",\"tag\":\"v1\",\
             \"digest\":\"sha256:1\",\"at\":\"1970-01-01T00:00:00Z\"}\n"
        );
    }

    #[test]
    fn a_ledger_of_the_first_release_is_read() {
        let state = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/store/format-1");
        let commits = ["a", "b"].map(|letter| letter.repeat(40));
        let found = commits.map(|commit| {
            let wanted = Wanted {
                commit: &commit,
                image: "harbor.example.com/test/app",
                ..WANTED
            };
            let found = Ledger::new(&state).lookup(wanted).unwrap();
            found.map(|record| record.digest)
        });
        assert_eq!(found, [Some("sha256:v1".into()), None]);
    }
}
