//! When a container counts as proven healthy. Pure: what was seen and when goes in, a verdict
//! comes out. Knows neither host nor clock.

use std::time::Duration;

use super::state::{Container, Health, Release, Survey};
use crate::lang::{both, word};

/// A container that restarts this often is in a loop.
const LOOP: u64 = 3;

/// What should be running.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Expected<'a> {
    /// The new release.
    Release(&'a Release),
    /// The container of before, with or without a HEALTHCHECK, as it was.
    Previous(&'a Container),
}

impl Expected<'_> {
    /// True when that is what `container` runs.
    pub(crate) fn is_met_by(&self, container: &Container) -> bool {
        match self {
            Self::Release(release) => container.runs(release),
            Self::Previous(previous) => container.image == previous.image,
        }
    }

    /// True when it has to answer a probe from outside, too.
    pub(crate) fn is_probed(&self) -> bool {
        matches!(self, Self::Release(_))
    }
}

/// True when requests sent there are answered, as far as can be seen from the host.
pub(crate) fn is_serving(survey: &Survey) -> bool {
    survey.container.as_ref().is_some_and(answers)
}

/// True when a container answers, as far as its own check says.
pub(crate) fn answers(container: &Container) -> bool {
    container.is_running && matches!(container.health, Health::Healthy | Health::None)
}

/// One look's verdict.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Look again after a change, or at the latest after `limit` where one is given.
    Wait { limit: Option<Duration> },
    /// Healthy for long enough.
    Proven,
    /// It will not become healthy, and why.
    Failed(String),
}

/// Watches one container until it is proven healthy.
#[derive(Debug)]
pub(crate) struct Proof<'a> {
    expected: Expected<'a>,
    /// How long it has to stay healthy.
    hold: Duration,
    /// Container, restarts, and since when it has been healthy.
    seen: Option<(String, u64, Option<Duration>)>,
    first_restarts: Option<u64>,
    may_lack_check: bool,
}

impl<'a> Proof<'a> {
    /// What should be running, and how long it has to stay healthy. A release must have a
    /// HEALTHCHECK, or nothing could say that it is healthy.
    pub(crate) fn new(expected: Expected<'a>, hold: Duration) -> Self {
        let may_lack_check = match expected {
            Expected::Release(_) => false,
            Expected::Previous(previous) => previous.health == Health::None,
        };
        Self {
            expected,
            hold,
            seen: None,
            first_restarts: None,
            may_lack_check,
        }
    }

    /// A probe from outside says enough where the release has no HEALTHCHECK.
    pub(crate) fn with_probe(mut self, has_probe: bool) -> Self {
        self.may_lack_check |= has_probe;
        self
    }

    pub(crate) fn expected(&self) -> &Expected<'a> {
        &self.expected
    }

    /// Accepts a container at its first healthy look from now on.
    pub(crate) fn hurry(&mut self) {
        self.hold = Duration::ZERO;
    }

    /// True while it is healthy and only has to stay so.
    pub(crate) fn is_holding(&self) -> bool {
        matches!(self.seen, Some((_, _, Some(_))))
    }

    /// Nothing could be seen, so nothing of what was seen before counts.
    pub(crate) fn lose_sight(&mut self) -> Verdict {
        self.seen = None;
        Verdict::Wait { limit: None }
    }

    /// Judges what was seen at `now`.
    pub(crate) fn look(&mut self, container: Option<&Container>, now: Duration) -> Verdict {
        let Some(container) = container else {
            self.seen = None;
            return Verdict::Failed(word!("there is no container", "没有容器").into());
        };
        if let Some(why) = self.hopeless(container) {
            return Verdict::Failed(why);
        }
        let is_healthy = match container.health {
            Health::Healthy => true,
            Health::None => self.may_lack_check,
            Health::Starting | Health::Unhealthy => false,
        } && container.is_running;
        // Another container, or one more restart, and the time of being healthy begins anew.
        let since = self
            .seen
            .take()
            .filter(|(id, restarts, _)| *id == container.id && *restarts == container.restarts)
            .and_then(|(_, _, since)| since)
            .filter(|_| is_healthy)
            .or(is_healthy.then_some(now));
        self.seen = Some((container.id.clone(), container.restarts, since));
        match since {
            None => Verdict::Wait { limit: None },
            Some(since) if now.saturating_sub(since) >= self.hold => Verdict::Proven,
            Some(since) => Verdict::Wait {
                limit: Some((since + self.hold).saturating_sub(now)),
            },
        }
    }

    fn hopeless(&mut self, container: &Container) -> Option<String> {
        if !self.expected.is_met_by(container) {
            return Some(both!(
                "it still runs {}",
                "它仍在运行 {}",
                container.reference
            ));
        }
        let first = *self.first_restarts.get_or_insert(match self.expected {
            // A new container starts at zero: whatever it shows, it has shown since the switch.
            Expected::Release(_) => 0,
            Expected::Previous(_) => container.restarts,
        });
        let restarts = container.restarts.saturating_sub(first);
        if restarts >= LOOP {
            return Some(both!(
                "its container keeps restarting ({restarts} times)",
                "容器反复重启（{restarts} 次）"
            ));
        }
        if !container.is_running && !container.is_paused && restarts == 0 {
            return Some(word!("its container has exited", "容器已退出").into());
        }
        match container.health {
            Health::Unhealthy => {
                Some(word!("its health check says unhealthy", "健康检查判定不健康").into())
            }
            Health::None if !self.may_lack_check => Some(
                word!(
                    "it has no HEALTHCHECK, so nothing can say that it is healthy",
                    "它没有 HEALTHCHECK，无法判定是否健康"
                )
                .into(),
            ),
            Health::None | Health::Starting | Health::Healthy => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn release() -> Release {
        Release {
            image: "harbor/app".into(),
            digest: "sha256:new".into(),
            version: "v2".into(),
        }
    }

    fn survey(health: Health, restarts: u64, id: &str) -> Survey {
        Survey {
            container: Some(Container {
                id: id.into(),
                reference: "harbor/app@sha256:new".into(),
                image: "sha256:image".into(),
                digests: vec!["harbor/app@sha256:new".into()],
                is_running: true,
                is_paused: false,
                health,
                restarts,
            }),
            bridge: None,
            leftovers: vec![],
            compose: String::new(),
            free_bytes: 0,
            is_switching: false,
            is_outdated: false,
        }
    }

    /// Looks once a second; what the last look said, and at which second.
    #[track_caller]
    fn check(looks: &[Survey], expect: (u64, &str)) {
        let release = release();
        let mut proof = Proof::new(Expected::Release(&release), Duration::from_secs(2));
        let mut last = (0, String::new());
        for (second, survey) in (0..).zip(looks) {
            let verdict = proof.look(survey.container.as_ref(), Duration::from_secs(second));
            last = (second, format!("{verdict:?}"));
            if !matches!(verdict, Verdict::Wait { .. }) {
                break;
            }
        }
        assert_eq!((last.0, last.1.as_str()), expect);
    }

    #[test]
    fn healthy_counts_only_when_it_holds() {
        use Health::{Healthy, Starting};
        let healthy = || survey(Healthy, 0, "a");
        check(
            &[survey(Starting, 0, "a"), healthy(), healthy(), healthy()],
            (3, "Proven"),
        );
        check(&[healthy(), healthy()], (1, "Wait { limit: Some(1s) }"));
    }

    #[test]
    fn a_restart_or_another_container_begins_the_time_anew() {
        use Health::Healthy;
        let looks = |second: Survey| {
            let rest = second.clone();
            [
                survey(Healthy, 0, "a"),
                survey(Healthy, 0, "a"),
                second,
                rest.clone(),
                rest,
            ]
        };
        check(&looks(survey(Healthy, 1, "a")), (4, "Proven"));
        check(&looks(survey(Healthy, 0, "b")), (4, "Proven"));
    }

    #[test]
    fn another_container_s_health_proves_nothing() {
        let mut other = survey(Health::Healthy, 0, "a");
        if let Some(container) = &mut other.container {
            container.reference = "harbor/app:v1".into();
            container.digests = vec!["harbor/app@sha256:old".into()];
        }
        check(&[other], (0, r#"Failed("it still runs harbor/app:v1")"#));
    }

    #[test]
    fn what_cannot_become_healthy_fails_at_once_and_a_pause_is_waited_out() {
        use Health::{Healthy, None, Unhealthy};
        check(
            &[survey(Unhealthy, 0, "a")],
            (0, r#"Failed("its health check says unhealthy")"#),
        );
        check(
            &[survey(Healthy, 3, "a")],
            (0, r#"Failed("its container keeps restarting (3 times)")"#),
        );
        check(
            &[survey(None, 0, "a")],
            (
                0,
                r#"Failed("it has no HEALTHCHECK, so nothing can say that it is healthy")"#,
            ),
        );
        let mut paused = survey(Healthy, 0, "a");
        if let Some(container) = &mut paused.container {
            (container.is_running, container.is_paused) = (false, true);
        }
        let healthy = || survey(Healthy, 0, "a");
        check(&[paused, healthy(), healthy(), healthy()], (3, "Proven"));
        let mut exited = survey(Healthy, 0, "a");
        if let Some(container) = &mut exited.container {
            container.is_running = false;
        }
        check(&[exited], (0, r#"Failed("its container has exited")"#));
    }
}
