//! Requests recorded from genuine clients: each is accepted, and becomes what it became.
//!
//! scripts/lib/record-requests.py records them, and scripts/lib/pick-requests.py keeps one of each kind.

use std::fmt::Write;

use hyper::Method;
use serde::Deserialize;
use serde_json::Value;

use crate::gate::container::{self, Resolution};
use crate::gate::route;
use crate::gate::table::{Act, Payload};

#[derive(Deserialize)]
struct Recorded {
    client: String,
    request: String,
    body: Option<Value>,
}

#[test]
fn requests_of_genuine_clients_are_accepted_and_become_what_they_became() {
    let text = include_str!("../../../tests/golden/gate/requests.jsonl");
    let mut written = String::new();
    for line in text.lines() {
        let recorded: Recorded = serde_json::from_str(line).unwrap();
        let name = format!("{}: {}", recorded.client, recorded.request);
        let body = recorded.body.map(|body| body.to_string());
        let (target, body) = accepted(&recorded.request, body.unwrap_or_default().as_bytes())
            .unwrap_or_else(|message| panic!("{name}: {message}"));
        writeln!(written, "{name}\n  {target} {body}").unwrap();
    }
    assert!(text.lines().count() > 150);
    insta::with_settings!({ snapshot_path => "../../../tests/golden/gate", prepend_module_to_snapshot => false }, {
        insta::assert_snapshot!("requests", written);
    });
}

fn accepted(request: &str, body: &[u8]) -> Result<(String, Value), String> {
    let (method, target) = request.split_once(' ').ok_or("no request")?;
    let method = Method::from_bytes(method.as_bytes()).map_err(|error| error.to_string())?;
    let route = route::find(&method, target).map_err(|denied| denied.message)?;
    let target = format!("{}{}", route.path_of(&route.name), route.query.encode());
    let read = match (route.row.act, route.row.payload) {
        (Act::ContainerCreate, _) => {
            container::read(body).map(|it| it.write(&Resolution::default()))
        }
        (_, Payload::Json(reader) | Payload::Stream(Some(reader))) => reader(body),
        (_, Payload::Nothing | Payload::Archive | Payload::Stream(None) | Payload::ByAct) => {
            Ok(Value::Null)
        }
    };
    Ok((target, read.map_err(|denied| denied.message)?))
}
