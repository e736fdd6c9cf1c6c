//! A job's gate folder, below the run directory: its socket, its bind mounts.

use std::{
    fs, io,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
};

use super::{
    error::GateError,
    sweep::{Swept, sweep},
    workspace::release,
};
use crate::sys::tree;

/// The folder of one job's gate, whether or not it is there.
#[derive(Debug, Clone)]
pub(crate) struct GateFolder(PathBuf);

impl GateFolder {
    pub(crate) fn new(run_dir: &Path, key: &str) -> Self {
        Self(run_dir.join("gates").join(key))
    }

    /// Where clients connect.
    pub(crate) fn socket(&self) -> PathBuf {
        self.0.join("docker.sock")
    }

    /// Accounts that were made for the job.
    pub(crate) fn robots(&self) -> PathBuf {
        self.0.join("robots")
    }

    /// Whether there is one: it is there before anything is made, and goes last.
    pub(crate) fn is_there(&self) -> bool {
        self.0.exists()
    }

    /// Where paths of the workspace are mounted for the engine.
    pub(crate) fn binds(&self) -> PathBuf {
        self.0.join("binds")
    }

    /// Makes it, for a gate in front of this engine: whoever sweeps later must find the same one.
    pub(crate) fn make(&self, engine: &Path) -> Result<(), GateError> {
        let make = || {
            tree::make(&self.0, tree::PRIVATE)?;
            match symlink(engine, self.engine()) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
                made => made,
            }
        };
        make().map_err(|source| self.failed(source))
    }

    /// Removes what the job made through its gate, then the folder. The job's things carry `label`. What
    /// the engine would not give up is told, and the folder stays for the next try.
    pub(crate) async fn sweep(
        &self,
        state_dir: &Path,
        label: (&str, &str),
    ) -> Result<Swept, GateError> {
        let swept = match fs::read_link(self.engine()) {
            Ok(engine) => sweep(&engine, state_dir, label).await?,
            // Never made, or removed up to here by somebody who was killed.
            Err(error) if error.kind() == io::ErrorKind::NotFound => Swept::default(),
            Err(source) => return Err(self.failed(source)),
        };
        release(&self.binds())?;
        if !swept.left.is_empty() {
            return Ok(swept);
        }
        match fs::remove_dir_all(&self.0) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => Err(self.failed(source)),
            Err(_) | Ok(()) => Ok(swept),
        }
    }

    /// A link to the socket of the engine behind the gate.
    fn engine(&self) -> PathBuf {
        self.0.join("engine")
    }

    fn failed(&self, source: io::Error) -> GateError {
        let path = self.0.clone();
        GateError::Folder { path, source }
    }
}
