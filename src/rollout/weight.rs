//! Moving one weight at the balancer: compared before it is set, read back after, set again where
//! it was accepted and not applied. A third weight is somebody else's and is left alone.

use std::{cell::Cell, time::Duration};

use super::{
    port::{Balancer, Fault, Ports, Retry, Weight},
    step::{StepError, Work, balancer, drift},
    world::{Awaited, GaveUp, Patience},
};

/// How long the balancer may refuse to take a host out.
const OUT: Duration = Duration::from_mins(1);
/// A weight that was accepted and not applied is set again after this.
const REWRITE: Duration = Duration::from_secs(5);
const LOOK: Duration = Duration::from_millis(500);

/// Why a weight is not there yet.
#[derive(Debug, thiserror::Error)]
enum MoveError<E> {
    #[error("weight {0} is accepted and not applied yet")]
    NotApplied(Weight),
    #[error("somebody else moved it to {0}")]
    Drift(Weight),
    #[error("it is not a member of the pool")]
    NotMember,
    #[error("asked to stop")]
    Stopped,
    #[error(transparent)]
    Balancer(E),
}

impl<E: Fault> Fault for MoveError<E> {
    fn retry(&self) -> Retry {
        match self {
            Self::NotApplied(_) => Retry::After(LOOK),
            Self::Drift(_) | Self::NotMember | Self::Stopped => Retry::Never,
            Self::Balancer(error) => error.retry(),
        }
    }
}

impl<P: Ports> Work<'_, P> {
    /// Moves a host's weight.
    pub(super) async fn move_weight(
        &self,
        host: &str,
        from: Weight,
        to: Weight,
    ) -> Result<(), StepError> {
        let Some(port) = &self.world.balancer else {
            return Ok(());
        };
        // Giving up leaves a healthy host at weight 0, so that way has more time. No write is
        // dropped half-way: it could be applied after the next look.
        let budget = if to > from {
            Patience::SETTLE.budget
        } else {
            OUT
        };
        let patience = Patience::SETTLE.within(budget);
        let what = format!("waits for weight {to}");
        let awaited = Awaited::of(host, &what);
        let written = Cell::new(None);
        let moved = self.world.retry(patience, awaited, async || {
            if self.weight_is(port, host, from, to).await? {
                return Ok(());
            }
            if to < from && self.go_on().is_err() {
                return Err(MoveError::Stopped);
            }
            let now = self.world.now();
            let is_due = |at: Duration| now.saturating_sub(at) >= REWRITE;
            if written.get().is_none_or(is_due) {
                let accepted = port.set_weight(host, to).await;
                accepted.map_err(MoveError::Balancer)?;
                written.set(Some(now));
                if self.weight_is(port, host, from, to).await? {
                    return Ok(());
                }
            }
            Err(MoveError::NotApplied(to))
        });
        match moved.await {
            Ok(()) => {
                let text = format!("weight {from} -> {to}, read back");
                self.world.say(host, &text);
                Ok(())
            }
            Err(GaveUp::Stopped | GaveUp::Failed(MoveError::Stopped)) => Err(StepError::Cancelled),
            Err(GaveUp::Failed(MoveError::Drift(seen))) => Err(drift(host, from, seen)),
            Err(GaveUp::Failed(MoveError::NotApplied(wanted))) => {
                let host = host.into();
                Err(StepError::Unapplied { host, wanted })
            }
            Err(GaveUp::Failed(error @ (MoveError::NotMember | MoveError::Balancer(_)))) => {
                Err(balancer(host, GaveUp::Failed(error.into())))
            }
        }
    }

    /// True once the balancer shows the new weight; a third one is an error.
    async fn weight_is<B: Balancer>(
        &self,
        port: &B,
        host: &str,
        from: Weight,
        to: Weight,
    ) -> Result<bool, MoveError<B::Error>> {
        let pool = port.pool().await.map_err(MoveError::Balancer)?;
        match pool.weights.get(host).copied() {
            Some(seen) if seen == to => Ok(true),
            Some(seen) if seen == from => Ok(false),
            Some(seen) => Err(MoveError::Drift(seen)),
            None => Err(MoveError::NotMember),
        }
    }
}
