//! The world a rollout works in: its ports, the one place that tries again, and the looks that
//! change nothing.

use std::{cell::RefCell, collections::BTreeMap, pin::pin, time::Duration};

use futures_util::future::{Either, join, join_all, pending, select};

use super::{
    fact::Fact,
    narrate,
    plan::Fleet,
    port::{
        Balancer, Cancel, Clock, ComposeFile, Fault, Health, HostName, Member, Narrator, Pool,
        Ports, Release, Remote, Retry, Survey, Weight, Wish,
    },
    verdict::Seen,
};
use crate::lang::{both, word};
use crate::{
    config::{Environment, Rollout},
    failure,
};

/// A reader of the log hears something at least this often.
const PROGRESS: Duration = Duration::from_secs(3);
/// The first pause before another try, and the longest, where the adapter names none.
const PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// How long a failing call is tried again, and whether a wish to stop ends that.
#[derive(Debug, Clone, Copy)]
pub(super) struct Patience {
    /// Counted from the first failure: a pull that worked for minutes is tried again too.
    pub(super) budget: Duration,
    pub(super) hears_stop: bool,
}

impl Patience {
    /// While nothing is half-done.
    pub(super) const LOOK: Self = Self {
        budget: Duration::from_secs(30),
        hears_stop: true,
    };

    /// While things are put right: a wish to stop must not leave them wrong.
    pub(super) const SETTLE: Self = Self {
        budget: Duration::from_mins(5),
        hears_stop: false,
    };

    pub(super) const fn within(self, budget: Duration) -> Self {
        Self { budget, ..self }
    }
}

/// Why a call is not tried any longer.
#[derive(Debug, thiserror::Error)]
pub(super) enum GaveUp<E> {
    #[error("{}", word!("asked to stop", "收到停止请求"))]
    Stopped,
    #[error(transparent)]
    Failed(E),
}

impl<E> GaveUp<E> {
    pub(super) fn boxed(self) -> GaveUp<Source>
    where
        E: Into<Source>,
    {
        match self {
            Self::Stopped => GaveUp::Stopped,
            Self::Failed(error) => GaveUp::Failed(error.into()),
        }
    }
}

impl GaveUp<Source> {
    /// The cause, for those who do not hear a wish to stop.
    pub(super) fn into_source(self) -> Source {
        match self {
            Self::Stopped => word!("asked to stop", "收到停止请求").into(),
            Self::Failed(source) => source,
        }
    }
}

/// What a call that was given up on left behind.
pub(super) type Source = Box<dyn std::error::Error + Send + Sync>;

/// The adapters of one environment.
pub(crate) struct World<P: Ports> {
    /// `None`: each host is down while it changes.
    pub balancer: Option<P::Balancer>,
    /// As the environment's file lists them.
    pub hosts: Vec<(HostName, P::Remote)>,
    pub debts: P::Debts,
    pub clock: P::Clock,
    pub narrator: P::Narrator,
    pub cancel: P::Cancel,
    pub waited: Waited,
    pub noted: Noted,
}

/// What was noted of the run in hand.
#[derive(Debug, Default)]
pub(crate) struct Noted(RefCell<Vec<Fact>>);

/// How long each host was waited for in vain since it answered last, and the balancer, which is
/// `None` here. A budget is the run's, not the call's: who has used it up is asked once from then
/// on, until there is an answer.
#[derive(Debug, Default)]
pub(crate) struct Waited(RefCell<BTreeMap<Option<HostName>, Duration>>);

impl Waited {
    fn left(&self, whom: Option<&str>, budget: Duration) -> Duration {
        let waited = self.0.borrow().get(&whom.map(str::to_owned)).copied();
        budget.saturating_sub(waited.unwrap_or_default())
    }

    fn note<T, E>(&self, whom: Option<&str>, answer: &Result<T, GaveUp<E>>, took: Duration) {
        let mut waited = self.0.borrow_mut();
        let whom = whom.map(str::to_owned);
        match answer {
            Ok(_) => drop(waited.remove(&whom)),
            Err(_) => *waited.entry(whom).or_default() += took,
        }
    }
}

/// How a rollout goes about it.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    /// The environment's name, for people.
    pub environment: String,
    pub rollout: Rollout,
    /// Whether hosts are asked over HTTP, so that a release needs no HEALTHCHECK.
    pub has_probe: bool,
    /// Whether hosts have a second port, so that something of an earlier rollout may be there.
    pub has_bridge: bool,
    /// Releases known from before, so that a digest can be called by its version.
    pub versions: Vec<Release>,
}

impl Settings {
    pub(crate) fn new(environment: &Environment, versions: Vec<Release>) -> Self {
        Self {
            environment: environment.name.clone(),
            rollout: environment.rollout.clone(),
            has_probe: environment.probe.is_some(),
            has_bridge: environment.compose.bridge_port.is_some(),
            versions,
        }
    }

    /// The one command that repairs.
    pub(crate) fn repair(&self) -> String {
        format!("dockmaster rollout recover {}", self.environment)
    }
}

/// Says when a reader should hear something again.
pub(super) struct Ticker(Duration);

impl Ticker {
    /// Due at once.
    pub(super) fn new() -> Self {
        Self(Duration::ZERO)
    }

    /// Due after a while of silence.
    pub(super) fn after(now: Duration) -> Self {
        Self(now + PROGRESS)
    }

    /// How long until it is due.
    fn rest(&self, now: Duration) -> Duration {
        self.0.saturating_sub(now)
    }

    pub(super) fn is_due(&mut self, now: Duration) -> bool {
        let is_due = now >= self.0;
        if is_due {
            self.0 = now + PROGRESS;
        }
        is_due
    }
}

impl<P: Ports> World<P> {
    pub(super) fn now(&self) -> Duration {
        self.clock.now()
    }

    pub(super) fn wish(&self) -> Wish {
        self.cancel.wish()
    }

    pub(super) fn is_stopped(&self) -> bool {
        self.wish() > Wish::GoOn
    }

    /// One line about one host; names are padded so that the texts stand in one column.
    pub(super) fn say(&self, host: &str, text: &str) {
        let width = self.hosts.iter().map(|(name, _)| name.len()).max();
        let width = width.unwrap_or_default();
        self.narrator.say_of(host, text, width);
    }

    /// Keeps a fact for the table in the end and for reports.
    pub(super) fn note(&self, fact: Fact) {
        self.narrator.note(&fact);
        let mut noted = self.noted.0.borrow_mut();
        if matches!(fact, Fact::Run { .. }) {
            noted.clear();
        }
        noted.push(fact);
    }

    /// What was noted of the run in hand.
    pub(super) fn facts(&self) -> Vec<Fact> {
        self.noted.0.borrow().clone()
    }

    pub(super) fn names(&self) -> Vec<HostName> {
        self.hosts.iter().map(|(name, _)| name.clone()).collect()
    }

    /// A host's port; `None` when the environment does not name it any more.
    pub(super) fn remote(&self, host: &str) -> Option<&P::Remote> {
        let found = self.hosts.iter().find(|(name, _)| name == host);
        found.map(|(_, remote)| remote)
    }

    /// From here on these compose files come with that release.
    pub(super) fn bring(&self, release: &Release, files: &[ComposeFile]) {
        for (_, remote) in &self.hosts {
            remote.bring(release, files);
        }
    }

    /// Repeats a call, which must be safe to repeat, while its errors say that it may succeed, and
    /// says every few seconds what it waits for. Nothing else in a rollout tries again.
    pub(super) async fn retry<T, E: Fault>(
        &self,
        patience: Patience,
        awaited: Awaited<'_>,
        call: impl AsyncFn() -> Result<T, E>,
    ) -> Result<T, GaveUp<E>> {
        let stopped = async {
            if !patience.hears_stop {
                pending::<()>().await;
            }
            self.cancel.stopped().await;
        };
        match select(pin!(self.try_again(patience, awaited, call)), pin!(stopped)).await {
            Either::Left((result, _)) => result.map_err(GaveUp::Failed),
            Either::Right(_) => Err(GaveUp::Stopped),
        }
    }

    async fn try_again<T, E: Fault>(
        &self,
        patience: Patience,
        awaited: Awaited<'_>,
        call: impl AsyncFn() -> Result<T, E>,
    ) -> Result<T, E> {
        let mut wait = Wait::begin(self, awaited);
        let mut began = None;
        let mut pause = PAUSE;
        loop {
            let error = match wait.narrate(call()).await {
                Err(error) => error,
                done => return done,
            };
            let Retry::After(asked) = error.retry() else {
                return Err(error);
            };
            // What the adapter asks for counts as it is; else the pauses grow.
            let rest = if asked > Duration::ZERO { asked } else { pause };
            let deadline = *began.get_or_insert(self.now()) + self.budget(patience);
            if self.now() + rest > deadline {
                return Err(error);
            }
            wait.why = Some(failure::chain(&error));
            wait.narrate(self.clock.sleep(rest)).await;
            if asked == Duration::ZERO {
                pause = (pause * 2).min(LONGEST_PAUSE);
            }
        }
    }

    /// Somebody who insists on an end is not made to wait as long.
    fn budget(&self, patience: Patience) -> Duration {
        if self.wish() == Wish::StopNow {
            return patience.budget.min(Patience::LOOK.budget);
        }
        patience.budget
    }

    /// Repeats a call of the balancer's within what the run has left for it.
    pub(super) async fn ask_balancer<T, E: Fault>(
        &self,
        patience: Patience,
        awaited: Awaited<'_>,
        call: impl AsyncFn() -> Result<T, E>,
    ) -> Result<T, GaveUp<E>> {
        let began = self.now();
        let patience = patience.within(self.waited.left(None, self.budget(patience)));
        let answer = self.retry(patience, awaited, call).await;
        self.waited
            .note(None, &answer, self.now().saturating_sub(began));
        answer
    }

    /// All weights; `None` without a balancer.
    pub(super) async fn pool(&self, patience: Patience) -> Result<Option<Pool>, GaveUp<Source>> {
        let Some(balancer) = &self.balancer else {
            return Ok(None);
        };
        let awaited = Awaited {
            host: None,
            what: word!("waits for the balancer's answer", "等待负载均衡应答"),
        };
        let pool = self.ask_balancer(patience, awaited, async || balancer.pool().await);
        pool.await.map(Some).map_err(GaveUp::boxed)
    }

    /// What the balancer's own checks say of members; nothing of those that nobody checks.
    pub(super) async fn health(
        &self,
        patience: Patience,
        members: &[Member],
    ) -> Result<BTreeMap<Member, Health>, GaveUp<Source>> {
        let Some(balancer) = &self.balancer else {
            return Ok(BTreeMap::new());
        };
        let awaited = Awaited {
            host: None,
            what: word!(
                "waits for what the balancer's checks say",
                "等待负载均衡的健康检查结果"
            ),
        };
        let health = async || balancer.health(members).await;
        let health = self.ask_balancer(patience, awaited, health).await;
        health.map_err(GaveUp::boxed)
    }

    /// All weights, and how healthy those members are that no host of ours stands for.
    async fn judged_pool(&self, patience: Patience) -> Result<Option<Pool>, GaveUp<Source>> {
        let Some(mut pool) = self.pool(patience).await? else {
            return Ok(None);
        };
        let strangers = pool.strangers();
        let strangers = strangers.filter(|(_, weight)| *weight > Weight::ZERO);
        let strangers: Vec<Member> = strangers.map(|(member, _)| member.clone()).collect();
        if strangers.is_empty() {
            return Ok(Some(pool));
        }
        pool.health = match self.health(patience, &strangers).await {
            Ok(health) => health,
            Err(GaveUp::Stopped) => return Err(GaveUp::Stopped),
            Err(GaveUp::Failed(error)) => {
                let why = failure::chain(&*error);
                let text = both!(
                    "members that no host stands for count as nothing: how healthy they are cannot be read: {why}",
                    "不属于任何主机的后端不计入容量：无法读取它们的健康状态：{why}"
                );
                self.narrator.say(&text);
                let ill = strangers.into_iter().map(|it| (it, Health::Unhealthy));
                ill.collect()
            }
        };
        Ok(Some(pool))
    }

    /// Looks at one host.
    pub(super) async fn survey(
        &self,
        patience: Patience,
        host: &str,
    ) -> Result<Survey, GaveUp<Source>> {
        let Some(remote) = self.remote(host) else {
            let text = both!(
                "{host} is not in the environment any more",
                "{host} 已不在环境文件中"
            );
            return Err(GaveUp::Failed(text.into()));
        };
        let awaited = Awaited::of(host, word!("waits for its answer", "等待它应答"));
        let began = self.now();
        let patience = patience.within(self.waited.left(Some(host), self.budget(patience)));
        let survey = self.retry(patience, awaited, async || remote.survey().await);
        let survey = survey.await;
        self.waited
            .note(Some(host), &survey, self.now().saturating_sub(began));
        survey.map_err(GaveUp::boxed)
    }

    /// Looks at balancer and hosts at once; what cannot be seen comes with the reason.
    pub(super) async fn look(&self, patience: Patience) -> Looks {
        let hosts = patience.within(patience.budget.min(Patience::LOOK.budget));
        let surveys = self.hosts.iter().map(async |(name, _)| {
            let survey = self.survey(hosts, name).await;
            (name.clone(), survey)
        });
        let (pool, surveys) = join(self.judged_pool(patience), join_all(surveys)).await;
        Looks { pool, surveys }
    }

    /// One look at everything that ends after `limit`, with what could be seen by then.
    pub(crate) async fn glance(&self, limit: Duration) -> Glance {
        let late = || {
            both!(
                "no answer within {}",
                "{} 内没有应答",
                narrate::duration(limit)
            )
        };
        let pool = async {
            match &self.balancer {
                Some(balancer) => Some(match self.within(limit, balancer.pool()).await {
                    Some(pool) => pool.map_err(|error| failure::chain(&error)),
                    None => Err(late()),
                }),
                None => None,
            }
        };
        let surveys = self.hosts.iter().map(async |(name, remote)| {
            let survey = match self.within(limit, remote.survey()).await {
                Some(survey) => survey.map_err(|error| failure::chain(&error)),
                None => Err(late()),
            };
            (name.clone(), survey)
        });
        let awaited = Awaited {
            host: None,
            what: word!("waits for balancer and hosts", "等待负载均衡和主机"),
        };
        let looks = join(pool, join_all(surveys));
        let (pool, surveys) = Wait::begin(self, awaited).narrate(looks).await;
        Glance { pool, surveys }
    }

    async fn within<T>(&self, limit: Duration, work: impl Future<Output = T>) -> Option<T> {
        match select(pin!(work), pin!(self.clock.sleep(limit))).await {
            Either::Left((result, _)) => Some(result),
            Either::Right(_) => None,
        }
    }
}

/// What was seen within a time limit, and why the rest was not: for people.
pub(crate) struct Glance {
    /// `None` without a balancer.
    pub pool: Option<Result<Pool, String>>,
    pub surveys: Vec<(HostName, Result<Survey, String>)>,
}

/// What was seen, and why the rest was not.
pub(super) struct Looks {
    pub(super) pool: Result<Option<Pool>, GaveUp<Source>>,
    pub(super) surveys: Vec<(HostName, Result<Survey, GaveUp<Source>>)>,
}

impl Looks {
    /// What was seen. Hosts that do not answer are left out; without the weights there is nothing.
    pub(super) fn fleet(self) -> Result<Fleet, GaveUp<Source>> {
        let answered = self.surveys.into_iter();
        let answered = answered.filter_map(|(host, survey)| Some((host, survey.ok()?)));
        Ok(Fleet {
            pool: self.pool?,
            surveys: answered.collect(),
        })
    }

    /// What was seen, and in words why the rest was not.
    pub(super) fn seen(self) -> Seen {
        let mut seen = Seen::default();
        match self.pool {
            Ok(pool) => seen.fleet.pool = pool,
            Err(gave_up) => seen.unread = Some(failure::chain(&*gave_up.into_source())),
        }
        for (host, survey) in self.surveys {
            match survey {
                Ok(survey) => drop(seen.fleet.surveys.insert(host, survey)),
                Err(gave_up) => {
                    let why = failure::chain(&*gave_up.into_source());
                    seen.unseen.insert(host, why);
                }
            }
        }
        seen
    }
}

/// What is waited for, as the log names it.
#[derive(Clone, Copy)]
pub(super) struct Awaited<'a> {
    host: Option<&'a str>,
    /// Empty where the call itself tells how far it is.
    what: &'a str,
}

impl<'a> Awaited<'a> {
    pub(super) fn of(host: &'a str, what: &'a str) -> Self {
        Self {
            host: Some(host),
            what,
        }
    }
}

/// One wait, told every few seconds.
struct Wait<'a, P: Ports> {
    world: &'a World<P>,
    awaited: Awaited<'a>,
    /// Why the last try failed.
    why: Option<String>,
    began: Duration,
    ticker: Ticker,
}

impl<'a, P: Ports> Wait<'a, P> {
    fn begin(world: &'a World<P>, awaited: Awaited<'a>) -> Self {
        let began = world.now();
        Self {
            world,
            awaited,
            why: None,
            began,
            ticker: Ticker::after(began),
        }
    }

    async fn narrate<T>(&mut self, work: impl Future<Output = T>) -> T {
        let clock = &self.world.clock;
        let mut work = pin!(work);
        loop {
            let rest = self.ticker.rest(clock.now());
            match select(&mut work, pin!(clock.sleep(rest))).await {
                Either::Left((result, _)) => return result,
                Either::Right(_) => self.tell(),
            }
        }
    }

    fn tell(&mut self) {
        let now = self.world.now();
        if !self.ticker.is_due(now) {
            return;
        }
        let waited = narrate::duration(now.saturating_sub(self.began));
        let what = self.awaited.what;
        let text = match &self.why {
            None if what.is_empty() => return,
            None => both!("{what} ({waited})", "{what}（{waited}）"),
            Some(why) if what.is_empty() => both!(
                "is tried again: {why} ({waited})",
                "重试：{why}（{waited}）"
            ),
            Some(why) => both!(
                "{what}, tried again: {why} ({waited})",
                "{what}，重试：{why}（{waited}）"
            ),
        };
        match self.awaited.host {
            Some(host) => self.world.say(host, &text),
            None => self.world.narrator.say(&text),
        }
    }
}
