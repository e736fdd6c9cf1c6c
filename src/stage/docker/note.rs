//! A note that things are being made for a job. A driver that was killed meanwhile leaves it behind,
//! and then the engine may still be making what it was asked for.

use std::{
    fs, io,
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
};

use super::{super::context::Context, Scene};
use crate::failure::Failure;

/// The note of one job.
pub(super) struct Note(PathBuf);

impl Note {
    /// Leaves the note.
    pub(super) fn leave(context: &Context<'_>, scene: &Scene) -> Result<Self, Failure> {
        let Self(path) = Self::of(context, scene);
        let folder = path.parent().unwrap_or(Path::new("/"));
        let made = fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(folder);
        let written = made.and_then(|()| fs::write(&path, ""));
        written.map_err(|error| {
            Failure::system(error).during(&format!("making {}", path.display()))
        })?;
        Ok(Self(path))
    }

    /// The note of the job, whether or not it is there.
    pub(super) fn of(context: &Context<'_>, scene: &Scene) -> Self {
        let folder = context.config.run_dir.join("making");
        Self(folder.join(scene.names.key()))
    }

    pub(super) fn is_there(&self) -> bool {
        self.0.exists()
    }

    /// Takes the note away: all that was asked for is made.
    pub(super) fn remove(self) -> Result<(), Failure> {
        match fs::remove_file(&self.0) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                let what = format!("removing {}", self.0.display());
                Err(Failure::system(error).during(&what))
            }
            _ => Ok(()),
        }
    }
}
