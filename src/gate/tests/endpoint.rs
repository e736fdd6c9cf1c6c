//! Endpoints that act on many things at once, or make an image: only the job's own, whatever is asked.

use serde_json::json;

use super::daemon::{Answers, Fixture};

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
            json!([{ "Id": MINE, "Names": ["/app"], "Created": 5, "SizeRw": 7, "ImageID": "i", "State": "exited",
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
            "GET /images/json",
            json!([{ "Id": "i", "Size": 3, "Labels": { "dockmaster.made-by-image": "7" } }]),
        ),
        ("DELETE /images/i", json!([])),
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
        (
            "POST /images/prune",
            "DELETE /images/i?noprune=1 ".to_owned(),
            "\"Deleted\":\"i\"",
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

#[tokio::test]
async fn an_image_made_of_a_container_is_labelled_as_the_job_s() {
    let fixture = Fixture::open(things());
    let (status, answer) = fixture
        .ask("POST /commit?container=app", r#"{"Labels":{"a":"b"}}"#)
        .await;
    assert_eq!(status, 200, "{answer}");
    let labels = r#""Labels":{"a":"b","dockmaster.job":"","dockmaster.made-by":"","dockmaster.made-by-image":"7"}"#;
    let changes = fixture.changes();
    assert!(
        changes[0].contains(labels) && changes[0].contains(MINE),
        "{changes:?}"
    );
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
async fn an_imported_image_is_labelled_as_the_job_s_before_its_own_changes() {
    let fixture = Fixture::open(things());
    let request = "POST /images/create?fromSrc=-&changes=ENV%20A=b%20%5C";
    assert_eq!(fixture.ask(request, "tar").await.0, 200);
    let ours = "changes=LABEL+%22dockmaster.made-by-image%22%3D%227%22&changes=ENV";
    let changes = fixture.changes();
    assert!(changes[0].contains(ours), "{changes:?}");
    for request in [
        "POST /images/create?fromSrc=http://10.0.0.1/x.tar&repo=x",
        "POST /images/create?fromSrc=-&changes=LABEL%20dockmaster.cache=x",
    ] {
        assert_eq!(fixture.ask(request, "").await.0, 403, "{request}");
    }
    assert_eq!(fixture.changes().len(), 1);
}

#[tokio::test]
async fn the_disk_s_usage_is_that_of_the_job_s_things() {
    let fixture = Fixture::open(things());
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
