//! A file in the run directory that stands for something which several processes use: they hold it together, and who
//! removes the thing holds it alone. The kernel gives it back when a holder dies, however it dies.

use std::{
    fs::{self, DirBuilder, File, OpenOptions, TryLockError},
    io,
    os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use super::lines::StoreError;

/// Held until it is dropped.
#[derive(Debug)]
pub(crate) struct InUse {
    path: PathBuf,
    file: File,
}

impl InUse {
    /// Holds it beside others who use the thing; waits while somebody removes it.
    pub(crate) fn share(path: &Path) -> Result<Self, StoreError> {
        let take = || loop {
            let held = Self::open(path)?;
            held.file.lock_shared()?;
            if held.is_there()? {
                return Ok(held);
            }
        };
        take().map_err(failed(path))
    }

    /// Holds it alone; nothing while somebody uses the thing.
    pub(crate) fn alone(path: &Path) -> Result<Option<Self>, StoreError> {
        let take = || loop {
            let held = Self::open(path)?;
            match held.file.try_lock() {
                Ok(()) if held.is_there()? => return Ok(Some(held)),
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => return Ok(None),
                Err(TryLockError::Error(error)) => return Err(error),
            }
        };
        take().map_err(failed(path))
    }

    /// All such files in a folder.
    pub(crate) fn all(folder: &Path) -> Result<Vec<PathBuf>, StoreError> {
        let entries = match fs::read_dir(folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries.map_err(failed(folder))?,
        };
        let paths = entries.map(|entry| Ok(entry.map_err(failed(folder))?.path()));
        paths.collect()
    }

    /// The thing is gone, and so is the file.
    pub(crate) fn remove(self) -> Result<(), StoreError> {
        fs::remove_file(&self.path).map_err(failed(&self.path))
    }

    fn open(path: &Path) -> io::Result<Self> {
        if let Some(folder) = path.parent() {
            let mut builder = DirBuilder::new();
            builder.recursive(true).mode(0o700).create(folder)?;
        }
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(false).mode(0o600);
        let file = options.open(path)?;
        let path = path.to_owned();
        Ok(Self { path, file })
    }

    /// Whoever held it before may have removed it meanwhile.
    fn is_there(&self) -> io::Result<bool> {
        match fs::metadata(&self.path) {
            Ok(now) => Ok(now.ino() == self.file.metadata()?.ino()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }
}

fn failed(path: &Path) -> impl FnOnce(io::Error) -> StoreError + use<> {
    let path = path.to_owned();
    move |source| StoreError::Write { path, source }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_removes_what_somebody_uses() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("builds/p42");
        let (one, other) = (InUse::share(&path).unwrap(), InUse::share(&path).unwrap());
        assert!(InUse::alone(&path).unwrap().is_none());
        drop(one);
        assert!(InUse::alone(&path).unwrap().is_none());
        drop(other);
        let alone = InUse::alone(&path).unwrap().unwrap();
        // Whoever comes meanwhile waits, and holds a file that is there.
        let waiting = std::thread::spawn({
            let path = path.clone();
            move || InUse::share(&path).unwrap()
        });
        alone.remove().unwrap();
        let _held = waiting.join().unwrap();
        assert!(InUse::alone(&path).unwrap().is_none());
    }
}
