//! Looking: surveys, connections, events.

use std::{
    io::Read,
    net::{SocketAddr, TcpStream},
    time::{Duration, Instant},
};

use dockmaster::rollout::port::{Health, Remote};

use crate::fixture::{Fixture, PATIENCE, container, is_healthy, run, survey_until, wait_until};

testbed::tests![
    Fixture; [Testbed];
    a_survey_tells_what_runs,
    connections_are_seen_where_nat_leaves_them,
    the_probes_of_the_image_are_not_connections,
    health_is_watched_by_events,
    a_stopped_service_has_no_connections,
];

fn a_survey_tells_what_runs(fixture: &Fixture) {
    let remote = fixture.remote("app-1");
    let survey = run(survey_until(&remote, is_healthy));
    let container = survey.container.unwrap();
    assert_eq!(
        fixture.host("app-1").containers().unwrap(),
        std::slice::from_ref(&container.id)
    );
    assert!(container.reference.ends_with(":v0.9.0"), "{container:?}");
    assert!(container.image.starts_with("sha256:"), "{container:?}");
    assert_eq!(container.restarts, 0);
    assert!(!container.runs(&fixture.new));
    assert!(
        container
            .digests
            .iter()
            .any(|it| it.starts_with(&fixture.new.image)),
        "{container:?}"
    );
    assert_eq!(survey.compose, "docker-compose 1.29.2");
    assert!(survey.free_bytes > 1_000_000, "{}", survey.free_bytes);
    assert_eq!(survey.leftovers, Vec::<String>::new());
    assert!(!survey.is_switching);
}

fn connections_are_seen_where_nat_leaves_them(fixture: &Fixture) {
    let remote = fixture.remote("app-1");
    let address = SocketAddr::new(fixture.host("app-1").ip, 3131);
    run(async {
        let id = container(&remote).await.id;
        let before = remote.connections(&id).await.unwrap();
        let clients: Vec<_> = (0..3)
            .map(|_| TcpStream::connect(address).unwrap())
            .collect();
        assert_eq!(remote.connections(&id).await.unwrap(), before + 3);
        drop(clients);
        let start = Instant::now();
        while remote.connections(&id).await.unwrap() > before {
            assert!(
                start.elapsed() < PATIENCE,
                "closed connections are still counted"
            );
        }
    });
}

fn the_probes_of_the_image_are_not_connections(fixture: &Fixture) {
    let host = fixture.host("app-1");
    let remote = fixture.remote("app-1");
    run(async {
        let id = container(&remote).await.id;
        host.exec(&format!(
            "docker exec -d {id} curl -s -o /dev/null 'http://127.0.0.1:3131/?wait=2000'"
        ))
        .unwrap();
        let start = Instant::now();
        while start.elapsed() < Duration::from_secs(2) {
            assert_eq!(remote.connections(&id).await.unwrap(), 0);
        }
        assert_eq!(remote.connections("gone").await.unwrap(), 0);
    });
}

fn health_is_watched_by_events(fixture: &Fixture) {
    let host = fixture.host("app-1");
    let remote = fixture.remote("app-1");
    run(async {
        let id = container(&remote).await.id;
        host.exec(&format!("docker restart -t 1 {id}")).unwrap();
        // What happened since the last look is told, although nobody listened then.
        let start = Instant::now();
        remote.change(PATIENCE).await.unwrap();
        assert!(start.elapsed() < PATIENCE, "the restart went unnoticed");
        let survey = survey_until(&remote, is_healthy).await;
        assert_eq!(survey.container.unwrap().health, Health::Healthy);
    });
}

fn a_stopped_service_has_no_connections(fixture: &Fixture) {
    let host = fixture.host("app-1");
    let remote = fixture.remote("app-1");
    run(async {
        let id = container(&remote).await.id;
        host.exec(&format!("docker stop -t 1 {id}")).unwrap();
        assert_eq!(remote.connections(&id).await.unwrap(), 0);
        let survey = remote.survey().await.unwrap();
        assert!(!survey.container.unwrap().is_running);
        host.exec(&format!("docker start {id}")).unwrap();
        survey_until(&remote, is_healthy).await;
    });
    let address = SocketAddr::new(host.ip, 3131);
    wait_until("the service answers again", || {
        TcpStream::connect(address).is_ok_and(|mut stream| {
            let _ = stream.set_read_timeout(Some(Duration::from_millis(10)));
            !matches!(stream.read(&mut [0]), Ok(0))
        })
    });
}
