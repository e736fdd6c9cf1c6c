//! One phase in a container: the helper's by `exec`, the user's by starting their container.

use std::{fs, path::Path, time::Duration};

use futures_util::StreamExt;
use tokio::{select, time};

use super::{super::context::Context, Scene, gate, note::Note};
use crate::{
    config::DockerLane,
    docker::{
        engine::{self, EngineError, Found, Session},
        name::{self, Role},
        spec::{self, Container, Network},
    },
    failure::Failure,
    job::Phase,
};

/// How long the job's processes have between SIGTERM and SIGKILL.
const GRACE: Duration = Duration::from_secs(10);

/// How the output of a phase ended.
#[derive(Debug, PartialEq, Eq)]
enum End {
    /// Every process that held it is gone, or closed it.
    Closed,
    /// Somebody wants to stop.
    Cancelled,
}

pub(in crate::stage) async fn run(
    context: &Context<'_>,
    lane: &DockerLane,
    script: &Path,
    phase: Phase,
) -> Result<(), Failure> {
    let script = fs::read(script).map_err(|error| {
        Failure::system(error).during(&format!("reading the script {}", script.display()))
    })?;
    let scene = Scene::open(context, lane).await?;
    if phase.is_author_s() {
        run_in_build(context, lane, &scene, script).await
    } else {
        run_in_helper(context, &scene, phase, script).await
    }
}

async fn run_in_helper(
    context: &Context<'_>,
    scene: &Scene,
    phase: Phase,
    script: Vec<u8>,
) -> Result<(), Failure> {
    let helper = helper(scene)?;
    let command = spec::helper_command(phase.needs_gitlab_runner());
    let (exec, mut session) = scene
        .engine
        .exec(&helper.id, command)
        .await
        .map_err(EngineError::into_failure)?;
    if converse(context, &mut session, script).await? == End::Cancelled {
        // Nothing else runs in the helper, and the next phase finds it alive.
        let kill = scene
            .engine
            .exec_silently(&helper.id, spec::signal_command("KILL"));
        kill.await.map_err(EngineError::into_failure)?;
        return Err(Failure::system("cancelled"));
    }
    match scene
        .engine
        .exec_code(&exec)
        .await
        .map_err(EngineError::into_failure)?
    {
        0 => Ok(()),
        spec::NO_GITLAB_RUNNER => {
            let what = "the helper image has no gitlab-runner: caches and artifacts would be lost";
            Err(Failure::system(what).hint("try: set helper-image to one that has it"))
        }
        code => Err(Failure::script(code)),
    }
}

async fn run_in_build(
    context: &Context<'_>,
    lane: &DockerLane,
    scene: &Scene,
    script: Vec<u8>,
) -> Result<(), Failure> {
    let slot = label(helper(scene)?, name::SLOT);
    let gate = gate::open(context, lane, scene, slot)?;
    let container = match scene.container(Role::Build) {
        Some(found) => found.id.clone(),
        None => create_build(context, lane, scene).await?,
    };
    let result = run_container(context, scene, &container, script).await;
    let closed = match gate {
        Some(gate) => gate.close().await.map_err(Failure::from),
        None => Ok(()),
    };
    // What the script ended with comes first.
    result.and(closed)
}

async fn run_container(
    context: &Context<'_>,
    scene: &Scene,
    container: &str,
    script: Vec<u8>,
) -> Result<(), Failure> {
    let engine = &scene.engine;
    // Attached before the start: nothing of the output is lost, and the engine need not keep it.
    let mut session = engine
        .attach(container)
        .await
        .map_err(EngineError::into_failure)?;
    engine
        .start(container)
        .await
        .map_err(EngineError::into_failure)?;
    if converse(context, &mut session, script).await? == End::Cancelled {
        cancel_build(context, scene, container, session).await?;
        return Err(Failure::system("cancelled"));
    }
    match settle(scene, container).await? {
        0 => Ok(()),
        code => Err(Failure::script(code)),
    }
}

/// Ends the user's processes: a signal to each, for shells do not pass it on, then the container.
/// Their root file system stays, for `after_script`.
async fn cancel_build(
    context: &Context<'_>,
    scene: &Scene,
    container: &str,
    mut session: Session,
) -> Result<(), Failure> {
    let engine = &scene.engine;
    let farewell = async {
        // A container whose processes are just ending takes no new one: then there is none to signal.
        let _ = engine
            .exec_silently(container, spec::signal_command("TERM"))
            .await;
        while let Some(Ok(bytes)) = session.output.next().await {
            context.log.write(&bytes).await;
        }
    };
    let _ = time::timeout(GRACE, farewell).await;
    engine
        .stop(container, Duration::from_secs(1))
        .await
        .map_err(EngineError::into_failure)
}

/// The user's container, in the helper's network and with the slot's volumes.
async fn create_build(
    context: &Context<'_>,
    lane: &DockerLane,
    scene: &Scene,
) -> Result<String, Failure> {
    let helper = helper(scene)?;
    let mut mounts = spec::volumes(lane, label(helper, name::SLOT));
    mounts.extend(gate::mounts(context, lane, scene));
    let container = Container {
        image: label(helper, name::IMAGE).to_owned(),
        mounts,
        network: Network::Of(helper.id.clone()),
        ..spec::build(&scene.names, lane, &context.job, &context.call)
    };
    let note = Note::leave(context, scene)?;
    let created = scene.engine.create(container).await;
    let removed = note.remove();
    let id = created.map_err(EngineError::into_failure)?;
    removed.map(|()| id)
}

fn helper(scene: &Scene) -> Result<&Found, Failure> {
    scene.container(Role::Helper).ok_or_else(|| {
        Failure::system("the job's helper container is gone")
            .hint("something on this host removed it; the job can be run again")
    })
}

fn label<'a>(found: &'a Found, name: &str) -> &'a str {
    found.labels.get(name).map_or("", String::as_str)
}

/// Feeds the script and copies the output to the log until it ends.
async fn converse(
    context: &Context<'_>,
    session: &mut Session,
    script: Vec<u8>,
) -> Result<End, Failure> {
    let input = std::mem::replace(&mut session.input, Box::pin(tokio::io::sink()));
    // On its own: a script larger than the pipe must not wait for output that nobody reads.
    let feed = tokio::spawn(async move { engine::feed(input, &script).await });
    let end = loop {
        select! {
            chunk = session.output.next() => match chunk {
                Some(Ok(bytes)) => context.log.write(&bytes).await,
                Some(Err(error)) => break Err(error.into_failure()),
                None => break Ok(End::Closed),
            },
            () = context.cancel.requested() => break Ok(End::Cancelled),
        }
    };
    feed.abort();
    end
}

/// Waits for the container's end after its output has ended. One that only closed its output is
/// stopped, as the job is over.
async fn settle(scene: &Scene, container: &str) -> Result<i64, Failure> {
    let wait = scene.engine.wait(container);
    if let Ok(code) = time::timeout(GRACE, wait).await {
        return code.map_err(EngineError::into_failure);
    }
    scene
        .engine
        .stop(container, GRACE)
        .await
        .map_err(EngineError::into_failure)?;
    scene
        .engine
        .wait(container)
        .await
        .map_err(EngineError::into_failure)
}
