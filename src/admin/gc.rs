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

/// Removes them; what was removed, as text.
pub(crate) async fn gc(program: &Path, config: &Path) -> Result<String, Failure> {
    let config = Config::load(config)?;
    let mut removed = BTreeSet::new();
    for lane in config.lanes.values() {
        if let Lane::Docker(lane) = lane {
            removed.extend(sweep(&lane.docker_host).await?);
        }
    }
    for orphan in Sandbox::orphans(program, &config)? {
        orphan.remove().await?;
        removed.insert(orphan.key().to_owned());
    }
    if removed.is_empty() {
        return Ok("nothing was left behind\n".into());
    }
    let mut text = String::new();
    for key in &removed {
        text.extend(["removed what the job ", key, " left behind\n"]);
    }
    Ok(text)
}

async fn sweep(host: &str) -> Result<BTreeSet<String>, EngineError> {
    let engine = Engine::connect(host).await?;
    let mut removed = BTreeSet::new();
    for found in engine.containers(name::JOB).await?.iter().filter(is_orphan) {
        engine.remove(&found.id).await?;
        removed.extend(key(found));
    }
    for found in engine.networks(name::JOB).await?.iter().filter(is_orphan) {
        engine.remove_network(&found.id).await?;
        removed.extend(key(found));
    }
    Ok(removed)
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
