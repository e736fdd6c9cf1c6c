//! The job's own Docker socket: opened for each of the user's phases, swept at cleanup.

use std::{
    fs, io,
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
};

use super::{
    job::DockerJob,
    scope::{binds, folder, job_scope, record},
};
use crate::{
    config::DockerApi,
    docker::{name, spec::Mount},
    failure::Failure,
    gate::{self, Gate},
};

/// Where clients in the job's container look for Docker.
const SOCKET: &str = "/var/run/docker.sock";

impl DockerJob<'_> {
    /// Opens the job's gate, if its lane has one.
    pub(super) fn open_gate(&self, slot: &str) -> Result<Option<Gate>, Failure> {
        if self.lane.docker_api == DockerApi::None {
            return Ok(None);
        }
        let folder = self.gate_folder();
        let made = fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&folder);
        made.map_err(|error| {
            Failure::system(error).during(&format!("making {}", folder.display()))
        })?;
        let scope = job_scope(&self.context.config, self.lane, &self.context.job, slot);
        let gate = Gate::bind(socket(&folder), scope, self.engine.socket())?;
        Ok(Some(gate))
    }

    /// What the job's container needs in order to reach the gate. The socket is there before the
    /// container starts, and each start looks the path up again.
    pub(super) fn gate_mounts(&self) -> Option<Mount> {
        let source = socket(&self.gate_folder()).to_string_lossy().into_owned();
        (self.lane.docker_api == DockerApi::Gate).then(|| Mount::Socket {
            source,
            target: SOCKET.into(),
        })
    }

    /// Removes what the job made through its gate. Nothing made is fine.
    pub(super) async fn sweep_gate(&self) -> Result<(), Failure> {
        let folder = self.gate_folder();
        if !folder.exists() {
            return Ok(());
        }
        let label = (name::MADE, self.names.key());
        let swept = gate::sweep(self.engine.socket(), label, &record(&folder)).await?;
        gate::workspace::release(&binds(&folder))?;
        match fs::remove_dir_all(&folder) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                let what = format!("removing {}", folder.display());
                return Err(Failure::system(error).during(&what));
            }
            _ => {}
        }
        if swept.left.is_empty() {
            return Ok(());
        }
        let left = swept.left.join("; ");
        Err(Failure::system(format!("left behind: {left}")))
    }

    fn gate_folder(&self) -> PathBuf {
        folder(&self.context.config, &self.names)
    }
}

fn socket(folder: &Path) -> PathBuf {
    folder.join("docker.sock")
}
