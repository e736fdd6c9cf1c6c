//! Pushes: the real name, its length, and what a killed gate leaves.

use serde::Serialize;
use serde_json::json;

use super::daemon::{BREAKS, Fixture, MANIFESTS, MOVES};
use crate::gate::HostNames;

const MINE: &str = "sha256:1111111111111111111111111111111111111111111111111111111111111111";
const HOST: &str = "sha256:3333333333333333333333333333333333333333333333333333333333333333";
const DIGEST: &str = "sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
const REAL: &str = "docker.io/library/app:1";
const PUSH: &str = "POST /images/app/push?tag=1";

/// A daemon whose pushes end so, behind a gate of a job that has made `app:1`.
fn fixture(progress: &(impl Serialize + ?Sized), moves: bool) -> Fixture {
    let mut answers = vec![("POST /images/docker.io/library/app/push", json!(progress))];
    if moves {
        answers.push((MOVES, json!(HOST)));
    }
    let fixture = Fixture::open(answers);
    let private = format!("{}app:1", fixture.names.prefix());
    fixture.give(&private, MINE);
    fixture
}

fn pushed() -> String {
    format!("{{\"aux\":{{\"Tag\":\"1\",\"Digest\":\"{DIGEST}\",\"Size\":5}}}}\r\n")
}

#[tokio::test]
async fn a_push_has_the_real_name_and_gives_it_back() {
    for before in [None, Some(HOST)] {
        let fixture = fixture(&pushed(), false);
        if let Some(id) = before {
            fixture.give(REAL, id);
        }
        let answer = fixture.ask(PUSH, "").await;
        assert!(answer.0 == 200 && answer.1.contains(DIGEST), "{}", answer.1);
        assert_eq!(fixture.pushed()[0].digest, DIGEST);
        let asked = fixture.asked();
        let is_nobody = |line: &String| line.contains("/push") && line.ends_with(" as e30=");
        assert!(asked.iter().any(is_nobody), "{asked:?}");
        let changes = fixture.changes();
        let tagged = |line: &String| line.contains("repo=docker.io%2Flibrary%2Fapp&tag=1");
        assert!(changes.iter().any(tagged), "{changes:?}");
        assert_eq!(fixture.id(REAL).as_deref(), before);
        assert_eq!(fixture.lent(), 0);
        let image = fixture.ask("GET /images/app:1/json", "").await;
        assert!(image.1.contains(&format!("app@{DIGEST}")), "{}", image.1);
    }
}

#[tokio::test]
async fn of_an_index_the_manifest_of_the_platform_is_reported_beside_it() {
    let manifest = |kind: &str, digest: &str| {
        json!({ "Kind": kind, "Descriptor": { "digest": digest },
            "ImageData": { "Platform": { "os": "linux", "architecture": "amd64" } } })
    };
    let manifests = [
        manifest("attestation", "sha256:1"),
        manifest("image", "sha256:2"),
    ];
    let fixture = Fixture::open(vec![
        ("POST /images/docker.io/library/app/push", json!(pushed())),
        (MANIFESTS, json!(manifests)),
    ]);
    fixture.give(&format!("{}app:1", fixture.names.prefix()), MINE);
    let answer = fixture.ask(PUSH, "").await;
    assert_eq!(answer.0, 200, "{}", answer.1);
    let pushed = fixture.pushed().remove(0);
    assert_eq!(pushed.digest, DIGEST);
    assert_eq!(pushed.manifest.as_deref(), Some("sha256:2"));
}

#[tokio::test]
async fn a_digest_that_is_not_of_the_job_s_image_or_not_told_is_no_good_push() {
    for (progress, moves, words) in [
        (pushed(), true, "is not the digest of the image made here"),
        (
            "{\"status\":\"Pushed\"}\r\n".into(),
            false,
            "the engine did not tell it",
        ),
        ("{\"error\":\"denied\"}\r\n".into(), false, "denied"),
    ] {
        let fixture = fixture(&progress, moves);
        let answer = fixture.ask(PUSH, "").await;
        assert!(answer.1.contains(words), "{}", answer.1);
        assert!(fixture.pushed().is_empty());
    }
    let fixture = fixture(&pushed(), false);
    let answer = fixture.ask("POST /images/other/push?tag=1", "").await;
    assert!(
        answer.0 == 404 && answer.1.contains("does not exist locally"),
        "{}",
        answer.1
    );
    assert!(fixture.changes().is_empty());
}

#[tokio::test]
async fn a_push_that_the_engine_breaks_off_is_told_as_a_failure() {
    let fixture = fixture(&json!({ BREAKS: "{\"status\":\"Pushing\"}\r\n" }), false);
    let answer = fixture.ask(PUSH, "").await;
    assert!(answer.1.contains("broke off the push"), "{}", answer.1);
    assert_eq!(fixture.id(REAL), None);
}

#[tokio::test]
async fn all_tags_of_the_job_s_are_pushed_and_recorded_and_a_failure_ends_it() {
    let one = |tag: &str| {
        format!("{{\"aux\":{{\"Tag\":\"{tag}\",\"Digest\":\"{DIGEST}\",\"Size\":5}}}}\r\n")
    };
    for (second, is_good) in [
        (one("2"), true),
        ("{\"error\":\"denied\"}\r\n".into(), false),
    ] {
        let answers = ["1", "2", "3"].map(|tag| {
            let request = format!("POST /images/docker.io/library/app/push?tag={tag}");
            let said = if tag == "2" { second.clone() } else { one(tag) };
            (&*request.leak(), json!(said))
        });
        let fixture = Fixture::open(answers.to_vec());
        let prefix = fixture.names.prefix().to_owned();
        for tag in ["app:2", "app:1", "app:3", "application:1"] {
            fixture.give(&format!("{prefix}{tag}"), MINE);
        }
        fixture.give("docker.io/library/app:9", HOST);
        let answer = fixture.ask("POST /images/app/push?tag=", "").await;
        assert_eq!(answer.1.contains("denied"), !is_good, "{}", answer.1);
        let tags: Vec<String> = fixture.pushed().into_iter().map(|it| it.tag).collect();
        let expect: &[&str] = if is_good { &["1", "2", "3"] } else { &["1"] };
        assert_eq!(tags, expect);
        assert_eq!((fixture.id(REAL), fixture.lent()), (None, 0));
    }
}

#[tokio::test]
async fn a_name_means_to_the_host_what_it_meant_before_the_push() {
    let fixture = fixture(&pushed(), false);
    fixture.give(REAL, HOST);
    let names = HostNames::new(&fixture.engine(), fixture.state());
    let lent = names.lend(REAL, MINE).await.unwrap();
    assert_eq!(fixture.id(REAL).unwrap(), MINE);
    assert_eq!(names.id(REAL).await.unwrap().as_deref(), Some(HOST));
    assert!(names.lent().unwrap().contains(REAL));
    lent.give_back().await.unwrap();
    assert_eq!(names.id(REAL).await.unwrap().as_deref(), Some(HOST));
    assert!(names.lent().unwrap().is_empty());
}

#[tokio::test]
async fn a_name_that_a_push_has_for_its_length_opens_its_image_to_nobody() {
    let fixture = fixture(&pushed(), false);
    let theirs = "sha256:2222222222222222222222222222222222222222222222222222222222222222";
    fixture.give(
        &format!("dockmaster-{}.invalid/x:1", "c".repeat(32)),
        theirs,
    );
    let names = HostNames::new(&fixture.engine(), fixture.state());
    let lent = names.lend("docker.io/library/shared:9", theirs).await;
    let lent = lent.unwrap();
    // The list that a client asks for, and the one in which an id is looked up.
    let (_, listed) = fixture.ask("GET /images/json", "").await;
    assert!(listed.contains(MINE), "{listed}");
    assert!(!listed.contains(theirs), "{listed}");
    let looked = fixture.ask(&format!("GET /images/{theirs}/json"), "").await;
    assert_eq!(looked.0, 404, "{}", looked.1);
    lent.give_back().await.unwrap();
}

#[tokio::test]
async fn what_a_killed_push_left_is_put_right_by_the_next_and_by_a_sweep() {
    for is_swept in [true, false] {
        let fixture = fixture(&pushed(), false);
        fixture.give(REAL, HOST);
        let names = HostNames::new(&fixture.engine(), fixture.state());
        // Dropped as a killed process drops it.
        drop(names.lend(REAL, MINE).await.unwrap());
        assert_eq!(fixture.id(REAL).unwrap(), MINE);
        if is_swept {
            names.settle().await.unwrap();
        } else {
            assert_eq!(names.id(REAL).await.unwrap().as_deref(), Some(HOST));
        }
        assert_eq!(fixture.id(REAL).unwrap(), HOST);
        assert_eq!(fixture.lent(), 0);
    }
}

#[tokio::test]
async fn a_sweep_takes_no_name_from_a_push_that_goes_on() {
    let fixture = fixture(&pushed(), false);
    let names = HostNames::new(&fixture.engine(), fixture.state());
    let lent = names.lend(REAL, MINE).await.unwrap();
    names.settle().await.unwrap();
    assert_eq!(fixture.id(REAL).unwrap(), MINE);
    lent.give_back().await.unwrap();
    assert_eq!(fixture.id(REAL), None);
}
