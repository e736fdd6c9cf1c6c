//! What is put right after a failure, a wish to stop, or a crash: the same recipe for all three.
//!
//! `decide` is a pure function of the journal, of what is owed and of what is seen; `settle` carries
//! it out. It
//! never moves a host forward by itself: a new release is kept only where it is already running
//! and proves healthy. Carried out twice, the second time finds nothing to do.

use std::time::Duration;

use super::{
    debt::Debt,
    error::{StepError, drift, unwell},
    health::{Expected, Proof, is_serving},
    journal::{Captured, Direction, Event, Mark, Run, Step},
    plan::Fleet,
    port::{Clock, Health, HostName, Narrator, Ports, Remote, Slot, Weight},
    step::is_as_before,
    verdict::Trouble,
    work::Work,
    world::{Awaited, GaveUp, Patience, Source, Ticker},
};
use crate::lang::{both, word};
use crate::{failure, paint};

/// What to do with one host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Action {
    /// Nothing was begun there, or all that was begun has ended, and nothing is owed.
    Keep,
    /// It runs what it ran before: give the weight back.
    Restore,
    /// It runs the new release: prove that healthy, then give the weight back.
    Adopt,
    /// Make it run what it ran before, then give the weight back.
    Undo,
    /// Nothing there is healthy and there is nothing to go back to: it gets no requests.
    LeaveOut,
    /// Somebody else moved its weight: it is theirs now. Harmless when what it runs is in order.
    Drift { seen: Weight, is_harmless: bool },
    /// It cannot be seen.
    Unseen,
}

/// Decides for every host of a run, in the order in which it is to be done: first what brings
/// capacity back, then what takes it away, newest first.
pub(crate) fn decide(run: &Run, debt: &Debt, fleet: &Fleet) -> Vec<(HostName, Action)> {
    let mut actions: Vec<_> = run
        .hosts
        .iter()
        .rev()
        .filter_map(|host| {
            let captured = run.captured.get(host)?;
            let is_owed = captured
                .member
                .as_ref()
                .is_some_and(|member| debt.of(member).is_some());
            let action = decide_one(run, captured, is_owed, (fleet, host));
            Some((host.clone(), action))
        })
        .collect();
    actions.sort_by_key(|(host, action)| takes_out(fleet, host, action));
    actions
}

/// True when carrying that out takes away a host that serves.
fn takes_out(fleet: &Fleet, host: &str, action: &Action) -> bool {
    *action == Action::Undo
        && fleet.weight(host) > Some(Weight::ZERO)
        && fleet.surveys.get(host).is_some_and(is_serving)
}

fn decide_one(
    run: &Run,
    captured: &Captured,
    is_owed: bool,
    (fleet, host): (&Fleet, &str),
) -> Action {
    let is_left_out = captured.found != captured.weight;
    let Some(mark) = captured.mark else {
        // What an earlier rollout had to leave out is this one's to bring back.
        return if is_owed {
            decide_left_out(captured, fleet, host)
        } else {
            Action::Keep
        };
    };
    let is_back = run.undoing.is_some() || mark.direction == Direction::Undo;
    let is_over = (mark.step == Step::Admit && mark.is_done) || mark.step == Step::Retire;
    let has_ended = is_over && !is_owed;
    if has_ended && (mark.direction == Direction::Undo || !is_back) {
        return Action::Keep;
    }
    let Some(survey) = fleet.surveys.get(host) else {
        return Action::Unseen;
    };
    let is_new = !survey.is_outdated
        && survey.container.as_ref().is_some_and(|container| {
            container.runs(&run.release)
                && container.is_running
                && matches!(container.health, Health::Healthy | Health::Starting)
        });
    if let Some(original) = captured.weight {
        let seen = captured.member.as_ref().and_then(|it| fleet.at(it));
        match seen {
            None => return Action::Unseen,
            Some(seen) if seen != original && seen != Weight::ZERO => {
                let is_harmless = is_as_before(captured, survey) || (is_new && !is_back);
                return Action::Drift { seen, is_harmless };
            }
            Some(seen) if is_drain_only(mark) && !is_left_out && seen == original => {
                return Action::Restore;
            }
            Some(_) => {}
        }
    }
    if is_drain_only(mark) {
        return if is_left_out {
            decide_left_out(captured, fleet, host)
        } else {
            Action::Restore
        };
    }
    if survey.leftovers.is_empty() {
        if is_new && !is_back && is_known_new(captured, mark) {
            return Action::Adopt;
        }
        let is_previous = is_as_before(captured, survey) && captured.previous.is_some();
        if is_previous && !hides_a_switch(run, captured, mark) {
            return Action::Restore;
        }
    }
    if captured.previous.is_some() {
        Action::Undo
    } else {
        Action::LeaveOut
    }
}

/// False where the container may still be the one of before, though the release's files lie beside it: these are
/// written first, and the image is the same.
fn is_known_new(captured: &Captured, mark: Mark) -> bool {
    !captured.is_outdated || mark.step != Step::Switch || mark.is_done
}

/// True where a release of the same image came with other files: what runs may look as before and be made of
/// these.
fn hides_a_switch(run: &Run, captured: &Captured, mark: Mark) -> bool {
    let previous = captured.previous.as_ref();
    let is_same = previous.is_some_and(|container| container.runs(&run.release));
    let is_switched = matches!(mark.step, Step::Switch | Step::Admit | Step::Retire);
    let is_back = mark.direction == Direction::Undo && (mark.is_done || mark.step != Step::Switch);
    is_same && is_switched && !is_back
}

/// True while the host has lost its weight at most.
fn is_drain_only(mark: Mark) -> bool {
    let is_before = matches!(mark.step, Step::Bridge | Step::Share | Step::Drain);
    is_before && mark.direction == Direction::Do
}

fn decide_left_out(captured: &Captured, fleet: &Fleet, host: &str) -> Action {
    match fleet.surveys.get(host) {
        None => Action::Unseen,
        Some(survey) if captured.previous.is_some() && is_as_before(captured, survey) => {
            Action::Restore
        }
        Some(_) => Action::LeaveOut,
    }
}

impl<P: Ports> Work<'_, P> {
    /// Puts everything right that can be; what could not is returned.
    pub(super) async fn settle(
        &mut self,
        patience: Patience,
    ) -> Result<Vec<Trouble>, GaveUp<Source>> {
        self.is_settling = true;
        let fleet = self.observe(patience).await?;
        self.name_members(fleet.pool.as_ref());
        if let Some(pool) = &fleet.pool {
            self.owing.adopt(&self.run, pool).await;
            self.owing.forgive(pool).await;
        }
        let mut failed: Vec<Trouble> = Vec::new();
        for (host, action) in decide(&self.run, &self.owing.debt(), &fleet) {
            if !failed.is_empty() && takes_out(&fleet, &host, &action) {
                // If going back does not work on one host, it is not tried on one that serves.
                let why = both!(
                    "{host} serves {}, and stays so",
                    "{host} 正以 {} 提供服务，保持不变",
                    self.run.release.version
                );
                failed.push((host, why));
                continue;
            }
            self.mend(&host).await;
            let carried_out = match self.carry_out(&host, &action).await {
                Ok(()) => self.retire_after(&host).await,
                failed => failed,
            };
            if let Err(error) = carried_out {
                let why = failure::chain(&error);
                self.world.say(&host, &paint::red(&why));
                failed.push((host, why));
            }
        }
        Ok(failed)
    }

    /// A switch that was cut off may have left files that name another release than what runs.
    async fn mend(&self, host: &str) {
        let mark = self.captured(host).and_then(|captured| captured.mark);
        let is_cut_off = mark.is_some_and(|mark| mark.step == Step::Switch && !mark.is_done);
        let remote = self.world.remote(host).filter(|_| is_cut_off);
        let Some(remote) = remote else { return };
        let awaited = Awaited::of(
            host,
            word!(
                "its compose files are looked at",
                "正在查看它的 compose 文件"
            ),
        );
        let patience = Patience::SETTLE.within(Duration::from_mins(1));
        let mended = self
            .world
            .retry(patience, awaited, async || remote.mend().await);
        if let Err(gave_up) = mended.await {
            let why = failure::chain(&*gave_up.boxed().into_source());
            let text = both!(
                "whether its compose files name what runs is not known, and the next rollout looks again: {why}",
                "不知道它的 compose 文件是否与运行的版本一致，下次发布会再查看：{why}"
            );
            self.world.say(host, &paint::red(&text));
        }
    }

    /// Removes what served for a host meanwhile, now that the host is in order.
    async fn retire_after(&mut self, host: &str) -> Result<(), StepError> {
        let mark = self.captured(host).and_then(|captured| captured.mark);
        let way = mark.map_or(Direction::Undo, |mark| mark.direction);
        self.retire(host, way).await
    }

    async fn carry_out(&mut self, host: &str, action: &Action) -> Result<(), StepError> {
        match action {
            Action::Keep => Ok(()),
            Action::Restore => self.restore(host).await,
            Action::Adopt => match self.adopt(host).await {
                Err(error @ StepError::Unwell { .. }) => {
                    self.world.say(host, &failure::chain(&error));
                    self.undo(host).await
                }
                result => result,
            },
            Action::Undo => self.undo(host).await,
            Action::LeaveOut => self.leave_out(host).await,
            Action::Drift { seen, is_harmless } => {
                let original = self.original(host).unwrap_or(Weight::ZERO);
                let error = drift(host, original, *seen);
                if *is_harmless {
                    self.world
                        .say(host, &both!("{error}: left so", "{error}：保持现状"));
                    return Ok(());
                }
                Err(error)
            }
            Action::Unseen => {
                let why = word!(
                    "it cannot be looked at, so nothing was done",
                    "无法查看它，因此没有动它"
                )
                .into();
                Err(unwell(host, why))
            }
        }
    }

    async fn restore(&mut self, host: &str) -> Result<(), StepError> {
        self.world.say(
            host,
            word!(
                "runs what it ran before, and goes back in",
                "运行的是之前的版本，重新接入流量"
            ),
        );
        if let Some(previous) = self.captured(host).and_then(|c| c.previous.clone()) {
            let mark = self.captured(host).and_then(|captured| captured.mark);
            let is_restarted = mark.is_some_and(|mark| mark.step == Step::Switch && !mark.is_done);
            // Where it was never taken down, one look is enough.
            let hold = if is_restarted {
                self.settings.rollout.min_healthy_time
            } else {
                Duration::ZERO
            };
            let proof = Proof::new(Expected::Previous(&previous), hold);
            self.prove(host, Slot::Own, proof).await?;
        }
        self.admit(host, Direction::Undo).await
    }

    async fn adopt(&mut self, host: &str) -> Result<(), StepError> {
        let mark = self.captured(host).and_then(|captured| captured.mark);
        // Proven before the interruption: one look is enough.
        let was_proven = mark.is_some_and(|mark| {
            mark.step == Step::Admit || (mark.step == Step::Switch && mark.is_done)
        });
        let hold = if was_proven {
            Duration::ZERO
        } else {
            self.settings.rollout.min_healthy_time
        };
        let release = self.run.release.clone();
        let text = both!(
            "runs {} already: kept when it is healthy",
            "已在运行 {}：健康就保留",
            release.version
        );
        self.world.say(host, &text);
        let proof = Proof::new(Expected::Release(&release), hold);
        self.prove(host, Slot::Own, proof).await?;
        if !was_proven {
            let done = Event::Done {
                host: host.into(),
                step: Step::Switch,
                direction: Direction::Do,
            };
            self.record(done).await?;
        }
        self.admit(host, Direction::Do).await
    }

    async fn undo(&mut self, host: &str) -> Result<(), StepError> {
        if self
            .captured(host)
            .is_none_or(|captured| captured.previous.is_none())
        {
            return self.leave_out(host).await;
        }
        self.world.say(
            host,
            word!("goes back to what it ran before", "退回之前的版本"),
        );
        if self.is_in(host).await? {
            self.cover(host, Direction::Undo).await?;
            self.drain(host, Direction::Undo).await?;
        }
        self.switch(host, Direction::Undo).await?;
        self.admit(host, Direction::Undo).await
    }

    /// Sees to it that a host with nothing healthy on it gets no requests.
    async fn leave_out(&mut self, host: &str) -> Result<(), StepError> {
        if self.is_in(host).await? {
            self.take(host).await?;
        }
        let why = word!(
            "nothing healthy runs there, and there is nothing to go back to",
            "那里没有健康的容器，也没有可以退回的版本"
        )
        .into();
        Err(unwell(host, why))
    }

    /// True when the balancer sends requests to a host that this run may take out.
    async fn is_in(&self, host: &str) -> Result<bool, StepError> {
        match self.original(host) {
            None | Some(Weight::ZERO) => Ok(false),
            Some(_) => Ok(self.weight(host).await? > Weight::ZERO),
        }
    }

    /// Looks at everything, once no switch of ours is under way any more.
    pub(super) async fn observe(&self, patience: Patience) -> Result<Fleet, GaveUp<Source>> {
        let world = self.world;
        let began = world.now();
        let deadline = began + self.settings.rollout.healthy_deadline;
        let mut ticker = Ticker::after(began);
        loop {
            let fleet = world.look(patience).await.fleet()?;
            let now = world.now();
            let busy = self.busy(&fleet);
            if busy.is_empty() || now >= deadline {
                return Ok(fleet);
            }
            if ticker.is_due(now) {
                let text = both!(
                    "compose is still at work on {}",
                    "compose 仍在 {} 上执行",
                    busy.join(", ")
                );
                world.narrator.say(&text);
            }
            world.clock.sleep(Duration::from_secs(1)).await;
        }
    }

    /// The hosts of this run on which compose has not ended.
    fn busy(&self, fleet: &Fleet) -> Vec<HostName> {
        let hosts = self.run.hosts.iter();
        hosts
            .filter(|host| fleet.surveys.get(*host).is_some_and(|s| s.is_switching))
            .cloned()
            .collect()
    }
}
