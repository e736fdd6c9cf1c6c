//! Time as it really passes.

use std::time::{Duration, Instant};

use crate::rollout::port::Clock;

/// The machine's own clock, on tokio's timer.
#[derive(Debug, Clone, Copy)]
pub(super) struct RealClock {
    start: Instant,
}

impl RealClock {
    /// Starts counting.
    pub(super) fn start() -> Self {
        Self {
            start: Instant::now(),
        }
    }
}

impl Clock for RealClock {
    fn now(&self) -> Duration {
        self.start.elapsed()
    }

    async fn sleep(&self, duration: Duration) {
        tokio::time::sleep(duration).await;
    }
}
