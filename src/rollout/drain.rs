//! When a backend counts as drained. Pure: counts of connections and when they were seen go in.
//!
//! Requests may still arrive while the balancer applies its weight, so a quiet time counts only
//! when it reaches beyond that.

use std::time::Duration;

use crate::config::Rollout;

/// One look's verdict.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    Wait,
    /// Nobody was connected for long enough.
    Quiet,
    /// The time is over, whoever is still connected.
    TimedOut,
}

/// Watches the connections of one backend.
#[derive(Debug)]
pub(crate) struct Drain {
    began: Duration,
    quiet_since: Option<Duration>,
    propagation: Duration,
    quiet: Duration,
    timeout: Duration,
}

impl Drain {
    /// Begins when the weight was read back as zero.
    pub(crate) fn new(rollout: &Rollout, now: Duration) -> Self {
        Self {
            began: now,
            quiet_since: None,
            propagation: rollout.propagation,
            quiet: rollout.drain_quiet,
            timeout: rollout.propagation + rollout.drain_timeout,
        }
    }

    /// Judges one count; `None` where it could not be had.
    pub(crate) fn look(&mut self, count: Option<u64>, now: Duration) -> Verdict {
        self.quiet_since = match count {
            Some(0) => self.quiet_since.or(Some(now)),
            Some(_) | None => None,
        };
        let waited = now.saturating_sub(self.began);
        let is_quiet = self
            .quiet_since
            .is_some_and(|since| now.saturating_sub(since) >= self.quiet);
        if is_quiet && waited >= self.propagation {
            Verdict::Quiet
        } else if waited >= self.timeout {
            Verdict::TimedOut
        } else {
            Verdict::Wait
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(counts: &[Option<u64>], expect: (u64, Verdict)) {
        let rollout = Rollout {
            propagation: Duration::from_secs(3),
            drain_quiet: Duration::from_secs(2),
            drain_timeout: Duration::from_secs(6),
            ..Rollout::default()
        };
        let mut drain = Drain::new(&rollout, Duration::ZERO);
        let mut last = (0, Verdict::Wait);
        for (second, count) in (0..).zip(counts) {
            last = (second, drain.look(*count, Duration::from_secs(second)));
            if last.1 != Verdict::Wait {
                break;
            }
        }
        assert_eq!(last, expect);
    }

    #[test]
    fn quiet_counts_only_once_the_balancer_has_had_its_time() {
        check(&[Some(0); 9], (3, Verdict::Quiet));
        check(
            &[Some(0), Some(0), Some(1), Some(0), Some(0), Some(0)],
            (5, Verdict::Quiet),
        );
    }

    #[test]
    fn what_cannot_be_seen_is_not_quiet() {
        check(
            &[Some(0), Some(0), None, Some(0), Some(0)],
            (4, Verdict::Wait),
        );
        check(&[None; 12], (9, Verdict::TimedOut));
    }

    #[test]
    fn who_stays_connected_is_cut_at_the_deadline() {
        check(&[Some(2); 12], (9, Verdict::TimedOut));
    }
}
