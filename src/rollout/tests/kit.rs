//! A world in memory: hosts, a balancer, a journal and a clock that jumps. Each call counts, and a
//! fault can be put at any of them. The world itself watches that no rule is broken by a write.

use std::{
    cell::{Cell, RefCell},
    collections::{BTreeMap, BTreeSet},
    rc::Rc,
    time::Duration,
};

use tokio::sync::{Notify, watch};

use super::model;
use crate::{
    config::{self, Percent, Rollout},
    rollout::{
        debt::Debt,
        engine::{self, Earlier, Error, Order},
        journal::{BACK, Cause, Event, Outcome, Owner, Run, Step},
        port::{
            Balancer, Cancel, Clock, ComposeFile, Container, Debts, Fault, Health, HostName,
            Journal, Member, Narrator, Pool, Ports, Release, Remote, Retry, Slot, Survey, Weight,
            Wish,
        },
        report::Report,
        world::{Glance, Noted, Settings, Waited, World},
    },
};

/// What goes wrong at a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Break {
    /// It fails and may succeed soon; nothing was done.
    Busy,
    /// It fails and will not succeed; nothing was done.
    Refuse,
    /// It is done, and the answer is lost.
    LoseAnswer,
    /// The answer is lost, and it is done only as late as the balancer may be. Only weights can.
    Late,
    /// It is accepted and not done. Only weights and switches can do that.
    Ignore,
    /// Somebody else moves the weight of the host in hand just before.
    Stranger,
    /// Somebody takes that host out of the balancer.
    TakeOut(&'static str),
    /// Somebody puts that host in.
    PutIn(&'static str),
    /// Somebody sends requests to another port of that host.
    Stray(&'static str),
    /// The host in hand cannot be reached any more, ever.
    Sever,
    /// The balancer refuses everything from here on.
    Revoke,
    /// The balancer cannot be reached from here on.
    Close,
    /// The answer takes that many seconds.
    Hang(u64),
    /// The journal's disk is full from here on.
    Fill,
    /// Everything is killed just before.
    CrashBefore,
    /// Everything is killed just after.
    CrashAfter,
    /// Somebody wants it to end.
    Stop,
    /// Somebody insists.
    StopNow,
    /// The container in hand restarts once.
    Flap,
    /// The container in hand dies for good.
    Die,
    /// Another container takes its place.
    Renew,
    /// The second instance of the host in hand dies for good.
    Fall,
}

/// How an image behaves once it is started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Manner {
    HealthyAfter(u64),
    UnhealthyAfter(u64),
    ExitsAfter(u64),
    Uncheckable,
}

#[derive(Debug)]
pub(super) struct SimError {
    retry: Retry,
}

impl std::fmt::Display for SimError {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str(if self.retry == Retry::SOON {
            "busy"
        } else {
            "refused"
        })
    }
}

impl std::error::Error for SimError {}

impl Fault for SimError {
    fn retry(&self) -> Retry {
        self.retry
    }
}

#[derive(Debug, Clone)]
pub(super) struct SimContainer {
    pub(super) id: String,
    pub(super) reference: String,
    /// What the compose files held when it was started.
    pub(super) made_of: String,
    started: Duration,
    restarts: u64,
    is_dead: bool,
    /// It died, and nobody has looked since.
    is_unnoticed: bool,
}

#[derive(Debug, Clone, Default)]
pub(super) struct SimHost {
    pub(super) container: Option<SimContainer>,
    images: Vec<String>,
    attempts: Vec<String>,
    /// When the last connection ends, once its weight is zero.
    drained_at: Duration,
    is_severed: bool,
    pub(super) leftovers: Vec<String>,
    /// What its compose files hold, and what they held before each run.
    pub(super) compose: String,
    befores: BTreeMap<String, String>,
    /// What the compose files name, once a switch has written it.
    pub(super) files: Option<String>,
    pub(super) free_bytes: u64,
    pub(super) switches: u32,
    /// Until when compose is at work there.
    pub(super) switches_until: Duration,
    /// How one version behaves on this host only, and how when it replaces what ran before.
    pub(super) manner: Option<(&'static str, Manner)>,
    pub(super) manner_in_place: Option<(&'static str, Manner)>,
    /// The second instance, and when its last connection ends.
    pub(super) bridge: Option<SimContainer>,
    bridge_drained_at: Duration,
}

pub(super) struct Sim {
    pub(super) now: Cell<Duration>,
    pub(super) weights: RefCell<BTreeMap<HostName, u8>>,
    /// The weights of second ports that are in the group.
    pub(super) bridges: RefCell<BTreeMap<HostName, u8>>,
    /// Members that the environment does not name: machine, port, weight.
    pub(super) strangers: RefCell<Vec<(String, u16, u8)>>,
    /// Weights that are applied later.
    late: RefCell<Vec<(Duration, Member, u8)>>,
    /// What each call met, where somebody counts that.
    pub(super) states: model::States,
    /// One number for all events of the journal.
    written: Cell<u64>,
    /// What is owed, as the disk has it.
    pub(super) debt: RefCell<Debt>,
    /// Weights that somebody else set, which must not be touched any more.
    pub(super) foreign: RefCell<BTreeMap<HostName, u8>>,
    pub(super) hosts: RefCell<BTreeMap<HostName, SimHost>>,
    pub(super) journal: RefCell<Vec<(String, Event)>>,
    pub(super) lines: RefCell<Vec<String>>,
    /// When each line was said.
    pub(super) said_at: RefCell<Vec<Duration>>,
    pub(super) manners: RefCell<BTreeMap<String, Manner>>,
    /// After so many probes nobody answers any more.
    pub(super) deafens_after: Cell<Option<usize>>,
    /// Hosts that the environment's file does not name any more.
    pub(super) unnamed: RefCell<BTreeSet<HostName>>,
    /// What the next release's compose files hold, and what those of each run hold.
    pub(super) brings: RefCell<Option<&'static str>>,
    kept: RefCell<BTreeMap<String, Vec<ComposeFile>>>,
    /// For which release this process brings which.
    brought: RefCell<Option<(String, String)>>,
    /// Compose files that make nothing healthy.
    pub(super) ill_files: RefCell<BTreeSet<&'static str>>,
    /// What is healthy and does not answer from outside.
    pub(super) deaf: RefCell<BTreeSet<String>>,
    /// Whether the balancer has a check of its own, and after how many seconds it calls a release
    /// healthy that is; never, where the release is none for it.
    pub(super) has_check: Cell<bool>,
    pub(super) admits_after: Cell<u64>,
    pub(super) rejects: RefCell<BTreeSet<String>>,
    /// What a host runs after it went back counts as a release that is none for the balancer.
    pub(super) rejects_restored: Cell<bool>,
    /// Machines of nobody here that the balancer calls ill.
    pub(super) ill: RefCell<BTreeSet<String>>,
    pub(super) calls: RefCell<Vec<String>>,
    /// What breaks, and at which call.
    pub(super) faults: RefCell<Vec<(usize, Break)>>,
    pub(super) rollout: RefCell<Rollout>,
    pub(super) has_balancer: Cell<bool>,
    pub(super) has_probe: Cell<bool>,
    pub(super) cause: RefCell<Cause>,
    pub(super) has_bridge: Cell<bool>,
    pub(super) has_fired: Cell<bool>,
    /// Somebody moved a weight while no run was open: then that is what the next one finds.
    pub(super) is_other: Cell<bool>,
    pub(super) violations: RefCell<Vec<String>>,
    pub(super) originals: BTreeMap<HostName, u8>,
    /// What each host ran before the first run that is still open.
    pub(super) before: RefCell<BTreeMap<HostName, Option<String>>>,
    /// How the last rollout or recovery was said to end, and its version.
    pub(super) told: RefCell<Option<(Outcome, String)>>,
    /// The weights that somebody read last, and those read last before a drain was decided.
    pub(super) seen: RefCell<BTreeMap<HostName, u8>>,
    judged: RefCell<BTreeMap<HostName, u8>>,
    /// When each host got another weight last.
    weighed: RefCell<BTreeMap<HostName, Duration>>,
    is_revoked: Cell<bool>,
    is_closed: Cell<bool>,
    is_full: Cell<bool>,
    /// The journal did not take the last event.
    is_unwritten: Cell<bool>,
    is_crashed: Cell<bool>,
    crash: Notify,
    wish: RefCell<watch::Sender<Wish>>,
    containers: Cell<u32>,
    /// When the sleeps under way end.
    sleepers: RefCell<Vec<Duration>>,
    /// How many sleeps began or ended: somebody is awake.
    slept: Cell<u32>,
}

pub(super) fn release(version: &str) -> Release {
    Release {
        image: "harbor.example.com/test/app".into(),
        digest: format!("sha256:{version}"),
        version: version.into(),
    }
}

impl SimHost {
    /// How a version behaves in the operator's own project.
    fn manner_here(&self) -> Option<(&'static str, Manner)> {
        self.manner_in_place.or(self.manner)
    }
}

impl Sim {
    /// Hosts with their weights, all on v1, healthy.
    pub(super) fn new(weights: &[(&str, u8)]) -> Rc<Self> {
        let originals: BTreeMap<_, _> =
            weights.iter().map(|(h, w)| ((*h).to_owned(), *w)).collect();
        let old = release("v1");
        let sim = Self {
            now: Cell::new(Duration::from_secs(1000)),
            weights: RefCell::new(originals.clone()),
            bridges: RefCell::default(),
            strangers: RefCell::default(),
            late: RefCell::default(),
            states: RefCell::default(),
            written: Cell::default(),
            debt: RefCell::default(),
            foreign: RefCell::default(),
            hosts: RefCell::default(),
            journal: RefCell::default(),
            lines: RefCell::default(),
            manners: RefCell::default(),
            unnamed: RefCell::default(),
            deafens_after: Cell::default(),
            brings: RefCell::default(),
            kept: RefCell::default(),
            brought: RefCell::default(),
            ill_files: RefCell::default(),
            deaf: RefCell::default(),
            has_check: Cell::new(true),
            admits_after: Cell::default(),
            rejects: RefCell::default(),
            rejects_restored: Cell::default(),
            ill: RefCell::default(),
            weighed: RefCell::default(),
            calls: RefCell::default(),
            faults: RefCell::default(),
            rollout: RefCell::default(),
            has_balancer: Cell::new(true),
            has_probe: Cell::new(false),
            cause: RefCell::default(),
            has_bridge: Cell::new(false),
            has_fired: Cell::default(),
            is_other: Cell::default(),
            violations: RefCell::default(),
            originals,
            before: RefCell::default(),
            told: RefCell::default(),
            seen: RefCell::default(),
            judged: RefCell::default(),
            is_revoked: Cell::default(),
            is_closed: Cell::default(),
            said_at: RefCell::default(),
            is_full: Cell::default(),
            is_unwritten: Cell::default(),
            is_crashed: Cell::default(),
            crash: Notify::new(),
            wish: RefCell::new(watch::Sender::new(Wish::GoOn)),
            containers: Cell::default(),
            sleepers: RefCell::default(),
            slept: Cell::default(),
        };
        for (host, _) in weights {
            let mut state = SimHost {
                free_bytes: 1 << 40,
                ..SimHost::default()
            };
            state.images.push(old.reference());
            state.container = Some(sim.container(&old.reference(), Duration::ZERO));
            sim.hosts.borrow_mut().insert((*host).to_owned(), state);
        }
        Rc::new(sim)
    }

    pub(super) fn behave(&self, version: &str, manner: Manner) {
        let reference = release(version).reference();
        self.manners.borrow_mut().insert(reference, manner);
    }

    fn container(&self, reference: &str, started: Duration) -> SimContainer {
        self.containers.set(self.containers.get() + 1);
        SimContainer {
            id: format!("container-{}", self.containers.get()),
            reference: reference.into(),
            made_of: String::new(),
            started,
            restarts: 0,
            is_dead: false,
            is_unnoticed: false,
        }
    }

    /// A container as a survey shows it now.
    fn shown(&self, container: &SimContainer, own: Option<(&str, Manner)>) -> Container {
        let age = self.now.get().saturating_sub(container.started);
        let manner = self.manners.borrow().get(&container.reference).copied();
        let own = own.filter(|(version, _)| container.reference == release(version).reference());
        let manner = own.map(|(_, manner)| manner).or(manner);
        let is_ill = self.ill_files.borrow().contains(&*container.made_of);
        let ill = is_ill && !container.started.is_zero();
        let manner = manner.or(ill.then_some(Manner::UnhealthyAfter(3)));
        let is_older = |seconds: u64| age >= Duration::from_secs(seconds);
        let (is_running, health) = match manner.unwrap_or(Manner::HealthyAfter(2)) {
            _ if container.is_dead => (false, Health::Unhealthy),
            Manner::HealthyAfter(after) if is_older(after) => (true, Health::Healthy),
            Manner::UnhealthyAfter(after) if is_older(after) => (true, Health::Unhealthy),
            Manner::ExitsAfter(after) if is_older(after) => (false, Health::Unhealthy),
            Manner::HealthyAfter(_) | Manner::UnhealthyAfter(_) | Manner::ExitsAfter(_) => {
                (true, Health::Starting)
            }
            Manner::Uncheckable => (true, Health::None),
        };
        Container {
            id: container.id.clone(),
            reference: container.reference.clone(),
            image: format!("image of {}", container.reference),
            digests: vec![container.reference.clone()],
            is_running,
            is_paused: false,
            health,
            restarts: container.restarts,
        }
    }

    pub(super) fn is_serving(&self, host: &str) -> bool {
        let hosts = self.hosts.borrow();
        let host = hosts.get(host).unwrap();
        host.container.as_ref().is_some_and(|container| {
            let shown = self.shown(container, host.manner_here());
            shown.is_running && matches!(shown.health, Health::Healthy | Health::None)
        })
    }

    /// As far as somebody who looked last can know.
    pub(super) fn seems_serving(&self, host: &str) -> bool {
        let is_unnoticed = |host: &SimHost| host.container.as_ref().is_some_and(|c| c.is_unnoticed);
        self.is_serving(host) || self.hosts.borrow().get(host).is_some_and(is_unnoticed)
    }

    /// True for a host that died by itself.
    pub(super) fn has_died(&self, host: &str) -> bool {
        let hosts = self.hosts.borrow();
        let container = hosts.get(host).and_then(|host| host.container.as_ref());
        container.is_some_and(|container| container.is_dead)
    }

    /// The same, running what it ran when all began.
    pub(super) fn died_untouched(&self, host: &str) -> bool {
        self.has_died(host) && self.hosts.borrow()[host].switches == 0
    }

    /// What a host runs.
    pub(super) fn runs(&self, host: &str) -> Option<String> {
        let hosts = self.hosts.borrow();
        let container = hosts.get(host)?.container.as_ref()?;
        container.reference.rsplit(':').next().map(str::to_owned)
    }

    fn rule(&self, is_kept: bool, what: impl FnOnce() -> String) {
        if !is_kept && !self.is_other.get() {
            let text = format!("call {}: {}", self.calls.borrow().len(), what());
            self.violations.borrow_mut().push(text);
        }
    }

    /// The last event of a host in the newest run.
    fn last_intent(&self, host: &str) -> Option<Step> {
        let journal = self.journal.borrow();
        journal.iter().rev().find_map(|(_, event)| match event {
            Event::Intent { host: h, step, .. } if h == host => Some(*step),
            _ => None,
        })
    }

    /// Counts a call and breaks it where the plan says so. True when it takes effect.
    async fn call(&self, name: &str, host: &str) -> Result<Effect, SimError> {
        self.calls
            .borrow_mut()
            .push(format!("{name} {host}").trim_end().to_owned());
        let number = self.calls.borrow().len();
        tokio::task::yield_now().await;
        self.stay_dead().await;
        self.apply_late();
        if let Some(states) = &mut *self.states.borrow_mut() {
            states.push(self.number(name, host));
        }
        let transient = || SimError { retry: Retry::SOON };
        let refused = || SimError {
            retry: Retry::Never,
        };
        let fault = self
            .faults
            .borrow()
            .iter()
            .find(|(at, _)| *at == number)
            .copied();
        if let Some((_, what)) = fault {
            self.has_fired.set(true);
            match what {
                Break::Busy => return Err(transient()),
                Break::Refuse => return Err(refused()),
                Break::LoseAnswer => return Ok(Effect::Unanswered),
                Break::Late if matches!(name, "set_weight" | "weigh") => return Ok(Effect::Late),
                Break::Ignore
                    if matches!(name, "set_weight" | "switch" | "weigh" | "join" | "leave") =>
                {
                    return Ok(Effect::None);
                }
                Break::Ignore | Break::Late => {}
                Break::CrashAfter => return Ok(Effect::Last),
                Break::CrashBefore => self.die().await,
                Break::Stranger => self.meddle(host, 37),
                Break::TakeOut(name) => self.meddle(name, 0),
                Break::PutIn(name) => self.meddle(name, 37),
                Break::Stray(name) => {
                    let mut strangers = self.strangers.borrow_mut();
                    strangers.push((name.to_owned(), 8080, 50));
                }
                Break::Sever => self.edit(host, |host| host.is_severed = true),
                Break::Revoke => self.is_revoked.set(true),
                Break::Close => self.is_closed.set(true),
                Break::Hang(seconds) => self.sleep(Duration::from_secs(seconds)).await,
                Break::Fill => self.is_full.set(true),
                Break::Stop => drop(self.wish.borrow().send_replace(Wish::Stop)),
                Break::StopNow => drop(self.wish.borrow().send_replace(Wish::StopNow)),
                Break::Renew => {
                    let now = self.now.get();
                    self.edit_container(host, |container| container.started = now);
                }
                Break::Fall => self.edit(host, |host| {
                    if let Some(bridge) = &mut host.bridge {
                        bridge.is_dead = true;
                        bridge.is_unnoticed = true;
                    }
                }),
                Break::Flap => self.edit_container(host, |container| container.restarts += 1),
                Break::Die => self.edit_container(host, |container| {
                    container.is_dead = true;
                    container.is_unnoticed = true;
                }),
            }
        }
        self.barred(name, host)
    }

    /// What was broken for good before.
    fn barred(&self, name: &str, host: &str) -> Result<Effect, SimError> {
        let is_severed = self.hosts.borrow().get(host).is_some_and(|h| h.is_severed);
        let is_balancer = BALANCER.contains(&name);
        let is_remote = !is_balancer && name != "append";
        if is_severed && is_remote {
            return Err(SimError { retry: Retry::SOON });
        }
        if self.is_closed.get() && is_balancer {
            return Err(SimError { retry: Retry::SOON });
        }
        if self.is_revoked.get() && is_balancer {
            return Err(SimError {
                retry: Retry::Never,
            });
        }
        if self.is_full.get() && matches!(name, "append" | "write_debt") {
            return Err(SimError {
                retry: Retry::Never,
            });
        }
        Ok(Effect::Full)
    }

    /// Applies what was accepted long enough ago.
    fn apply_late(&self) {
        let now = self.now.get();
        let (due, rest) = self
            .late
            .take()
            .into_iter()
            .partition(|(at, _, _)| *at <= now);
        self.late.replace(rest);
        let due: Vec<(Duration, Member, u8)> = due;
        for (_, member, weight) in due {
            self.apply(&member, weight);
        }
    }

    fn apply(&self, member: &Member, weight: u8) {
        let host = member.server.as_str();
        let is_bridge = *member == bridge_member(host);
        let weights = if is_bridge {
            &self.bridges
        } else {
            &self.weights
        };
        let mut lowered = false;
        if let Some(applied) = weights.borrow_mut().get_mut(host) {
            lowered = weight < *applied;
            *applied = weight;
            let now = self.now.get();
            self.weighed.borrow_mut().insert(member.to_string(), now);
        }
        if lowered {
            self.watch_sum(member);
        }
        let drained = self.now.get() + self.rollout.borrow().drain_quiet * 4 / 5;
        self.edit(host, |host| {
            if is_bridge {
                host.bridge_drained_at = drained;
            } else {
                host.drained_at = drained;
            }
        });
    }

    fn meddle(&self, host: &str, foreign: u8) {
        // Who sets what is there already has not moved anything.
        if let Some(weight) = self.weights.borrow_mut().get_mut(host)
            && *weight != foreign
        {
            *weight = foreign;
            let is_start_first = self.rollout.borrow().order == config::Order::StartFirst;
            if is_start_first && !self.has_open_run() {
                self.is_other.set(true);
                return;
            }
            // While ours is on its way or owed, a zero cannot be told from it.
            if foreign == 0 && self.is_taken(host) {
                return;
            }
            self.foreign.borrow_mut().insert(host.to_owned(), foreign);
        }
    }

    /// True when a weight is owed and a write may have been made since that was written down.
    fn is_taken(&self, host: &str) -> bool {
        let calls = self.calls.borrow();
        let write = format!("set_weight {host}");
        let since = calls.iter().rev().take_while(|call| *call != "write_debt");
        self.debt.borrow().of(&member(host)).is_some() && since.into_iter().any(|it| *it == write)
    }

    pub(super) fn edit(&self, host: &str, change: impl FnOnce(&mut SimHost)) {
        if let Some(host) = self.hosts.borrow_mut().get_mut(host) {
            change(host);
        }
    }

    pub(super) fn edit_container(&self, host: &str, change: impl FnOnce(&mut SimContainer)) {
        self.edit(host, |host| {
            if let Some(container) = &mut host.container {
                change(container);
            }
        });
    }

    async fn die(&self) {
        self.is_crashed.set(true);
        self.crash.notify_one();
        std::future::pending::<()>().await;
    }

    /// A process that was killed does nothing more.
    async fn stay_dead(&self) {
        if self.is_crashed.get() {
            std::future::pending::<()>().await;
        }
    }

    /// What a call answers in the end.
    async fn answer<T>(&self, effect: Effect, value: T) -> Result<T, SimError> {
        match effect {
            Effect::Full | Effect::None => Ok(value),
            Effect::Unanswered | Effect::Late => Err(SimError { retry: Retry::SOON }),
            Effect::Last => {
                self.die().await;
                Ok(value)
            }
        }
    }

    /// One number for this state of the world, at a call.
    fn number(&self, name: &str, host: &str) -> u64 {
        let now = self.now.get();
        let hosts = self.hosts.borrow();
        let hosts: Vec<_> = hosts
            .values()
            .map(|it| {
                let container = it.container.as_ref();
                let container = container.map(|c| {
                    let age = now.saturating_sub(c.started).as_secs().min(4);
                    (&c.reference, c.restarts, c.is_dead, age)
                });
                let drains = it.drained_at.saturating_sub(now);
                let bridge = it.bridge.as_ref();
                let bridge = bridge.map(|c| {
                    let age = now.saturating_sub(c.started).as_secs().min(4);
                    (&c.reference, c.is_dead, age)
                });
                (container, it.images.len(), drains, it.is_severed, bridge)
            })
            .collect();
        let late = self.late.borrow();
        let late: Vec<_> = late
            .iter()
            .map(|(at, member, weight)| (at.saturating_sub(now), member.to_string(), weight))
            .collect();
        let journal = self.written.get();
        let debt = format!("{:?}", self.debt.borrow());
        let weights = self.weights.borrow();
        let bridges = self.bridges.borrow();
        let weights = (&*weights, &*bridges);
        model::number_of((name, host, hosts, late, journal, debt, weights))
    }

    /// Begins anew after a crash, with the faults that are still to come.
    pub(super) fn go_on(&self) {
        self.is_crashed.set(false);
        *self.wish.borrow_mut() = watch::Sender::new(Wish::GoOn);
    }

    /// Lets time pass, and what was accepted be applied.
    pub(super) fn wait(&self, seconds: u64) {
        self.now.set(self.now.get() + Duration::from_secs(seconds));
        self.apply_late();
    }

    /// Starts over after a crash: a new process in the same world.
    pub(super) fn revive(&self) {
        self.is_crashed.set(false);
        self.faults.borrow_mut().clear();
        *self.wish.borrow_mut() = watch::Sender::new(Wish::GoOn);
    }

    /// Mends what a fault broke for good.
    pub(super) fn mend(&self) {
        self.revive();
        self.is_revoked.set(false);
        self.is_closed.set(false);
        self.is_full.set(false);
        for host in self.hosts.borrow_mut().values_mut() {
            host.is_severed = false;
        }
    }

    /// The runs left open, newest first.
    pub(super) fn open_runs(self: &Rc<Self>) -> Vec<Earlier<SimJournal>> {
        let journal = self.journal.borrow();
        let mut ids: Vec<&String> = journal.iter().map(|(id, _)| id).collect();
        ids.dedup();
        let mut seen = Vec::new();
        let runs = ids.into_iter().rev().filter_map(|id| {
            if seen.contains(&id) {
                return None;
            }
            seen.push(id);
            let events = journal.iter().filter(|(run, _)| run == id);
            let run = Run::fold(events.map(|(_, event)| event))?;
            run.is_open().then(|| Earlier {
                run,
                journal: SimJournal(self.clone(), id.clone()),
                files: self.kept.borrow().get(id).cloned().unwrap_or_default(),
            })
        });
        runs.collect()
    }

    fn world(self: &Rc<Self>) -> World<SimPorts> {
        self.brought.take();
        let mut names: Vec<_> = self.hosts.borrow().keys().cloned().collect();
        names.sort();
        names.retain(|name| !self.unnamed.borrow().contains(name));
        World {
            balancer: self.has_balancer.get().then(|| SimBalancer(self.clone())),
            hosts: names
                .into_iter()
                .map(|name| (name.clone(), SimRemote(self.clone(), name)))
                .collect(),
            debts: SimDebts(self.clone()),
            waited: Waited::default(),
            noted: Noted::default(),
            clock: SimClock(self.clone()),
            narrator: SimNarrator(self.clone()),
            cancel: SimCancel(self.wish.borrow().subscribe()),
        }
    }

    /// What every host runs is what a rollout that fails goes back to.
    fn remember(&self) {
        let names: Vec<_> = self.hosts.borrow().keys().cloned().collect();
        let before = names
            .into_iter()
            .map(|host| (host.clone(), self.runs(&host)));
        *self.before.borrow_mut() = before.collect();
    }

    /// Rolls a version out; `None` when the process was killed.
    pub(super) fn roll_out(self: &Rc<Self>, version: &str) -> Option<Result<Report, Error>> {
        let run = format!("run-{}", self.journal.borrow().len());
        let files = self.brings.borrow().map(|text| ComposeFile {
            path: "compose.yaml".into(),
            text: text.into(),
        });
        let files = Vec::from_iter(files);
        self.kept.borrow_mut().insert(run.clone(), files.clone());
        let order = Order {
            run: run.clone(),
            release: release(version),
            files,
            owner: Owner {
                project: 42,
                pipeline: 77,
                job: 1001,
            },
            cause: self.cause.borrow().clone(),
            journal: SimJournal(self.clone(), run),
        };
        let world = self.world();
        let earlier = self.open_runs();
        if earlier.is_empty() {
            self.remember();
        }
        self.told.take();
        let ended = self.until_killed(async {
            engine::roll_out(&world, &self.settings(), &order, &earlier).await
        });
        if let Some(Ok(report)) = &ended {
            let told = (report.outcome, report.version.clone());
            self.told.replace(Some(told));
        }
        ended
    }

    /// Recovers; `None` when the process was killed.
    pub(super) fn recover(self: &Rc<Self>) -> Option<Result<Vec<Report>, Error>> {
        let world = self.world();
        let earlier = self.open_runs();
        self.told.take();
        let ended = self.until_killed(async {
            let recovered = engine::recover(&world, &self.settings(), &earlier).await;
            recovered.map(|recovered| recovered.reports)
        });
        // Of several runs, each has an end of its own; one that was never begun says nothing of hosts.
        if let Some(Ok(reports)) = &ended
            && let [report] = reports.as_slice()
            && !report.hosts.is_empty()
        {
            let told = (report.outcome, report.version.clone());
            self.told.replace(Some(told));
        }
        ended
    }

    /// Looks once, for at most that long.
    pub(super) fn glance(self: &Rc<Self>, limit: Duration) -> Glance {
        let world = self.world();
        self.until_killed(async { world.glance(limit).await })
            .unwrap()
    }

    /// The clock jumps to the earliest end of a sleep once every call had time to answer.
    async fn sleep(&self, duration: Duration) {
        let sleeper = Sleeper::new(self, self.now.get() + duration);
        let mut quiet = 0;
        let mut slept = self.slept.get();
        while self.now.get() < sleeper.until {
            self.stay_dead().await;
            tokio::task::yield_now().await;
            quiet = if slept == self.slept.get() {
                quiet + 1
            } else {
                0
            };
            slept = self.slept.get();
            let is_next = self.sleepers.borrow().iter().min() == Some(&sleeper.until);
            if quiet > TURNS && is_next {
                self.now.set(sleeper.until);
            }
        }
    }

    fn settings(&self) -> Settings {
        Settings {
            environment: "production".into(),
            rollout: self.rollout.borrow().clone(),
            has_probe: self.has_probe.get(),
            has_bridge: self.has_bridge.get(),
            versions: vec![release("v1"), release("v2"), release("v3")],
        }
    }

    /// Short waits, so that a rollout is few calls.
    pub(super) fn be_brisk(&self) {
        let mut rollout = self.rollout.borrow_mut();
        rollout.propagation = Duration::from_secs(1);
        rollout.drain_quiet = Duration::from_secs(1);
        rollout.min_healthy_time = Duration::from_secs(2);
        rollout.healthy_deadline = Duration::from_mins(1);
        rollout.bake_time = Duration::from_secs(2);
        if rollout.order == config::Order::StopFirst {
            rollout.min_capacity = Percent::new(66);
        }
    }

    fn until_killed<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap();
        runtime.block_on(async {
            tokio::select! {
                result = work => Some(result),
                () = self.crash.notified() => None,
            }
        })
    }

    /// The journal as people would read it.
    pub(super) fn steps(&self) -> Vec<String> {
        let journal = self.journal.borrow();
        journal
            .iter()
            .map(|(_, event)| format!("{event:?}"))
            .collect()
    }
}

/// The calls of the balancer.
const BALANCER: [&str; 6] = ["pool", "set_weight", "health", "weigh", "join", "leave"];

/// How much of a call happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Effect {
    Full,
    None,
    Unanswered,
    Late,
    /// And then the process is killed.
    Last,
}

pub(super) struct SimPorts;

impl Ports for SimPorts {
    type Balancer = SimBalancer;
    type Remote = SimRemote;
    type Journal = SimJournal;
    type Debts = SimDebts;
    type Clock = SimClock;
    type Narrator = SimNarrator;
    type Cancel = SimCancel;
}

pub(super) struct SimCancel(watch::Receiver<Wish>);

impl Cancel for SimCancel {
    fn wish(&self) -> Wish {
        *self.0.borrow()
    }

    async fn stopped(&self) {
        let mut wish = self.0.clone();
        if wish.wait_for(|wish| *wish > Wish::GoOn).await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

pub(super) fn member(host: &str) -> Member {
    Member {
        balancer: "lb-1".into(),
        group: "rsp-1".into(),
        server: host.into(),
        port: 3131,
    }
}

pub(super) fn bridge_member(host: &str) -> Member {
    Member {
        port: 3132,
        ..member(host)
    }
}

pub(super) struct SimDebts(Rc<Sim>);

impl Debts for SimDebts {
    type Error = SimError;

    async fn read(&self) -> Result<Debt, SimError> {
        let effect = self.0.call("read_debt", "").await?;
        let debt = self.0.debt.borrow().clone();
        self.0.answer(effect, debt).await
    }

    async fn write(&self, debt: &Debt) -> Result<(), SimError> {
        let effect = self.0.call("write_debt", "").await?;
        if effect != Effect::None {
            self.0.debt.borrow_mut().clone_from(debt);
        }
        self.0.answer(effect, ()).await
    }
}

pub(super) struct SimBalancer(Rc<Sim>);

impl Balancer for SimBalancer {
    type Error = SimError;

    async fn pool(&self) -> Result<Pool, SimError> {
        let effect = self.0.call("pool", "").await?;
        let weights = self.0.weights.borrow().clone();
        self.0.seen.borrow_mut().clone_from(&weights);
        let strangers = self.0.strangers.borrow().clone();
        let weight = |number: u8| Weight::new(number).unwrap();
        let unnamed = self.0.unnamed.borrow().clone();
        let hosts = self.0.originals.keys();
        let hosts = hosts.filter(|host| !unnamed.contains(*host));
        let own = weights.into_iter().map(|(h, w)| (member(&h), weight(w)));
        let others = strangers.into_iter().map(|(server, port, w)| {
            (
                Member {
                    port,
                    ..member(&server)
                },
                weight(w),
            )
        });
        let bridges = self.0.bridges.borrow().clone();
        let bridges = bridges.into_iter();
        let bridges = bridges.map(|(h, w)| (bridge_member(&h), weight(w)));
        let seconds = hosts.clone().filter(|_| self.0.has_bridge.get());
        let pool = Pool {
            own: hosts.map(|host| (host.clone(), member(host))).collect(),
            bridges: seconds.map(|it| (it.clone(), bridge_member(it))).collect(),
            weights: own.chain(others).chain(bridges).collect(),
            health: BTreeMap::new(),
        };
        self.0.answer(effect, pool).await
    }

    async fn health(&self, members: &[Member]) -> Result<BTreeMap<Member, Health>, SimError> {
        let effect = self.0.call("health", "").await?;
        let members = members.iter().filter(|_| self.0.has_check.get());
        let health = members.map(|it| (it.clone(), self.0.checked(it)));
        self.0.answer(effect, health.collect()).await
    }

    async fn set_weight(&self, member: &Member, weight: Weight) -> Result<(), SimError> {
        let host = member.server.as_str();
        let is_bridge = *member == bridge_member(host);
        let name = if is_bridge { "weigh" } else { "set_weight" };
        let effect = self.0.call(name, host).await?;
        if effect != Effect::None && is_bridge {
            self.0.watch_bridge(host, weight.value());
        } else if effect != Effect::None {
            self.0.watch(host, weight.value());
        }
        if effect == Effect::Late {
            let at = self.0.now.get() + self.0.rollout.borrow().propagation;
            let late = (at, member.clone(), weight.value());
            self.0.late.borrow_mut().push(late);
        } else if effect != Effect::None {
            self.0.apply(member, weight.value());
        }
        self.0.answer(effect, ()).await
    }

    async fn join(&self, member: &Member) -> Result<(), SimError> {
        let host = member.server.as_str();
        let effect = self.0.call("join", host).await?;
        if effect != Effect::None {
            let mut bridges = self.0.bridges.borrow_mut();
            bridges.entry(host.to_owned()).or_default();
        }
        self.0.answer(effect, ()).await
    }

    async fn leave(&self, member: &Member) -> Result<(), SimError> {
        let host = member.server.as_str();
        let effect = self.0.call("leave", host).await?;
        if effect != Effect::None {
            let weight = self.0.bridges.borrow_mut().remove(host);
            self.0.rule(weight.is_none_or(|weight| weight == 0), || {
                format!("the second port of {host} leaves with weight {weight:?}")
            });
        }
        self.0.answer(effect, ()).await
    }
}

impl Sim {
    /// What the balancer's own check says of a machine.
    fn checked(&self, member: &Member) -> Health {
        let server = member.server.as_str();
        let is_bridge = *member == bridge_member(server);
        if !self.originals.contains_key(server) {
            let is_ill = self.ill.borrow().contains(server);
            return if is_ill {
                Health::Unhealthy
            } else {
                Health::Healthy
            };
        }
        let runs = if is_bridge {
            self.bridge_runs(server)
        } else {
            self.runs(server)
        };
        let runs = runs.unwrap_or_default();
        let weights = if is_bridge {
            &self.bridges
        } else {
            &self.weights
        };
        let is_serving = if is_bridge {
            self.is_bridge_serving(server)
        } else {
            self.is_serving(server)
        };
        let since = self.weighed.borrow().get(&member.to_string()).copied();
        let since = self.now.get().saturating_sub(since.unwrap_or_default());
        // Who is at weight 0, or was a moment ago, counts as healthy.
        let is_felt = since >= self.rollout.borrow().propagation;
        if !is_felt || weights.borrow().get(server) == Some(&0) {
            return Health::Healthy;
        }
        let is_restored = self.hosts.borrow()[server].switches > 1;
        let is_rejected =
            self.rejects.borrow().contains(&runs) || (is_restored && self.rejects_restored.get());
        if !is_serving || is_rejected {
            Health::Unhealthy
        } else if since < Duration::from_secs(self.admits_after.get()) {
            Health::Starting
        } else {
            Health::Healthy
        }
    }

    /// The rules at every write of a weight.
    fn watch(&self, host: &str, weight: u8) {
        let original = self.originals.get(host).copied().unwrap_or_default();
        self.rule(weight == 0 || weight == original, || {
            format!("I4: {host} gets weight {weight}, and it had {original}")
        });
        // A stranger that comes between look and write cannot be seen: ours is the last word.
        if self.is_race() {
            self.foreign.borrow_mut().remove(host);
        }
        self.rule(!self.foreign.borrow().contains_key(host), || {
            format!("I7: {host} has a stranger's weight")
        });
        let has_image = self
            .hosts
            .borrow()
            .values()
            .all(|host| host.images.len() > 1 || host.container.is_none());
        self.rule(has_image, || {
            "I10: a weight moves before all hosts have the image".into()
        });
        let ran_nothing = self
            .hosts
            .borrow()
            .get(host)
            .is_some_and(|h| h.container.is_none());
        self.rule(
            weight == 0 || ran_nothing || self.seems_serving(host),
            || format!("I14: {host} gets weight {weight} and is not healthy"),
        );
        let wanted = if weight == 0 {
            Step::Drain
        } else {
            Step::Admit
        };
        let is_journaled = self.last_intent(host) == Some(wanted) || self.is_unwritten.get();
        let is_left_out = weight == 0 && !self.is_serving(host);
        // What is owed is given back also where no run is open.
        let is_repaid = weight > 0 && !self.has_open_run();
        self.rule(is_journaled || is_left_out || is_repaid, || {
            format!("I18: the weight of {host} moves without an intent")
        });
        let is_owed = || self.debt.borrow().of(&member(host)).is_some();
        self.rule(weight > 0 || is_owed(), || {
            format!("{host} loses its weight, and nobody wrote down that it is owed")
        });
        if weight == 0 && self.is_serving(host) {
            let is_awaited = |other: &&HostName| {
                let health = self.checked(&member(other));
                *other != host && self.is_serving(other) && health == Health::Starting
            };
            let awaited = self.originals.keys().find(is_awaited).cloned();
            self.rule(awaited.is_none() || !self.has_check.get(), || {
                format!("{host} is taken out before {awaited:?} was admitted")
            });
            self.watch_floor(host);
        }
    }

    /// The rules at every write of a second port's weight.
    fn watch_bridge(&self, host: &str, weight: u8) {
        let wanted = if weight == 0 {
            Step::Retire
        } else {
            Step::Share
        };
        let is_journaled = self.last_intent(host) == Some(wanted) || self.is_unwritten.get();
        self.rule(is_journaled, || {
            format!("I18: the second port of {host} gets weight {weight} without an intent")
        });
        self.rule(weight == 0 || self.has_second(host), || {
            format!("I14: the second port of {host} gets weight {weight}, and nothing runs there")
        });
        let original = self.originals[host];
        self.rule(weight <= original, || {
            format!("the second port of {host} gets weight {weight}, and the host had {original}")
        });
    }

    fn has_second(&self, host: &str) -> bool {
        self.hosts.borrow()[host].bridge.is_some()
    }

    pub(super) fn is_bridge_serving(&self, host: &str) -> bool {
        let hosts = self.hosts.borrow();
        let host = &hosts[host];
        host.bridge.as_ref().is_some_and(|container| {
            let shown = self.shown(container, host.manner);
            shown.is_running && matches!(shown.health, Health::Healthy | Health::None)
        })
    }

    /// What the second instance of a host runs.
    fn bridge_runs(&self, host: &str) -> Option<String> {
        let hosts = self.hosts.borrow();
        let container = hosts[host].bridge.as_ref()?;
        container.reference.rsplit(':').next().map(str::to_owned)
    }

    /// What is there of a second instance.
    pub(super) fn seconds(&self) -> Vec<String> {
        let hosts = self.originals.keys();
        let left = hosts.filter(|it| {
            self.bridges.borrow().contains_key(*it) || self.hosts.borrow()[*it].bridge.is_some()
        });
        left.cloned().collect()
    }

    /// With start-first the sum of the weights does not fall, but for hosts that serve nothing.
    fn watch_sum(&self, lowered: &Member) {
        let is_start_first = self.rollout.borrow().order == config::Order::StartFirst;
        if !is_start_first || !self.foreign.borrow().is_empty() {
            return;
        }
        let host = lowered.server.as_str();
        if !self.seems_serving(host) {
            return;
        }
        let sum = |weights: &BTreeMap<HostName, u8>| weights.values().map(|w| u32::from(*w)).sum();
        let (own, seconds): (u32, u32) = (sum(&self.weights.borrow()), sum(&self.bridges.borrow()));
        let dead = self
            .originals
            .iter()
            .filter(|(it, _)| !self.seems_serving(it));
        let dead: u32 = dead.map(|(_, w)| u32::from(*w)).sum();
        let total: u32 = sum(&self.originals);
        self.rule(own + seconds + dead >= total, || {
            format!(
                "{lowered} is lowered, and the sum falls to {} of {total}",
                own + seconds
            )
        });
    }

    /// True when somebody moves a weight at this very call.
    fn is_race(&self) -> bool {
        let now = self.calls.borrow().len();
        let is_move = |what: &Break| matches!(what, Break::Stranger | Break::TakeOut(_));
        let faults = self.faults.borrow();
        faults.iter().any(|(at, what)| *at == now && is_move(what))
    }

    fn has_open_run(&self) -> bool {
        let journal = self.journal.borrow();
        let is_closed = |id: &String| {
            let is_end =
                |(run, event): &(String, Event)| run == id && matches!(event, Event::Closed { .. });
            journal.iter().any(is_end)
        };
        journal.iter().any(|(id, _)| !is_closed(id))
    }

    fn watch_floor(&self, host: &str) {
        // What changes between the decision and the write cannot be seen.
        let weights = self.judged.borrow();
        let others = weights
            .iter()
            .filter(|(h, _)| *h != host && self.seems_serving(h));
        let strangers: u32 = self
            .strangers
            .borrow()
            .iter()
            .filter(|(server, _, _)| !self.originals.contains_key(server))
            .map(|(_, _, w)| u32::from(*w))
            .sum();
        let left: u32 = others.map(|(_, w)| u32::from(*w)).sum::<u32>() + strangers;
        let second = self.bridges.borrow().get(host).copied();
        let is_fallen = |host: &SimHost| host.bridge.as_ref().is_some_and(|it| it.is_unnoticed);
        let is_unnoticed = is_fallen(&self.hosts.borrow()[host]);
        let second = second.filter(|_| self.is_bridge_serving(host) || is_unnoticed);
        let left = left + u32::from(second.unwrap_or_default());
        let total: u32 = self.originals.values().map(|w| u32::from(*w)).sum::<u32>() + strangers;
        let own = u32::from(self.originals[host]);
        let percent = self.rollout.borrow().min_capacity;
        let is_kept = match percent.map(Percent::value) {
            Some(percent) => left * 100 >= total * u32::from(percent),
            None => left > 0 && left + own >= total,
        };
        self.rule(is_kept || self.rollout.borrow().allow_downtime, || {
            format!("I1: without {host} only {left} of {total} serve")
        });
    }
}

pub(super) struct SimRemote(Rc<Sim>, HostName);

impl Remote for SimRemote {
    type Error = SimError;

    fn bring(&self, release: &Release, files: &[ComposeFile]) {
        let brought = files.first();
        let brought = brought.map(|file| (release.reference(), file.text.clone()));
        self.0.brought.replace(brought);
    }

    async fn survey(&self) -> Result<Survey, SimError> {
        let effect = self.0.call("survey", &self.1).await?;
        let host = self.0.hosts.borrow().get(&self.1).cloned().unwrap();
        let survey = Survey {
            container: host
                .container
                .as_ref()
                .map(|container| self.0.shown(container, host.manner_here())),
            bridge: host
                .bridge
                .as_ref()
                .map(|container| self.0.shown(container, host.manner)),
            leftovers: host.leftovers,
            compose: "docker-compose 1.29.2".into(),
            free_bytes: host.free_bytes,
            is_switching: host.switches_until > self.0.now.get(),
            is_outdated: self.is_outdated(),
        };
        self.0
            .edit_container(&self.1, |container| container.is_unnoticed = false);
        self.0.edit(&self.1, |host| {
            if let Some(bridge) = &mut host.bridge {
                bridge.is_unnoticed = false;
            }
        });
        self.0.answer(effect, survey).await
    }

    async fn pull(&self, release: &Release, say: &dyn Fn(&str)) -> Result<(), SimError> {
        let effect = self.0.call("pull", &self.1).await?;
        if effect != Effect::None {
            say("pulling");
            self.0
                .edit(&self.1, |host| host.images.push(release.reference()));
        }
        self.0.answer(effect, ()).await
    }

    async fn connections(&self, container: &str) -> Result<u64, SimError> {
        let effect = self.0.call("connections", &self.1).await?;
        let hosts = self.0.hosts.borrow().clone();
        let host = &hosts[&self.1];
        let is_second = host.bridge.as_ref().is_some_and(|it| it.id == container);
        let drained_at = if is_second {
            host.bridge_drained_at
        } else {
            host.drained_at
        };
        let left = drained_at.saturating_sub(self.0.now.get());
        self.0.answer(effect, left.as_secs().min(3)).await
    }

    async fn probe(&self, slot: Slot, container: &str) -> Result<(), SimError> {
        let effect = self.0.call("probe", &self.1).await?;
        let hosts = self.0.hosts.borrow().clone();
        let is_deaf =
            |it: &SimContainer| it.id == container && self.0.deaf.borrow().contains(&it.reference);
        let is_probe = |call: &&String| call.starts_with("probe ");
        let asked = self.0.calls.borrow().iter().filter(is_probe).count();
        let has_gone_deaf = self.0.deafens_after.get().is_some_and(|it| asked > it);
        let asked = match slot {
            Slot::Own => hosts[&self.1].container.as_ref(),
            Slot::Bridge => hosts[&self.1].bridge.as_ref(),
        };
        if has_gone_deaf || asked.is_some_and(is_deaf) {
            return Err(SimError { retry: Retry::SOON });
        }
        self.0.answer(effect, ()).await
    }

    async fn last_words(&self, _slot: Slot) -> Result<Vec<String>, SimError> {
        let effect = self.0.call("last words", &self.1).await?;
        let words = vec!["log: cannot open the database".to_owned()];
        self.0.answer(effect, words).await
    }

    async fn switch(&self, slot: Slot, attempt: &str, reference: &str) -> Result<(), SimError> {
        if slot == Slot::Bridge {
            return self.start_bridge(attempt, reference).await;
        }
        // Files come before containers: whoever is killed between has changed these alone.
        let before = self.0.hosts.borrow()[&self.1].clone();
        self.write_files(attempt, reference);
        let called = self.0.call("switch", &self.1).await;
        if !matches!(called, Ok(effect) if effect != Effect::None) {
            self.0.edit(&self.1, |host| {
                host.files = before.files;
                host.compose = before.compose;
                host.befores = before.befores;
            });
        }
        let effect = called?;
        let is_drained = !self.0.has_balancer.get()
            || self
                .0
                .weights
                .borrow()
                .get(&self.1)
                .is_none_or(|weight| *weight == 0);
        // A stranger that comes between look and switch cannot be seen.
        let is_race = self.0.is_race();
        self.0
            .rule(is_drained || !self.0.is_serving(&self.1) || is_race, || {
                format!("{} is switched while it serves", self.1)
            });
        let is_journaled =
            self.0.last_intent(&self.1) == Some(Step::Switch) || self.0.is_unwritten.get();
        self.0.rule(is_journaled, || {
            format!("I18: {} is switched without an intent", self.1)
        });
        let started = self.0.now.get() + Duration::from_secs(1);
        let is_known = self
            .0
            .hosts
            .borrow()
            .get(&self.1)
            .unwrap()
            .attempts
            .contains(&attempt.to_owned());
        if effect != Effect::None && !is_known {
            let container = self.0.container(reference, started);
            self.0.edit(&self.1, |host| {
                host.attempts.push(attempt.into());
                host.switches += 1;
                host.leftovers.clear();
                let made_of = host.compose.clone();
                host.container = Some(SimContainer {
                    made_of,
                    ..container
                });
            });
        }
        self.0.now.set(started);
        self.0.answer(effect, ()).await
    }

    async fn clear(&self) -> Result<(), SimError> {
        let effect = self.0.call("clear", &self.1).await?;
        let weight = self.0.bridges.borrow().get(&self.1).copied();
        self.0.rule(weight.unwrap_or_default() == 0, || {
            format!("the second instance of {} goes while it serves", self.1)
        });
        self.0.edit(&self.1, |host| host.bridge = None);
        self.0.answer(effect, ()).await
    }

    async fn mend(&self) -> Result<(), SimError> {
        let effect = self.0.call("mend", &self.1).await?;
        if effect != Effect::None {
            self.0.edit(&self.1, |host| {
                let named = host.container.as_ref().map(|it| it.reference.clone());
                host.files = host.files.take().and(named);
                let made_of = host.container.as_ref().map(|it| it.made_of.clone());
                host.compose = made_of.unwrap_or_default();
            });
        }
        self.0.answer(effect, ()).await
    }

    async fn change(&self, limit: Duration) -> Result<(), SimError> {
        let effect = self.0.call("change", &self.1).await?;
        self.0
            .now
            .set(self.0.now.get() + limit.min(Duration::from_secs(1)));
        self.0.answer(effect, ()).await
    }
}

impl SimRemote {
    fn is_outdated(&self) -> bool {
        let brought = self.0.brought.borrow();
        let host = &self.0.hosts.borrow()[&self.1];
        let runs = host.container.as_ref().map(|it| &it.reference);
        brought
            .as_ref()
            .is_some_and(|(reference, text)| runs == Some(reference) && host.compose != *text)
    }

    /// The release's compose files go into their places, or those of before the run go back.
    fn write_files(&self, attempt: &str, reference: &str) {
        let brought = self.0.brought.borrow().clone();
        let text = brought.filter(|(of, _)| of == reference);
        let back = attempt.strip_suffix(BACK);
        let (run, _) = back.unwrap_or(attempt).rsplit_once('-').unwrap();
        self.0.edit(&self.1, |host| {
            host.files = Some(reference.to_owned());
            if back.is_some() {
                host.compose = host.befores.get(run).unwrap_or(&host.compose).clone();
            } else if let Some((_, text)) = text {
                let before = std::mem::replace(&mut host.compose, text);
                host.befores.entry(run.to_owned()).or_insert(before);
            }
        });
    }

    async fn start_bridge(&self, attempt: &str, reference: &str) -> Result<(), SimError> {
        let effect = self.0.call("start bridge", &self.1).await?;
        let is_journaled =
            self.0.last_intent(&self.1) == Some(Step::Bridge) || self.0.is_unwritten.get();
        self.0.rule(is_journaled, || {
            format!(
                "I18: a second instance starts on {} without an intent",
                self.1
            )
        });
        let started = self.0.now.get() + Duration::from_secs(1);
        let is_known = self.0.hosts.borrow()[&self.1]
            .attempts
            .contains(&format!("second {attempt}"));
        if effect != Effect::None && !is_known {
            let container = self.0.container(reference, started);
            self.0.edit(&self.1, |host| {
                host.attempts.push(format!("second {attempt}"));
                host.bridge = Some(container);
            });
        }
        self.0.now.set(started);
        self.0.answer(effect, ()).await
    }
}

pub(super) struct SimJournal(Rc<Sim>, String);

impl Journal for SimJournal {
    type Error = SimError;

    async fn append(&self, event: &Event) -> Result<(), SimError> {
        if let Event::Intent {
            step: Step::Drain, ..
        } = event
        {
            self.0.judged.borrow_mut().clone_from(&self.0.seen.borrow());
        }
        self.0.is_unwritten.set(true);
        let effect = self.0.call("append", "").await?;
        self.0.is_unwritten.set(effect == Effect::None);
        if effect != Effect::None {
            let is_start_first = self.0.rollout.borrow().order == config::Order::StartFirst;
            if matches!(event, Event::Opened { .. }) {
                // What somebody set before is what this run finds, and gives back.
                if is_start_first && !self.0.foreign.borrow().is_empty() {
                    self.0.is_other.set(true);
                }
                self.0.remember();
            }
            if self.0.states.borrow().is_some() {
                let before = self.0.written.get();
                let number = model::number_of((before, &self.1, format!("{event:?}")));
                self.0.written.set(number);
            }
            self.0
                .journal
                .borrow_mut()
                .push((self.1.clone(), event.clone()));
        }
        self.0.answer(effect, ()).await
    }
}

pub(super) struct SimClock(Rc<Sim>);

impl Clock for SimClock {
    fn now(&self) -> Duration {
        self.0.now.get()
    }

    async fn sleep(&self, duration: Duration) {
        self.0.sleep(duration).await;
    }
}

/// How many turns a call may take to answer.
const TURNS: u32 = 8;

/// One sleep that has not ended.
struct Sleeper<'a> {
    sim: &'a Sim,
    until: Duration,
}

impl<'a> Sleeper<'a> {
    fn new(sim: &'a Sim, until: Duration) -> Self {
        sim.sleepers.borrow_mut().push(until);
        sim.slept.set(sim.slept.get() + 1);
        Self { sim, until }
    }
}

impl Drop for Sleeper<'_> {
    fn drop(&mut self) {
        let mut sleepers = self.sim.sleepers.borrow_mut();
        let own = sleepers.iter().position(|until| *until == self.until);
        sleepers.swap_remove(own.unwrap());
        self.sim.slept.set(self.sim.slept.get() + 1);
    }
}

pub(super) struct SimNarrator(Rc<Sim>);

impl Narrator for SimNarrator {
    fn say(&self, line: &str) {
        self.0.lines.borrow_mut().push(line.to_owned());
        self.0.said_at.borrow_mut().push(self.0.now.get());
    }

    fn open_section(&self, _name: &str, title: &str) {
        self.say(&format!("[ {title}"));
    }

    fn close_section(&self, _name: &str) {
        self.say("]");
    }
}
