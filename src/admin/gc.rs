//! `dockmaster gc`: removes what a killed runner left behind.
//!
//! Everything that is made for a job names the runner process that drives it. When that process is
//! gone, no cleanup will ever be called for the job.

use std::{collections::BTreeSet, path::Path};

use crate::{
    config::{Config, Lane},
    docker::{
        engine::{Engine, Object},
        fault::EngineError,
        name,
    },
    failure::Failure,
    runner,
    sandbox::Sandbox,
};

/// What was removed, as text, and what could not be.
pub(crate) struct Swept {
    pub(crate) text: String,
    pub(crate) failures: Vec<Failure>,
}

/// Removes them, and tries everything before a failure is told.
pub(crate) async fn gc(program: &Path, config: &Path) -> Result<Swept, Failure> {
    let config = Config::load(config)?;
    let mut removed = BTreeSet::new();
    let mut failures = Vec::new();
    for lane in config.lanes.values() {
        if let Lane::Docker(lane) = lane {
            let swept = sweep(&lane.docker_host, &mut removed, &mut failures).await;
            failures.extend(swept.err().map(Failure::from));
        }
    }
    match Sandbox::orphans(program, &config) {
        Ok(orphans) => {
            for orphan in orphans {
                match orphan.remove().await {
                    Ok(()) => drop(removed.insert(orphan.key().to_owned())),
                    Err(error) => failures.push(error),
                }
            }
        }
        Err(error) => failures.push(error),
    }
    let mut text = String::new();
    for key in &removed {
        text.extend(["removed what the job ", key, " left behind\n"]);
    }
    if removed.is_empty() && failures.is_empty() {
        text.push_str("nothing was left behind\n");
    }
    Ok(Swept { text, failures })
}

/// Removes what an engine holds of dead jobs; an error when the engine does not even say what it holds.
async fn sweep(
    host: &str,
    removed: &mut BTreeSet<String>,
    failures: &mut Vec<Failure>,
) -> Result<(), EngineError> {
    let engine = Engine::connect(host).await?;
    for found in engine.containers(name::JOB).await?.iter().filter(is_orphan) {
        match engine.remove(&found.id).await {
            Ok(()) => removed.extend(key(found)),
            Err(error) => failures.push(error.into()),
        }
    }
    for found in engine.networks(name::JOB).await?.iter().filter(is_orphan) {
        match engine.remove_network(&found.id).await {
            Ok(()) => removed.extend(key(found)),
            Err(error) => failures.push(error.into()),
        }
    }
    Ok(())
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "the form that `filter` asks for"
)]
fn is_orphan(found: &&Object) -> bool {
    // What names no runner is not ours: a container has the labels of its image, too.
    let runner = found.labels.get(name::RUNNER);
    runner.is_some_and(|runner| !runner::is_alive(runner))
}

fn key(found: &Object) -> Option<String> {
    found.labels.get(name::JOB).cloned()
}
