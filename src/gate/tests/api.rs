//! Every field and parameter of the engine's own definition is named by a table, or its endpoint is closed.
//!
//! The lists are made of moby's api/swagger.yaml by scripts/lib/api-fields.py. A new version's list fails here until
//! somebody has decided what each new field is.

use std::fs;

use hyper::Method;
use serde_json::{Value, json};

use crate::gate::container;
use crate::gate::refusal::Denied;
use crate::gate::route::{self, Route};
use crate::gate::table::{Act, Payload};

/// Endpoints that stay closed to jobs, each for a reason.
const CLOSED: &[(&str, &str)] = &[
    (
        "GET /containers/{id}/attach/ws",
        "attach works without a web socket",
    ),
    (
        "GET /images/search",
        "the engine would ask a registry of the client's choice",
    ),
    ("PUT /volumes/{name}", "it changes volumes of a swarm"),
];
/// Swarm mode and plugins are the operator's.
const OPERATOR: &[&str] = &[
    "swarm", "services", "tasks", "nodes", "secrets", "configs", "plugins",
];

#[test]
fn every_field_of_the_engine_s_definition_is_named() {
    let mut missing = Vec::new();
    for entry in fs::read_dir("tests/golden/gate").unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if name.starts_with("api-") {
            let text = fs::read_to_string(&path).unwrap();
            missing.extend(
                unnamed(&text)
                    .into_iter()
                    .map(|line| format!("{name}: {line}")),
            );
        }
    }
    assert!(
        missing.is_empty(),
        "no table names:\n{}",
        missing.join("\n")
    );
}

#[test]
fn a_field_that_no_table_names_is_found() {
    let text = "GET /new\nPOST /build\n  ?reach\nPOST /containers/create\n  HostConfig.Mounts.[].NewOptions.Reach\n  Memory\n";
    assert_eq!(
        unnamed(text),
        [
            "GET /new",
            "POST /build ?reach",
            "POST /containers/create HostConfig.Mounts.[].NewOptions.Reach",
            "POST /containers/create Memory",
        ]
    );
}

fn unnamed(text: &str) -> Vec<String> {
    let (mut missing, mut operation, mut route) = (Vec::new(), "", None);
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let Some(field) = line.strip_prefix("  ") else {
            operation = line;
            route = find(operation);
            if route.is_none() && !is_closed(operation) {
                missing.push(operation.to_owned());
            }
            continue;
        };
        if let Some(route) = &route
            && !is_named(route, field)
        {
            missing.push(format!("{operation} {field}"));
        }
    }
    missing
}

fn find(operation: &str) -> Option<Route> {
    let (method, path) = operation.split_once(' ')?;
    let path = path.replace("{id}", "x").replace("{name}", "x");
    let route = route::find(&Method::from_bytes(method.as_bytes()).ok()?, &path).ok()?;
    (route.row.act != Act::NotFound).then_some(route)
}

fn is_closed(operation: &str) -> bool {
    let part = operation.split('/').nth(1).unwrap_or_default();
    OPERATOR.contains(&part) || CLOSED.iter().any(|(closed, _)| *closed == operation)
}

fn is_named(route: &Route, field: &str) -> bool {
    if let Some(parameter) = field.strip_prefix('?') {
        return route
            .row
            .parameters
            .iter()
            .any(|(known, _)| *known == parameter);
    }
    let body = with(field).to_string();
    let read = |bytes: &[u8]| -> Result<(), Denied> {
        match (route.row.act, route.row.payload) {
            (Act::ContainerCreate, _) => container::read(bytes).map(|_| ()),
            (_, Payload::Json(reader) | Payload::Stream(Some(reader))) => reader(bytes).map(|_| ()),
            (_, Payload::Nothing | Payload::Archive | Payload::Stream(None) | Payload::ByAct) => {
                Ok(())
            }
        }
    };
    !read(body.as_bytes()).is_err_and(|denied| denied.message.contains("is not known"))
}

/// A body that holds this field, and in it something that is nothing usual.
fn with(field: &str) -> Value {
    match field.split_once('.') {
        None if field == "[]" => json!(["odd"]),
        None => json!({ field: "odd" }),
        Some(("[]", rest)) => json!([with(rest)]),
        Some(("*", rest)) => json!({ "odd": with(rest) }),
        Some((key, rest)) => json!({ key: with(rest) }),
    }
}
