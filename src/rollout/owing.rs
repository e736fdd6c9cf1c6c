//! Moving weights, and keeping book of what is owed: written down before the first write that takes
//! a weight away, struck out once it was read back.
//!
//! A weight is compared before it is set and read back after; a third one is somebody else's and is
//! left alone. A write whose answer was lost may still be applied for as long as the balancer takes,
//! so a weight that was given back counts only when it is still there after that time.

use std::{
    cell::{Cell, RefCell},
    collections::BTreeMap,
    time::Duration,
};

use super::{
    debt::{Change, Debt, Owed},
    error::{StepError, balancer, drift},
    journal::Run,
    port::{Balancer, Debts, Fact, Fault, Member, Narrator, Pool, Ports, Retry, Weight},
    world::{Awaited, GaveUp, Patience, Source, World},
};
use crate::failure;
use crate::lang::{both, word};

/// How long the balancer may refuse to take a host out.
const OUT: Duration = Duration::from_mins(1);
/// A weight that was accepted and not applied is set again after this.
const REWRITE: Duration = Duration::from_secs(5);
const LOOK: Duration = Duration::from_millis(500);

/// Why a weight is not there yet.
#[derive(Debug, thiserror::Error)]
enum MoveError<E> {
    #[error("{}", both!("weight {wanted} is accepted and not applied yet", "权重 {wanted} 已被接受，尚未生效"))]
    NotApplied { wanted: Weight, rest: Duration },
    #[error("{}", both!("somebody else moved it to {_0}", "有人把它改成了 {_0}"))]
    Drift(Weight),
    #[error("{}", word!("it is not behind the balancer", "它不在负载均衡后面"))]
    NotMember,
    #[error("{}", word!("asked to stop", "收到停止请求"))]
    Stopped,
    #[error(transparent)]
    Balancer(E),
}

impl<E: Fault> Fault for MoveError<E> {
    fn retry(&self) -> Retry {
        match self {
            Self::NotApplied { rest, .. } => Retry::After(*rest),
            Self::Drift(_) | Self::NotMember | Self::Stopped => Retry::Never,
            Self::Balancer(error) => error.retry(),
        }
    }
}

/// One weight on its way.
#[derive(Debug, Clone, Copy)]
struct Move<'a> {
    host: &'a str,
    member: &'a Member,
    original: Weight,
    to: Weight,
    /// Gives a move that takes away up when somebody wants an end.
    is_stoppable: bool,
}

impl Move<'_> {
    fn from(self) -> Weight {
        if self.to == Weight::ZERO {
            self.original
        } else {
            Weight::ZERO
        }
    }
}

/// What was done about it so far.
#[derive(Default)]
struct Progress {
    /// True once a write may have been made.
    is_tried: Cell<bool>,
    /// When a write was accepted last.
    written: Cell<Option<Duration>>,
}

/// What is owed, and the only way to move a weight.
pub(super) struct Owing<'a, P: Ports> {
    pub(super) world: &'a World<P>,
    propagation: Duration,
    debt: RefCell<Debt>,
    /// False after a write that failed: what the disk holds is not known.
    is_written: Cell<bool>,
    /// Since when this process knows what is owed: a write of another may be under way until
    /// `propagation` after that.
    began: Duration,
    /// When this process last tried to take a member's weight.
    taken: RefCell<BTreeMap<Member, Duration>>,
}

impl<'a, P: Ports> Owing<'a, P> {
    pub(super) async fn load(world: &'a World<P>, propagation: Duration) -> Result<Self, Source> {
        Ok(Self {
            world,
            propagation,
            debt: RefCell::new(world.debts.read().await?),
            is_written: Cell::new(true),
            began: world.now(),
            taken: RefCell::default(),
        })
    }

    pub(super) fn debt(&self) -> Debt {
        self.debt.borrow().clone()
    }

    pub(super) fn is_owed(&self, member: &Member) -> bool {
        self.debt.borrow().of(member).is_some()
    }

    /// Takes over what a run of an earlier version took: it kept its weights in its journal alone.
    pub(super) async fn adopt(&self, run: &Run, pool: &Pool) {
        for owed in run.taken_unnamed(pool) {
            self.settle(Change::Taken(owed)).await;
        }
    }

    /// Writes the debt down as it is after a change; only then is it so.
    async fn change(&self, change: Change) -> Result<(), Source> {
        let before = self.debt();
        let after = before.after(change);
        if after != before || !self.is_written.get() {
            self.is_written.set(false);
            self.world.debts.write(&after).await?;
            self.is_written.set(true);
        }
        self.debt.replace(after);
        Ok(())
    }

    /// A member was seen with that weight, and nothing of ours is under way.
    async fn seen(&self, member: &Member, weight: Weight) {
        let member = member.clone();
        self.settle(Change::Seen { member, weight }).await;
    }

    /// Nothing is owed there any more.
    pub(super) async fn strike(&self, member: &Member) {
        self.settle(Change::Kept(member.clone())).await;
    }

    /// Nothing is begun for these, so a disk that is full is no reason to stop: a debt that cannot be
    /// struck out there is only looked at once more.
    async fn settle(&self, change: Change) {
        let after = self.debt.borrow().after(change.clone());
        if let Err(error) = self.change(change).await {
            let why = failure::chain(&*error);
            let text = both!(
                "what is owed cannot be written, going on without it: {why}",
                "欠账写不进去，不记录而继续：{why}"
            );
            self.world.narrator.say(&text);
            self.debt.replace(after);
        }
    }

    /// What somebody else moved meanwhile is theirs: nothing is owed there any more.
    pub(super) async fn forgive(&self, pool: &Pool) {
        for owed in self.debt().owed() {
            match pool.weights.get(&owed.member) {
                Some(seen) if *seen != Weight::ZERO && *seen != owed.weight => {
                    let text = both!(
                        "somebody else moved its weight to {seen}, and it was {}: left so",
                        "有人把它的权重改成了 {seen}，原来是 {}：保持现状",
                        owed.weight
                    );
                    self.world.say(&owed.host, &text);
                    self.seen(&owed.member, *seen).await;
                }
                _ => {}
            }
        }
    }

    /// Takes a host's weight away: owed first, then written, then read back.
    pub(super) async fn take(&self, owed: Owed, is_stoppable: bool) -> Result<(), StepError> {
        let way = Move {
            host: &owed.host,
            member: &owed.member,
            original: owed.weight,
            to: Weight::ZERO,
            is_stoppable,
        };
        let was_owed = self.is_owed(&owed.member);
        let written = self.change(Change::Taken(owed.clone())).await;
        written.map_err(|source| StepError::Debt {
            host: owed.host.clone(),
            source,
        })?;
        let progress = Progress::default();
        progress.is_tried.set(was_owed);
        let moved = self.make(way, &progress).await;
        if !progress.is_tried.get() {
            self.settle(Change::Kept(owed.member.clone())).await;
        }
        moved
    }

    /// Gives a weight back that is owed; one that is not owed is only looked at.
    pub(super) async fn give_back(
        &self,
        host: &str,
        member: &Member,
        original: Weight,
    ) -> Result<(), StepError> {
        let way = Move {
            host,
            member,
            original,
            to: original,
            is_stoppable: false,
        };
        self.make(way, &Progress::default()).await?;
        self.seen(member, original).await;
        Ok(())
    }

    fn mark_taken(&self, member: &Member) {
        let mut taken = self.taken.borrow_mut();
        taken.insert(member.clone(), self.world.now());
    }

    /// How long a write that takes away may still be applied. Only what is owed was taken.
    fn unsure(&self, member: &Member) -> Duration {
        let taken = self.taken.borrow().get(member).copied();
        let until = taken.unwrap_or(self.began) + self.propagation;
        let rest = until.saturating_sub(self.world.now());
        if self.is_owed(member) {
            rest
        } else {
            Duration::ZERO
        }
    }

    async fn make(&self, way: Move<'_>, progress: &Progress) -> Result<(), StepError> {
        let Some(port) = &self.world.balancer else {
            return Ok(());
        };
        let Move { host, to, .. } = way;
        // Giving up leaves a healthy host at weight 0, so that way has more time. No write is
        // dropped half-way: it could be applied after the next look.
        let patience = if to == Weight::ZERO {
            Patience::SETTLE.within(OUT)
        } else {
            Patience::SETTLE
        };
        let what = both!("waits for weight {to}", "等待权重变为 {to}");
        let moved = self
            .world
            .ask_balancer(patience, Awaited::of(host, &what), async || {
                self.try_move(port, way, progress).await
            });
        let gave_up = match moved.await {
            Ok(()) => {
                if progress.written.get().is_some() {
                    let text = both!(
                        "weight {} -> {to}, read back",
                        "权重 {} -> {to}，已回读确认",
                        way.from()
                    );
                    self.world.say(host, &text);
                    self.world.note(Fact::Weighed {
                        host: host.into(),
                        weight: to,
                    });
                }
                return Ok(());
            }
            Err(gave_up) => gave_up,
        };
        Err(match gave_up {
            GaveUp::Stopped | GaveUp::Failed(MoveError::Stopped) => StepError::Cancelled,
            GaveUp::Failed(MoveError::Drift(seen)) => drift(host, way.original, seen),
            GaveUp::Failed(MoveError::NotApplied { wanted, .. }) => {
                let host = host.into();
                StepError::Unapplied { host, wanted }
            }
            GaveUp::Failed(error @ (MoveError::NotMember | MoveError::Balancer(_))) => {
                balancer(host, GaveUp::Failed(error.into()))
            }
        })
    }

    /// One try: reads, writes where that is due, reads again.
    async fn try_move<B: Balancer>(
        &self,
        port: &B,
        way: Move<'_>,
        progress: &Progress,
    ) -> Result<(), MoveError<B::Error>> {
        if self.is_there(port, way, progress).await? {
            return Ok(());
        }
        let is_taking = way.to == Weight::ZERO;
        if is_taking && way.is_stoppable && self.world.is_stopped() {
            return Err(MoveError::Stopped);
        }
        let now = self.world.now();
        let is_due = |at: Duration| now.saturating_sub(at) >= REWRITE;
        if progress.written.get().is_none_or(is_due) {
            // Counted from before and after the call: nobody knows when within it is applied.
            if is_taking {
                self.mark_taken(way.member);
            }
            progress.is_tried.set(true);
            let accepted = port.set_weight(way.member, way.to).await;
            if is_taking {
                self.mark_taken(way.member);
            }
            accepted.map_err(MoveError::Balancer)?;
            progress.written.set(Some(now));
            if self.is_there(port, way, progress).await? {
                return Ok(());
            }
        }
        let rest = if is_taking {
            LOOK
        } else {
            LOOK.max(self.unsure(way.member))
        };
        let wanted = way.to;
        Err(MoveError::NotApplied { wanted, rest })
    }

    /// True once the balancer shows the new weight for good; a third one is an error.
    async fn is_there<B: Balancer>(
        &self,
        port: &B,
        way: Move<'_>,
        progress: &Progress,
    ) -> Result<bool, MoveError<B::Error>> {
        let pool = port.pool().await.map_err(MoveError::Balancer)?;
        let Some(seen) = pool.weights.get(way.member).copied() else {
            return Err(MoveError::NotMember);
        };
        let is_owed = self.is_owed(way.member);
        if seen == way.to && way.to == Weight::ZERO {
            let is_ours = progress.is_tried.get();
            return is_ours.then_some(true).ok_or(MoveError::Drift(seen));
        }
        if seen == way.to {
            // What is given back is written at least once, where anything was taken.
            let is_given = !is_owed || progress.written.get().is_some();
            return Ok(is_given && self.unsure(way.member).is_zero());
        }
        // Nothing of ours was taken there, so the zero is somebody else's.
        if seen == way.from() && is_owed {
            return Ok(false);
        }
        Err(MoveError::Drift(seen))
    }
}

impl Run {
    /// What a run of an earlier version may have taken, by the members that stand for its hosts.
    fn taken_unnamed(&self, pool: &Pool) -> Vec<Owed> {
        let hosts = self.captured.iter().filter_map(|(host, captured)| {
            let weight = captured.weight.filter(|weight| *weight > Weight::ZERO)?;
            let is_touched = captured.mark.is_some() || captured.found != captured.weight;
            let member = pool.own.get(host)?.clone();
            (captured.member.is_none() && is_touched).then(|| Owed {
                member,
                host: host.clone(),
                weight,
                run: self.id.clone(),
            })
        });
        hosts.collect()
    }
}
