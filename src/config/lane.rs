//! `[lanes.NAME]`: the ways of running jobs. The key `kind` comes first and says which keys may follow.

use std::{
    collections::BTreeMap,
    fmt,
    ops::Deref,
    path::{Path, PathBuf},
    time::Duration,
};

use serde::{
    Deserialize, Deserializer,
    de::{self, Error as _, MapAccess, Visitor, value::MapAccessDeserializer},
};

use super::{
    limit::{Cpus, Set, Size, Ulimit},
    network::Network,
    value::{self, Bytes},
};
use crate::subnet::Subnet;

/// A way of running jobs, chosen by `--lane` in the runner's own configuration.
#[derive(Debug, Clone)]
pub enum Lane {
    Docker(Box<DockerLane>),
    Deploy(DeployLane),
}

/// serde's own tagged enums read the whole table first and so lose where an unknown key stood.
impl<'de> Deserialize<'de> for Lane {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(KindFirst)
    }
}

struct KindFirst;

impl<'de> Visitor<'de> for KindFirst {
    type Value = Lane;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("a lane whose first key is `kind`")
    }

    fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Lane, M::Error> {
        let kind: String = match map.next_key::<String>()?.as_deref() {
            Some("kind") => map.next_value()?,
            _ => return Err(de::Error::custom("the first key of a lane is `kind`")),
        };
        let rest = MapAccessDeserializer::new(map);
        match kind.as_str() {
            "docker" => DockerLane::deserialize(rest).map(|lane| Lane::Docker(Box::new(lane))),
            "deploy" => DeployLane::deserialize(rest).map(Lane::Deploy),
            other => Err(de::Error::unknown_variant(other, &["docker", "deploy"])),
        }
    }
}

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

/// Jobs on the code server itself, which use the keys of production and cannot read them.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct DeployLane {
    /// The environments that jobs of this lane may deploy to.
    pub environments: Vec<String>,
    /// Each live job takes a uid of its own from `first-uid` on.
    #[serde(default = "default_first_uid")]
    pub first_uid: u32,
    /// How many of them there are: the most jobs that can be live at once.
    #[serde(default = "default_uid_count")]
    pub uid_count: u32,
}

impl DockerLane {
    /// The path of the engine's socket.
    pub(crate) fn engine(&self) -> &Path {
        let host = &self.docker_host;
        Path::new(host.strip_prefix("unix://").unwrap_or(host))
    }
}

/// What GitLab says of a job's branch or tag.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Tier {
    Protected,
    Unprotected,
}

impl Tier {
    /// As the configuration writes it.
    pub(crate) fn text(self) -> &'static str {
        match self {
            Self::Protected => "protected",
            Self::Unprotected => "unprotected",
        }
    }

    /// The one that a job is of.
    pub(crate) fn of(is_protected: bool) -> Self {
        if is_protected {
            Self::Protected
        } else {
            Self::Unprotected
        }
    }
}

/// When an image is pulled.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PullPolicy {
    #[default]
    Always,
    IfNotPresent,
    Never,
}

impl PullPolicy {
    /// As both files write it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Always => "always",
            Self::IfNotPresent => "if-not-present",
            Self::Never => "never",
        }
    }
}

/// One policy, or a list of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PullPolicies(Vec<PullPolicy>);

impl Default for PullPolicies {
    fn default() -> Self {
        Self(vec![PullPolicy::default()])
    }
}

impl Deref for PullPolicies {
    type Target = [PullPolicy];

    fn deref(&self) -> &[PullPolicy] {
        &self.0
    }
}

impl<'de> Deserialize<'de> for PullPolicies {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(
            untagged,
            expecting = "one of \"always\", \"if-not-present\", \"never\", or a list of them"
        )]
        enum Written {
            One(PullPolicy),
            Several(Vec<PullPolicy>),
        }
        let policies = match Written::deserialize(deserializer)? {
            Written::One(policy) => vec![policy],
            Written::Several(policies) => policies,
        };
        if policies.is_empty() {
            return Err(D::Error::custom("a list of pull policies needs one"));
        }
        Ok(Self(policies))
    }
}

impl DockerLane {
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

/// Below the range that systemd hands to services of its own (61184 and on).
fn default_first_uid() -> u32 {
    60_600
}

fn default_uid_count() -> u32 {
    100
}
