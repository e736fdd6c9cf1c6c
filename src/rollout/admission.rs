//! A host that got its weight back gets requests once the balancer's own check calls it healthy: its
//! container may be, and the balancer see another port or path.

use std::time::Duration;

use super::{
    error::{StepError, balancer, unwell},
    narrate,
    port::{Clock, Health, Member, Ports},
    work::Work,
    world::{Patience, Ticker},
};
use crate::lang::{both, word};

/// Between the first two questions, and the longest time between two.
const PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

impl<P: Ports> Work<'_, P> {
    /// Waits until the balancer calls a member healthy that has its weight; one that it does not check
    /// is not waited for.
    pub(super) async fn wait_until_admitted(
        &self,
        host: &str,
        member: &Member,
    ) -> Result<(), StepError> {
        let world = self.world;
        let began = world.now();
        let deadline = began + self.settings.rollout.admission_timeout;
        // Whoever is at weight 0 counts as healthy for some, and the new weight may not be felt yet.
        let felt = began + self.settings.rollout.propagation;
        let mut ticker = Ticker::after(began);
        let mut pause = PAUSE;
        if deadline == began {
            return Ok(());
        }
        loop {
            let health = self.checked(host, member).await?;
            let now = world.now();
            let waited = narrate::duration(now.saturating_sub(began));
            match health {
                None | Some(Health::None) => return Ok(()),
                Some(Health::Healthy) if now < felt => {
                    world.clock.sleep(felt.saturating_sub(now)).await;
                    continue;
                }
                Some(Health::Healthy) => {
                    if now > felt {
                        world.say(
                            host,
                            &both!(
                                "the balancer calls it healthy after {waited}",
                                "负载均衡已判定它健康（{waited}）"
                            ),
                        );
                    }
                    return Ok(());
                }
                Some(Health::Starting | Health::Unhealthy) if self.is_hurried() => {
                    world.say(
                        host,
                        word!(
                            "not waited for the balancer's own check any longer",
                            "不再等待负载均衡的健康检查"
                        ),
                    );
                    return Ok(());
                }
                Some(Health::Starting | Health::Unhealthy) if now >= deadline => {
                    let why = both!(
                        "it has its weight, and {waited} later the balancer's own health check does not call it healthy",
                        "权重恢复已过 {waited}，负载均衡的健康检查仍未判定它健康"
                    );
                    return Err(unwell(host, why));
                }
                Some(Health::Starting | Health::Unhealthy) => {}
            }
            if ticker.is_due(now) {
                let text = both!(
                    "the balancer does not call it healthy yet ({waited})",
                    "负载均衡尚未判定它健康（{waited}）"
                );
                world.say(host, &text);
            }
            world
                .clock
                .sleep(pause.min(deadline.saturating_sub(now)))
                .await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    async fn checked(&self, host: &str, member: &Member) -> Result<Option<Health>, StepError> {
        // It is healthy: a wish to stop does not turn it back at the last moment.
        let patience = Patience::SETTLE.within(Patience::LOOK.budget);
        let members = std::slice::from_ref(member);
        let health = self.world.health(patience, members).await;
        let mut health = health.map_err(|gave_up| balancer(host, gave_up))?;
        Ok(health.remove(member))
    }
}
