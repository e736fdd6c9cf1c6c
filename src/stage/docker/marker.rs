//! A file that says: objects are being created for this job. A driver that is killed meanwhile
//! leaves it behind, and the engine may still be creating what it was asked for.

use std::{
    fs, io,
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
};

use super::job::DockerJob;
use crate::failure::Failure;

pub(crate) struct Marker(PathBuf);

impl DockerJob<'_> {
    /// The job's marker, whether or not it is set.
    pub(super) fn marker(&self) -> Marker {
        Marker::of(&self.context.config.run_dir, self.names.key())
    }
}

impl Marker {
    /// The marker of a job.
    pub(crate) fn of(run_dir: &Path, key: &str) -> Self {
        Self(run_dir.join("making").join(key))
    }

    pub(super) fn set(&self) -> Result<(), Failure> {
        let path = &self.0;
        let folder = path.parent().unwrap_or(Path::new("/"));
        let made = fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(folder);
        let written = made.and_then(|()| fs::write(path, ""));
        written
            .map_err(|error| Failure::system(error).during(&format!("making {}", path.display())))
    }

    pub(super) fn is_set(&self) -> bool {
        self.0.exists()
    }

    /// Everything that was asked for exists.
    pub(crate) fn remove(&self) -> Result<(), Failure> {
        match fs::remove_file(&self.0) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                let what = format!("removing {}", self.0.display());
                Err(Failure::system(error).during(&what))
            }
            _ => Ok(()),
        }
    }
}
