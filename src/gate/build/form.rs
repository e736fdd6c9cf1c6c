//! The query of `/build` where `BuildKit` builds: read as the options that the engine makes of it, judged as those
//! are, and written anew.
//!
//! Pure.

use std::net::IpAddr;

use serde_json::{Map, Value, json};

use super::known::{Realm, Speak};
use super::option::{Options, host_name, refusal, session};
use super::output::{self, NAME};
use super::recipe::Recipe;
use crate::docker::reference::Reference;
use crate::gate::field;
use crate::gate::json;
use crate::gate::query::Query;
use crate::gate::refusal::Denied;

/// A build that passed.
#[derive(Debug)]
pub(crate) struct Form {
    /// The query for the engine.
    pub(crate) query: Query,
    pub(crate) session: String,
    pub(crate) recipe: Recipe,
}

/// What a client asks for that has an archive for its build.
const UPLOAD: &str = "upload-request";

/// The word for an archive that this request uploads, for another request that builds from it.
pub(crate) fn uploaded(query: &Query) -> Option<&str> {
    query
        .text("buildid")
        .strip_prefix(UPLOAD)?
        .strip_prefix(':')
}

/// Whether the engine gives this request to `BuildKit`.
pub(crate) fn is_buildkit(query: &Query) -> bool {
    query.get("version") == Some("2")
}

/// Reads the query of a build, and writes the one for the engine.
pub(crate) fn judge(
    given: &Query,
    realm: Realm<'_>,
    speak: &mut impl Speak,
) -> Result<Form, Denied> {
    let mut query = given.clone();
    source(&query)?;
    session(query.text("session"))?;
    let is_named = tags(&mut query, speak)? | outputs(&mut query, speak)?;
    if !is_named {
        query.push("t", realm.unnamed);
    }
    let arguments = texts(&query, "buildargs")?;
    let mut options = Options::new(realm, speak);
    if query.text("remote") == UPLOAD {
        if query.text("session").is_empty() {
            return Err(malformed("session", ""));
        }
        let word = query.text("buildid");
        options
            .upload(word)
            .map_err(|()| malformed("buildid", word))?;
        query.set("remote", "client-session");
    }
    options.take("filename", query.text("dockerfile"))?;
    for name in ["target", "platform"] {
        options.take(name, query.text(name))?;
    }
    for (name, value) in &arguments {
        if let Some(value) = value.as_str() {
            options.take(&format!("build-arg:{name}"), value)?;
        }
    }
    for (name, value) in &field::labels("labels", &Value::Object(texts(&query, "labels")?))? {
        options.take(&format!("label:{name}"), value.as_str().unwrap_or_default())?;
    }
    let hosts = hosts(&query)?;
    let network = network(&query, &mut options)?;
    let (kept, recipe) = options.finish();

    write(&mut query, &kept, &arguments);
    query.remove("extrahosts");
    for host in hosts
        .into_iter()
        .chain([format!("{}:127.0.0.1", realm.host())])
    {
        query.push("extrahosts", host);
    }
    query.set("networkmode", network);
    // The gate fetches images itself; what a cache says that somebody else wrote is not believed.
    query.remove("pull");
    query.remove("cachefrom");
    ulimits(&mut query)?;
    let session = query.text("session").to_owned();
    Ok(Form {
        query,
        session,
        recipe,
    })
}

/// Only the client's session brings files whose Dockerfile the gate reads.
fn source(query: &Query) -> Result<(), Denied> {
    match query.text("remote") {
        "client-session" | UPLOAD => Ok(()),
        "" => Err(Denied::forbidden(
            "building from an archive with BuildKit and without a session is not open to jobs: use \
             the docker client, or build without `version=2`",
        )),
        other => Err(Denied::forbidden(format!(
            "building from {other:?} is not allowed in a job: clone it and build the folder"
        ))),
    }
}

/// Whether there are any.
fn tags(query: &mut Query, speak: &mut impl Speak) -> Result<bool, Denied> {
    let mut said = Vec::new();
    for name in query.all("t").filter(|name| !name.is_empty()) {
        let read = Reference::parse(name).map_err(|_| malformed("t", name))?;
        said.push(speak.tag(&read));
    }
    query.remove("t");
    let is_named = !said.is_empty();
    for name in said {
        query.push("t", name);
    }
    Ok(is_named)
}

/// Whether one of them names the image.
fn outputs(query: &mut Query, speak: &mut impl Speak) -> Result<bool, Denied> {
    let text = query.text("outputs").to_owned();
    query.remove("outputs");
    if matches!(text.as_str(), "" | "null") {
        return Ok(false);
    }
    let Value::Array(outputs) = json::value(text.as_bytes())? else {
        return Err(malformed("outputs", &text));
    };
    let mut kept = Vec::new();
    for output in outputs {
        kept.push(one_output(&output, speak)?);
    }
    let is_named = kept
        .iter()
        .any(|it: &Value| it["Attrs"].get(NAME).is_some());
    query.set("outputs", Value::Array(kept).to_string());
    Ok(is_named)
}

fn one_output(output: &Value, speak: &mut impl Speak) -> Result<Value, Denied> {
    let output = field::nested("outputs", Some(output))?;
    if let Some(key) = output
        .keys()
        .find(|key| !["Type", "Attrs"].contains(&key.as_str()))
    {
        return Err(Denied::forbidden(format!(
            "the field \"outputs.{key}\" is not known here; leave it out"
        )));
    }
    let kind = field::text("outputs.Type", output.get("Type"))?;
    output::kind(&kind)?;
    let given = field::nested("outputs.Attrs", output.get("Attrs"))?;
    let texts = given.iter();
    let texts = texts.map(|(key, value)| (key.as_str(), value.as_str().unwrap_or_default()));
    let one = output::Output::new(&kind, texts);
    if one.is_pushed() {
        return Err(refusal("push", "true", output::PUSH));
    }
    let mut kept = Map::new();
    for (key, value) in given.iter() {
        let value = field::text("outputs.Attrs", Some(value))?;
        if let Some(value) = one.attribute(key, &value, speak)? {
            kept.insert(key.clone(), json!(value));
        }
    }
    Ok(json!({ "Type": kind, "Attrs": kept }))
}

/// A parameter that is an object of texts; `null` stands for a build argument that has no value.
fn texts(query: &Query, name: &str) -> Result<Map<String, Value>, Denied> {
    let text = query.text(name);
    if text.is_empty() {
        return Ok(Map::new());
    }
    match json::value(text.as_bytes())? {
        Value::Null => Ok(Map::new()),
        Value::Object(map)
            if map
                .values()
                .all(|value| value.is_string() || value.is_null()) =>
        {
            Ok(map)
        }
        _ => Err(malformed(name, text)),
    }
}

/// `NAME:ADDRESS`, the address as the engine reads it.
fn hosts(query: &Query) -> Result<Vec<String>, Denied> {
    let given = query.all("extrahosts").filter(|host| !host.is_empty());
    given
        .map(|host| {
            let bad = || refusal("extrahosts", host, "write it as NAME:ADDRESS");
            let (name, address) = host.split_once(':').ok_or_else(bad)?;
            host_name(name)?;
            if address != "host-gateway" && address.parse::<IpAddr>().is_err() {
                return Err(bad());
            }
            Ok(host.to_owned())
        })
        .collect()
}

fn network<S: Speak>(query: &Query, options: &mut Options<'_, S>) -> Result<String, Denied> {
    match query.text("networkmode") {
        "" | "default" | "bridge" => Ok("default".to_owned()),
        other => {
            options.take("force-network-mode", other)?;
            Ok(other.to_owned())
        }
    }
}

/// Writes the judged options where the engine reads them.
fn write(query: &mut Query, kept: &[(String, String)], arguments: &Map<String, Value>) {
    let of = |prefix: &'static str| {
        kept.iter().filter_map(move |(key, value)| {
            let name = key.strip_prefix(prefix)?;
            Some((name.to_owned(), json!(value)))
        })
    };
    let unset = arguments.iter().filter(|(_, value)| value.is_null());
    let mut all: Map<String, Value> = unset.map(|(name, _)| (name.clone(), Value::Null)).collect();
    all.remove("BUILDKIT_CACHE_MOUNT_NS");
    all.extend(of("build-arg:"));
    query.set("buildargs", Value::Object(all).to_string());
    let labels: Map<String, Value> = of("label:").collect();
    query.set("labels", Value::Object(labels).to_string());
}

fn ulimits(query: &mut Query) -> Result<(), Denied> {
    let text = query.text("ulimits").to_owned();
    if !text.is_empty() {
        query.set("ulimits", json::value(text.as_bytes())?.to_string());
    }
    Ok(())
}

fn malformed(name: &str, value: &str) -> Denied {
    Denied::malformed(format!("the build parameter {name}={value:?} is malformed"))
}
