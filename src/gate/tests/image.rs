//! Whose images a request may name, and what the engine calls them.

use serde_json::{Value, json};

use super::daemon::{Answers, Fixture, PULLED};
use crate::docker::reference::Reference;
use crate::gate::HostNames;

const MINE: &str = "sha256:1111111111111111111111111111111111111111111111111111111111111111";
const THEIRS: &str = "sha256:2222222222222222222222222222222222222222222222222222222222222222";
const HOST: &str = "sha256:3333333333333333333333333333333333333333333333333333333333333333";
const DIGEST: &str = "sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";

/// Images of another job's, of the host and of the job's own.
fn fixture(answers: Answers) -> Fixture {
    let fixture = Fixture::open(answers);
    fixture.give(&theirs(), THEIRS);
    fixture.give("docker.io/library/host:1", HOST);
    fixture.give("docker.io/library/shared:1", HOST);
    fixture.give(&private(&fixture, "app:1"), MINE);
    fixture
}

fn theirs() -> String {
    format!("dockmaster-{}.invalid/app:1", "c".repeat(32))
}

fn private(fixture: &Fixture, name: &str) -> String {
    format!("{}{name}", fixture.names.prefix())
}

fn pull_answers(progress: &str) -> Answers {
    vec![
        (
            "GET /distribution/docker.io/library/app:2/json",
            json!({ "Descriptor": { "digest": DIGEST } }),
        ),
        ("POST /images/create", json!(progress)),
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

#[track_caller]
fn body(answer: &(u16, String)) -> Value {
    let start = answer.1.find("\r\n\r\n").unwrap();
    let text: String = answer.1[start..].chars().filter(|it| *it != '\r').collect();
    let json = text.lines().find(|line| line.starts_with(['[', '{']));
    serde_json::from_str(json.unwrap()).unwrap()
}

#[tokio::test]
async fn an_image_of_another_job_or_of_the_host_is_not_there_whatever_it_is_called() {
    let fixture = fixture(vec![]);
    let theirs = theirs();
    for name in [
        "host:1",
        THEIRS,
        HOST,
        &THEIRS[..19],
        "2222222222222222",
        &theirs,
    ] {
        if name == HOST {
            // It has a name that the operator shares.
            continue;
        }
        for (request, body) in [
            (format!("GET /images/{name}/json"), String::new()),
            (format!("GET /images/{name}/history"), String::new()),
            (format!("POST /images/{name}/tag?repo=mine"), String::new()),
            (format!("DELETE /images/{name}?force=1"), String::new()),
            (
                "POST /containers/create".into(),
                format!(r#"{{"Image":"{name}"}}"#),
            ),
        ] {
            let answer = fixture.ask(&request, &body).await;
            assert!(
                [400, 403, 404].contains(&answer.0),
                "{request}: {}",
                answer.1
            );
        }
        let push = format!("POST /images/{name}/push?tag=1");
        let answer = fixture.ask(&push, "").await;
        assert!([400, 403, 404].contains(&answer.0), "{}", answer.1);
    }
    assert!(fixture.changes().is_empty(), "{:?}", fixture.changes());
}

/// The folder of a build, as clients send it.
fn context() -> String {
    let mut header = tar::Header::new_gnu();
    let text = "FROM scratch\nLABEL a=b\n";
    header.set_size(text.len() as u64);
    let mut builder = tar::Builder::new(Vec::new());
    let added = builder.append_data(&mut header, "Dockerfile", text.as_bytes());
    added.unwrap();
    String::from_utf8(builder.into_inner().unwrap()).unwrap()
}

#[tokio::test]
async fn a_job_names_freely_and_nobody_else_s_name_moves() {
    let fixture = fixture(vec![("POST /build", json!({}))]);
    check(
        &fixture
            .ask("POST /images/app:1/tag?repo=host&tag=1", "")
            .await,
        200,
        "",
    );
    check(
        &fixture
            .ask("POST /build?t=host:1&t=127.0.0.1:5000/x", &context())
            .await,
        200,
        "",
    );
    assert_eq!(fixture.id("docker.io/library/host:1").unwrap(), HOST);
    assert_eq!(fixture.id(&private(&fixture, "host:1")).unwrap(), MINE);
    let changes = fixture.changes();
    let build = changes.iter().find(|line| line.contains("/build")).unwrap();
    let prefix = fixture.names.prefix().replace('/', "%2F");
    for name in ["host%3A1", "127.0.0.1__5000%2Fx%3Alatest"] {
        assert!(build.contains(&format!("t={prefix}{name}")), "{build}");
    }
}

#[tokio::test]
async fn a_name_for_the_length_of_a_push_opens_no_image_by_its_id() {
    let fixture = fixture(vec![]);
    let names = HostNames::new(&fixture.engine(), fixture.state());
    let lent = names.lend("docker.io/library/shared:9", THEIRS);
    let lent = lent.await.unwrap();
    let answer = fixture.ask(&format!("GET /images/{THEIRS}/json"), "").await;
    check(&answer, 404, "No such image");
    lent.give_back().await.unwrap();
}

#[tokio::test]
async fn names_of_ours_are_not_given() {
    let fixture = fixture(vec![]);
    let private = private(&fixture, "x");
    for name in [
        "dockmaster/helper",
        "dockmaster-helper:1",
        "docker.io/library/dockmaster",
        &private,
    ] {
        let answer = fixture.ask(&format!("POST /build?t={name}"), "").await;
        check(&answer, 403, "is ours");
        let tag = format!("POST /images/app:1/tag?repo={name}");
        check(&fixture.ask(&tag, "").await, 403, "is ours");
    }
    assert!(fixture.changes().is_empty(), "{:?}", fixture.changes());
}

#[tokio::test]
async fn a_job_sees_its_own_images_and_shared_ones_under_the_names_that_it_knows() {
    let fixture = fixture(vec![]);
    let answer = fixture.ask("GET /images/json", "").await;
    let mut tags: Vec<Value> = body(&answer)
        .as_array()
        .unwrap()
        .iter()
        .map(|image| image["RepoTags"].clone())
        .collect();
    tags.sort_by_key(Value::to_string);
    assert_eq!(
        tags,
        [json!(["app:1"]), json!(["docker.io/library/shared:1"])]
    );
    let image = body(&fixture.ask("GET /images/app:1/json", "").await);
    assert_eq!(
        (&image["Id"], &image["RepoTags"]),
        (&json!(MINE), &json!(["app:1"]))
    );
    let image = body(&fixture.ask(&format!("GET /images/{MINE}/json"), "").await);
    assert_eq!(image["RepoTags"], json!(["app:1"]));
    let image = body(&fixture.ask("GET /images/1111/json", "").await);
    assert_eq!(image["Id"], MINE);
    let image = body(&fixture.ask("GET /images/shared:1/json", "").await);
    assert_eq!(image["RepoTags"], json!(["docker.io/library/shared:1"]));
}

#[tokio::test]
async fn an_image_that_lost_its_name_stays_the_job_s() {
    let fixture = fixture(vec![("POST /build", json!({}))]);
    check(
        &fixture.ask("POST /build?t=app:1", &context()).await,
        200,
        "",
    );
    assert_eq!(fixture.id(&fixture.names.hidden(MINE)).unwrap(), MINE);
    check(
        &fixture.ask(&format!("GET /images/{MINE}/json"), "").await,
        200,
        MINE,
    );
    let made = format!(
        "{{\"aux\":{{\"ID\":\"{HOST}\"}}}}\r\n{{\"stream\":\"Successfully built 1\\n\"}}\r\n"
    );
    let fixture = self::fixture(vec![("POST /build", json!(made))]);
    check(&fixture.ask("POST /build", &context()).await, 200, HOST);
    assert_eq!(fixture.id(&fixture.names.hidden(HOST)).unwrap(), HOST);
}

#[tokio::test]
async fn a_pull_asks_the_registry_and_leaves_private_names_only() {
    let progress = format!(
        "{{\"status\":\"Pulling from library/app\",\"id\":\"docker.io/library/app@{DIGEST}\"}}\r\n\
         {{\"status\":\"Status: Downloaded newer image for app@{DIGEST}\"}}\r\n"
    );
    let fixture = fixture(pull_answers(&progress));
    let answer = fixture
        .ask("POST /images/create?fromImage=app&tag=2", "")
        .await;
    check(&answer, 200, r#""id":"2""#);
    check(&answer, 200, "Status: Downloaded newer image for app:2");
    assert!(!answer.1.contains("app@"), "{}", answer.1);
    assert_eq!(fixture.id(&private(&fixture, "app:2")).unwrap(), PULLED);
    assert_eq!(fixture.id(&format!("docker.io/library/app@{DIGEST}")), None);
    assert_eq!(fixture.lent(), 0);
    // {"username":"u","password":"p"}
    let account = "eyJ1c2VybmFtZSI6InUiLCJwYXNzd29yZCI6InAifQ==";
    let request = format!(
        "POST /images/create?fromImage=app&tag=2 HTTP/1.1\r\nX-Registry-Auth: {account}\r\nX-A: b"
    );
    fixture.ask(&request, "").await;
    let asked = fixture.asked();
    let as_mine = asked.iter().filter(|line| line.contains(" as ey")).count();
    assert_eq!(as_mine, 2, "{asked:?}");
    let noted = std::fs::read_dir(fixture.state().join("layers")).unwrap();
    assert_eq!(noted.count(), 1, "the copy is not noted");
    let image = body(&fixture.ask("GET /images/app:2/json", "").await);
    assert_eq!(image["RepoDigests"], json!([format!("app@{DIGEST}")]));
    let again = fixture
        .ask("POST /images/create?fromImage=app&tag=2", "")
        .await;
    check(&again, 200, "Status: Image is up to date for app:2");
}

#[tokio::test]
async fn a_pull_that_the_registry_or_the_operator_refuses_or_that_fails_changes_nothing() {
    let fixture = fixture(pull_answers("{\"error\":\"no space left\"}\r\n"));
    for (query, status, words) in [
        ("fromImage=closed&tag=1", 403, "not open to this job"),
        ("fromImage=app&tag=3", 500, "not here"),
        ("fromImage=app&tag=2", 200, "no space left"),
    ] {
        let answer = fixture
            .ask(&format!("POST /images/create?{query}"), "")
            .await;
        check(&answer, status, words);
    }
    let made = fixture.changes();
    let tagged = made.iter().any(|line| line.contains("/tag"));
    assert!(!tagged, "{made:?}");
    assert_eq!(fixture.id(&format!("docker.io/library/app@{DIGEST}")), None);
    assert_eq!(fixture.lent(), 0);
}

/// Names of copies that a tenant keeps, the one used longest ago first.
fn copies(fixture: &Fixture) -> (std::path::PathBuf, [String; 2]) {
    let dir = fixture.state().join("layers");
    let names = [("old", MINE), ("new", HOST)].map(|(tag, id)| {
        let name = Reference::parse(&format!("app:{tag}")).unwrap();
        let name = fixture.names.kept(&name).unwrap();
        crate::gate::note_copy(&dir, "p42-protected-0", &name).unwrap();
        fixture.give(&name, id);
        name
    });
    for file in std::fs::read_dir(dir.join("p42-protected-0")).unwrap() {
        let path = file.unwrap().path();
        if std::fs::read_to_string(&path).unwrap().contains(":old") {
            let file = std::fs::File::options().append(true).open(path).unwrap();
            let then = std::time::SystemTime::UNIX_EPOCH;
            file.set_modified(then).unwrap();
        }
    }
    (dir, names)
}

#[tokio::test]
async fn what_was_pulled_is_given_up_beyond_the_budget_the_least_used_first() {
    let fixture = Fixture::open(vec![]);
    let (dir, [old, new]) = copies(&fixture);
    let foreign = format!("dockmaster-tenant-{}.invalid/app:1", "c".repeat(32));
    fixture.give(&foreign, THEIRS);
    let host = crate::store::host_secret(fixture.state()).unwrap();
    let layers = crate::gate::Layers::new(&fixture.engine(), dir, host);
    // Each image has 3 bytes.
    for (budget, removed, kept) in [(6, 0, 6), (5, 1, 3), (5, 0, 3)] {
        let trimmed = layers.trim(budget).await.unwrap();
        assert_eq!((trimmed.removed, trimmed.kept), (removed, kept), "{budget}");
    }
    assert_eq!((fixture.id(&old), fixture.id(&new).is_some()), (None, true));
    assert!(fixture.id(&foreign).is_some(), "another installation's");
}

#[tokio::test]
async fn a_container_is_made_by_a_private_name() {
    let fixture = fixture(vec![("POST /containers/create", json!({ "Id": "1" }))]);
    for (image, private_name) in [("app:1", "app:1"), ("shared:1", "shared:1")] {
        let request = format!(r#"{{"Image":"{image}"}}"#);
        check(
            &fixture.ask("POST /containers/create", &request).await,
            200,
            "",
        );
        let changes = fixture.changes();
        let made = changes
            .iter()
            .rfind(|line| line.contains("/create"))
            .unwrap();
        assert!(made.contains(&private(&fixture, private_name)), "{made}");
    }
}

#[tokio::test]
async fn testcontainers_that_need_ports_of_the_host_hear_what_to_do_instead() {
    let fixture = fixture(vec![("POST /containers/create", json!({ "Id": "1" }))]);
    let published = r#"{"Image":"app:1","HostConfig":{"PublishAllPorts":true}}"#;
    for (agent, body, status) in [
        ("tc-java/1.21.4", published, 403),
        ("tc-python/4.15.0", published, 200),
        ("tc-java/1.21.4", r#"{"Image":"app:1"}"#, 200),
    ] {
        let request = format!(
            "POST /containers/create HTTP/1.1\r\nx-tc-sid: 1\r\nUser-Agent: {agent}\r\nX-A: b"
        );
        let answer = fixture.ask(&request, body).await;
        let words = if status == 403 { "under services:" } else { "" };
        check(&answer, status, words);
    }
    let plain = fixture.ask("POST /containers/create", published).await;
    check(&plain, 200, "ports are not published on the host");
}

#[tokio::test]
async fn an_image_is_removed_with_the_job_s_names_alone() {
    let fixture = fixture(vec![]);
    fixture.give("docker.io/library/other:1", MINE);
    let answer = fixture.ask(&format!("DELETE /images/{MINE}"), "").await;
    check(&answer, 200, r#""Untagged":"app:1""#);
    assert_eq!(fixture.id("docker.io/library/other:1").unwrap(), MINE);
    check(
        &fixture.ask("DELETE /images/shared:1?force=1", "").await,
        403,
        "was not made by this job",
    );
}

#[tokio::test]
async fn the_names_of_a_job_go_with_it_and_no_others() {
    let fixture = fixture(vec![
        ("GET /networks", json!([])),
        ("GET /volumes", json!({ "Volumes": [] })),
        ("GET /containers/json", json!([])),
    ]);
    let label = ("dockmaster.made-by", "7");
    let swept = crate::gate::sweep(&fixture.engine(), fixture.state(), label).await;
    assert!(swept.unwrap().left.is_empty());
    assert_eq!(fixture.id(&private(&fixture, "app:1")), None);
    assert_eq!(fixture.id(&theirs()).unwrap(), THEIRS);
    assert_eq!(fixture.id("docker.io/library/host:1").unwrap(), HOST);
}

#[tokio::test]
async fn names_of_jobs_that_nobody_knows_go_and_those_of_live_jobs_stay() {
    let fixture = fixture(vec![]);
    let live = || Ok(vec!["7".to_owned()]);
    let dead = crate::store::host_secret(fixture.state()).unwrap();
    let dead = format!("dockmaster-{}.invalid/app:1", dead.of_job("8"));
    fixture.give(&dead, THEIRS);
    let swept = crate::gate::sweep_names(&fixture.engine(), fixture.state(), live).await;
    assert_eq!(swept.unwrap().removed, 1);
    assert_eq!(fixture.id(&dead), None);
    // Another installation's, which knows itself whether the job lives.
    assert_eq!(fixture.id(&theirs()).unwrap(), THEIRS);
    assert_eq!(fixture.id(&private(&fixture, "app:1")).unwrap(), MINE);
    assert_eq!(fixture.id("docker.io/library/host:1").unwrap(), HOST);
}
