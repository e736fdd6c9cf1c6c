//! What a build through `BuildKit` is asked to push.

use std::future::pending;
use std::pin::pin;

use serde_json::json;

use super::daemon::Fixture;
use crate::docker::reference::Reference;
use crate::gate::build::wire::push_entry;
use crate::gate::logins::NoLogins;
use crate::gate::publish::publish;

const MINE: &str = "sha256:1111111111111111111111111111111111111111111111111111111111111111";
const DIGEST: &str = "sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
const OTHER: &str = "sha256:bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb";

fn names(texts: &[&str]) -> Vec<Reference> {
    texts
        .iter()
        .map(|text| Reference::parse(text).unwrap())
        .collect()
}

#[tokio::test]
async fn the_gate_pushes_where_the_engine_s_builder_would_and_only_what_may_be_pushed() {
    for (store, expect) in [("io.containerd.snapshotter.v1", 1), ("overlay2", 0)] {
        let info =
            json!({ "DriverStatus": [["Backing Filesystem", "extfs"], ["driver-type", store]] });
        let fixture = Fixture::open(vec![("GET /info", info)]);
        let found = fixture
            .own
            .published(names(&["reg.test/app:1"]))
            .await
            .unwrap();
        assert_eq!(found.len(), expect, "{store}");
        let refused = fixture
            .own
            .published(names(&["reg.test/app:1", "closed.test/app:1"]))
            .await;
        let denied = refused.unwrap_err();
        assert!(
            denied.message.contains("push-registries"),
            "{}",
            denied.message
        );
    }
}

#[tokio::test]
async fn what_the_registry_took_is_recorded_and_is_what_was_built() {
    let pushed = format!("{{\"status\":\"1: digest: {DIGEST} size: 5\"}}\r\n");
    for (progress, built, error) in [
        (pushed.as_str(), DIGEST, None),
        (&pushed, OTHER, Some("is not what was built")),
        (
            "{\"error\":\"denied\"}\r\n",
            DIGEST,
            Some("failed to push app:1: denied"),
        ),
    ] {
        let answers = vec![("POST /images/docker.io/library/app/push", json!(progress))];
        let fixture = Fixture::open(answers);
        fixture.give(&format!("{}app:1", fixture.names.prefix()), MINE);
        let mut said = Vec::new();
        push_entry(&mut said, 1, "image.name", "app");
        push_entry(&mut said, 1, "containerimage.digest", built);
        let gone = pin!(pending());
        let done = publish(&fixture.own, &names(&["app:1"]), &said, &NoLogins, gone).await;
        let told = done.as_ref().err().map(|denied| denied.message.as_str());
        match error {
            None => assert_eq!(told, None),
            Some(error) => assert!(told.is_some_and(|told| told.contains(error)), "{told:?}"),
        }
        let recorded = fixture.pushed().len();
        assert_eq!(recorded, usize::from(progress == pushed));
        assert_eq!(fixture.id("docker.io/library/app:1"), None);
    }
}
