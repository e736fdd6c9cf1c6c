//! Whose things a request may name, in front of a daemon that holds other jobs' things too.

use serde_json::{Value, json};

use super::daemon::{Answers, Fixture};

const MINE: &str = "1111111111111111111111111111111111111111111111111111111111111111";
const EXEC: &str = "3333333333333333333333333333333333333333333333333333333333333333";
const OTHER_EXEC: &str = "4444444444444444444444444444444444444444444444444444444444444444";
const DIGEST: &str = "sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
const OTHER: &str = "sha256:bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb";

/// A daemon with one container of the job's, and one exec in it and in another's.
fn things() -> Answers {
    vec![
        (
            "GET /containers/json",
            json!([{ "Id": MINE, "Names": ["/app"] }]),
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
            "POST /volumes/create",
            json!({ "Name": "taken", "Labels": { "dockmaster.made-by": "8" } }),
        ),
        ("GET /images/open/json", image("open", None, &[])),
        ("GET /images/closed/json", image("closed", None, &[])),
        ("GET /images/theirs/json", image("theirs", Some("8"), &[])),
        ("GET /images/sha256:cc/json", image("closed", None, &[])),
        (
            "GET /images/docker.io/library/base:1/json",
            image("base:1", None, &[]),
        ),
        (
            "GET /images/docker.io/library/theirs:1/json",
            image("theirs:1", Some("8"), &[]),
        ),
        (
            "GET /images/docker.io/library/app:1/json",
            image("app:1", Some("7"), &[]),
        ),
        (
            "GET /images/id-of-app:1/json",
            image("app:1", Some("7"), &[DIGEST]),
        ),
        ("POST /images/app/push", json!(pushed(DIGEST))),
        ("POST /containers/create", json!({ "Id": MINE })),
        ("POST /images/create", json!({})),
        ("POST /build", json!({})),
    ]
}

fn image(name: &str, owner: Option<&str>, digests: &[&str]) -> Value {
    let digests: Vec<String> = digests
        .iter()
        .map(|digest| format!("app@{digest}"))
        .collect();
    json!({
        "Id": format!("id-of-{name}"), "RepoTags": [name], "RepoDigests": digests,
        "Config": { "Labels": { "dockmaster.made-by-image": owner } }
    })
}

fn pushed(digest: &str) -> String {
    format!("{{\"aux\":{{\"Tag\":\"1\",\"Digest\":\"{digest}\",\"Size\":5}}}}\r\n")
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
        let body = format!(r#"{{"Image":"open","HostConfig":{host}}}"#);
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
async fn an_image_of_others_is_not_removed_by_its_id() {
    let fixture = Fixture::open(things());
    for name in ["sha256:cc", "closed", "base:1", "theirs:1"] {
        let answer = fixture
            .ask(&format!("DELETE /images/{name}?force=1"), "")
            .await;
        check(&answer, 403, "was not made by this job");
    }
    assert!(fixture.changes().is_empty(), "{:?}", fixture.changes());
}

#[tokio::test]
async fn a_container_is_made_with_what_the_job_cannot_choose() {
    let fixture = Fixture::open(things());
    let body = r#"{"Image":"open","HostConfig":{"PidMode":"container:app"}}"#;
    check(
        &fixture.ask("POST /containers/create", body).await,
        200,
        MINE,
    );
    let changes = fixture.changes();
    for forced in [
        r#""dockmaster.made-by":"7""#,
        r#""dockmaster.job":"7""#,
        r#""CgroupParent":"/jobs/7""#,
        r#""NetworkMode":"job-network""#,
        &format!(r#""PidMode":"container:{MINE}""#),
    ] {
        assert!(changes[0].contains(forced), "{forced} in {changes:?}");
    }
}

#[tokio::test]
async fn only_images_that_the_operator_allows_are_open() {
    let fixture = Fixture::open(things());
    let closed = "is not open to this job";
    for (request, body) in [
        ("GET /images/closed/json", ""),
        ("GET /images/theirs/history", ""),
        ("GET /images/sha256:cc/json", ""),
        ("POST /images/closed/tag?repo=mine", ""),
        ("POST /images/create?fromImage=closed", ""),
        ("POST /images/create?fromImage=closed&tag=1", ""),
        ("POST /containers/create", r#"{"Image":"closed"}"#),
        ("POST /build?cachefrom=[%22closed%22]", ""),
    ] {
        check(&fixture.ask(request, body).await, 403, closed);
    }
    assert!(fixture.changes().is_empty(), "{:?}", fixture.changes());
    assert_eq!(fixture.names(), "", "a refused image is in the record");
    check(
        &fixture
            .ask("POST /images/create?fromImage=open&tag=1", "")
            .await,
        200,
        "",
    );
}

#[tokio::test]
async fn names_of_others_and_of_ours_are_not_given() {
    let fixture = Fixture::open(things());
    for (name, status, words) in [
        ("dockmaster/helper", 403, "is ours"),
        ("dockmaster-helper:1", 403, "is ours"),
        ("docker.io/library/dockmaster", 403, "is ours"),
        ("base:1", 409, "choose another tag"),
        ("theirs:1", 409, "choose another tag"),
    ] {
        check(
            &fixture.ask(&format!("POST /build?t={name}"), "").await,
            status,
            words,
        );
        let tag = format!("POST /images/open/tag?repo={name}");
        check(&fixture.ask(&tag, "").await, status, words);
    }
    assert!(fixture.changes().is_empty(), "{:?}", fixture.changes());
}

#[tokio::test]
async fn a_push_that_ends_well_without_a_digest_is_an_error() {
    let with = |answer: &str| {
        let mut things = things();
        things.retain(|(request, _)| *request != "POST /images/app/push");
        things.push(("POST /images/app/push", json!(answer)));
        Fixture::open(things)
    };
    let words = format!("{{\"status\":\"1: digest: {DIGEST} size: 855\"}}\r\n");
    let fixture = with(&words);
    check(
        &fixture.ask("POST /images/app/push?tag=1", "").await,
        200,
        DIGEST,
    );
    assert_eq!(fixture.pushed().len(), 1);
    let fixture = with("{\"status\":\"Pushed\"}\r\n");
    let answer = fixture.ask("POST /images/app/push?tag=1", "").await;
    check(&answer, 200, "the engine told of no digest");
    let fixture = with("{\"error\":\"denied\"}\r\n");
    let (_, answer) = fixture.ask("POST /images/app/push?tag=1", "").await;
    assert!(!answer.contains("told of no digest"), "{answer}");
}

#[tokio::test]
async fn a_pushed_digest_is_told_if_it_is_of_our_own_image() {
    let fixture = Fixture::open(things());
    check(
        &fixture.ask("POST /images/app/push?tag=1", "").await,
        200,
        DIGEST,
    );
    assert_eq!(fixture.pushed().len(), 1);
    let mut things = things();
    things.retain(|(request, _)| *request != "POST /images/app/push");
    things.push(("POST /images/app/push", json!(pushed(OTHER))));
    let fixture = Fixture::open(things);
    let answer = fixture.ask("POST /images/app/push?tag=1", "").await;
    check(&answer, 200, "is not the digest of the image made here");
    assert!(fixture.pushed().is_empty());
    check(
        &fixture.ask("POST /images/base/push?tag=1", "").await,
        403,
        "not made by this job",
    );
    check(
        &fixture.ask("POST /images/app/push", "").await,
        403,
        "push each by its name",
    );
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
