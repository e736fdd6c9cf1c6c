//! Waits until nobody is connected to an instance any more.

use std::time::Duration;

use super::{
    drain::{self, Drain},
    error::{StepError, failed_on, on},
    journal::Direction,
    narrate,
    port::{Clock, Fact, Fault, Ports, Remote, Retry, Slot},
    work::Work,
    world::Ticker,
};
use crate::failure;
use crate::lang::{both, word};

/// Between two looks at connections.
const LOOK: Duration = Duration::from_millis(500);

impl<P: Ports> Work<'_, P> {
    pub(super) async fn wait_until_drained(
        &self,
        host: &str,
        slot: Slot,
        way: Direction,
    ) -> Result<(), StepError> {
        let world = self.world;
        let began = world.now();
        let survey = world.survey(self.patience(), host).await;
        let survey = survey
            .map_err(|gave_up| on(host, word!("looking at its container", "查看容器"), gave_up))?;
        let (Some(container), Some(remote)) = (survey.at(slot), world.remote(host)) else {
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
                        self.say(
                            host,
                            slot,
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
                self.say(host, slot, &end);
                world.note(drained(host, now.saturating_sub(began), left));
                return Ok(());
            }
            world.clock.sleep(LOOK).await;
        }
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
