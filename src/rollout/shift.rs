//! The member of a second instance: into its group, its weight, out of it. The member is ours alone, so
//! nothing is owed to it and nobody else's weight is kept.
//!
//! Every change is read back. A write whose answer was lost may still be applied for as long as the
//! balancer takes, so what is read counts only after that time.

use std::{cell::Cell, time::Duration};

use super::{
    error::{StepError, balancer},
    port::{Balancer, Fault, Member, Ports, Retry, Weight},
    work::Work,
    world::{Awaited, GaveUp, Patience, Source},
};
use crate::lang::{both, word};

/// A change that was accepted and not applied is made again after this.
const REWRITE: Duration = Duration::from_secs(5);
const LOOK: Duration = Duration::from_millis(500);
/// How long the balancer may refuse.
const LIMIT: Duration = Duration::from_mins(2);

/// What is wanted of the member.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wanted {
    There,
    Weight(Weight),
    Gone,
}

impl Wanted {
    fn is_met_by(self, seen: Option<Weight>) -> bool {
        match self {
            Self::There => seen.is_some(),
            Self::Weight(weight) => seen == Some(weight),
            Self::Gone => seen.is_none(),
        }
    }
}

/// Why it is not there yet.
#[derive(Debug, thiserror::Error)]
enum ShiftError<E> {
    #[error("{}", word!("it is accepted and not applied yet", "已被接受，尚未生效"))]
    NotApplied { rest: Duration },
    #[error("{}", word!("it is not behind the balancer", "它不在负载均衡后面"))]
    NotMember,
    #[error(transparent)]
    Balancer(E),
}

impl<E: Fault> Fault for ShiftError<E> {
    fn retry(&self) -> Retry {
        match self {
            Self::NotApplied { rest } => Retry::After(*rest),
            Self::NotMember => Retry::Never,
            Self::Balancer(error) => error.retry(),
        }
    }
}

/// What was done about it so far.
#[derive(Default)]
struct Progress {
    /// When a change was accepted last.
    made: Cell<Option<Duration>>,
    /// When the answer to one was lost last.
    lost: Cell<Option<Duration>>,
}

impl<P: Ports> Work<'_, P> {
    pub(super) async fn join(&self, host: &str, member: &Member) -> Result<(), StepError> {
        self.shift(host, member, Wanted::There).await.map(drop)
    }

    pub(super) async fn leave(&self, host: &str, member: &Member) -> Result<(), StepError> {
        self.shift(host, member, Wanted::Gone).await.map(drop)
    }

    pub(super) async fn weigh(
        &self,
        host: &str,
        member: &Member,
        weight: Weight,
    ) -> Result<(), StepError> {
        let wanted = Wanted::Weight(weight);
        if self.shift(host, member, wanted).await? {
            let text = both!(
                "second instance: weight {weight}, read back",
                "第二实例：权重 {weight}，已读回确认"
            );
            self.world.say(host, &text);
        }
        Ok(())
    }

    /// True when anything was changed.
    async fn shift(&self, host: &str, member: &Member, wanted: Wanted) -> Result<bool, StepError> {
        let Some(port) = &self.world.balancer else {
            return Ok(false);
        };
        let progress = Progress::default();
        let patience = Patience::SETTLE.within(LIMIT);
        let awaited = Awaited::of(
            host,
            word!(
                "waits for its second port at the balancer",
                "等待负载均衡上的第二个端口"
            ),
        );
        let change = async || self.try_shift(port, member, wanted, &progress).await;
        let changed = self.world.ask_balancer(patience, awaited, change).await;
        changed.map_err(|gave_up| {
            balancer(
                host,
                match gave_up {
                    GaveUp::Stopped => GaveUp::Stopped,
                    GaveUp::Failed(error) => GaveUp::Failed(Source::from(error)),
                },
            )
        })?;
        Ok(progress.made.get().is_some())
    }

    /// One try: reads, changes where that is due, reads again.
    async fn try_shift<B: Balancer>(
        &self,
        port: &B,
        member: &Member,
        wanted: Wanted,
        progress: &Progress,
    ) -> Result<(), ShiftError<B::Error>> {
        if self.is_so(port, member, wanted, progress).await? {
            return Ok(());
        }
        let now = self.world.now();
        let is_due = |at: Duration| now.saturating_sub(at) >= REWRITE;
        if progress.made.get().is_none_or(is_due) {
            let made = match wanted {
                Wanted::There => port.join(member).await,
                Wanted::Weight(weight) => port.set_weight(member, weight).await,
                Wanted::Gone => port.leave(member).await,
            };
            if let Err(error) = made {
                progress.lost.set(Some(self.world.now()));
                return Err(ShiftError::Balancer(error));
            }
            progress.made.set(Some(now));
            if self.is_so(port, member, wanted, progress).await? {
                return Ok(());
            }
        }
        let rest = LOOK.max(self.unsure_for(progress));
        Err(ShiftError::NotApplied { rest })
    }

    async fn is_so<B: Balancer>(
        &self,
        port: &B,
        member: &Member,
        wanted: Wanted,
        progress: &Progress,
    ) -> Result<bool, ShiftError<B::Error>> {
        let pool = port.pool().await.map_err(ShiftError::Balancer)?;
        let seen = pool.weights.get(member).copied();
        if seen.is_none() && matches!(wanted, Wanted::Weight(_)) {
            return Err(ShiftError::NotMember);
        }
        Ok(wanted.is_met_by(seen) && self.unsure_for(progress).is_zero())
    }

    /// How long a change may still be applied whose answer was lost.
    fn unsure_for(&self, progress: &Progress) -> Duration {
        let lost = progress.lost.get();
        let until = lost.map(|at| at + self.settings.rollout.propagation);
        until.map_or(Duration::ZERO, |until| {
            until.saturating_sub(self.world.now())
        })
    }
}
