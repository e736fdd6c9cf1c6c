//! start-first: while a host's container is replaced, a second instance beside it, at the host's second
//! port, carries the host's weight. The sum of the weights never falls: the second instance is raised
//! and read back before the first is lowered, and the other way round afterwards.
//!
//! What is there of a second instance is seen, never remembered: a project of ours on the host, and a
//! member of the group at the second port.

use std::time::Duration;

use super::{
    error::{StepError, balancer, failed_on, on, unknown, unwell},
    health::{Proof, is_serving},
    journal::{Direction, Step},
    plan::{Fleet, is_bridged},
    port::{Member, Ports, Remote, Slot, Weight},
    work::Work,
    world::{Awaited, Patience},
};
use crate::lang::{both, word};

/// What the second instance gets first, of the host's weight.
const FIRST_PERCENT: u8 = 10;
/// How often a second instance that somebody gives weight to is taken out anew.
const TRIES: usize = 3;

impl<P: Ports> Work<'_, P> {
    /// With start-first: lets a second instance carry the weight of a host that serves.
    pub(super) async fn cover(&mut self, host: &str, way: Direction) -> Result<(), StepError> {
        if !self.settings.has_bridge {
            return Ok(());
        }
        let fleet = self.fleet(host).await?;
        let Some(survey) = fleet.surveys.get(host) else {
            // It may serve, and then it must go on serving.
            return Err(failed_on(
                host,
                word!("looking at it", "查看主机"),
                word!("it does not answer", "没有响应"),
            ));
        };
        if fleet.weight(host) != self.original(host) {
            // It is out, and what an earlier rollout left may serve for it; or somebody moved it.
            return Ok(());
        }
        if is_serving(survey)
            && self.is_owed(host)
            && let (Some(member), Some(original)) = (self.member(host), self.original(host))
        {
            // It shows its weight, and a write of before may still take it.
            self.intend(host, Step::Admit, way).await?;
            self.owing.give_back(host, &member, original).await?;
        }
        if fleet.has_bridge(host) && is_serving(survey) {
            // It may run anything.
            self.retire(host, way).await?;
        }
        if !is_bridged(self.settings.rollout.order, &fleet, host) {
            return Ok(());
        }
        fleet.is_explained(host)?;
        self.bridge(host, way).await?;
        self.go_on()?;
        self.share(host, &fleet, way).await
    }

    /// Starts the second instance, and proves it healthy.
    async fn bridge(&mut self, host: &str, way: Direction) -> Result<(), StepError> {
        let release = self.run.release.clone();
        let previous = self.captured(host).and_then(|c| c.previous.clone());
        let goal = self.goal(host, way, (&release, previous.as_ref()))?;
        self.intend(host, Step::Bridge, way).await?;
        let text = both!(
            "{} starts beside it, at its second port",
            "{} 在旁边的第二个端口启动",
            goal.name
        );
        self.world.say(host, &text);
        self.compose(host, Slot::Bridge, &goal.reference).await?;
        let hold = self.settings.rollout.min_healthy_time;
        let proof = Proof::new(goal.expected, hold);
        self.prove(host, Slot::Bridge, proof).await?;
        self.finish(host, Step::Bridge, way).await
    }

    /// Gives the second instance a first share, then as much as the host has.
    async fn share(&mut self, host: &str, fleet: &Fleet, way: Direction) -> Result<(), StepError> {
        let bridge = fleet.pool.as_ref().and_then(|it| it.bridges.get(host));
        let (Some(bridge), Some(original)) = (bridge, self.original(host)) else {
            return Ok(());
        };
        self.intend(host, Step::Share, way).await?;
        self.join(host, bridge).await?;
        self.weigh(host, bridge, first_share(original)).await?;
        self.wait_until_admitted(host, bridge).await?;
        self.bake(host, way).await?;
        self.weigh(host, bridge, original).await?;
        self.finish(host, Step::Share, way).await
    }

    /// Watches the second instance for a while at its first requests.
    async fn bake(&self, host: &str, way: Direction) -> Result<(), StepError> {
        let release = self.run.release.clone();
        let previous = self.captured(host).and_then(|c| c.previous.clone());
        let goal = self.goal(host, way, (&release, previous.as_ref()))?;
        let proof = Proof::new(goal.expected, self.settings.rollout.bake_time);
        self.prove(host, Slot::Bridge, proof).await
    }

    /// Takes out and removes what is there of a second instance, once the first has its weight.
    pub(super) async fn retire(&mut self, host: &str, way: Direction) -> Result<(), StepError> {
        if !self.settings.has_bridge {
            return Ok(());
        }
        let fleet = self.fleet(host).await?;
        if !fleet.has_bridge(host) {
            return Ok(());
        }
        if fleet.bridge_serves(host) > 0 && !self.is_whole(&fleet, host) {
            let why = word!(
                "its second instance goes on serving, for the first has not its weight",
                "第一实例还没有恢复权重，第二实例继续服务"
            )
            .into();
            return Err(unwell(host, why));
        }
        self.intend(host, Step::Retire, way).await?;
        if let Some((member, _)) = fleet.bridge(host) {
            let member = member.clone();
            self.empty(host, &member).await?;
            self.leave(host, &member).await?;
        }
        self.clear(host).await?;
        self.finish(host, Step::Retire, way).await?;
        self.world
            .say(host, word!("its second instance is gone", "第二实例已清除"));
        Ok(())
    }

    /// True when the first instance serves with its own weight, or with the one somebody gave it. What is
    /// owed may still be taken by a write that is under way, whatever the balancer shows.
    fn is_whole(&self, fleet: &Fleet, host: &str) -> bool {
        fleet.surveys.get(host).is_some_and(is_serving) && !self.is_owed(host)
    }

    fn is_owed(&self, host: &str) -> bool {
        self.member(host).is_some_and(|it| self.owing.is_owed(&it))
    }

    /// Takes the second instance's weight, until it stays so while nobody is connected any more: a write
    /// of before may be applied late.
    async fn empty(&self, host: &str, member: &Member) -> Result<(), StepError> {
        for _ in 0..TRIES {
            self.weigh(host, member, Weight::ZERO).await?;
            // Going back and clearing up must not fail for want of a number.
            self.wait_until_drained(host, Slot::Bridge, Direction::Undo)
                .await?;
            let pool = self.world.pool(self.patience()).await;
            let pool = pool.map_err(|gave_up| balancer(host, gave_up))?;
            let seen = pool.and_then(|pool| pool.weights.get(member).copied());
            if seen.is_none_or(|weight| weight == Weight::ZERO) {
                return Ok(());
            }
        }
        let why = word!(
            "somebody gives its second instance weight again and again",
            "有人反复给它的第二实例设置权重"
        )
        .into();
        Err(unwell(host, why))
    }

    async fn clear(&self, host: &str) -> Result<(), StepError> {
        let Some(remote) = self.world.remote(host) else {
            return Err(unknown(host));
        };
        let awaited = Awaited::of(
            host,
            word!("its second instance is removed", "正在清除第二实例"),
        );
        let patience = Patience::SETTLE.within(Duration::from_mins(1));
        let cleared = self
            .world
            .retry(patience, awaited, async || remote.clear().await);
        let cleared = cleared.await;
        cleared.map_err(|gave_up| {
            on(
                host,
                word!("removing its second instance", "清除第二实例"),
                gave_up.boxed(),
            )
        })
    }
}

/// At least 1, and less than all where there is less.
fn first_share(original: Weight) -> Weight {
    let share = u16::from(original.value()) * u16::from(FIRST_PERCENT) / 100;
    let share = u8::try_from(share.max(1)).unwrap_or(1);
    Weight::new(share).unwrap_or(original)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_share_is_a_tenth_and_never_nothing() {
        let share = |weight| first_share(Weight::new(weight).unwrap()).value();
        assert_eq!([100, 50, 9, 1].map(share), [10, 5, 1, 1]);
    }
}
