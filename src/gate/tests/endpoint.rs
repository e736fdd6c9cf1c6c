//! Endpoints that act on many things at once, or make an image: only the job's own, whatever is asked.

use serde_json::json;

use super::daemon::{Answers, BREAKS, Fixture};

const MINE: &str = "1111111111111111111111111111111111111111111111111111111111111111";

fn things() -> Answers {
    vec![
        (
            "GET /version",
            json!({ "ApiVersion": "1.56", "MinAPIVersion": "1.44", "Components": [
                { "Name": "Engine", "Details": { "MinAPIVersion": "1.44" } },
            ] }),
        ),
        (
            "GET /containers/json",
            json!([{ "Id": MINE, "Names": ["/dockmaster-7.app"], "Created": 5, "SizeRw": 7, "ImageID": "i", "State": "exited",
                "Mounts": [{ "Name": "data" }] }]),
        ),
        (
            "GET /networks",
            json!([{ "Id": "network-of-mine", "Name": "mine" }]),
        ),
        (
            "GET /volumes",
            json!({ "Volumes": [
            { "Name": "data" }, { "Name": "0a", "Labels": { "com.docker.volume.anonymous": "" } },
        ] }),
        ),
        (
            "GET /v1.44/containers/1111111111111111111111111111111111111111111111111111111111111111/changes",
            json!([]),
        ),
        ("POST /commit", json!({ "Id": "sha256:1" })),
        ("POST /images/create", json!({})),
        ("GET /distribution/open/json", json!({ "Descriptor": {} })),
        ("DELETE /networks/network-of-mine", json!({})),
        ("DELETE /volumes/data", json!({})),
        ("DELETE /volumes/0a", json!({})),
        (
            "DELETE /containers/1111111111111111111111111111111111111111111111111111111111111111",
            json!({}),
        ),
    ]
}

#[tokio::test]
async fn a_prune_removes_one_by_one_what_is_the_job_s() {
    for (request, removed, told) in [
        (
            "POST /containers/prune",
            format!("DELETE /containers/{MINE}?v=1 "),
            MINE,
        ),
        (
            "POST /networks/prune",
            "DELETE /networks/network-of-mine ".to_owned(),
            "mine",
        ),
        (
            "POST /v1.45/volumes/prune",
            "DELETE /volumes/0a ".to_owned(),
            "0a",
        ),
    ] {
        let fixture = Fixture::open(things());
        let (status, answer) = fixture.ask(request, "").await;
        assert!(
            status == 200 && answer.contains(told),
            "{request}: {answer}"
        );
        assert_eq!(fixture.changes(), [removed], "{request}");
    }
    let fixture = Fixture::open(things());
    let all = "POST /v1.45/volumes/prune?filters=%7B%22all%22%3A%5B%22true%22%5D%7D";
    assert_eq!(fixture.ask(all, "").await.0, 200);
    assert_eq!(fixture.changes().len(), 2);
    let young = "POST /containers/prune?filters=%7B%22until%22%3A%5B%223%22%5D%7D";
    assert!(
        fixture
            .ask(young, "")
            .await
            .1
            .contains("\"ContainersDeleted\":[]")
    );
    let unknown = "POST /containers/prune?filters=%7B%22name%22%3A%5B%22x%22%5D%7D";
    assert_eq!(fixture.ask(unknown, "").await.0, 400);
    assert_eq!(fixture.ask("POST /build/prune?all=1", "").await.0, 200);
    assert_eq!(fixture.changes().len(), 2);
}

const ALL: &str = "POST /images/prune?filters=%7B%22dangling%22:%5B%22false%22%5D%7D";

#[tokio::test]
async fn a_prune_takes_images_of_the_job_s_alone_whatever_their_labels_say() {
    let labelled = json!({ "dockmaster.made-by-image": "7", "dockmaster.made-by": "7" });
    let fixture = Fixture::open(vec![
        (
            "GET /images/json",
            json!([
                { "Id": "sha256:theirs", "RepoTags": null, "Labels": labelled },
                { "Id": "sha256:hosts", "RepoTags": ["app:1"], "Labels": labelled },
            ]),
        ),
        ("GET /containers/json", json!([])),
    ]);
    for request in ["POST /images/prune", ALL] {
        let (status, answer) = fixture.ask(request, "").await;
        assert_eq!(status, 200, "{answer}");
        assert!(answer.contains("\"ImagesDeleted\":[]"), "{answer}");
    }
    let (_, listed) = fixture.ask("GET /images/json?all=1", "").await;
    assert!(!listed.contains("sha256:"), "{listed}");
    let one = fixture
        .ask("DELETE /images/sha256:theirs?force=1", "")
        .await;
    assert!((400..500).contains(&one.0), "{}", one.1);
    assert!(fixture.changes().is_empty(), "{:?}", fixture.changes());
}

#[tokio::test]
async fn a_prune_of_all_images_leaves_those_that_a_container_uses() {
    let fixture = Fixture::open(vec![(
        "GET /containers/json",
        json!([{ "Id": MINE, "Names": ["/dockmaster-7.app"], "ImageID": "sha256:3" }]),
    )]);
    let own = |name: &str| format!("{}{name}", fixture.names.prefix());
    fixture.give(&fixture.names.hidden("1"), "sha256:1");
    fixture.give(&own("app:1"), "sha256:2");
    fixture.give(&own("used:1"), "sha256:3");
    for (request, gone) in [("POST /images/prune", "sha256:1"), (ALL, "sha256:2")] {
        let (_, answer) = fixture.ask(request, "").await;
        let told = format!("[{{\"Deleted\":\"{gone}\"}}]");
        assert!(answer.contains(&told), "{answer}");
    }
    assert!(fixture.id(&own("used:1")).is_some());
    assert!(fixture.id(&own("app:1")).is_none());
}

#[tokio::test]
async fn an_image_made_of_a_container_has_a_name_of_the_job_s() {
    let fixture = Fixture::open(things());
    let (status, answer) = fixture
        .ask("POST /commit?container=app", r#"{"Labels":{"a":"b"}}"#)
        .await;
    assert_eq!(status, 200, "{answer}");
    let labels = r#""Labels":{"a":"b","dockmaster.job":"","dockmaster.made-by":""}"#;
    let changes = fixture.changes();
    for part in [labels, MINE, &hidden(&fixture)] {
        assert!(changes[0].contains(part), "{changes:?}");
    }
    for (request, body) in [
        (
            "POST /commit?container=app",
            r#"{"Labels":{"dockmaster.cache":"x"}}"#,
        ),
        (
            "POST /commit?container=app&changes=LABEL%20dockmaster.cache=x",
            "{}",
        ),
        ("POST /commit?container=theirs", "{}"),
    ] {
        let (status, answer) = fixture.ask(request, body).await;
        assert!([403, 404].contains(&status), "{request}: {answer}");
    }
    assert_eq!(fixture.changes().len(), 1);
}

#[tokio::test]
async fn an_imported_image_has_a_name_of_the_job_s() {
    let fixture = Fixture::open(things());
    let request = "POST /images/create?fromSrc=-&changes=ENV%20A=b%20%5C";
    assert_eq!(fixture.ask(request, "tar").await.0, 200);
    let changes = fixture.changes();
    assert!(changes[0].contains(&hidden(&fixture)), "{changes:?}");
    for request in [
        "POST /images/create?fromSrc=http://10.0.0.1/x.tar&repo=x",
        "POST /images/create?fromSrc=-&changes=LABEL%20dockmaster.cache=x",
    ] {
        assert_eq!(fixture.ask(request, "").await.0, 403, "{request}");
    }
    assert_eq!(fixture.changes().len(), 1);
}

/// How the name begins that an image gets without one of its own, in a query.
fn hidden(fixture: &Fixture) -> String {
    let prefix = fixture.names.prefix();
    prefix.replace('/', "%2Fdockmaster-kept&tag=")
}

#[tokio::test]
async fn the_disk_s_usage_is_that_of_the_job_s_things() {
    let fixture = Fixture::open(things());
    fixture.give(&fixture.names.hidden("1"), "sha256:i");
    let (_, answer) = fixture.ask("GET /system/df", "").await;
    for word in [
        "\"LayersSize\":3",
        "\"RefCount\":1",
        "\"BuildCache\":[]",
        "\"TotalCount\":1",
    ] {
        assert!(answer.contains(word), "{word}: {answer}");
    }
    let (_, answer) = fixture.ask("GET /v1.44/system/df?type=volume", "").await;
    assert!(!answer.contains("LayersSize"), "{answer}");
}

#[tokio::test]
async fn a_client_older_than_the_engine_takes_is_served_under_the_engine_s_oldest() {
    let fixture = Fixture::open(things());
    let (status, answer) = fixture.ask("GET /v1.24/containers/app/changes", "").await;
    assert_eq!(status, 200, "{answer}");
    let (_, answer) = fixture.ask("GET /version", "").await;
    assert!(!answer.contains("1.44"), "{answer}");
    assert_eq!(
        answer.matches("\"MinAPIVersion\":\"1.24\"").count(),
        2,
        "{answer}"
    );
}

#[tokio::test]
async fn a_registry_is_asked_only_about_images_that_the_operator_allows() {
    let fixture = Fixture::open(things());
    assert_eq!(fixture.ask("GET /distribution/open/json", "").await.0, 200);
    let (status, answer) = fixture
        .ask("GET /distribution/127.0.0.1:5000/x/json", "")
        .await;
    assert!(
        status == 403 && answer.contains("not open to this job"),
        "{answer}"
    );
}

#[tokio::test]
async fn an_archive_that_breaks_off_has_no_end_for_the_client_either() {
    let mut builder = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    header.set_size(6);
    builder
        .append_data(&mut header, "layer.tar", &b"layer\n"[..])
        .unwrap();
    let whole = String::from_utf8(builder.into_inner().unwrap()).unwrap();
    let end = "0\r\n\r\n";
    for (answer, is_whole) in [
        (json!(whole), true),
        (json!({ BREAKS: &whole[..600] }), false),
        (json!({ BREAKS: &whole[..1024] }), false),
    ] {
        let id = format!("sha256:{MINE}");
        let request = format!("GET /images/{id}/get");
        let fixture = Fixture::open(vec![(&*request.clone().leak(), answer)]);
        fixture.give(&format!("{}app:1", fixture.names.prefix()), &id);
        let answer = fixture.ask(&request, "").await;
        let has_layer = answer.1.contains("layer.tar");
        assert!(answer.0 == 200 && (has_layer || !is_whole), "{}", answer.1);
        assert_eq!(answer.1.ends_with(end), is_whole, "{}", answer.1);
    }
}
