//! The job's own Docker socket: opened for each of the user's phases, swept at cleanup.

use std::{
    collections::BTreeMap,
    fs, io,
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{super::context::Context, Scene};
use crate::{
    config::{DockerApi, DockerLane, Registry},
    docker::{
        name::{self, Names},
        reference::Reference,
        spec::Mount,
    },
    failure::Failure,
    gate::{self, Gate, Pushed, Scope, Workspace},
    job::Job,
    runner,
    store::ledger::{Ledger, Record},
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
    let folder = folder(context, &scene.names);
    let made = fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(&folder);
    made.map_err(|error| Failure::system(error).during(&format!("making {}", folder.display())))?;
    let scope = scope(context, lane, scene, slot);
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
            let source = socket(&folder(context, &scene.names))
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
    let folder = folder(context, &scene.names);
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

fn scope(context: &Context<'_>, lane: &DockerLane, scene: &Scene, slot: &str) -> Scope {
    let names = &scene.names;
    let folder = folder(context, names);
    let workspace = |path: &Path, what| Workspace {
        path: path.to_string_lossy().into_owned(),
        volume: Names::volume(slot, what),
    };
    let globs = lane.images.clone();
    let host = context.config.registry.as_ref().map(registry_prefix);
    Scope {
        label: (name::MADE.into(), names.key().into()),
        // So that `gc` finds it too, and nobody takes it for a container of the lane.
        labels: BTreeMap::from([
            (name::JOB.into(), names.key().into()),
            (name::RUNNER.into(), runner::of_caller()),
            (name::ROLE.into(), String::new()),
        ]),
        network: names.network(),
        cgroup_parent: None,
        workspaces: vec![
            workspace(&lane.builds_dir, "builds"),
            workspace(&lane.cache_dir, "cache"),
        ],
        binds_dir: binds(&folder),
        record: record(&folder),
        images: Arc::new(move |text| {
            Reference::parse(text).is_ok_and(|reference| reference.is_allowed(&globs))
        }),
        // A tag that is built again, in the registry that this company ships from. Any other name
        // that was here before is somebody else's base image.
        may_move: Arc::new(move |text| {
            host.as_deref()
                .is_some_and(|prefix| text.starts_with(prefix))
        }),
        on_push: ledger(context),
    }
}

/// Writes each pushed digest down, for the deploy of this very commit.
fn ledger(context: &Context<'_>) -> gate::PushSink {
    let ledger = Ledger::new(&context.config.state_dir);
    let job = context.job.clone();
    Arc::new(move |pushed| {
        ledger
            .append(&entry(&job, pushed))
            .map_err(|error| Failure::system(error).to_string())
    })
}

fn entry(job: &Job, pushed: &Pushed) -> Record {
    Record {
        project: job.job_info.project_id,
        commit: job.git_info.sha.clone(),
        reference: job.git_info.reference.clone(),
        is_protected: job.is_protected(),
        pipeline: job.job_info.pipeline_id,
        job: job.id,
        image: pushed.image.clone(),
        tag: pushed.tag.clone(),
        digest: pushed.digest.clone(),
        at: jiff::Timestamp::now(),
    }
}

fn registry_prefix(registry: &Registry) -> String {
    format!("{}/", registry.host)
}

fn folder(context: &Context<'_>, names: &Names) -> PathBuf {
    context.config.run_dir.join("gates").join(names.key())
}

fn socket(folder: &Path) -> PathBuf {
    folder.join("docker.sock")
}

fn record(folder: &Path) -> PathBuf {
    folder.join("images")
}

fn binds(folder: &Path) -> PathBuf {
    folder.join("binds")
}
