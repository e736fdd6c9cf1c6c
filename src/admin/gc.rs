//! `dockmaster gc`: removes what a killed runner left behind.
//!
//! A job's lease is the runner process that drives it, written on everything that is made for it. When that
//! process is gone, so is the job: no cleanup will ever be called for it.

use std::{collections::BTreeSet, path::Path};

use crate::{
    config::{Config, Lane},
    docker::{
        engine::{Engine, EngineError, Found},
        name,
    },
    failure::Failure,
    lease,
    sandbox::{self, Host},
};

/// Removes them; what was removed, as text.
pub async fn gc(config: &Path) -> Result<String, Failure> {
    let config = Config::load(config).map_err(Failure::system)?;
    let mut removed = BTreeSet::new();
    for lane in config.lanes.values() {
        if let Lane::Docker(lane) = lane {
            removed.extend(
                sweep(&lane.docker_host)
                    .await
                    .map_err(EngineError::into_failure)?,
            );
        }
    }
    removed.extend(sandbox::gc(&Host::here(String::new())?, &config).await?);
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
    for found in engine.find(name::JOB).await?.iter().filter(is_orphan) {
        engine.remove(&found.id).await?;
        removed.extend(key(found));
    }
    for found in engine
        .find_networks(name::JOB)
        .await?
        .iter()
        .filter(is_orphan)
    {
        engine.remove_network(&found.id).await?;
        removed.extend(key(found));
    }
    Ok(removed)
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "the form that `filter` asks for"
)]
fn is_orphan(found: &&Found) -> bool {
    // Without a lease it is not ours: a container has the labels of its image, too.
    let lease = found.labels.get(name::RUNNER);
    lease.is_some_and(|lease| !lease::is_alive(lease))
}

fn key(found: &Found) -> Option<String> {
    found.labels.get(name::JOB).cloned()
}
