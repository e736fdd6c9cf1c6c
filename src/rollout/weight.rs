//! Moving one weight at the balancer: compared before it is set, read back after, set again where
//! it was accepted and not applied. A third weight is somebody else's and is left alone.

use std::time::Duration;

use super::{
    narrate,
    port::{Balancer, Clock, Fault, Ports, Retry, Weight},
    step::{Trouble, Work, balancer, drift},
    world::{Source, Ticker},
};
use crate::failure;

/// How long the balancer may refuse to take a host out.
const OUT: Duration = Duration::from_mins(1);
/// How long it may refuse to take one back: longer, for giving up leaves a healthy host dark.
const BACK: Duration = Duration::from_mins(5);
/// A weight that was accepted and not applied is set again after this.
const REWRITE: Duration = Duration::from_secs(5);
const LOOK: Duration = Duration::from_millis(500);

/// One weight on its way.
struct Move<'a> {
    host: &'a str,
    from: Weight,
    to: Weight,
    /// When it was last accepted.
    written: Option<Duration>,
}

/// How a look at the balancer went.
enum Look {
    Applied,
    /// Just set: worth another look at once.
    Accepted,
    NotYet,
    /// The call failed and may succeed soon.
    Busy(Source),
}

impl<P: Ports> Work<'_, P> {
    /// Moves a host's weight.
    pub(super) async fn move_weight(
        &self,
        host: &str,
        from: Weight,
        to: Weight,
    ) -> Result<(), Trouble> {
        let Some(port) = &self.world.balancer else {
            return Ok(());
        };
        let world = self.world;
        let began = world.now();
        let deadline = began + if to > from { BACK } else { OUT };
        let mut ticker = Ticker::after(began);
        let mut weight = Move {
            host,
            from,
            to,
            written: None,
        };
        loop {
            let look = weight.look(port, world.now()).await?;
            let now = world.now();
            let waited = narrate::duration(now.saturating_sub(began));
            match look {
                Look::Applied => {
                    world.say(host, &format!("weight {from} -> {to}, read back"));
                    return Ok(());
                }
                Look::Accepted => continue,
                Look::Busy(source) if now >= deadline => return Err(balancer(host, source)),
                Look::NotYet if now >= deadline => {
                    let host = host.into();
                    return Err(Trouble::Unapplied { host, wanted: to });
                }
                Look::Busy(source) if ticker.is_due(now) => {
                    let why = failure::chain(&*source);
                    world.say(
                        host,
                        &format!("the balancer is asked again: {why} ({waited})"),
                    );
                }
                Look::NotYet if ticker.is_due(now) => {
                    let text = format!("weight {to} is accepted and not applied yet ({waited})");
                    world.say(host, &text);
                }
                Look::Busy(_) | Look::NotYet => {}
            }
            if to < from {
                self.go_on()?;
            }
            world.clock.sleep(LOOK).await;
        }
    }
}

impl Move<'_> {
    async fn look<B: Balancer>(&mut self, port: &B, now: Duration) -> Result<Look, Trouble> {
        let pool = match port.pool().await {
            Ok(pool) => pool,
            Err(error) => return self.judge(error),
        };
        let Some(seen) = pool.weights.get(self.host).copied() else {
            let source = "it is not a member of the pool".into();
            return Err(balancer(self.host, source));
        };
        if seen == self.to {
            return Ok(Look::Applied);
        }
        if seen != self.from {
            return Err(drift(self.host, self.from, seen));
        }
        let age = self.written.map(|at| now.saturating_sub(at));
        if age.is_some_and(|age| age < REWRITE) {
            return Ok(Look::NotYet);
        }
        match port.set_weight(self.host, self.to).await {
            Ok(()) => {
                self.written = Some(now);
                Ok(Look::Accepted)
            }
            Err(error) => self.judge(error),
        }
    }

    fn judge(&self, error: impl Fault) -> Result<Look, Trouble> {
        if error.retry() != Retry::Never {
            return Ok(Look::Busy(error.into()));
        }
        Err(balancer(self.host, error.into()))
    }
}
