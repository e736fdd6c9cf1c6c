//! What a rollout needs of the world. The engine knows these traits and no GitLab word.
//!
//! Every call is safe to repeat: "already so" is success. An error means that it is not known
//! whether the change was made, so the engine looks before it goes on. Every call ends by itself:
//! an adapter bounds each wait for the network. A call may be dropped half-way.

#![expect(
    async_fn_in_trait,
    reason = "one thread drives all: no future needs to be Send"
)]

use std::{collections::BTreeMap, time::Duration};

pub use super::fact::Fact;
pub use super::state::{
    ComposeFile, Container, Health, HostName, Member, Pool, Release, Slot, Survey, Weight,
};
use super::{debt::Debt, journal::Event};
use crate::failure::JobCode;

/// The set of ports that one world brings: what the engine is generic over.
pub trait Ports {
    type Balancer: Balancer;
    type Remote: Remote;
    type Journal: Journal;
    type Debts: Debts;
    type Clock: Clock;
    type Narrator: Narrator;
    type Cancel: Cancel;
}

/// An adapter's error.
pub trait Fault: std::error::Error + Send + Sync + 'static {
    /// Whether the same call may succeed later. The adapter itself tries once.
    fn retry(&self) -> Retry;

    /// What the author of the job has to mend; `None` for a fault of host or network.
    fn code(&self) -> Option<JobCode> {
        None
    }
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

/// The load balancer's weights.
pub trait Balancer {
    type Error: Fault;

    /// Reads all weights. A host whose member is not there is no error: the others are.
    async fn pool(&self) -> Result<Pool, Self::Error>;

    /// Sets one member's weight, absolutely. Success means accepted, not yet applied.
    async fn set_weight(&self, member: &Member, weight: Weight) -> Result<(), Self::Error>;

    /// Puts a member into its group at weight 0, on a machine that is there with another port. Success
    /// means accepted.
    async fn join(&self, member: &Member) -> Result<(), Self::Error>;

    /// Takes a member out of its group. Success means accepted.
    async fn leave(&self, member: &Member) -> Result<(), Self::Error>;

    /// What the balancer's own checks say of members that get requests: at weight 0 they may say
    /// anything. Those that nobody checks are left out.
    async fn health(&self, members: &[Member]) -> Result<BTreeMap<Member, Health>, Self::Error>;
}

/// One production host.
pub trait Remote {
    type Error: Fault;

    /// From here on these compose files come with that release; none where the hosts' own are used. Connects to
    /// nothing.
    fn bring(&self, release: &Release, files: &[ComposeFile]);

    /// Looks, changes nothing.
    async fn survey(&self) -> Result<Survey, Self::Error>;

    /// Makes the release's image local, by digest, and asks the host's engine whether it has
    /// exactly that digest: success is proof. Whatever would stop the rollout later on this host is
    /// found here, before any weight moves. The image stays, and so does the one that runs: no
    /// cleaning up on the host takes them. `say` hears of progress every few seconds.
    async fn pull(&self, release: &Release, say: &dyn Fn(&str)) -> Result<(), Self::Error>;

    /// Counts established connections to the service, where Docker's NAT leaves them: in the
    /// container's own network namespace. Zero when that container does not run; an error where they
    /// cannot be seen. The balancer's and the engine's own probes, which come and go, are better left
    /// out.
    async fn connections(&self, container: &str) -> Result<u64, Self::Error>;

    /// Looks whether requests from outside are answered: its own health check sees the container
    /// from inside.
    async fn probe(&self, slot: Slot, container: &str) -> Result<(), Self::Error>;

    /// What an instance's container wrote last and what its health check said last, for people: short
    /// lines without control characters.
    async fn last_words(&self, slot: Slot) -> Result<Vec<String>, Self::Error>;

    /// Makes compose run `reference` there (anything that Docker can name and that is local), detached
    /// from the connection, and waits until compose has ended. `attempt` names it (a file name's
    /// characters): called again with the same one, it joins the attempt under way, or tells how
    /// it ended, instead of starting another. Attempts on one host never overlap: another one
    /// waits until the one under way has ended. With a name that ends with `journal::BACK`, the compose files are
    /// made what they were before the run, and never the release's. Half-made containers that an interrupted compose
    /// left are finished or removed. Success means only that compose was content: the engine
    /// looks at the container itself.
    async fn switch(&self, slot: Slot, attempt: &str, reference: &str) -> Result<(), Self::Error>;

    /// Removes the second instance and all that was made for it.
    async fn clear(&self) -> Result<(), Self::Error>;

    /// Puts back what a switch that was cut off has changed for what a person may start there later, where
    /// what ran before it still runs.
    async fn mend(&self) -> Result<(), Self::Error>;

    /// Waits until an instance's container may have changed since the last `survey` (started,
    /// died, health), at most for `limit`. Returning early is allowed.
    async fn change(&self, limit: Duration) -> Result<(), Self::Error>;
}

/// Where a run's events go.
pub trait Journal {
    type Error: std::error::Error + Send + Sync + 'static;

    /// Adds one event; when it returns, the event survives a power cut. After an error it may or
    /// may not be there.
    async fn append(&self, event: &Event) -> Result<(), Self::Error>;
}

/// Where what is owed is kept, one for an environment.
pub trait Debts {
    type Error: std::error::Error + Send + Sync + 'static;

    /// All that is owed. An error means that nobody knows, so nothing may be begun.
    async fn read(&self) -> Result<Debt, Self::Error>;

    /// Replaces it as a whole; when it returns, it survives a power cut. After an error either is
    /// there, the old or the new.
    async fn write(&self, debt: &Debt) -> Result<(), Self::Error>;
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

    /// One line about one host, whose name is padded to `width`.
    fn say_of(&self, host: &str, text: &str, width: usize) {
        self.say(&format!("{host:width$}  {text}"));
    }

    /// Keeps a fact for the report.
    fn note(&self, fact: &Fact) {
        let _ = fact;
    }

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

/// Where the wish is read.
pub trait Cancel {
    fn wish(&self) -> Wish;

    /// Returns once somebody wants an end; never when nobody can want one any more.
    async fn stopped(&self);
}
