//! The steps on one host: drain, switch, admit, each journaled before and after.
//!
//! Every step that hurts looks first whether the weights are still what they should be. Nothing here decides what to do
//! after an error: that is `resume`'s.

use std::{collections::BTreeMap, time::Duration};

use super::{
    debt::Owed,
    drain::{self, Drain},
    error::{StepError, balancer, drift, failed_on, on, unknown, unwell},
    health::{self, Expected, Proof},
    journal::{Captured, Direction, Event, Run, Step},
    narrate,
    owing::Owing,
    plan::{Fleet, Floor},
    port::{
        Clock, Container, Fact, Fault, Health, Journal, Member, Narrator, Pool, Ports, Remote,
        Retry, Survey, Weight, Wish,
    },
    world::{Awaited, GaveUp, Patience, Settings, Ticker, World},
};
use crate::lang::{both, word};
use crate::{failure, mask::masked};

/// Between two looks at weights or connections.
const LOOK: Duration = Duration::from_millis(500);

/// How long a healthy container may need until its port is open. What is asked over HTTP has the time
/// that a health check has.
const PROBE: Duration = Duration::from_mins(1);

/// One run at work.
pub(super) struct Work<'a, P: Ports> {
    pub(super) world: &'a World<P>,
    pub(super) settings: &'a Settings,
    pub(super) journal: &'a P::Journal,
    pub(super) owing: &'a Owing<'a, P>,
    pub(super) run: Run,
    /// True once things are only put right: then a wish to stop is no reason to stop, and a full
    /// disk under the journal no reason to leave a host at weight 0.
    pub(super) is_settling: bool,
}

impl<P: Ports> Work<'_, P> {
    /// Writes an event down, then believes it.
    pub(super) async fn record(&mut self, event: Event) -> Result<(), StepError> {
        if let Err(error) = self.journal.append(&event).await {
            if !self.is_settling {
                let source = error.into();
                return Err(StepError::Journal { source });
            }
            let why = failure::chain(&error);
            let text = both!(
                "the journal cannot be written, going on without it: {why}",
                "发布日志写不进去，不记录而继续：{why}"
            );
            self.world.narrator.say(&text);
        }
        self.run.apply(&event);
        Ok(())
    }

    async fn intend(&mut self, host: &str, step: Step, way: Direction) -> Result<(), StepError> {
        self.record(Event::Intent {
            host: host.into(),
            step,
            direction: way,
        })
        .await
    }

    async fn finish(&mut self, host: &str, step: Step, way: Direction) -> Result<(), StepError> {
        self.record(Event::Done {
            host: host.into(),
            step,
            direction: way,
        })
        .await
    }

    pub(super) fn captured(&self, host: &str) -> Option<&Captured> {
        self.run.captured.get(host)
    }

    /// The weight to give back. `None` without a balancer.
    pub(super) fn original(&self, host: &str) -> Option<Weight> {
        self.captured(host)?.weight
    }

    /// The member that stands for a host. `None` without a balancer.
    pub(super) fn member(&self, host: &str) -> Option<Member> {
        self.captured(host)?.member.clone()
    }

    /// Names the members of a run that an earlier version began: it knew hosts only.
    pub(super) fn name_members(&mut self, pool: Option<&Pool>) {
        for (host, captured) in &mut self.run.captured {
            let own = pool.and_then(|pool| pool.own.get(host).cloned());
            let is_weighed = captured.weight.is_some();
            captured.member = captured.member.take().or(own.filter(|_| is_weighed));
        }
    }

    /// Fails when somebody wants the rollout to end and nothing speaks against it.
    pub(super) fn go_on(&self) -> Result<(), StepError> {
        if self.world.is_stopped() && !self.is_settling {
            return Err(StepError::Cancelled);
        }
        Ok(())
    }

    pub(super) fn patience(&self) -> Patience {
        Patience {
            hears_stop: !self.is_settling,
            ..Patience::LOOK
        }
    }

    pub(super) fn is_hurried(&self) -> bool {
        self.world.wish() == Wish::StopNow
    }

    /// Takes a host out of the balancer and waits until nobody is connected to it.
    pub(super) async fn drain(&mut self, host: &str, way: Direction) -> Result<(), StepError> {
        let Some(original) = self.original(host) else {
            return Ok(());
        };
        let looks = self.world.look(self.patience()).await;
        let fleet = looks.fleet().map_err(|gave_up| balancer(host, gave_up))?;
        let seen = self.weight_in(fleet.pool.as_ref(), host)?;
        let found = self.captured(host).and_then(|captured| captured.found);
        let is_out = way == Direction::Undo || found == Some(Weight::ZERO);
        if seen != original && !(is_out && seen == Weight::ZERO) {
            return Err(drift(host, original, seen));
        }
        if original == Weight::ZERO {
            let text = word!(
                "has weight 0, as an operator left it: deployed to, and left at 0",
                "权重为 0，是运维人员设置的：会更新版本，权重保持 0"
            );
            self.world.say(host, text);
            return Ok(());
        }
        if seen > Weight::ZERO {
            self.keep_floor(&fleet, host)?;
        }
        self.intend(host, Step::Drain, way).await?;
        if seen == Weight::ZERO {
            self.world.say(
                host,
                word!("is out of the balancer already", "已经不在流量中"),
            );
        } else {
            self.take(host).await?;
            self.wait_until_drained(host, way).await?;
        }
        self.finish(host, Step::Drain, way).await
    }

    /// Takes a host's weight away, owed from before on.
    pub(super) async fn take(&self, host: &str) -> Result<(), StepError> {
        let (Some(member), Some(weight)) = (self.member(host), self.original(host)) else {
            return Ok(());
        };
        let owed = Owed {
            member,
            host: host.into(),
            weight,
            run: self.run.id.clone(),
        };
        self.owing.take(owed, !self.is_settling).await
    }

    /// Asks for the capacity that would be left.
    fn keep_floor(&self, fleet: &Fleet, host: &str) -> Result<(), StepError> {
        fleet.is_explained(host)?;
        let originals: BTreeMap<_, _> = self
            .run
            .captured
            .iter()
            .filter_map(|(name, captured)| Some((name.clone(), captured.weight?)))
            .collect();
        let floor = Floor {
            percent: self.settings.rollout.min_capacity,
            originals: &originals,
        };
        Ok(floor.allows(fleet, host)?)
    }

    pub(super) async fn weight(&self, host: &str) -> Result<Weight, StepError> {
        let pool = self.world.pool(self.patience()).await;
        let pool = pool.map_err(|gave_up| balancer(host, gave_up))?;
        self.weight_in(pool.as_ref(), host)
    }

    fn weight_in(&self, pool: Option<&Pool>, host: &str) -> Result<Weight, StepError> {
        let member = self.member(host);
        let weight = pool
            .zip(member)
            .and_then(|(pool, member)| pool.weights.get(&member).copied());
        let missing =
            || GaveUp::Failed(word!("it is not behind the balancer", "它不在负载均衡后面").into());
        weight.ok_or_else(|| balancer(host, missing()))
    }

    /// Fails where a machine gets requests that a restart would cut: somebody may have given it
    /// weight since it was taken out, or another member of it.
    async fn is_out(&self, host: &str) -> Result<(), StepError> {
        if self.original(host).is_none() {
            return Ok(());
        }
        let pool = self.world.pool(self.patience()).await;
        let pool = pool.map_err(|gave_up| balancer(host, gave_up))?;
        let fleet = Fleet {
            pool: pool.clone(),
            ..Fleet::default()
        };
        fleet.is_explained(host)?;
        match self.weight_in(pool.as_ref(), host)? {
            Weight::ZERO => Ok(()),
            seen => Err(drift(host, Weight::ZERO, seen)),
        }
    }

    async fn wait_until_drained(&self, host: &str, way: Direction) -> Result<(), StepError> {
        let world = self.world;
        let began = world.now();
        let survey = world.survey(self.patience(), host).await;
        let survey = survey
            .map_err(|gave_up| on(host, word!("looking at its container", "查看容器"), gave_up))?;
        let (Some(container), Some(remote)) = (survey.container, world.remote(host)) else {
            return Ok(());
        };
        let mut drain = Drain::new(&self.settings.rollout, began);
        let mut ticker = Ticker::new();
        loop {
            self.go_on()?;
            let count = match remote.connections(&container.id).await {
                Ok(count) => Ok(count),
                Err(error) if error.retry() != Retry::Never || way == Direction::Undo => Err(error),
                Err(error) => {
                    return Err(failed_on(
                        host,
                        word!("counting connections", "统计连接数"),
                        error,
                    ));
                }
            };
            let now = world.now();
            let left = count.as_ref().ok().copied();
            let waited = narrate::duration(now.saturating_sub(began));
            let end = match drain.look(count.as_ref().ok().copied(), now) {
                drain::Verdict::Quiet => {
                    Some(both!("drained in {waited}", "连接已排空，用时 {waited}"))
                }
                drain::Verdict::TimedOut => Some(match count {
                    Ok(left) => both!(
                        "waited {waited}: {} will be cut",
                        "等了 {waited}：将断开 {}",
                        narrate::connections(left)
                    ),
                    // Going back must not fail for want of a number.
                    Err(_) if way == Direction::Undo => {
                        both!("waited {waited}, unseen", "等了 {waited}，看不到连接数")
                    }
                    Err(error) => {
                        return Err(failed_on(
                            host,
                            word!("counting connections", "统计连接数"),
                            error,
                        ));
                    }
                }),
                drain::Verdict::Wait if self.is_hurried() => Some(
                    word!(
                        "not waited for its connections any longer",
                        "不再等待它的连接"
                    )
                    .into(),
                ),
                drain::Verdict::Wait => {
                    if ticker.is_due(now) {
                        let left = still_connected(count);
                        world.say(
                            host,
                            &both!(
                                "draining: {left} ({waited})",
                                "正在排空：{left}（{waited}）"
                            ),
                        );
                    }
                    None
                }
            };
            if let Some(end) = end {
                world.say(host, &end);
                world.note(drained(host, now.saturating_sub(began), left));
                return Ok(());
            }
            world.clock.sleep(LOOK).await;
        }
    }

    /// Makes a host run the release, or what it ran before, and proves that healthy.
    pub(super) async fn switch(&mut self, host: &str, way: Direction) -> Result<(), StepError> {
        self.is_out(host).await?;
        let release = self.run.release.clone();
        let previous = self.captured(host).and_then(|c| c.previous.clone());
        let (expected, reference, name) = match (way, &previous) {
            (Direction::Do, _) => {
                let name = release.version.clone();
                (Expected::Release(&release), release.reference(), name)
            }
            (Direction::Undo, Some(previous)) => {
                let name = narrate::release_of(previous, &self.settings.versions);
                let reference = back_to(previous, &release.image);
                (Expected::Previous(previous), reference, name)
            }
            (Direction::Undo, None) => {
                let host = host.into();
                let why = word!(
                    "it ran nothing before, so there is nothing to go back to",
                    "它之前什么都没运行，没有可以退回的版本"
                )
                .into();
                return Err(StepError::Unwell { host, why });
            }
        };
        self.intend(host, Step::Switch, way).await?;
        self.world
            .say(host, &both!("compose starts {name}", "compose 启动 {name}"));
        self.compose(host, &reference).await?;
        self.world.note(Fact::Switched {
            host: host.into(),
            to: name,
            way,
        });
        let hold = self.settings.rollout.min_healthy_time;
        self.prove(host, Proof::new(expected, hold)).await?;
        self.finish(host, Step::Switch, way).await
    }

    async fn compose(&self, host: &str, reference: &str) -> Result<(), StepError> {
        let world = self.world;
        let Some(remote) = world.remote(host) else {
            return Err(unknown(host));
        };
        let began = world.now();
        let attempt = self.run.attempt();
        let awaited = Awaited::of(host, word!("compose is at work", "compose 正在执行"));
        let switch = async || remote.switch(&attempt, reference).await;
        // Compose goes on without us, so a wish to stop changes nothing here.
        let patience = Patience::SETTLE.within(Patience::LOOK.budget);
        let switched = world.retry(patience, awaited, switch).await;
        switched.map_err(|gave_up| on(host, "compose", gave_up.boxed()))?;
        let waited = narrate::duration(world.now().saturating_sub(began));
        world.say(
            host,
            &both!(
                "compose is done after {waited}",
                "compose 执行完毕，用时 {waited}"
            ),
        );
        Ok(())
    }

    /// Watches a host's container until it has been healthy for long enough; a new release is asked
    /// from outside then.
    pub(super) async fn prove(&self, host: &str, proof: Proof<'_>) -> Result<(), StepError> {
        let is_probed = proof.expected().is_probed();
        let proof = proof.with_probe(is_probed && self.settings.has_probe);
        let proven = async {
            let container = self.watch(host, proof).await?;
            if is_probed {
                let budget = if self.settings.has_probe {
                    self.settings.rollout.healthy_deadline
                } else {
                    PROBE
                };
                self.probe(host, &container, budget).await?;
            }
            Ok(())
        };
        let proven = proven.await;
        if matches!(proven, Err(StepError::Unwell { .. })) {
            self.tell_last_words(host).await;
        }
        proven
    }

    /// What the container said last: who reads why it failed needs nothing else first.
    async fn tell_last_words(&self, host: &str) {
        let Some(remote) = self.world.remote(host) else {
            return;
        };
        match remote.last_words().await {
            Ok(words) => {
                let lines: Vec<_> = words.iter().map(|line| masked(line)).collect();
                for line in &lines {
                    self.world.say(host, line);
                }
                let host = host.into();
                self.world.note(Fact::LastWords { host, lines });
            }
            Err(error) => {
                let why = failure::chain(&error);
                self.world.say(
                    host,
                    &both!("its log cannot be read: {why}", "无法读取它的日志：{why}"),
                );
            }
        }
    }

    /// Asks a healthy container from outside; one that has just started may need a moment.
    pub(super) async fn probe(
        &self,
        host: &str,
        container: &str,
        budget: Duration,
    ) -> Result<(), StepError> {
        let Some(remote) = self.world.remote(host) else {
            return Err(unknown(host));
        };
        let awaited = Awaited::of(host, word!("is asked from outside", "正在从外部探测"));
        let probe = async || remote.probe(container).await;
        // It is healthy: a wish to stop does not turn it back at the last moment.
        let patience = Patience::SETTLE.within(budget);
        let trouble = match self.world.retry(patience, awaited, probe).await {
            Ok(()) => None,
            Err(GaveUp::Stopped) => return Err(StepError::Cancelled),
            Err(GaveUp::Failed(error)) => Some(failure::chain(&error)),
        };
        self.world.note(Fact::Probed {
            host: host.into(),
            trouble: trouble.clone(),
        });
        trouble.map_or(Ok(()), |why| Err(unwell(host, why)))
    }

    /// Watches a host's container until it has been healthy for long enough; its id.
    async fn watch(&self, host: &str, mut proof: Proof<'_>) -> Result<String, StepError> {
        let world = self.world;
        let Some(remote) = world.remote(host) else {
            return Err(unknown(host));
        };
        let began = world.now();
        let mut deadline = began + self.settings.rollout.healthy_deadline;
        let mut ticker = Ticker::after(began);
        let mut was_holding = false;
        loop {
            let seen = remote.survey().await;
            let now = world.now();
            let waited = narrate::duration(now.saturating_sub(began));
            if self.is_hurried() {
                proof.hurry();
            }
            let mut id = String::new();
            let verdict = match seen {
                Ok(survey) => {
                    let verdict = proof.look(&survey, now);
                    id = survey.container.map(|it| it.id).unwrap_or_default();
                    verdict
                }
                Err(error) if error.retry() != Retry::Never && now < deadline => proof.lose_sight(),
                Err(error) => {
                    return Err(failed_on(
                        host,
                        word!("watching its health", "观察健康状态"),
                        error,
                    ));
                }
            };
            let limit = match verdict {
                health::Verdict::Proven => {
                    world.say(host, &both!("healthy in {waited}", "已健康，用时 {waited}"));
                    return Ok(id);
                }
                health::Verdict::Failed(why) => return Err(unwell(host, why)),
                health::Verdict::Wait { limit } => limit,
            };
            if proof.is_holding() && !was_holding {
                // Being healthy in time is what the deadline asks; staying so takes its own time.
                deadline = deadline.max(now + self.settings.rollout.min_healthy_time);
                let text = both!(
                    "healthy after {waited}, has to stay so for a while",
                    "已健康（{waited}），再持续观察一段时间"
                );
                world.say(host, &text);
            }
            was_holding = proof.is_holding();
            if now >= deadline {
                return Err(unwell(
                    host,
                    both!("not healthy after {waited}", "等了 {waited} 仍不健康"),
                ));
            }
            if ticker.is_due(now) {
                let state = if was_holding {
                    word!("still healthy", "持续健康")
                } else {
                    word!("not healthy yet", "尚未健康")
                };
                world.say(host, &both!("{state} ({waited})", "{state}（{waited}）"));
            }
            self.wait_for_change(host, limit.unwrap_or(Duration::from_secs(3)))
                .await;
        }
    }

    /// Waits for a change; one that cannot be waited for is looked for again soon.
    async fn wait_for_change(&self, host: &str, limit: Duration) {
        let began = self.world.now();
        let limit = limit.min(Duration::from_secs(3));
        let waited = match self.world.remote(host) {
            Some(remote) => remote.change(limit).await.is_ok(),
            None => false,
        };
        let passed = self.world.now().saturating_sub(began);
        // A burst of changes, or an adapter that cannot wait, must not become a burst of looks.
        let least = if waited { LOOK / 2 } else { LOOK * 2 };
        if let Some(rest) = least.min(limit).checked_sub(passed) {
            self.world.clock.sleep(rest).await;
        }
    }

    /// Gives a host its weight back. Its container was proven healthy by the caller.
    pub(super) async fn admit(&mut self, host: &str, way: Direction) -> Result<(), StepError> {
        self.intend(host, Step::Admit, way).await?;
        if let (Some(original), Some(member)) = (self.original(host), self.member(host))
            && original > Weight::ZERO
        {
            self.owing.give_back(host, &member, original).await?;
            self.wait_until_admitted(host, &member).await?;
        }
        self.finish(host, Step::Admit, way).await
    }
}

/// What brings the container of before back even when its tag has moved on.
fn back_to(previous: &Container, image: &str) -> String {
    let is_ours = |digest: &&String| {
        digest
            .strip_prefix(image)
            .is_some_and(|rest| rest.starts_with('@'))
    };
    let ours = previous.digests.iter().find(is_ours);
    ours.or(previous.digests.first())
        .unwrap_or(&previous.image)
        .clone()
}

/// True when a look shows what ran before: answering, or on its way there.
pub(super) fn is_as_before(captured: &Captured, survey: &Survey) -> bool {
    match (&captured.previous, &survey.container) {
        (Some(previous), Some(container)) => {
            Expected::Previous(previous).is_met_by(container)
                && container.is_running
                && container.health != Health::Unhealthy
        }
        (None, None) => true,
        (Some(_), None) | (None, Some(_)) => false,
    }
}

/// Who is still there, for people.
fn still_connected(count: Result<u64, impl Fault>) -> String {
    match count {
        Ok(0) => word!(
            "nobody is connected, watched a little longer",
            "已无连接，再观察片刻"
        )
        .into(),
        Ok(count) => both!("{} left", "还剩 {}", narrate::connections(count)),
        Err(error) => failure::chain(&error),
    }
}

fn drained(host: &str, waited: Duration, left: Option<u64>) -> Fact {
    Fact::Drained {
        host: host.into(),
        milliseconds: u64::try_from(waited.as_millis()).unwrap_or(u64::MAX),
        left,
    }
}
