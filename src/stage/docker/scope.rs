//! What a job may see and do through its gate, from what GitLab and the admin say.

use std::{collections::BTreeMap, path::Path, sync::Arc};

use super::accounts::registries;
use crate::{
    config::{Config, DockerLane, Registry},
    docker::{
        name::{self, Names},
        reference::Reference,
        tenant::Tenant,
    },
    failure::Failure,
    gate::{self, GateFolder, PushSink, Pushed, Scope, Workspace},
    job::Job,
    runner,
    store::{
        host_secret,
        ledger::{Ledger, Record},
    },
};

/// The scope of a job that runs in this slot.
pub fn job_scope(
    config: &Config,
    lane: &DockerLane,
    job: &Job,
    slot: &str,
) -> Result<Scope, Failure> {
    let (tenant, host_secret) = (Tenant::of(job), host_secret(&config.state_dir)?);
    let secret = host_secret.of_tenant(&tenant);
    let names = Names::new(job, runner::of_caller());
    let folder = GateFolder::new(&config.run_dir, names.key());
    let workspace = |path: &Path, what| Workspace {
        path: path.to_string_lossy().into_owned(),
        volume: Names::volume(slot, what),
    };
    let globs = lane.images.clone();
    let host = config.registry.as_ref().map(registry_prefix);
    Ok(Scope {
        label: (name::MADE.into(), names.key().into()),
        // `gc` finds it by these, and nobody takes it for a container of the lane.
        labels: BTreeMap::from([
            (name::JOB.into(), names.key().into()),
            (name::RUNNER.into(), runner::of_caller()),
            (name::ROLE.into(), String::new()),
        ]),
        network: names.network(),
        subnets: lane.subnets.clone(),
        names: gate::Names::new(&host_secret.of_job(names.key()), &secret.keyed("names", "")),
        tenant,
        secret,
        frontends: lane.build_frontends.clone(),
        cgroup_parent: None,
        ceiling: super::limit::ceiling(lane),
        workspaces: vec![
            workspace(&lane.builds_dir, "builds"),
            workspace(&lane.cache_dir, "cache"),
        ],
        binds_dir: folder.binds(),
        record: folder.record(),
        images: Arc::new(move |text| {
            Reference::parse(text).is_ok_and(|reference| reference.is_allowed(&globs))
        }),
        // A tag that is built again, in the registry that this company ships from. Any other name
        // that was here before is somebody else's base image.
        may_move: Arc::new(move |text| {
            host.as_deref()
                .is_some_and(|prefix| text.starts_with(prefix))
        }),
        on_push: ledger(config, job),
        registries: registries(config, lane, job)?,
    })
}

/// Writes each pushed digest down, for the deploy of this very commit.
fn ledger(config: &Config, job: &Job) -> PushSink {
    let ledger = Ledger::new(&config.state_dir);
    let job = job.clone();
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
        manifest: None,
        at: jiff::Timestamp::now(),
    }
}

fn registry_prefix(registry: &Registry) -> String {
    format!("{}/", registry.host)
}
