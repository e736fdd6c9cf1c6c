//! Whose things a request may name, in front of a daemon that holds other jobs' things too.

use serde_json::json;

use super::daemon::{Answers, Fixture};

const MINE: &str = "1111111111111111111111111111111111111111111111111111111111111111";
const LABELLED: &str = "5555555555555555555555555555555555555555555555555555555555555555";
const EXEC: &str = "3333333333333333333333333333333333333333333333333333333333333333";
const OTHER_EXEC: &str = "4444444444444444444444444444444444444444444444444444444444444444";

/// A daemon with one container of the job's, and one exec in it and in another's.
fn things() -> Answers {
    vec![
        (
            "GET /containers/json",
            json!([{ "Id": MINE, "Names": ["/dockmaster-7.app"] }, {
                // Of the host, and of an image that has the job's labels.
                "Id": LABELLED, "Names": ["/production"], "Labels": { "dockmaster.made-by": "7" },
            }]),
        ),
        (
            "GET /networks",
            json!([{ "Id": "network-of-mine", "Name": "mine" }]),
        ),
        ("GET /volumes", json!({ "Volumes": [{ "Name": "data" }] })),
        (
            "GET /exec/3333333333333333333333333333333333333333333333333333333333333333/json",
            json!({ "ContainerID": MINE }),
        ),
        (
            "GET /exec/4444444444444444444444444444444444444444444444444444444444444444/json",
            json!({ "ContainerID": "2222" }),
        ),
        (
            "GET /exec/6666666666666666666666666666666666666666666666666666666666666666/json",
            json!({ "ContainerID": LABELLED }),
        ),
        (
            "POST /volumes/create",
            json!({ "Name": "taken", "Labels": { "dockmaster.made-by": "8" } }),
        ),
        (
            "GET /images/docker.io/library/shared:latest/json",
            json!({ "Id": "sha256:5", "RepoTags": ["shared:latest"] }),
        ),
        ("POST /containers/create", json!({ "Id": MINE })),
    ]
}

#[track_caller]
fn check(answer: &(u16, String), status: u16, words: &str) {
    assert!(
        answer.0 == status && answer.1.contains(words),
        "{}",
        answer.1
    );
}

#[tokio::test]
async fn an_exec_in_another_job_s_container_is_not_there() {
    let fixture = Fixture::open(things());
    for (method, act) in [("GET", "json"), ("POST", "start"), ("POST", "resize")] {
        let answer = fixture
            .ask(&format!("{method} /exec/{OTHER_EXEC}/{act}"), "{}")
            .await;
        check(&answer, 404, "No such exec instance");
    }
    assert!(fixture.changes().is_empty());
    let answer = fixture.ask(&format!("GET /exec/{EXEC}/json"), "").await;
    check(&answer, 200, MINE);
}

#[tokio::test]
async fn a_container_with_the_job_s_label_alone_is_not_there() {
    let fixture = Fixture::open(things());
    for name in ["production", LABELLED, &LABELLED[..12]] {
        for request in [
            format!("GET /containers/{name}/json"),
            format!("POST /containers/{name}/exec"),
            format!("DELETE /containers/{name}?force=1"),
        ] {
            assert_eq!(fixture.ask(&request, "{}").await.0, 404, "{request}");
        }
    }
    let exec = format!("GET /exec/{}/json", "6".repeat(64));
    assert_eq!(fixture.ask(&exec, "").await.0, 404);
    for list in ["GET /containers/json?all=1", "GET /system/df"] {
        let (status, answer) = fixture.ask(list, "").await;
        assert!(status == 200 && answer.contains(MINE), "{list}: {answer}");
        assert!(!answer.contains(LABELLED), "{list}: {answer}");
    }
    fixture.ask("POST /containers/prune", "").await;
    let label = ("dockmaster.made-by", "7");
    let swept = crate::gate::sweep(&fixture.engine(), fixture.state(), label).await;
    swept.unwrap();
    let changes = fixture.changes();
    assert!(changes.iter().any(|it| it.contains(MINE)), "{changes:?}");
    assert!(
        !changes.iter().any(|it| it.contains(LABELLED)),
        "{changes:?}"
    );
}

#[tokio::test]
async fn a_container_has_a_name_of_the_job_s_though_nobody_gave_one() {
    let fixture = Fixture::open(things());
    let body = r#"{"Image":"shared"}"#;
    check(
        &fixture.ask("POST /containers/create", body).await,
        200,
        MINE,
    );
    let changes = fixture.changes();
    let made = changes.iter().find(|it| it.contains("/create")).unwrap();
    assert!(made.contains("create?name=dockmaster-7.job_"), "{made}");
}

#[tokio::test]
async fn what_carries_no_label_of_the_job_is_not_there() {
    let fixture = Fixture::open(things());
    for request in [
        "GET /containers/theirs/json",
        "POST /containers/theirs/start",
        "POST /containers/theirs/exec",
        "PUT /containers/theirs/archive",
        "DELETE /containers/theirs",
        "GET /networks/theirs",
        "POST /networks/theirs/connect",
        // The job's own network is not the job's to remove.
        "DELETE /networks/job-network",
        "GET /volumes/theirs",
        "DELETE /volumes/theirs",
    ] {
        assert_eq!(fixture.ask(request, "{}").await.0, 404, "{request}");
    }
    let theirs = r#"{"Container":"theirs"}"#;
    let answer = fixture.ask("POST /networks/mine/connect", theirs).await;
    check(&answer, 404, "No such container");
    assert!(fixture.changes().is_empty(), "{:?}", fixture.changes());
}

#[tokio::test]
async fn a_container_joins_nothing_of_another_job_s() {
    let fixture = Fixture::open(things());
    for host in [
        r#"{"PidMode":"container:theirs"}"#,
        r#"{"IpcMode":"container:theirs"}"#,
        r#"{"NetworkMode":"container:theirs"}"#,
        r#"{"VolumesFrom":["theirs"]}"#,
        r#"{"NetworkMode":"theirs"}"#,
        r#"{"Binds":["taken:/x"]}"#,
        r#"{"Binds":["/etc:/x"]}"#,
        r#"{"Mounts":[{"Type":"bind","Source":"/var/lib","Target":"/x"}]}"#,
    ] {
        let body = format!(r#"{{"Image":"shared","HostConfig":{host}}}"#);
        let (status, text) = fixture.ask("POST /containers/create", &body).await;
        assert!((400..500).contains(&status), "{host}: {text}");
    }
    let made = |line: &String| line.contains("/containers/create");
    assert!(
        !fixture.changes().iter().any(made),
        "{:?}",
        fixture.changes()
    );
}

#[tokio::test]
async fn a_volume_of_another_job_s_is_not_given_for_a_new_one() {
    let fixture = Fixture::open(things());
    let answer = fixture
        .ask("POST /volumes/create", r#"{"Name":"taken"}"#)
        .await;
    check(&answer, 409, "is not this job's");
    assert!(fixture.changes()[0].contains(r#""dockmaster.made-by":"7""#));
}

#[tokio::test]
async fn a_container_is_made_with_what_the_job_cannot_choose() {
    let fixture = Fixture::open(things());
    let body = r#"{"Image":"shared","HostConfig":{"PidMode":"container:app"}}"#;
    check(
        &fixture.ask("POST /containers/create", body).await,
        200,
        MINE,
    );
    let changes = fixture.changes();
    let made = changes.iter().find(|line| line.contains("/create"));
    for forced in [
        r#""dockmaster.made-by":"7""#,
        r#""dockmaster.job":"7""#,
        r#""CgroupParent":"/jobs/7""#,
        r#""NetworkMode":"job-network""#,
        &format!(r#""PidMode":"container:{MINE}""#),
    ] {
        assert!(made.unwrap().contains(forced), "{forced} in {changes:?}");
    }
}

#[tokio::test]
async fn what_has_no_row_never_reaches_the_daemon() {
    let fixture = Fixture::open(things());
    for request in [
        "POST /swarm/init",
        "POST /plugins/prune",
        "POST /plugins/pull",
        "PUT /volumes/data",
    ] {
        check(
            &fixture.ask(request, "{}").await,
            403,
            "is not open to jobs",
        );
    }
    check(
        &fixture.ask("GET /plugins/x/json", "").await,
        404,
        "no such object: x",
    );
    let privileged = r#"{"Privileged":true}"#;
    check(
        &fixture.ask("POST /containers/app/exec", privileged).await,
        403,
        "Privileged",
    );
    assert!(fixture.changes().is_empty());
}

#[tokio::test]
async fn a_deleted_container_takes_its_volumes_along() {
    let fixture = Fixture::open(things());
    fixture.ask("DELETE /containers/app?v=0", "").await;
    assert!(
        fixture.changes()[0].contains("v=1"),
        "{:?}",
        fixture.changes()
    );
}
