//! A broker's temporary folder, named after its process: what a killed one leaves there (sockets of its
//! SSH connections) is found and removed.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use crate::{runner, sys::tree};

/// The folder of all brokers' temporary folders.
pub(super) fn folder(run_dir: &Path) -> PathBuf {
    run_dir.join("brokers")
}

/// This process's own temporary folder, for as long as this value lives.
pub(super) struct Temporary(PathBuf);

impl Temporary {
    /// Makes it, and all of this process's temporary files go there.
    pub(super) fn make(run_dir: &Path) -> io::Result<Self> {
        let path = folder(run_dir).join(runner::of_this_process());
        tree::make(&path, tree::PRIVATE)?;
        if tempfile::env::override_temp_dir(&path).is_err() {
            return Err(io::Error::other("temporary files go elsewhere already"));
        }
        Ok(Self(path))
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        if let Err(error) = tree::remove(&self.0) {
            tracing::warn!(%error, folder = %self.0.display(), "a temporary folder stays until gc");
        }
    }
}

/// Removes the folders of brokers that are gone; how many there were.
pub(crate) fn remove_orphans(run_dir: &Path) -> io::Result<usize> {
    let entries = match fs::read_dir(folder(run_dir)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
        entries => entries?,
    };
    let mut removed = 0;
    for entry in entries {
        let entry = entry?;
        if !runner::is_alive(&entry.file_name().to_string_lossy()) {
            tree::remove(&entry.path())?;
            removed += 1;
        }
    }
    Ok(removed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_of_brokers_that_are_gone_are_removed_and_those_of_live_ones_stay() {
        let run_dir = tempfile::tempdir().unwrap();
        assert_eq!(remove_orphans(run_dir.path()).unwrap(), 0);
        let live = folder(run_dir.path()).join(runner::of_this_process());
        let dead = folder(run_dir.path()).join("1-1");
        fs::create_dir_all(dead.join("dm-ssh")).unwrap();
        fs::create_dir_all(&live).unwrap();
        assert_eq!(remove_orphans(run_dir.path()).unwrap(), 1);
        assert!(live.exists() && !dead.exists());
    }
}
