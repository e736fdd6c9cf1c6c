//! Makes an instance run what it should, and proves that healthy: by its own check, for long enough,
//! and from outside.

use std::time::Duration;

use super::{
    error::{StepError, failed_on, on, unknown, unwell},
    health::{self, Proof},
    narrate,
    port::{Clock, Fact, Fault, Ports, Remote, Retry, Slot},
    work::Work,
    world::{Awaited, GaveUp, Patience, Ticker},
};
use crate::lang::{both, word};
use crate::{failure, mask::masked};

/// Between two looks.
const LOOK: Duration = Duration::from_millis(500);

/// How long a healthy container may need until its port is open. What is asked over HTTP has the time
/// that a health check has.
const PROBE: Duration = Duration::from_mins(1);

impl<P: Ports> Work<'_, P> {
    pub(super) async fn compose(
        &self,
        host: &str,
        slot: Slot,
        reference: &str,
    ) -> Result<(), StepError> {
        let world = self.world;
        let Some(remote) = world.remote(host) else {
            return Err(unknown(host));
        };
        let began = world.now();
        let attempt = self.run.attempt();
        let awaited = Awaited::of(host, word!("compose is at work", "compose 正在执行"));
        let switch = async || remote.switch(slot, &attempt, reference).await;
        // Compose goes on without us, so a wish to stop changes nothing here.
        let patience = Patience::SETTLE.within(Patience::LOOK.budget);
        let switched = world.retry(patience, awaited, switch).await;
        switched.map_err(|gave_up| on(host, "compose", gave_up.boxed()))?;
        let waited = narrate::duration(world.now().saturating_sub(began));
        self.say(
            host,
            slot,
            &both!(
                "compose is done after {waited}",
                "compose 执行完毕，用时 {waited}"
            ),
        );
        Ok(())
    }

    /// Watches a host's container until it has been healthy for long enough; a new release is asked
    /// from outside then.
    pub(super) async fn prove(
        &self,
        host: &str,
        slot: Slot,
        proof: Proof<'_>,
    ) -> Result<(), StepError> {
        let is_probed = proof.expected().is_probed();
        let proof = proof.with_probe(is_probed && self.settings.has_probe);
        let proven = async {
            let container = self.watch(host, slot, proof).await?;
            if is_probed {
                let budget = if self.settings.has_probe {
                    self.settings.rollout.healthy_deadline
                } else {
                    PROBE
                };
                self.probe(host, (slot, &container), budget).await?;
            }
            Ok(())
        };
        let proven = proven.await;
        if matches!(proven, Err(StepError::Unwell { .. })) {
            self.tell_last_words(host, slot).await;
        }
        proven
    }

    /// What the container said last: who reads why it failed needs nothing else first.
    async fn tell_last_words(&self, host: &str, slot: Slot) {
        let Some(remote) = self.world.remote(host) else {
            return;
        };
        match remote.last_words(slot).await {
            Ok(words) => {
                let lines: Vec<_> = words.iter().map(|line| masked(line)).collect();
                for line in &lines {
                    self.say(host, slot, line);
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
        (slot, container): (Slot, &str),
        budget: Duration,
    ) -> Result<(), StepError> {
        let Some(remote) = self.world.remote(host) else {
            return Err(unknown(host));
        };
        let awaited = Awaited::of(host, word!("is asked from outside", "正在从外部探测"));
        let probe = async || remote.probe(slot, container).await;
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
    async fn watch(
        &self,
        host: &str,
        slot: Slot,
        mut proof: Proof<'_>,
    ) -> Result<String, StepError> {
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
                    let container = survey.at(slot);
                    let verdict = proof.look(container, now);
                    id = container.map(|it| it.id.clone()).unwrap_or_default();
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
                    self.say(
                        host,
                        slot,
                        &both!("healthy in {waited}", "已健康，用时 {waited}"),
                    );
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
                self.say(host, slot, &text);
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
                self.say(
                    host,
                    slot,
                    &both!("{state} ({waited})", "{state}（{waited}）"),
                );
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
}
