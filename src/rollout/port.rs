//! What a rollout needs of the world. The engine knows these traits and no GitLab word.
//!
//! Every call is safe to repeat: "already so" is success. An error means that it is not known
//! whether the change was made, so the engine looks before it goes on. Every call ends by itself:
//! an adapter bounds each wait for the network. A call may be dropped half-way.

#![expect(
    async_fn_in_trait,
    reason = "one thread drives all: no future needs to be Send"
)]

use std::{collections::BTreeMap, fmt, time::Duration};

use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use super::journal::Journal;

/// The set of ports that one world brings: what the engine is generic over.
pub trait Ports {
    type Balancer: Balancer;
    type Remote: Remote;
    type Journal: Journal;
    type Clock: Clock;
    type Narrator: Narrator;
}

/// An adapter's error.
pub trait Fault: std::error::Error + Send + Sync + 'static {
    /// Whether the same call may succeed later. The adapter itself tries once.
    fn retry(&self) -> Retry;
}

/// Whether a call that failed is worth another try.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retry {
    /// A person has to act first: wrong signature, host key changed, no such group.
    Never,
    /// Busy, throttled, connection lost: not before that time has passed.
    After(Duration),
}

impl Retry {
    /// Worth another try, whenever the caller wants.
    pub const SOON: Self = Self::After(Duration::ZERO);
}

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

/// All backends behind the balancer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Pool {
    /// The environment's hosts.
    pub weights: BTreeMap<HostName, Weight>,
    /// Members that the environment does not name; they count as capacity and are never touched.
    pub strangers: Vec<(String, Weight)>,
}

/// The load balancer's weights.
pub trait Balancer {
    type Error: Fault;

    /// Reads all weights. Fails when a host of the environment is not a member.
    async fn pool(&self) -> Result<Pool, Self::Error>;

    /// Sets one host's weight, absolutely. Success means accepted, not yet applied.
    async fn set_weight(&self, host: &str, weight: Weight) -> Result<(), Self::Error>;
}

/// A container's health, by the image's HEALTHCHECK.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Health {
    Starting,
    Healthy,
    Unhealthy,
    /// The image has no HEALTHCHECK.
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
    pub is_running: bool,
    pub health: Health,
    pub restarts: u64,
}

impl Container {
    /// True when it runs exactly that release.
    pub fn runs(&self, release: &Release) -> bool {
        self.digests.contains(&release.reference())
    }
}

/// What a host looks like.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Survey {
    /// The service's container; `None` when there is none yet.
    pub container: Option<Container>,
    /// Names of half-made containers that an interrupted compose left.
    pub leftovers: Vec<String>,
    /// "docker-compose 1.29.2", "docker compose 2.26.1".
    pub compose: String,
    /// Bytes free where the engine keeps its images.
    pub free_bytes: u64,
    /// True while an attempt started by `switch` still runs on the host.
    pub is_switching: bool,
}

/// One production host.
pub trait Remote {
    type Error: Fault;

    /// Looks, changes nothing.
    async fn survey(&self) -> Result<Survey, Self::Error>;

    /// Makes the release's image local, by digest, and asks the host's engine whether it has
    /// exactly that digest: success is proof. `say` hears of progress every few seconds.
    async fn pull(&self, release: &Release, say: &dyn Fn(&str)) -> Result<(), Self::Error>;

    /// Counts established connections to the service, where Docker's NAT leaves them: in the
    /// container's own network namespace. Zero when that container does not run. The balancer's
    /// and the engine's own probes, which come and go, are better left out.
    async fn connections(&self, container: &str) -> Result<u64, Self::Error>;

    /// Makes compose run `reference` (anything that Docker can name and that is local), detached
    /// from the connection, and waits until compose has ended. `attempt` names it (a file name's
    /// characters): called again with the same one, it joins the attempt under way, or tells how
    /// it ended, instead of starting another. Attempts on one host never overlap: another one
    /// waits until the one under way has ended. Half-made containers that an interrupted compose
    /// left are finished or removed. Success means only that compose was content: the engine
    /// looks at the container itself.
    async fn switch(&self, attempt: &str, reference: &str) -> Result<(), Self::Error>;

    /// Waits until the service's container may have changed since the last `survey` (started,
    /// died, health), at most for `limit`. Returning early is allowed.
    async fn change(&self, limit: Duration) -> Result<(), Self::Error>;
}

/// Time, so that tests need not wait for it.
pub trait Clock {
    /// Time since some fixed moment; never goes back.
    fn now(&self) -> Duration;

    async fn sleep(&self, duration: Duration);
}

/// Who is told what happens: the job log.
pub trait Narrator {
    /// One complete line.
    fn say(&self, line: &str);

    /// Begins a part that a reader may fold away; `name` is made of letters, digits, `_`, `-`, `.`.
    fn open_section(&self, name: &str, title: &str) {
        let _ = name;
        self.say(title);
    }

    /// Ends the part that was opened under that name.
    fn close_section(&self, name: &str) {
        let _ = name;
    }
}

/// How much somebody wants the rollout to end.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Wish {
    #[default]
    GoOn,
    /// End at the next step edge.
    Stop,
    /// Asked twice: stop waiting for what is only nice to have, too.
    StopNow,
}

/// Where the wish is read. A sender that is gone wishes nothing more.
pub type Cancel = watch::Receiver<Wish>;
