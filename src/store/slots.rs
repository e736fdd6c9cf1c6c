//! When each slot was last used: an empty file a slot, whose time of change says it.

use std::{
    fs, io,
    path::{Path, PathBuf},
    time::SystemTime,
};

use super::lines::StoreError;
use crate::sys::tree;

/// The last uses of this host's slots.
#[derive(Debug, Clone)]
pub(crate) struct Slots {
    folder: PathBuf,
}

impl Slots {
    pub(crate) fn new(state_dir: &Path) -> Self {
        let folder = state_dir.join("slots");
        Self { folder }
    }

    /// The slot is used now.
    pub(crate) fn touch(&self, slot: &str) -> Result<(), StoreError> {
        let path = self.folder.join(slot);
        let touch = || {
            tree::make(&self.folder, tree::PRIVATE)?;
            let file = fs::OpenOptions::new()
                .create(true)
                .append(true)
                .open(&path)?;
            file.set_modified(SystemTime::now())
        };
        touch().map_err(|source: io::Error| StoreError::Write { path, source })
    }

    /// When the slot was last used; now, if that was never noted.
    pub(crate) fn last_use(&self, slot: &str) -> Result<SystemTime, StoreError> {
        let path = self.folder.join(slot);
        match fs::metadata(&path).and_then(|found| found.modified()) {
            Ok(time) => Ok(time),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                self.touch(slot)?;
                Ok(SystemTime::now())
            }
            Err(source) => Err(StoreError::Read { path, source }),
        }
    }

    /// The slot is gone.
    pub(crate) fn forget(&self, slot: &str) -> Result<(), StoreError> {
        let path = self.folder.join(slot);
        match fs::remove_file(&path) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => {
                Err(StoreError::Write { path, source })
            }
            Err(_) | Ok(()) => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slot_that_was_never_noted_counts_from_the_first_look_on() {
        let state_dir = tempfile::tempdir().unwrap();
        let slots = Slots::new(state_dir.path());
        let first = slots.last_use("p1-x-s0").unwrap();
        assert!(slots.last_use("p1-x-s0").unwrap() <= SystemTime::now());
        let file = fs::File::open(state_dir.path().join("slots/p1-x-s0")).unwrap();
        file.set_modified(SystemTime::UNIX_EPOCH).unwrap();
        assert_eq!(slots.last_use("p1-x-s0").unwrap(), SystemTime::UNIX_EPOCH);
        slots.touch("p1-x-s0").unwrap();
        assert!(slots.last_use("p1-x-s0").unwrap() > SystemTime::UNIX_EPOCH);
        slots.forget("p1-x-s0").unwrap();
        slots.forget("p1-x-s0").unwrap();
        assert!(first > SystemTime::UNIX_EPOCH);
    }
}
