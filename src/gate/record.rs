//! Which image names a job made or pulled, remembered across the gates of its phases.
//!
//! An image's own label tells who built it, but a name carries none; so names are written down,
//! one JSON line each, before the daemon is asked to make them. Knows no daemon.

use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};

/// A name that the job gave, and what it named before.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
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
pub enum Kind {
    /// By building or tagging.
    Made,
    /// By pulling.
    Pulled,
}

/// The names of one job.
#[derive(Debug)]
pub struct Record {
    path: PathBuf,
    entries: Mutex<BTreeMap<String, Entry>>,
}

impl Record {
    /// Reads what earlier phases wrote; an absent file is an empty record.
    pub fn open(path: &Path) -> std::io::Result<Self> {
        let entries = read(path)?
            .into_iter()
            .map(|entry| (entry.name.clone(), entry))
            .collect();
        Ok(Self {
            path: path.to_owned(),
            entries: Mutex::new(entries),
        })
    }

    /// Writes a name down. What it meant before the job stays what the first entry says; a name
    /// that the job once made stays made.
    pub fn add(&self, mut entry: Entry) -> std::io::Result<()> {
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
        let mut line = serde_json::to_string(&entry)?;
        line.push('\n');
        let mut file = OpenOptions::new()
            .append(true)
            .create(true)
            .open(&self.path)?;
        file.write_all(line.as_bytes())?;
        entries.insert(entry.name.clone(), entry);
        Ok(())
    }

    /// The id that the job gave this name to by tagging.
    pub fn given(&self, name: &str) -> Option<String> {
        self.lock().get(name).and_then(|entry| entry.given.clone())
    }

    pub fn kind(&self, name: &str) -> Option<Kind> {
        self.lock().get(name).map(|entry| entry.kind)
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Entry>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Every entry of a record, in the order written; later ones replace earlier ones of that name.
pub fn read(path: &Path) -> std::io::Result<Vec<Entry>> {
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    // A line cut short by a crash names nothing that was made: the daemon was not asked yet.
    Ok(text
        .lines()
        .filter_map(|line| serde_json::from_str(line).ok())
        .collect())
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
}
