//! What a job may see and do through its gate, from what GitLab and the admin say.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{accounts::registries, scan};
use crate::{
    config::{Config, DockerLane},
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
    let tenant = Tenant::of(job);
    let host = host_secret(&config.state_dir)?;
    let (secret, mark) = (host.of_tenant(&tenant), host.mark());
    let names = Names::new(job, runner::of_caller(), mark.clone());
    let folder = GateFolder::new(&config.run_dir, names.key());
    let workspace = |path: &Path, what| Workspace {
        path: path.to_string_lossy().into_owned(),
        volume: Names::volume(slot, what),
    };
    let (may_use, is_shared) = (
        covered(lane.images.clone()),
        covered(lane.shared_images.clone()),
    );
    Ok(Scope {
        label: (name::MADE.into(), names.key().into()),
        // `gc` finds it by these, and nobody takes it for a container of the lane.
        labels: BTreeMap::from([
            (name::JOB.into(), names.key().into()),
            (name::RUNNER.into(), runner::of_caller()),
            (name::INSTALLATION.into(), mark),
            (name::ROLE.into(), String::new()),
        ]),
        network: names.network(),
        subnets: lane.subnets.clone(),
        names: image_names(config, job)?,
        tenant,
        secret,
        frontends: lane.build_frontends.clone(),
        cgroup_parent: None,
        build_group: None,
        ceiling: super::limit::ceiling(lane),
        usual: super::limit::usual(lane),
        workspaces: vec![
            workspace(&lane.builds_dir, "builds"),
            workspace(&lane.cache_dir, "cache"),
        ],
        binds_dir: folder.binds(),
        state_dir: config.state_dir.clone(),
        images: covered(lane.images.clone()),
        shared: Arc::new(move |text| may_use(text) && is_shared(text)),
        add_urls: lane.add_urls.clone(),
        layers: layers(config, lane),
        on_push: ledger(config, job),
        registries: registries(config, lane, job)?,
    })
}

/// How the job's images, and those that its tenant keeps, are called in the engine.
pub(super) fn image_names(config: &Config, job: &Job) -> Result<gate::Names, Failure> {
    let secret = host_secret(&config.state_dir)?;
    let tenant = secret.of_tenant(&Tenant::of(job)).keyed("names", "");
    Ok(gate::Names::new(&secret.of_job(&job.key()), &tenant))
}

/// Where the use of the layers that builds leave is noted.
pub(crate) fn layers(config: &Config, lane: &DockerLane) -> PathBuf {
    let engine = lane
        .docker_host
        .replace(|sign: char| !sign.is_ascii_alphanumeric(), "-");
    config.state_dir.join("layers").join(engine)
}

/// Writes each pushed digest down, for the deploy of this very commit. One that a scan refuses is not
/// written: what is not in the ledger is never deployed.
fn ledger(config: &Config, job: &Job) -> PushSink {
    let ledger = Ledger::new(&config.state_dir);
    let (job, registry) = (job.clone(), config.registry.clone());
    Arc::new(move |pushed| {
        let (ledger, registry, pushed) = (ledger.clone(), registry.clone(), pushed.clone());
        let job = job.clone();
        Box::pin(async move {
            let scan = match &registry {
                Some(registry) => scan::findings(registry, &pushed).await?,
                None => None,
            };
            let entry = entry(&job, &pushed, scan);
            ledger
                .append(&entry)
                .map_err(|error| Failure::system(error).to_string())
        })
    })
}

fn entry(job: &Job, pushed: &Pushed, scan: Option<String>) -> Record {
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
        manifest: pushed.manifest.clone(),
        scan,
        at: jiff::Timestamp::now(),
    }
}

/// Whether one of these globs covers a name.
fn covered(globs: Vec<String>) -> Arc<dyn Fn(&str) -> bool + Send + Sync> {
    Arc::new(move |text| Reference::parse(text).is_ok_and(|reference| reference.is_allowed(&globs)))
}
