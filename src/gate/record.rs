//! Which image names a job made or pulled, remembered across the gates of its phases.
//!
//! An image's own label tells who built it, but a name carries none; so names are written down,
//! one JSON line each, before the daemon is asked to make them. Knows no daemon.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};

use crate::store::{Lines, StoreError};

/// A name that the job gave, and what it named before.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Entry {
    /// In full: `docker.io/library/app:latest`.
    pub name: String,
    pub kind: Kind,
    /// The id that the name meant before the job moved it.
    pub before: Option<String>,
    /// The id of the image that the job gave the name to, where it was there already.
    pub given: Option<String>,
}

/// How the job came by the name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Kind {
    /// By building or tagging.
    Made,
    /// By pulling.
    Pulled,
}

/// The names of one job.
#[derive(Debug)]
pub(crate) struct Record {
    file: Lines,
    entries: Mutex<BTreeMap<String, Entry>>,
}

impl Record {
    /// Reads what earlier phases wrote; an absent file is an empty record.
    pub(crate) fn open(path: &Path) -> Result<Self, StoreError> {
        let entries = read(path)?
            .into_iter()
            .map(|entry| (entry.name.clone(), entry))
            .collect();
        Ok(Self {
            file: file(path),
            entries: Mutex::new(entries),
        })
    }

    /// Writes a name down. What it meant before the job stays what the first entry says; a name
    /// that the job once made stays made.
    pub(crate) fn add(&self, mut entry: Entry) -> Result<(), StoreError> {
        let mut entries = self.lock();
        if let Some(known) = entries.get(&entry.name) {
            entry.before.clone_from(&known.before);
            if known.kind == Kind::Made {
                entry.kind = Kind::Made;
            }
            if *known == entry {
                return Ok(());
            }
        }
        self.file.append(&entry)?;
        entries.insert(entry.name.clone(), entry);
        Ok(())
    }

    /// The id that the job gave this name to by tagging.
    pub(crate) fn given(&self, name: &str) -> Option<String> {
        self.lock().get(name).and_then(|entry| entry.given.clone())
    }

    pub(crate) fn kind(&self, name: &str) -> Option<Kind> {
        self.lock().get(name).map(|entry| entry.kind)
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Entry>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Every entry of a record, in the order written; later ones replace earlier ones of that name.
/// A line cut short by a crash names nothing that was made: the daemon was not asked yet.
pub(crate) fn read(path: &Path) -> Result<Vec<Entry>, StoreError> {
    file(path).read()
}

fn file(path: &Path) -> Lines {
    let path = path.to_owned();
    Lines { path, mode: 0o600 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_later_phase_knows_what_an_earlier_one_made() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("names");
        let entry = |name: &str, kind| Entry {
            name: name.to_owned(),
            kind,
            before: None,
            given: None,
        };
        let record = Record::open(&path).unwrap();
        record.add(entry("a", Kind::Pulled)).unwrap();
        record.add(entry("a", Kind::Made)).unwrap();
        record.add(entry("a", Kind::Pulled)).unwrap();
        record.add(entry("b", Kind::Pulled)).unwrap();
        let record = Record::open(&path).unwrap();
        assert_eq!(record.kind("a"), Some(Kind::Made));
        assert_eq!(record.kind("b"), Some(Kind::Pulled));
        assert_eq!(record.kind("c"), None);
        assert_eq!(read(&path).unwrap().len(), 3);
    }

    #[test]
    fn a_record_of_the_first_release_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("names");
        let line = "{\"name\":\"a\",\"kind\":\"made\",\"before\":null,\"given\":\"sha256:1\"}\n";
        std::fs::write(&path, line).unwrap();
        let record = Record::open(&path).unwrap();
        assert_eq!(record.kind("a"), Some(Kind::Made));
        assert_eq!(record.given("a").as_deref(), Some("sha256:1"));
    }
}
