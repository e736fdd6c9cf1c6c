//! `kind = "docker"`: what jobs in containers may have and do.

use std::{
    collections::BTreeMap,
    net::IpAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use serde::Deserialize;

use super::{
    container::{
        Account, AddedCapability, Capability, Device, Domain, ExtraHost, Gpus, LabelKey,
        LabelValue, LogOptions, Runtime, SecurityOption, ServiceOfEveryJob, Sysctl, TmpfsOptions,
    },
    limit::{Cpus, Set, Size, Ulimit, Word},
    network::Network,
    pull::{PullPolicies, PullPolicy},
    tier::Tier,
    value::{self, Bytes},
    volume::{Target, Volume},
};
use crate::subnet::Subnet;

/// Jobs in containers.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct DockerLane {
    #[serde(default = "default_docker_host")]
    pub docker_host: String,
    /// Whose jobs the lane runs; left out, all.
    pub refs: Option<Tier>,
    /// For jobs that name no image.
    pub image: Option<String>,
    /// Globs of the images that jobs may use.
    #[serde(default = "default_any")]
    pub images: Vec<String>,
    /// Globs of the images that services may use.
    #[serde(default = "default_any")]
    pub services: Vec<String>,
    /// Registries that jobs may pull from and log in to, beside the operator's and GitLab's: `host`,
    /// `host:port`, `host:*`, or `*`, which covers none on the runner's own host.
    #[serde(default = "default_any")]
    pub registries: Vec<String>,
    /// Registries that jobs may push to, beside the operator's and GitLab's.
    #[serde(default)]
    pub push_registries: Vec<String>,
    /// Globs of the images that the operator put on the host for every job; all others belong to the
    /// job or the project that pulled or built them.
    #[serde(default)]
    pub shared_images: Vec<String>,
    /// Tried one after the other.
    #[serde(default)]
    pub pull_policy: PullPolicies,
    /// What jobs may choose among; left out, the lane's own and what is stricter.
    pub allowed_pull_policies: Option<PullPolicies>,
    /// A `config.json` of Docker's with logins that the images of all jobs are pulled with.
    pub docker_config: Option<PathBuf>,
    pub helper_image: Option<String>,
    #[serde(default = "default_builds_dir")]
    pub builds_dir: PathBuf,
    #[serde(default = "default_cache_dir")]
    pub cache_dir: PathBuf,
    #[serde(default)]
    pub docker_api: DockerApi,
    /// Globs of the images that a Dockerfile's `# syntax=` line may name: they run inside of the builder.
    #[serde(default)]
    pub build_frontends: Vec<String>,
    /// How long services may take to open a port; "0s" does not wait.
    #[serde(
        default = "default_wait_for_services",
        deserialize_with = "value::duration"
    )]
    pub wait_for_services: Duration,
    /// Ranges from which a job may choose the addresses of a network of its own; without one, the engine
    /// chooses them.
    #[serde(default)]
    pub subnets: Vec<Subnet>,
    /// How long the volumes of a slot (checkout and cache) stay after its last job: `gc` removes them.
    #[serde(default = "default_keep_slots", deserialize_with = "value::duration")]
    pub keep_slots: Duration,
    /// What all that one job has, helper, containers, services and builds, may use together.
    /// Left out, memory and pids are a share of this host's: `docker::limit` says which.
    pub memory: Option<Size>,
    /// Memory and swap together, at least `memory`; left out, a job does not swap.
    pub memory_swap: Option<Size>,
    pub memory_reservation: Option<Size>,
    pub cpus: Option<Cpus>,
    pub cpu_shares: Option<u64>,
    pub cpuset_cpus: Option<Set>,
    pub cpuset_mems: Option<Set>,
    pub pids_limit: Option<u64>,
    /// For each process; the most that a job's own containers get.
    #[serde(default)]
    pub ulimit: BTreeMap<String, Ulimit>,
    /// Of each container that the lane starts.
    pub shm_size: Option<Size>,
    /// The most that /dev/shm and each tmpfs of a job's own containers get.
    pub tmpfs_size: Option<Size>,
    /// Who dies first when this host runs out of memory: 0 is as likely as GitLab, 1000 is surely before it.
    #[serde(default = "default_oom_score_adjust")]
    pub oom_score_adjust: u16,
    /// Folders and volumes of the host, and paths that each slot keeps.
    #[serde(default)]
    pub volumes: Vec<Volume>,
    /// Names that the job's containers know beside those of the network, as `name:address`.
    #[serde(default)]
    pub extra_hosts: Vec<ExtraHost>,
    /// Name servers in place of the engine's own.
    #[serde(default)]
    pub dns: Vec<IpAddr>,
    #[serde(default)]
    pub dns_search: Vec<Domain>,
    pub hostname: Option<Domain>,
    /// Of the job's network, and the usual one of those that it makes.
    pub network_mtu: Option<u16>,
    #[serde(default)]
    pub cap_add: Vec<AddedCapability>,
    #[serde(default)]
    pub cap_drop: Vec<Capability>,
    #[serde(default)]
    pub security_opt: Vec<SecurityOption>,
    #[serde(default)]
    pub devices: Vec<Device>,
    /// Of services, by globs of their images.
    #[serde(default)]
    pub services_devices: BTreeMap<String, Vec<Device>>,
    pub gpus: Option<Gpus>,
    pub runtime: Option<Runtime>,
    #[serde(default)]
    pub sysctls: BTreeMap<Sysctl, Word>,
    #[serde(default)]
    pub tmpfs: BTreeMap<Target, TmpfsOptions>,
    #[serde(default)]
    pub services_tmpfs: BTreeMap<Target, TmpfsOptions>,
    /// Groups, by number, that the job's container is in besides.
    #[serde(default)]
    pub group_add: Vec<u32>,
    /// Whether the first process of the job's container and of services is one that waits for orphans.
    #[serde(default)]
    pub init: bool,
    /// Whom the job's container runs as, whatever the job says.
    pub user: Option<Account>,
    /// Whom a job may choose for its container and its services; left out, anybody.
    #[serde(default)]
    pub allowed_users: Vec<Account>,
    /// Whether `entrypoint:` of a job's image and services counts for nothing.
    #[serde(default)]
    pub disable_entrypoint_overwrite: bool,
    /// Services that are started for every job, beside its own.
    #[serde(default)]
    pub services_of_every_job: Vec<ServiceOfEveryJob>,
    /// How many services a job may have, with those of the lane; -1 and left out: any number.
    pub services_limit: Option<i64>,
    /// Whether a job may have the lines of its services in its log (`CI_DEBUG_SERVICES`).
    #[serde(default = "default_debug_services")]
    pub debug_services: bool,
    /// What the engine notes beside each line that a service writes.
    #[serde(default)]
    pub log_options: LogOptions,
    /// On each container of the lane.
    #[serde(default)]
    pub container_labels: BTreeMap<LabelKey, LabelValue>,
    /// What containers and builds of jobs may reach.
    #[serde(default)]
    pub network: Network,
    /// Globs of addresses that `ADD` of a Dockerfile may fetch: the Docker daemon does, from its own network.
    #[serde(default)]
    pub add_urls: Vec<String>,
    /// How much the layers of builds and the pulled images may take that stay for later jobs of the same project.
    #[serde(default = "default_build_cache")]
    pub build_cache: Bytes,
}

impl DockerLane {
    /// The path of the engine's socket.
    pub(crate) fn engine(&self) -> &Path {
        let host = &self.docker_host;
        Path::new(host.strip_prefix("unix://").unwrap_or(host))
    }

    /// Whether each slot keeps this path without a word.
    pub(crate) fn keeps(&self, path: &str) -> bool {
        [&self.builds_dir, &self.cache_dir]
            .iter()
            .any(|kept| kept.as_path() == Path::new(path))
    }

    /// What a job may choose among.
    pub fn allowed_pull_policies(&self) -> Vec<PullPolicy> {
        if let Some(allowed) = &self.allowed_pull_policies {
            return allowed.to_vec();
        }
        let mut allowed = self.pull_policy.to_vec();
        if allowed.contains(&PullPolicy::IfNotPresent) {
            allowed.extend([PullPolicy::Always, PullPolicy::Never]);
        }
        allowed
    }
}

/// What a job finds at /var/run/docker.sock.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DockerApi {
    /// Nothing.
    #[default]
    None,
    /// A gate of this job's own.
    Gate,
}

fn default_docker_host() -> String {
    "unix:///var/run/docker.sock".into()
}

fn default_any() -> Vec<String> {
    vec!["*".into()]
}

fn default_builds_dir() -> PathBuf {
    "/builds".into()
}

fn default_cache_dir() -> PathBuf {
    "/cache".into()
}

fn default_wait_for_services() -> Duration {
    Duration::from_secs(30)
}

fn default_keep_slots() -> Duration {
    Duration::from_hours(30 * 24)
}

fn default_oom_score_adjust() -> u16 {
    500
}

fn default_build_cache() -> Bytes {
    Bytes::from(20_000_000_000)
}

fn default_debug_services() -> bool {
    true
}
