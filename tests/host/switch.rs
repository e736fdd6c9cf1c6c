//! Replacing the container.

use dockmaster::{
    host::RemoteError,
    rollout::port::{Fault, Remote, Retry, Slot, Survey},
};
use testbed::{command::docker, fleet::DIRECTORY, trial::plugin};

use crate::fixture::{Fixture, assert_says, container, is_healthy, run, survey_until, wait_until};

testbed::tests![
    Fixture; [Testbed];
    a_switch_makes_the_release_run_and_can_be_undone,
    the_same_attempt_is_made_once,
    a_lost_connection_does_not_stop_a_switch,
    a_dropped_switch_is_seen_and_joined,
    an_override_of_somebody_else_is_used_and_left_alone,
    a_half_made_container_is_mended,
    a_superfluous_half_made_container_is_removed,
    a_compose_file_that_compose_refuses_is_told_with_its_words,
    a_compose_file_without_a_version_takes_the_release_too,
    where_only_the_second_generation_is_it_is_used: [ComposePlugin],
];

const OVERRIDE: &str = "/srv/test_server1/docker-compose.override.yml";
const FILE: &str = "/srv/test_server1/docker-compose.yml";

fn runs(fixture: &Fixture) -> impl Fn(&Survey) -> bool {
    |survey| is_healthy(survey) && survey.container.as_ref().unwrap().runs(&fixture.new)
}

fn a_switch_makes_the_release_run_and_can_be_undone(fixture: &Fixture) {
    let host = fixture.host("app-1");
    let remote = fixture.remote("app-1");
    run(async {
        let old = container(&remote).await;
        let file = host.exec(&format!("cat {FILE}; echo .")).unwrap();
        remote.pull(&fixture.new, &|_| ()).await.unwrap();
        remote
            .switch(Slot::Own, "first-1", &fixture.new.reference())
            .await
            .unwrap();
        let new = survey_until(&remote, runs(fixture))
            .await
            .container
            .unwrap();
        assert_ne!(new.id, old.id);
        assert_eq!(host.version().unwrap(), "1.0.0");
        // Whoever types what was always typed does not bring the old release back.
        let typed = format!("cd {DIRECTORY} && docker-compose up -d");
        host.exec_as_deploy(&typed, b"").unwrap();
        assert_eq!(container(&remote).await.id, new.id);
        remote
            .switch(Slot::Own, "first-2", &old.reference)
            .await
            .unwrap();
        let back = survey_until(&remote, is_healthy).await.container.unwrap();
        assert_eq!(back.image, old.image);
        assert_eq!(host.exec(&format!("cat {FILE}; echo .")).unwrap(), file);
        host.exec_as_deploy(&typed, b"").unwrap();
        assert_eq!(container(&remote).await.id, back.id);
        host.exec(&format!(
            "! ls -A {DIRECTORY} | grep -v '^docker-compose.yml$'"
        ))
        .unwrap();
    });
}

fn the_same_attempt_is_made_once(fixture: &Fixture) {
    let remote = fixture.remote("app-1");
    run(async {
        remote.pull(&fixture.new, &|_| ()).await.unwrap();
        remote
            .switch(Slot::Own, "once", &fixture.new.reference())
            .await
            .unwrap();
        let first = survey_until(&remote, runs(fixture))
            .await
            .container
            .unwrap();
        let again = fixture.remote("app-1");
        again
            .switch(Slot::Own, "once", "no/such@image")
            .await
            .unwrap();
        assert_eq!(container(&again).await.id, first.id);
    });
}

/// Makes docker-compose on the host take its time, so that there is a middle to be in.
fn slow_compose(fixture: &Fixture, name: &str) {
    fixture
        .host(name)
        .exec(
            "printf '#!/bin/sh\\ncase \"$*\" in *up*) touch /tmp/switching; sleep 3;; esac\\n\
             exec /usr/bin/docker-compose \"$@\"\\n' >/usr/local/bin/docker-compose && \
             chmod 755 /usr/local/bin/docker-compose && rm -f /tmp/switching",
        )
        .unwrap();
}

fn quick_compose(fixture: &Fixture, name: &str) {
    fixture
        .host(name)
        .exec("rm -f /usr/local/bin/docker-compose /tmp/switching")
        .unwrap();
}

fn is_in_the_middle(fixture: &Fixture, name: &str) -> bool {
    fixture.host(name).exec("test -e /tmp/switching").is_ok()
}

fn a_lost_connection_does_not_stop_a_switch(fixture: &Fixture) {
    let host = fixture.host("app-2");
    let remote = fixture.remote("app-2");
    slow_compose(fixture, "app-2");
    std::thread::scope(|scope| {
        let cutter = scope.spawn(|| {
            wait_until("the switch to begin", || is_in_the_middle(fixture, "app-2"));
            host.exec("pkill -KILL -f '^sshd: deploy'").unwrap();
        });
        run(async {
            remote.pull(&fixture.new, &|_| ()).await.unwrap();
            let reference = fixture.new.reference();
            let error = remote
                .switch(Slot::Own, "cut", &reference)
                .await
                .unwrap_err();
            assert_eq!(error.retry(), Retry::SOON, "{error}");
            remote.switch(Slot::Own, "cut", &reference).await.unwrap();
            survey_until(&remote, runs(fixture)).await;
        });
        cutter.join().unwrap();
    });
    quick_compose(fixture, "app-2");
    let attempts = host.exec("ls /home/deploy/.cache/dockmaster/test_server1");
    assert_eq!(attempts.unwrap(), "cut\nkept\nlock");
    assert_eq!(host.containers().unwrap().len(), 1);
}

fn a_dropped_switch_is_seen_and_joined(fixture: &Fixture) {
    let host = fixture.host("app-3");
    slow_compose(fixture, "app-3");
    run(async {
        let remote = fixture.remote("app-3");
        remote.pull(&fixture.new, &|_| ()).await.unwrap();
        let before = container(&remote).await;
        let reference = fixture.new.reference();
        let begun = async {
            while !is_in_the_middle(fixture, "app-3") {
                tokio::time::sleep(std::time::Duration::from_millis(50)).await;
            }
        };
        tokio::select! {
            result = remote.switch(Slot::Own, "dropped", &reference) => panic!("{result:?}"),
            () = begun => {}
        }
        drop(remote);
        let remote = fixture.remote("app-3");
        let survey = remote.survey().await.unwrap();
        assert!(survey.is_switching, "{survey:?}");
        remote
            .switch(Slot::Own, "dropped", &fixture.new.reference())
            .await
            .unwrap();
        let survey = survey_until(&remote, runs(fixture)).await;
        assert!(!survey.is_switching);
        assert_ne!(survey.container.unwrap().id, before.id);
    });
    quick_compose(fixture, "app-3");
    assert_eq!(host.containers().unwrap().len(), 1);
}

fn an_override_of_somebody_else_is_used_and_left_alone(fixture: &Fixture) {
    let host = fixture.host("app-1");
    let remote = fixture.remote("app-1");
    let theirs = "services: {app: {environment: {A: b}}}";
    host.exec(&format!("echo '{theirs}' >{OVERRIDE}")).unwrap();
    run(async {
        remote.pull(&fixture.new, &|_| ()).await.unwrap();
        let reference = fixture.new.reference();
        remote
            .switch(Slot::Own, "theirs-1", &reference)
            .await
            .unwrap();
        let id = survey_until(&remote, runs(fixture))
            .await
            .container
            .unwrap()
            .id;
        let environment = format!("docker inspect --format '{{{{.Config.Env}}}}' {id}");
        assert!(host.exec(&environment).unwrap().contains("A=b"));
        assert_eq!(host.exec(&format!("cat {OVERRIDE}")).unwrap(), theirs);
        let typed = format!("rm {OVERRIDE} && cd {DIRECTORY} && docker-compose up -d");
        host.exec_as_deploy(&typed, b"").unwrap();
        survey_until(&remote, runs(fixture)).await;
    });
}

fn a_half_made_container_is_mended(fixture: &Fixture) {
    let host = fixture.host("app-1");
    let remote = fixture.remote("app-1");
    run(async {
        let old = container(&remote).await;
        remote.pull(&fixture.new, &|_| ()).await.unwrap();
        // As Compose 1 leaves it when it is killed: the old one, stopped and renamed.
        let half = format!("{}_test_server1_app_1", &old.id[..12]);
        host.exec(&format!(
            "docker stop -t 1 {0} && docker rename {0} {half}",
            old.id
        ))
        .unwrap();
        let survey = remote.survey().await.unwrap();
        assert_eq!(survey.leftovers, [half]);
        assert!(survey.container.is_none());
        remote
            .switch(Slot::Own, "mended", &fixture.new.reference())
            .await
            .unwrap();
        let survey = survey_until(&remote, runs(fixture)).await;
        assert_eq!(survey.leftovers, Vec::<String>::new());
    });
    assert_eq!(host.containers().unwrap().len(), 1);
}

fn a_superfluous_half_made_container_is_removed(fixture: &Fixture) {
    let host = fixture.host("app-1");
    let remote = fixture.remote("app-1");
    run(async {
        let id = container(&remote).await.id;
        // As Compose 2 leaves it: the new one, never started, beside the old one.
        host.exec(&format!(
            "docker create --name {}_test_server1_app_1 --label com.docker.compose.project=test_server1 \
             --label com.docker.compose.service=app --label com.docker.compose.oneoff=False \
             $(docker inspect --format '{{{{.Image}}}}' {id})",
            &id[..12]
        ))
        .unwrap();
        assert_eq!(remote.survey().await.unwrap().leftovers.len(), 1);
        remote.pull(&fixture.new, &|_| ()).await.unwrap();
        remote
            .switch(Slot::Own, "removed", &fixture.new.reference())
            .await
            .unwrap();
        survey_until(&remote, runs(fixture)).await;
    });
    assert_eq!(host.containers().unwrap().len(), 1);
}

fn a_compose_file_that_compose_refuses_is_told_with_its_words(fixture: &Fixture) {
    let host = fixture.host("app-1");
    let remote = fixture.remote("app-1");
    let file = format!("{DIRECTORY}/docker-compose.yml");
    host.exec(&format!(
        "cp -p {file} /tmp/good && echo '  app: [' >>{file}"
    ))
    .unwrap();
    let error = run(remote.switch(Slot::Own, "broken", &fixture.new.reference())).unwrap_err();
    host.exec(&format!("cp -p /tmp/good {file}")).unwrap();
    assert!(matches!(error, RemoteError::Compose { .. }), "{error}");
    assert_says(
        &error,
        &[
            "app-1",
            "docker-compose -p test_server1 --project-directory",
            "docker-compose.yml",
        ],
    );
    run(container(&remote));
}

fn a_compose_file_without_a_version_takes_the_release_too(fixture: &Fixture) {
    let host = fixture.host("app-1");
    let remote = fixture.remote("app-1");
    let file = format!("{DIRECTORY}/docker-compose.yml");
    host.exec(&format!(
        "cp -p {file} /tmp/good && sed -i /^version/d {file}"
    ))
    .unwrap();
    run(async {
        remote.pull(&fixture.new, &|_| ()).await.unwrap();
        remote
            .switch(Slot::Own, "versionless", &fixture.new.reference())
            .await
            .unwrap();
        survey_until(&remote, runs(fixture)).await;
    });
    host.exec(&format!("cp -p /tmp/good {file}")).unwrap();
}

/// On a host that has Compose as a plugin of the Docker client only.
fn where_only_the_second_generation_is_it_is_used(fixture: &Fixture) {
    let plugin = plugin("docker-compose").unwrap();
    let host = fixture.host("app-3");
    let folder = "/usr/libexec/docker/cli-plugins";
    host.exec(&format!(
        "mkdir -p {folder} && mv /usr/bin/docker-compose /root/v1"
    ))
    .unwrap();
    let target = format!("{}:{folder}/docker-compose", host.container);
    docker(&["cp", &plugin.to_string_lossy(), &target]).unwrap();
    let remote = fixture.remote("app-3");
    run(async {
        let old = container(&remote).await;
        let survey = remote.survey().await.unwrap();
        assert!(
            survey.compose.starts_with("docker compose 2."),
            "{survey:?}"
        );
        remote.pull(&fixture.new, &|_| ()).await.unwrap();
        let other = fixture.release("v1.0.2-second");
        remote.pull(&other, &|_| ()).await.unwrap();
        remote
            .switch(Slot::Own, "second-1", &other.reference())
            .await
            .unwrap();
        let is_other = |it: &Survey| is_healthy(it) && it.container.as_ref().unwrap().runs(&other);
        let new = survey_until(&remote, is_other).await.container.unwrap();
        assert_ne!(new.id, old.id);
        remote
            .switch(Slot::Own, "second-2", &fixture.new.reference())
            .await
            .unwrap();
        survey_until(&remote, runs(fixture)).await;
    });
    host.exec(&format!(
        "mv /root/v1 /usr/bin/docker-compose && rm {folder}/docker-compose"
    ))
    .unwrap();
    assert_eq!(host.containers().unwrap().len(), 1);
}
