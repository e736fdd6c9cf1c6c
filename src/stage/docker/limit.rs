//! The job's share of the host: one control group for all that it has, made first and removed last.

use std::collections::BTreeSet;

use super::job::DockerJob;
use crate::{
    config::{DockerLane, Size},
    docker::{
        group::{self, Group},
        limit::{self, Limits},
        name, setting,
    },
    failure::Failure,
    gate::{Ceiling, Usual},
    runner,
    sys::host::Host,
};

impl DockerJob<'_> {
    /// Makes the job's group; what the engine calls it. Empty where this host has none and nobody
    /// asked for a limit.
    pub(super) async fn make_group(&self) -> Result<String, Failure> {
        let limits = Limits::new(self.lane, &Host::look());
        let Some(group) = self.engine.group(&self.names.group()).await? else {
            let asked = limits.settings(true).into_iter().find(|it| it.is_asked);
            if let Some(setting) = asked {
                let why = "the Docker Engine makes no control groups".to_owned();
                return Err(group::GroupError::Unheld {
                    key: setting.key,
                    why,
                }
                .into());
            }
            self.say("The Docker Engine makes no control groups: this job has no limits.")
                .await;
            return Ok(String::new());
        };
        for lack in group.make(&limits.settings(group.is_unified)).await? {
            self.say(&format!("This host does not hold jobs to a limit: {lack}"))
                .await;
        }
        Ok(group.parent())
    }

    /// Safe to call when there is none.
    pub(super) async fn remove_group(&self) -> Result<(), Failure> {
        Ok(group::remove(&self.names.group()).await?)
    }

    /// Processes of the job that the kernel killed for memory so far, where it counts them.
    pub(super) fn memory_kills(&self) -> Option<u64> {
        let helper = self.container(name::Role::Helper)?;
        Group::kills(helper.label(name::GROUP))
    }

    /// Says that a script failed because the job's memory was used up, if that is so.
    pub(super) async fn explain_memory(&self, container: &str, before: Option<u64>) {
        let is_killed = match (before, self.memory_kills()) {
            (Some(before), Some(now)) => now > before,
            _ => self.engine.is_out_of_memory(container).await,
        };
        let limits = Limits::new(self.lane, &Host::look());
        if let Some(memory) = limits.memory.filter(|_| is_killed) {
            let size = Size(memory.value);
            let line = format!(
                "The job used up its memory, {size}, and the kernel killed a process of it (`memory` of its lane)."
            );
            self.context.log.warn(&line).await;
        }
    }
}

/// The most that containers of a job may ask for.
pub(super) fn ceiling(lane: &DockerLane) -> Ceiling {
    let host = Host::look();
    let limits = Limits::new(lane, &host);
    let shape = limit::Shape::new(lane);
    Ceiling {
        memory: limits.memory.as_ref().map(|limit| limit.value),
        swap: limits.swap.as_ref().map(|limit| limit.value),
        pids: limits.pids.as_ref().map(|limit| limit.value),
        tmpfs: limit::tmpfs_size(lane, &limits, &host),
        shm: shape.shm_size,
        ulimits: limit::most_ulimits(lane),
        usual_ulimits: shape
            .ulimits
            .into_iter()
            .map(|(name, ulimit)| (name, (ulimit.soft, ulimit.hard)))
            .collect(),
        oom_score: shape.oom_score_adjust.into(),
    }
}

/// What the containers that a job makes itself have of the lane's settings: where names lead, and what takes something
/// away. No device, no volume and no capability is added, but by a
/// runtime that does so itself.
pub(super) fn usual(lane: &DockerLane) -> Usual {
    let settings = setting::networked(lane);
    Usual {
        dns: settings.dns,
        dns_search: settings.dns_search,
        extra_hosts: settings.extra_hosts,
        cap_drop: settings.cap_drop,
        cap_add: setting::usual_added(lane),
        security: settings.security,
        runtime: lane.runtime.as_ref().map(|it| it.0.clone()),
        mtu: lane.network_mtu,
    }
}

/// Removes the groups of jobs whose runner is gone; the keys of those jobs, and what could not be removed.
pub(crate) async fn sweep_groups() -> (BTreeSet<String>, Vec<Failure>) {
    let (mut removed, mut failures) = (BTreeSet::new(), Vec::new());
    let names = match group::all() {
        Ok(names) => names,
        Err(error) => return (removed, vec![error.into()]),
    };
    for name in names {
        let Some((key, runner)) = name.split_once('.') else {
            continue;
        };
        if runner::is_alive(runner) {
            continue;
        }
        match group::remove(&name).await {
            Ok(()) => drop(removed.insert(key.to_owned())),
            // This installation's containers are gone by now, or it was told that one could not be removed: what is
            // in there is another one's, whose `gc` removes it.
            Err(error) if error.is_in_use() => tracing::debug!(name, %error, "left alone"),
            Err(error) => failures.push(error.into()),
        }
    }
    (removed, failures)
}
