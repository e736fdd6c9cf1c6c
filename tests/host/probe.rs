//! Whether a service can be reached, and whether that can be seen.

use dockmaster::{
    config::{Environment, Probe},
    failure::JobCode,
    host::Host,
    rollout::port::{Fault, Release, Remote, Slot},
};

use crate::fixture::{Fixture, assert_says, container, is_healthy, run, survey_until};

testbed::tests![
    Fixture; [Testbed];
    a_wrong_port_is_found_before_anything_is_pulled,
    processes_that_are_hidden_are_not_taken_for_idle,
    a_host_is_asked_from_here_and_its_answer_compared,
    a_release_without_a_health_check_is_refused_unless_a_probe_asks_it,
    the_compose_file_s_own_health_check_counts,
    a_paused_service_is_neither_serving_nor_unhealthy,
    a_service_s_last_words_are_told,
];

fn remote(fixture: &Fixture, environment: &Environment, name: &str) -> Host {
    let host = environment.hosts.iter().find(|host| host.name == name);
    Host::open(environment, host.unwrap(), Some(&fixture.registry())).unwrap()
}

fn a_wrong_port_is_found_before_anything_is_pulled(fixture: &Fixture) {
    let right = fixture.remote("app-1");
    let mut environment = fixture.environment();
    environment.compose.port = 9999;
    environment.balancer.kind = "clb-vserver-group".into();
    let wrong = remote(fixture, &environment, "app-1");
    run(async {
        let id = container(&right).await.id;
        let error = wrong.pull(&fixture.new, &|_| ()).await.unwrap_err();
        assert_says(&error, &["app-1 is not ready", "port 9999", "compose.port"]);
        let error = wrong.probe(Slot::Own, &id).await.unwrap_err();
        assert_says(
            &error,
            &[
                "app-1 would not answer",
                "listens on port 9999 (compose.port)",
            ],
        );
        right.probe(Slot::Own, &id).await.unwrap();
    });
}

fn processes_that_are_hidden_are_not_taken_for_idle(fixture: &Fixture) {
    let host = fixture.host("app-1");
    let remote = fixture.remote("app-1");
    run(async {
        let id = container(&remote).await.id;
        host.exec("mount -o remount,hidepid=2 /proc").unwrap();
        let seen = remote.connections(&id).await;
        let pulled = remote.pull(&fixture.new, &|_| ()).await;
        host.exec("mount -o remount,hidepid=0 /proc").unwrap();
        assert_says(&seen.unwrap_err(), &["app-1", "hidepid=0 /proc"]);
        assert_says(&pulled.unwrap_err(), &["app-1", "hidepid=0 /proc"]);
        assert_eq!(remote.connections(&id).await.unwrap(), 0);
    });
}

fn a_host_is_asked_from_here_and_its_answer_compared(fixture: &Fixture) {
    let check = |probe: Probe, expect: &[&str]| {
        let mut environment = fixture.environment();
        environment.probe = Some(probe);
        let remote = remote(fixture, &environment, "app-2");
        run(async {
            let id = container(&remote).await.id;
            match remote.probe(Slot::Own, &id).await {
                Ok(()) => assert!(expect.is_empty(), "{expect:?}"),
                Err(error) => assert_says(&error, expect),
            }
        });
    };
    let probe = |path: &str| Probe {
        path: path.into(),
        port: None,
        status: None,
        body: None,
        host: None,
    };
    check(probe("/health"), &[]);
    let body = Some("no such text".into());
    check(
        Probe {
            body,
            ..probe("/health")
        },
        &["app-2 would not answer", ":3131/health answers 200 without"],
    );
    let status = Some(418);
    check(
        Probe {
            status,
            ..probe("/health")
        },
        &["answers 200, not 418 (probe.status)"],
    );
    let port = Some(9);
    check(
        Probe {
            port,
            ..probe("/health")
        },
        &[":9/health", "refused"],
    );
}

/// A release whose image has no HEALTHCHECK.
fn unchecked(fixture: &Fixture) -> Release {
    let directory = fixture
        .infrastructure
        .machine
        .directory("unchecked")
        .unwrap();
    let reference = fixture.new.reference();
    let text = format!("FROM {reference}\nHEALTHCHECK NONE\n");
    std::fs::write(directory.join("Dockerfile"), text).unwrap();
    fixture.push(&directory, "v1.0.0-unchecked")
}

fn a_release_without_a_health_check_is_refused_unless_a_probe_asks_it(fixture: &Fixture) {
    let release = unchecked(fixture);
    let strict = fixture.remote("app-3");
    let error = run(strict.pull(&release, &|_| ())).unwrap_err();
    assert_eq!(error.code(), Some(JobCode::Malformed), "{error}");
    assert_says(
        &error,
        &["app-3", &release.digest, "HEALTHCHECK", "[probe]"],
    );
    let mut environment = fixture.environment();
    environment.probe = Some(Probe {
        path: "/health".into(),
        port: None,
        status: None,
        body: None,
        host: None,
    });
    let probing = remote(fixture, &environment, "app-3");
    run(probing.pull(&release, &|_| ())).unwrap();
}

fn the_compose_file_s_own_health_check_counts(fixture: &Fixture) {
    let release = unchecked(fixture);
    let host = fixture.host("app-3");
    let remote = fixture.remote("app-3");
    let file = "/srv/test_server1/docker-compose.yml";
    host.exec(&format!(
        "cp {file} {file}.kept && sed -i 's/^    image:.*/&\\n    healthcheck: {{test: [CMD, \"true\"]}}/' {file}"
    ))
    .unwrap();
    let pulled = run(remote.pull(&release, &|_| ()));
    host.exec(&format!("mv {file}.kept {file}")).unwrap();
    pulled.unwrap();
    run(remote.pull(&release, &|_| ())).unwrap_err();
}

fn a_paused_service_is_neither_serving_nor_unhealthy(fixture: &Fixture) {
    use dockmaster::rollout::port::Health;
    let host = fixture.host("app-2");
    let remote = fixture.remote("app-2");
    run(async {
        let id = container(&remote).await.id;
        host.exec(&format!("docker pause {id}")).unwrap();
        let paused = remote.survey().await.unwrap().container.unwrap();
        assert!(paused.is_paused && !paused.is_running, "{paused:?}");
        assert_ne!(paused.health, Health::Unhealthy);
        host.exec(&format!("docker unpause {id}")).unwrap();
        let awake = remote.survey().await.unwrap().container.unwrap();
        assert_ne!(awake.health, Health::Unhealthy, "{awake:?}");
        survey_until(&remote, is_healthy).await;
    });
}

fn a_service_s_last_words_are_told(fixture: &Fixture) {
    let host = fixture.host("app-2");
    let remote = fixture.remote("app-2");
    run(async {
        let id = container(&remote).await.id;
        let write = format!("docker exec {id} sh -c 'echo no database >/proc/1/fd/2'");
        host.exec(&write).unwrap();
        let words = remote.last_words(Slot::Own).await.unwrap();
        assert!(words.contains(&"log: no database".to_owned()), "{words:?}");
        assert!(
            words.contains(&"its last health check ended with 0".to_owned()),
            "{words:?}"
        );
    });
}
