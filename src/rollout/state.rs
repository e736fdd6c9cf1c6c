//! What hosts and balancer look like: weights, releases, containers. Plain values.

use std::{collections::BTreeMap, fmt};

use serde::{Deserialize, Serialize};

/// A host's name in the environment's file.
pub type HostName = String;

/// A backend's share of the requests: 0 (none) to 100.
///
/// Never optional, never defaulted: Aliyun takes a weight left out for 100.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Weight(u8);

impl Weight {
    pub const ZERO: Self = Self(0);

    /// A weight of at most 100.
    pub fn new(value: u8) -> Option<Self> {
        (value <= 100).then_some(Self(value))
    }

    /// The number, 0 to 100.
    pub fn value(self) -> u8 {
        self.0
    }
}

impl fmt::Display for Weight {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(out)
    }
}

/// One place behind a balancer that gets requests: what a weight belongs to.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Member {
    /// Whose configuration it is.
    pub balancer: String,
    pub group: String,
    /// The machine, as the balancer names it; what follows a `/` tells its addresses apart.
    pub server: String,
    pub port: u16,
}

impl Member {
    /// True when both are places in one group.
    pub fn shares_group(&self, other: &Self) -> bool {
        (&self.balancer, &self.group) == (&other.balancer, &other.group)
    }

    /// True when both are places on one machine, in whichever group.
    pub fn shares_machine(&self, other: &Self) -> bool {
        let machine = |member: &Self| member.server.split('/').next().map(str::to_owned);
        machine(self) == machine(other)
    }
}

impl fmt::Display for Member {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}:{}", self.server, self.port)
    }
}

/// A release: an image that can never change, `repository@sha256:…`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Release {
    /// `host[:port]/project/name`.
    pub image: String,
    /// `sha256:…` of the manifest.
    pub digest: String,
    /// What people call it, `v1.1.0`.
    pub version: String,
}

impl Release {
    /// How Docker names it.
    pub fn reference(&self) -> String {
        format!("{}@{}", self.image, self.digest)
    }
}

/// A compose file that comes with a release.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ComposeFile {
    /// In the repository.
    pub path: String,
    pub text: String,
}

impl ComposeFile {
    /// Its name without folders.
    pub fn name(&self) -> &str {
        self.path.rsplit('/').next().unwrap_or(&self.path)
    }
}

/// All backends behind the balancer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Pool {
    /// Which member stands for each host of the environment, whether or not it is there.
    pub own: BTreeMap<HostName, Member>,
    /// Which member stands for the second instance of each host that may have one.
    pub bridges: BTreeMap<HostName, Member>,
    /// Every member that is there.
    pub weights: BTreeMap<Member, Weight>,
    /// What the balancer's own checks say, as far as they were asked.
    pub health: BTreeMap<Member, Health>,
}

impl Pool {
    /// A host's weight; `None` when its member is not there.
    pub fn weight(&self, host: &str) -> Option<Weight> {
        self.weights.get(self.own.get(host)?).copied()
    }

    /// Other members on a host's machine: they get requests while that machine changes.
    pub fn siblings(&self, host: &str) -> impl Iterator<Item = (&Member, Weight)> {
        let own = self.own.get(host);
        let bridge = self.bridges.get(host);
        self.weights
            .iter()
            .filter(move |(member, _)| bridge != Some(member))
            .filter(move |(member, _)| own.is_some_and(|own| is_sibling(own, member)))
            .map(|(member, weight)| (member, *weight))
    }

    /// Members on machines that the environment does not name: they are never touched.
    pub fn strangers(&self) -> impl Iterator<Item = (&Member, Weight)> {
        let is_known = |member: &Member| self.own.values().any(|own| own.shares_machine(member));
        self.weights
            .iter()
            .filter(move |(member, _)| !is_known(member))
            .map(|(member, weight)| (member, *weight))
    }

    /// How much weight strangers carry: nobody but the balancer knows whether they answer.
    pub fn foreign_capacity(&self) -> u32 {
        let counts = |member| {
            matches!(
                self.health.get(member),
                None | Some(Health::Healthy | Health::None)
            )
        };
        let strangers = self.strangers().filter(|(member, _)| counts(*member));
        strangers.map(|(_, weight)| u32::from(weight.value())).sum()
    }
}

fn is_sibling(own: &Member, member: &Member) -> bool {
    own != member && own.shares_machine(member)
}

/// What a check says: the image's HEALTHCHECK of a container, or the balancer's own of a member.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Health {
    Starting,
    Healthy,
    Unhealthy,
    /// Nobody checks it.
    None,
}

/// The service's container on a host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Container {
    /// The full id.
    pub id: String,
    /// What compose was told to run: a tag, a digest or an image id.
    pub reference: String,
    /// `sha256:…`, the id of the image it runs: names it even when its tag has moved on.
    pub image: String,
    /// `repository@sha256:…` of the image it runs, as far as the host knows.
    pub digests: Vec<String>,
    /// False also while it is paused or between two starts.
    pub is_running: bool,
    #[serde(default)]
    pub is_paused: bool,
    pub health: Health,
    pub restarts: u64,
}

impl Container {
    /// True when it runs exactly that release.
    pub fn runs(&self, release: &Release) -> bool {
        self.digests.contains(&release.reference())
    }
}

/// Where on a host an instance of the service runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Slot {
    /// The operator's own project, at the port that the environment names.
    Own,
    /// A project of ours beside it, at the host's second port, while the other one is replaced.
    Bridge,
}

/// What a host looks like.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Survey {
    /// The service's container; `None` when there is none yet.
    pub container: Option<Container>,
    /// The second instance; `None` when nothing of it is there.
    pub bridge: Option<Container>,
    /// Names of half-made containers that an interrupted compose left.
    pub leftovers: Vec<String>,
    /// "docker-compose 1.29.2", "docker compose 2.26.1".
    pub compose: String,
    /// Bytes free where the engine keeps its images.
    pub free_bytes: u64,
    /// True while an attempt started by `switch` still runs on the host.
    pub is_switching: bool,
    /// True where it runs the release's image, and other files than the release brings.
    pub is_outdated: bool,
}

impl Survey {
    /// The container there; `None` when there is none.
    pub fn at(&self, slot: Slot) -> Option<&Container> {
        match slot {
            Slot::Own => self.container.as_ref(),
            Slot::Bridge => self.bridge.as_ref(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_port_of_a_host_s_machine_is_no_capacity() {
        let member = |server: &str, port| Member {
            balancer: "clb".into(),
            group: "rsp-1".into(),
            server: server.into(),
            port,
        };
        let full = Weight::new(100).unwrap();
        let pool = Pool {
            own: [("app-1".to_owned(), member("i-1", 3131))].into(),
            weights: [("i-1", 3131), ("i-1/10.0.0.2", 8080), ("i-2", 3131)]
                .map(|(server, port)| (member(server, port), full))
                .into(),
            ..Pool::default()
        };
        let strangers: Vec<_> = pool.strangers().map(|(it, _)| it.server.as_str()).collect();
        assert_eq!(strangers, ["i-2"]);
    }

    #[track_caller]
    fn check_capacity(health: Option<Health>, expect: u32) {
        let stranger = Member {
            balancer: "clb".into(),
            group: "rsp-1".into(),
            server: "i-2".into(),
            port: 3131,
        };
        let pool = Pool {
            weights: [(stranger.clone(), Weight(80))].into(),
            health: health
                .map(|health| (stranger, health))
                .into_iter()
                .collect(),
            ..Pool::default()
        };
        assert_eq!(pool.foreign_capacity(), expect, "{health:?}");
    }

    #[test]
    fn a_stranger_counts_as_far_as_the_balancer_calls_it_healthy_or_checks_nobody() {
        check_capacity(None, 80);
        check_capacity(Some(Health::None), 80);
        check_capacity(Some(Health::Healthy), 80);
        check_capacity(Some(Health::Starting), 0);
        check_capacity(Some(Health::Unhealthy), 0);
    }
}
