//! What the engine says of one container, as a rollout needs it. Pure.

use bollard::models::{
    ContainerConfig, ContainerInspectResponse, ContainerState, HealthStatusEnum,
};

use crate::rollout::port::{Container, Health};

/// How many probes have to fail in a row where the image does not say.
const RETRIES: i64 = 3;

/// Reads an inspected container; `digests` are those of its image.
pub(super) fn read(
    found: ContainerInspectResponse,
    image: String,
    digests: Vec<String>,
) -> Container {
    let state = found.state.unwrap_or_default();
    let config = found.config.unwrap_or_default();
    let is = |flag: Option<bool>| flag.unwrap_or(false);
    let is_paused = is(state.paused);
    Container {
        id: found.id.unwrap_or_default(),
        image,
        digests,
        is_running: is(state.running) && !is(state.restarting) && !is_paused,
        is_paused,
        health: health(&state, &config),
        reference: config.image.unwrap_or_default(),
        restarts: found
            .restart_count
            .and_then(|count| count.try_into().ok())
            .unwrap_or(0),
    }
}

/// Whenever a container does not run (stopped, between two starts, paused, also for the moment of a
/// `docker commit`) its engine calls it unhealthy until the next probe, without one that failed
/// (20.10 to 29): only as many failed probes in a row as the check asks for say that it is.
fn health(state: &ContainerState, config: &ContainerConfig) -> Health {
    let Some(health) = &state.health else {
        return Health::None;
    };
    let retries = config.healthcheck.as_ref().and_then(|check| check.retries);
    let retries = retries.filter(|count| *count > 0).unwrap_or(RETRIES);
    let has_failed = health.failing_streak.unwrap_or(0) >= retries;
    match health.status {
        Some(HealthStatusEnum::UNHEALTHY) if has_failed => Health::Unhealthy,
        Some(HealthStatusEnum::UNHEALTHY | HealthStatusEnum::STARTING) => Health::Starting,
        Some(HealthStatusEnum::HEALTHY) => Health::Healthy,
        Some(HealthStatusEnum::NONE | HealthStatusEnum::EMPTY) | None => Health::None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(state: &str, expect: (bool, Health)) {
        let text = format!(
            r#"{{"State": {state}, "Config": {{"Image": "app", "Healthcheck": {{"Retries": 2}}}}}}"#
        );
        let container = read(
            serde_json::from_str(&text).unwrap(),
            String::new(),
            Vec::new(),
        );
        assert_eq!((container.is_running, container.health), expect, "{state}");
    }

    #[test]
    fn unhealthy_is_what_failed_probes_say() {
        check(
            r#"{"Running": true, "Health": {"Status": "unhealthy", "FailingStreak": 2}}"#,
            (true, Health::Unhealthy),
        );
        check(
            r#"{"Running": true, "Health": {"Status": "healthy", "FailingStreak": 1}}"#,
            (true, Health::Healthy),
        );
        check(r#"{"Running": true}"#, (true, Health::None));
    }

    #[test]
    fn a_container_that_was_paused_or_starts_again_is_not_unhealthy_for_that() {
        let unhealthy = r#""Health": {"Status": "unhealthy", "FailingStreak": 0}"#;
        check(
            &format!(r#"{{"Running": true, "Paused": true, {unhealthy}}}"#),
            (false, Health::Starting),
        );
        check(
            &format!(r#"{{"Running": true, {unhealthy}}}"#),
            (true, Health::Starting),
        );
        check(
            &format!(r#"{{"Running": true, "Restarting": true, {unhealthy}}}"#),
            (false, Health::Starting),
        );
    }

    #[test]
    fn a_check_without_a_number_fails_at_the_third_probe() {
        let state = ContainerState {
            health: Some(bollard::models::Health {
                status: Some(HealthStatusEnum::UNHEALTHY),
                failing_streak: Some(2),
                ..Default::default()
            }),
            ..Default::default()
        };
        let config = ContainerConfig::default();
        assert_eq!(health(&state, &config), Health::Starting);
    }
}
