//! The parameters of `build`: judged, completed with what is forced, written anew.
//!
//! Pure. The context itself is streamed and not read.

pub(crate) mod form;
pub(crate) mod known;
pub(crate) mod llb;
pub(crate) mod option;
mod output;
pub(crate) mod proto;
pub(crate) mod recipe;
pub(crate) mod solve;
pub(crate) mod status;
pub(crate) mod wire;

use serde_json::Value;

use crate::docker::reference::Reference;
use crate::gate::field::{self, Field, Rule, Shape, nested};
use crate::gate::json;
use crate::gate::query::Query;
use crate::gate::refusal::Denied;

/// What is forced on builds.
pub(crate) struct Forced<'a> {
    /// The network in which the classic builder runs its steps.
    pub network: &'a str,
    pub cgroup_parent: Option<&'a str>,
}

/// What a build names, whichever way it was asked for.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Build {
    /// The names that it gives to its image.
    pub tags: Vec<Reference>,
    /// Images that it takes as its cache or context.
    pub images: Vec<String>,
    /// Names that go to their registries once the image has them.
    pub pushes: Vec<Reference>,
}

/// Reads the query of a build, and writes the one for the engine.
pub(crate) fn judge(given: &Query, forced: &Forced<'_>) -> Result<(Build, Query), Denied> {
    let build = Build {
        tags: tags(given)?,
        images: cache(given)?,
        pushes: Vec::new(),
    };
    Ok((build, rewrite(given, forced)?))
}

fn tags(query: &Query) -> Result<Vec<Reference>, Denied> {
    let names = query.all("t").filter(|name| !name.is_empty());
    names
        .map(|name| Reference::parse(name).map_err(|_| malformed("t", name)))
        .collect()
}

fn cache(query: &Query) -> Result<Vec<String>, Denied> {
    match query.text("cachefrom") {
        "" | "null" => Ok(Vec::new()),
        text => match json::value(text.as_bytes())? {
            Value::Array(items) => items
                .iter()
                .map(|item| {
                    item.as_str()
                        .map(str::to_owned)
                        .ok_or_else(|| malformed("cachefrom", text))
                })
                .collect(),
            _ => Err(malformed("cachefrom", text)),
        },
    }
}

fn rewrite(given: &Query, forced: &Forced<'_>) -> Result<Query, Denied> {
    let mut query = given.clone();
    let is_buildkit = query.get("version") == Some("2");
    remote(&query, is_buildkit)?;
    network(&mut query, forced.network, is_buildkit)?;
    labels(&mut query)?;
    for name in ["buildargs", "ulimits"] {
        rewrite_json(&mut query, name)?;
    }
    outputs(&mut query)?;
    if !is_buildkit {
        // What an interrupted step leaves carries no label, so the builder itself must remove it.
        query.set("rm", "1");
        query.set("forcerm", "1");
        if let Some(parent) = forced.cgroup_parent {
            query.set("cgroupparent", parent);
        }
    }
    Ok(query)
}

/// The daemon would fetch a remote context itself, from the host's network.
fn remote(query: &Query, is_buildkit: bool) -> Result<(), Denied> {
    match query.text("remote") {
        "" => Ok(()),
        "client-session" | "upload-request" if is_buildkit => Ok(()),
        other => Err(Denied::forbidden(format!(
            "building from {other:?} is not allowed in a job: clone it and build the folder"
        ))),
    }
}

fn network(query: &mut Query, own: &str, is_buildkit: bool) -> Result<(), Denied> {
    match query.text("networkmode") {
        "" | "default" | "bridge" if is_buildkit => query.set("networkmode", "default"),
        "" | "default" | "bridge" => query.set("networkmode", own),
        "none" => {}
        other => {
            return Err(Denied::forbidden(format!(
                "building in the network {other:?} is not allowed in a job: use \"default\" or \"none\""
            )));
        }
    }
    Ok(())
}

fn labels(query: &mut Query) -> Result<(), Denied> {
    let text = query.text("labels").to_owned();
    let given = if text.is_empty() {
        Value::Object(serde_json::Map::new())
    } else {
        json::value(text.as_bytes())?
    };
    let labels = field::labels("labels", &given)?;
    query.set("labels", Value::Object(labels).to_string());
    Ok(())
}

fn rewrite_json(query: &mut Query, name: &str) -> Result<(), Denied> {
    let text = query.text(name).to_owned();
    if text.is_empty() {
        query.remove(name);
    } else {
        query.set(name, json::value(text.as_bytes())?.to_string());
    }
    Ok(())
}

/// Results go to the engine's own store or back to the client; nowhere else.
fn outputs(query: &mut Query) -> Result<(), Denied> {
    let text = query.text("outputs").to_owned();
    if matches!(text.as_str(), "" | "null") {
        query.remove("outputs");
        return Ok(());
    }
    let Value::Array(outputs) = json::value(text.as_bytes())? else {
        return Err(malformed("outputs", &text));
    };
    let mut kept = Vec::new();
    for output in outputs {
        let place = "outputs.";
        let output = field::copy(place, nested(place, Some(&output))?.as_ref(), OUTPUT)?;
        kept.push(Value::Object(output));
    }
    query.set("outputs", Value::Array(kept).to_string());
    Ok(())
}

const OUTPUT: &[Field] = &[
    Field("Type", Rule::Among(&["moby", "local", "tar", "cacheonly"])),
    Field("Attrs", Rule::Keep(Shape::TextMap)),
];

fn malformed(name: &str, value: &str) -> Denied {
    Denied::malformed(format!("the build parameter {name}={value:?} is malformed"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rewritten(query: &str) -> Result<Query, Denied> {
        let forced = Forced {
            network: "job-net",
            cgroup_parent: Some("/jobs"),
        };
        rewrite(&Query::parse(query), &forced)
    }

    #[test]
    fn a_classic_build_runs_in_the_jobs_network_and_cleans_up() {
        let query = rewritten("t=app&rm=0&labels={\"a\":\"b\"}&networkmode=default").unwrap();
        assert_eq!(query.get("networkmode"), Some("job-net"));
        assert_eq!(query.get("rm"), Some("1"));
        assert_eq!(query.get("forcerm"), Some("1"));
        assert_eq!(query.get("cgroupparent"), Some("/jobs"));
        assert_eq!(query.get("labels"), Some(r#"{"a":"b"}"#));
    }

    #[test]
    fn a_buildkit_build_keeps_its_sandbox_network() {
        let query = rewritten("version=2&remote=client-session&session=abc").unwrap();
        assert_eq!(query.get("networkmode"), Some("default"));
        assert_eq!(query.get("cgroupparent"), None);
    }

    #[test]
    fn what_reaches_the_host_is_refused_by_name() {
        for (query, word) in [
            ("remote=http://10.0.0.1/x.tar", "clone it"),
            ("remote=client-session", "clone it"),
            ("networkmode=host", "\"host\""),
            ("networkmode=container:abc", "container:abc"),
            ("version=2&networkmode=host", "\"host\""),
            ("outputs=[{\"Type\":\"registry\"}]", "registry"),
            ("outputs=[{\"type\":\"registry\"}]", "\"outputs.type\""),
            (
                "labels={\"dockmaster.gate\":\"8\",\"dockmaster.gate\":\"9\"}",
                "twice",
            ),
        ] {
            let denied = rewritten(query).unwrap_err();
            assert!(denied.message.contains(word), "{query}: {}", denied.message);
        }
        let tags = Query::parse("t=ok&t=-v/:/h");
        assert!(super::tags(&tags).is_err());
    }
}
