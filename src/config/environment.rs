//! `environments/NAME.toml`: a named deploy target: its hosts, its balancer, its rules.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
    time::Duration,
};

use serde::Deserialize;

use super::{
    refs::Refs,
    value::{self, Bytes, HostKey, Percent, SshTarget},
};

/// One deploy target.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Environment {
    #[serde(skip)]
    pub name: String,
    pub policy: Policy,
    pub release: Release,
    pub ssh: Ssh,
    pub compose: Compose,
    pub balancer: Balancer,
    pub hosts: Vec<HostEntry>,
    /// How a release is asked from here whether it answers.
    pub probe: Option<Probe>,
    #[serde(default)]
    pub rollout: Rollout,
}

/// Who may deploy here.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Policy {
    /// GitLab project ids: paths change when a project is renamed or moved.
    pub projects: Vec<i64>,
    #[serde(default)]
    pub refs: Refs,
    #[serde(default)]
    pub rollbacks: Rollbacks,
}

/// Whether a job may bring out a release that is older than the newest one that was proven.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Rollbacks {
    #[default]
    Refused,
    /// Where a variable names the tag: by hand, so that a retry of an old pipeline is none.
    ByVariable,
}

/// What is deployed.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Release {
    /// The repository, `host[:port]/project/name`, without tag or digest.
    pub image: String,
}

/// How the hosts are entered.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Ssh {
    /// A private key that the broker's user alone can read.
    pub key: PathBuf,
}

/// The service on each host.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Compose {
    /// The folder of docker-compose.yml on the hosts.
    pub directory: String,
    pub service: String,
    /// Compose files of the repository that come with a release, in the order in which they are merged;
    /// when absent the hosts' own are used.
    #[serde(default, deserialize_with = "value::one_or_more")]
    pub file: Vec<String>,
    /// The compose project; when absent the one that runs in that folder.
    pub project: Option<String>,
    /// The port inside the container, whose connections are watched while it drains.
    pub port: u16,
    /// With start-first: a second port of each host, for the second instance.
    pub bridge_port: Option<u16>,
    /// With start-first: whether other services of the project may reach both instances by name.
    #[serde(default)]
    pub allow_sisters: bool,
}

/// What spreads the requests. Which of these keys it needs depends on its kind, so `balancer::open`
/// says which are missing.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Balancer {
    /// A kind that `balancer::open` knows, or `none`: each host is down while it changes.
    pub kind: String,
    #[serde(default)]
    pub region: String,
    /// The group, as its kind has it: `rsp-…`, `sgp-…`, or the load balancer of a default group, `lb-…`.
    #[serde(default)]
    pub id: String,
    /// The backends' port in that group; with `clb` the listener's backend port.
    #[serde(default)]
    pub port: u16,
    /// Where the API is, when not at the region's public address.
    pub endpoint: Option<url::Url>,
    /// A JSON file with `access-key-id` and `access-key-secret`.
    pub account: Option<PathBuf>,
}

/// A `[[hosts]]` block: how one production host is reached.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct HostEntry {
    pub name: String,
    pub ssh: SshTarget,
    /// Any other is refused.
    pub host_key: HostKey,
    /// The host's id at the balancer, `i-…`.
    #[serde(default)]
    pub server_id: String,
}

/// What is asked of a new container over HTTP, from this server, before it gets requests.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Probe {
    /// Path and query, `/healthz`.
    pub path: String,
    /// On the host; `balancer.port` when absent, or `compose.port` without a balancer.
    pub port: Option<u16>,
    /// The status that is expected; any of 200 to 299 when absent.
    pub status: Option<u16>,
    /// Text that the body has to hold.
    pub body: Option<String>,
    /// The `Host` header, where the service answers to its name alone.
    pub host: Option<String>,
}

/// What comes first on a host.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Order {
    /// The old container stops, then the new one starts.
    #[default]
    StopFirst,
    /// A second instance, at a port of its own, serves while the first is replaced.
    StartFirst,
}

/// How carefully.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Rollout {
    /// Whether a host's new container starts after the old one has stopped, or before.
    pub order: Order,
    /// The share of the pool's weight that must stay in service; all backends but one when absent.
    pub min_capacity: Option<Percent>,
    /// Whether a host may be taken out that nobody serves beside.
    pub allow_downtime: bool,
    /// What must be free where a host's engine keeps its images, before anything is pulled.
    pub min_free_disk: Bytes,
    /// How long the balancer may take to apply a weight.
    #[serde(deserialize_with = "value::duration")]
    pub propagation: Duration,
    /// A host is drained when no connection was seen for this long.
    #[serde(deserialize_with = "value::duration")]
    pub drain_quiet: Duration,
    /// After this long a host counts as drained, whoever is still connected.
    #[serde(deserialize_with = "value::duration")]
    pub drain_timeout: Duration,
    /// How long a new container may take to become healthy.
    #[serde(deserialize_with = "value::duration")]
    pub healthy_deadline: Duration,
    /// How long it must stay healthy before it gets requests.
    #[serde(deserialize_with = "value::duration")]
    pub min_healthy_time: Duration,
    /// With start-first: how long the second instance serves its first share.
    #[serde(deserialize_with = "value::duration")]
    pub bake_time: Duration,
    /// How long the balancer's own check may take to call a host healthy that got its weight back;
    /// with none it is not asked.
    #[serde(deserialize_with = "value::duration")]
    pub admission_timeout: Duration,
    /// How long to wait for another rollout of this environment to end.
    #[serde(deserialize_with = "value::duration")]
    pub lease_wait: Duration,
}

impl Default for Rollout {
    fn default() -> Self {
        Self {
            order: Order::StopFirst,
            min_capacity: None,
            allow_downtime: false,
            min_free_disk: Bytes::GIGABYTE,
            propagation: Duration::from_secs(3),
            drain_quiet: Duration::from_secs(5),
            drain_timeout: Duration::from_mins(1),
            healthy_deadline: Duration::from_mins(5),
            min_healthy_time: Duration::from_secs(10),
            bake_time: Duration::from_secs(10),
            admission_timeout: Duration::from_mins(1),
            lease_wait: Duration::ZERO,
        }
    }
}

impl Compose {
    /// What a path in a repository cannot be, and names that would meet in one folder on a host.
    fn file_problems(&self) -> Vec<String> {
        let mut names = BTreeSet::new();
        let mut problems = Vec::new();
        for path in &self.file {
            let is_part = |part: &str| !matches!(part, "" | "." | ".." | ".git");
            if !path.split('/').all(is_part) || path.contains(['\\', ':', ',']) || has_control(path)
            {
                problems.push(format!(
                    "compose.file `{}` is not a path in the repository, such as \"deploy/docker-compose.yml\"",
                    path.escape_debug()
                ));
            }
            if !names.insert(path.rsplit('/').next()) {
                problems.push(format!(
                    "compose.file names two files that are both called as `{path}` is: they lie in one folder on the hosts"
                ));
            }
        }
        problems
    }
}

fn has_control(text: &str) -> bool {
    text.contains(char::is_control)
}

impl Environment {
    /// The port of each host that the balancer sends requests to.
    pub fn host_port(&self) -> u16 {
        match self.balancer.port {
            0 => self.compose.port,
            port => port,
        }
    }

    /// What the types cannot say, all of it: each line names its key.
    pub(super) fn problems(&self) -> Vec<String> {
        let mut names = BTreeSet::new();
        let (mut addresses, mut servers) = (BTreeMap::new(), BTreeMap::new());
        let mut problems = Vec::new();
        for host in &self.hosts {
            let name = &host.name;
            if name.is_empty() || !names.insert(name) {
                problems.push(format!("hosts.name `{name}` is empty or there twice"));
            }
            let address = format!("{}:{}", host.ssh.host, host.ssh.port);
            for (key, value, seen) in [
                ("ssh", address, &mut addresses),
                ("server-id", host.server_id.clone(), &mut servers),
            ] {
                if value.is_empty() {
                    continue;
                }
                if let Some(other) = seen.insert(value.clone(), name) {
                    problems.push(format!(
                        "hosts.{key} of `{name}` is also that of `{other}`: {value}"
                    ));
                }
            }
        }
        if self.hosts.is_empty() {
            problems.push("there are no [[hosts]]".into());
        }
        if let Some(probe) = &self.probe {
            if !probe.path.starts_with('/') {
                problems.push(format!("probe.path `{}` does not begin with /", probe.path));
            }
            if let Some(status) = probe.status.filter(|it| !(100..600).contains(it)) {
                problems.push(format!("probe.status {status} is no HTTP status"));
            }
        }
        problems.extend(self.bridge_problem());
        problems.extend(self.compose.file_problems());
        if !self.compose.directory.starts_with('/') {
            problems.push("compose.directory is not an absolute path".into());
        }
        problems
    }

    fn bridge_problem(&self) -> Option<String> {
        let is_wanted = self.rollout.order == Order::StartFirst;
        let why = match self.compose.bridge_port {
            None if is_wanted => {
                "rollout.order = \"start-first\" needs compose.bridge-port, a second port of each host"
            }
            Some(_) if is_wanted && self.balancer.kind == "none" => {
                "rollout.order = \"start-first\" needs a balancer that sends requests to the second port"
            }
            Some(_) if is_wanted && self.balancer.kind == "clb" => {
                "rollout.order = \"start-first\" needs a second port of each host at the balancer, which the default group of kind = \"clb\" has not; try: kind = \"clb-vserver-group\""
            }
            Some(port) if port == self.host_port() || port == 0 => {
                "compose.bridge-port is not a port of its own"
            }
            None | Some(_) => return None,
        };
        Some(why.into())
    }
}
