//! The job's own Docker socket: opened for each of the user's phases, swept at cleanup.

use super::{
    accounts,
    builds::Builds,
    job::DockerJob,
    scope::{job_scope, layers},
};
use crate::{
    config::{Config, DockerApi, DockerLane},
    docker::{
        engine::Object,
        name,
        volume::{Mount, Slot},
    },
    failure::Failure,
    gate::{Gate, GateFolder, Layers, Trimmed, Workspace},
    store::host_secret,
};

/// Where clients in the job's container look for Docker.
const SOCKET: &str = "/var/run/docker.sock";

impl DockerJob<'_> {
    /// Opens the job's gate, if its lane has one, with the group of its builds.
    pub(super) async fn open_gate(
        &self,
        helper: &Object,
    ) -> Result<Option<(Gate, Option<Builds>)>, Failure> {
        if self.lane.docker_api == DockerApi::None {
            return Ok(None);
        }
        let folder = self.gate_folder();
        folder.make(self.engine.socket())?;
        let slot = helper.label(name::SLOT);
        let mut scope = job_scope(&self.context.config, self.lane, &self.context.job, slot)?;
        let slot = Slot::new(self.lane, slot, &self.context.call.job_environ)?;
        let kept = slot.kept().map(|(volume, path)| Workspace {
            path: path.to_owned(),
            volume: volume.to_owned(),
        });
        scope.workspaces.extend(kept);
        let group = helper.label(name::GROUP);
        scope.cgroup_parent = (!group.is_empty()).then(|| group.to_owned());
        let builds = self.hold_builds(helper).await?;
        scope.build_group = builds.as_ref().map(|builds| builds.place.clone());
        let gate = Gate::bind(folder.socket(), scope, self.engine.socket())?;
        Ok(Some((gate, builds)))
    }

    /// What the job's container needs in order to reach the gate. The socket is there before the
    /// container starts, and each start looks the path up again.
    pub(super) fn gate_mounts(&self) -> Option<Mount> {
        let source = self.gate_folder().socket().to_string_lossy().into_owned();
        (self.lane.docker_api == DockerApi::Gate).then(|| Mount::Socket {
            source,
            target: SOCKET.into(),
        })
    }

    /// Removes what the job made through its gate. Nothing made is fine.
    pub(super) async fn sweep_gate(&self) -> Result<(), Failure> {
        let label = (name::MADE, self.names.key());
        let (config, job) = (&self.context.config, &self.context.job);
        // First, because the folder says which there are; what fails here is for `gc`.
        let deleted = accounts::delete(config, job).await;
        let swept = self.gate_folder().sweep(&config.state_dir, label).await?;
        deleted?;
        if swept.left.is_empty() {
            return Ok(());
        }
        let left = swept.left.join("; ");
        Err(Failure::system(format!("left behind: {left}")))
    }

    /// Gives up layers of builds beyond what the lane keeps.
    pub(super) async fn trim_layers(&self) -> Result<(), Failure> {
        if self.lane.docker_api == DockerApi::None {
            return Ok(());
        }
        trim_layers(&self.context.config, self.lane).await?;
        Ok(())
    }

    fn gate_folder(&self) -> GateFolder {
        GateFolder::new(&self.context.config.run_dir, self.names.key())
    }
}

/// Gives up kept layers of an engine beyond the lane's budget, the least used first.
pub(crate) async fn trim_layers(config: &Config, lane: &DockerLane) -> Result<Trimmed, Failure> {
    let host = host_secret(&config.state_dir)?;
    let layers = Layers::new(lane.engine(), layers(config, lane), host);
    Ok(layers.trim(lane.build_cache.value()).await?)
}
