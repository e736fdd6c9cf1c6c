//! The job's own Docker socket: opened for each of the user's phases, swept at cleanup.

use std::{
    fs, io,
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
};

use super::{
    super::context::Context,
    Scene,
    scope::{binds, folder, job_scope, record},
};
use crate::{
    config::{DockerApi, DockerLane},
    docker::{name, spec::Mount},
    failure::Failure,
    gate::{self, Gate},
};

/// Where clients in the job's container look for Docker.
const SOCKET: &str = "/var/run/docker.sock";

/// Opens the job's gate, if its lane has one.
pub(super) fn open(
    context: &Context<'_>,
    lane: &DockerLane,
    scene: &Scene,
    slot: &str,
) -> Result<Option<Gate>, Failure> {
    if lane.docker_api == DockerApi::None {
        return Ok(None);
    }
    let folder = folder(&context.config, &scene.names);
    let made = fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(&folder);
    made.map_err(|error| Failure::system(error).during(&format!("making {}", folder.display())))?;
    let scope = job_scope(&context.config, lane, &context.job, slot);
    Ok(Some(Gate::bind(
        socket(&folder),
        scope,
        scene.engine.socket(),
    )?))
}

/// What the job's container needs in order to reach the gate. Its socket is there before the container
/// starts, and a start looks the path up anew.
pub(super) fn mounts(context: &Context<'_>, lane: &DockerLane, scene: &Scene) -> Vec<Mount> {
    match lane.docker_api {
        DockerApi::None => Vec::new(),
        DockerApi::Gate => {
            let source = socket(&folder(&context.config, &scene.names))
                .to_string_lossy()
                .into_owned();
            vec![Mount::Socket {
                source,
                target: SOCKET.into(),
            }]
        }
    }
}

/// Removes what the job made through its gate. Nothing made is fine.
pub(super) async fn sweep(context: &Context<'_>, scene: &Scene) -> Result<(), Failure> {
    let folder = folder(&context.config, &scene.names);
    if !folder.exists() {
        return Ok(());
    }
    let label = (name::MADE, scene.names.key());
    let swept = gate::sweep(scene.engine.socket(), label, &record(&folder)).await?;
    gate::workspace::release(&binds(&folder))?;
    match fs::remove_dir_all(&folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            return Err(Failure::system(error).during(&format!("removing {}", folder.display())));
        }
        _ => {}
    }
    if swept.left.is_empty() {
        Ok(())
    } else {
        Err(Failure::system(format!(
            "left behind: {}",
            swept.left.join("; ")
        )))
    }
}

fn socket(folder: &Path) -> PathBuf {
    folder.join("docker.sock")
}
