//! Names of a job's containers, networks and volumes: its own in the engine, plain in the job.

use serde_json::json;

use super::daemon::Fixture;

const ID: &str = "1111111111111111111111111111111111111111111111111111111111111111";

fn fixture() -> Fixture {
    let inspect =
        "GET /containers/1111111111111111111111111111111111111111111111111111111111111111/json";
    Fixture::open(vec![
        (
            "GET /images/docker.io/library/shared:latest/json",
            json!({ "Id": "sha256:5" }),
        ),
        (
            "GET /containers/json",
            json!([{ "Id": ID, "Names": ["/dockmaster-7.web"] }]),
        ),
        (
            "GET /networks",
            json!([{ "Id": "net-id", "Name": "dockmaster-7.net" }]),
        ),
        (
            "GET /volumes",
            json!({ "Volumes": [{ "Name": "dockmaster-7.data" }, { "Name": "b0b0" }] }),
        ),
        (inspect, json!({ "Id": ID, "Name": "/dockmaster-7.web" })),
        ("POST /containers/create", json!({ "Id": ID })),
        ("POST /networks/create", json!({ "Id": "net-id" })),
        ("POST /networks/net-id/connect", json!({})),
        (
            "POST /volumes/create",
            json!({ "Name": "dockmaster-7.new", "Labels": { "dockmaster.made-by": "7" } }),
        ),
        ("DELETE /volumes/dockmaster-7.data", json!({})),
        ("GET /info", json!({ "Name": "code-server", "NCPU": 2 })),
    ])
}

#[tokio::test]
async fn what_a_job_names_has_the_job_s_key_in_the_engine() {
    let body = r#"{"Image":"shared","HostConfig":{"Binds":["new:/n","data:/d"]}}"#;
    let net = r#"{"Image":"shared","HostConfig":{"NetworkMode":"net"},"NetworkingConfig":{"EndpointsConfig":{"net":{"Aliases":["db"]}}}}"#;
    for (request, body, words) in [
        (
            "POST /containers/create?name=web",
            body,
            "create?name=dockmaster-7.web",
        ),
        (
            "POST /containers/create?name=web",
            body,
            r#""EndpointsConfig":{"job-network":{"Aliases":["web"]}}"#,
        ),
        (
            "POST /containers/create?name=web",
            net,
            r#""EndpointsConfig":{"net-id":{"Aliases":["db","web"]}}"#,
        ),
        (
            "POST /containers/create?name=web",
            body,
            r#""Source":"dockmaster-7.data""#,
        ),
        (
            "POST /containers/create?name=web",
            body,
            r#""Name":"dockmaster-7.new""#,
        ),
        (
            "POST /containers/web/rename?name=web2",
            "",
            "rename?name=dockmaster-7.web2",
        ),
        (
            "POST /networks/create",
            r#"{"Name":"mine"}"#,
            r#""Name":"dockmaster-7.mine""#,
        ),
        (
            "POST /networks/create",
            r#"{"Name":"mine"}"#,
            r#""com.docker.network.bridge.name":"dm-"#,
        ),
        (
            "POST /networks/net/connect",
            r#"{"Container":"web"}"#,
            r#""Aliases":["web"]"#,
        ),
        (
            "POST /volumes/create",
            r#"{"Name":"new"}"#,
            r#""Name":"dockmaster-7.new""#,
        ),
        ("DELETE /volumes/data", "", "/volumes/dockmaster-7.data"),
    ] {
        let fixture = fixture();
        fixture.ask(request, body).await;
        let changes = fixture.changes().join("\n");
        assert!(changes.contains(words), "{request} {body}: {changes}");
    }
}

#[tokio::test]
async fn no_answer_shows_the_job_s_key() {
    for (request, words) in [
        ("GET /containers/json", r#""/web""#),
        ("GET /networks", r#""net""#),
        ("GET /volumes", r#""data""#),
        ("GET /containers/web/json", r#""/web""#),
    ] {
        let (status, answer) = fixture().ask(request, "").await;
        assert_eq!(status, 200, "{request}: {answer}");
        assert!(answer.contains(words), "{request}: {answer}");
        assert!(!answer.contains("dockmaster-7."), "{request}: {answer}");
    }
}

#[tokio::test]
async fn a_job_is_not_told_of_its_host() {
    let (status, answer) = fixture().ask("GET /info", "").await;
    assert_eq!(status, 200);
    assert!(
        answer.contains("\"NCPU\":2") && !answer.contains("code-server"),
        "{answer}"
    );
}
