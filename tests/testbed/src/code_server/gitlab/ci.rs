//! `.gitlab-ci.yml`: from text to the jobs it defines. Keywords it does not know are errors, so
//! that no pipeline runs differently here than at GitLab without saying so.

mod job;
mod value;

use std::fmt;

use anyhow::{Context as _, Result, bail};
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::Value;

pub(super) use job::is_selected;
pub(super) use job::{Definition, Parallel};

/// Words at the top of the file that are no jobs.
const GLOBAL: [&str; 10] = [
    "stages",
    "default",
    "variables",
    "image",
    "services",
    "before_script",
    "after_script",
    "cache",
    "workflow",
    "include",
];

const STAGES: [&str; 5] = [".pre", "build", "test", "deploy", ".post"];

/// All jobs of the file, in its order, and the order of the stages.
#[derive(Clone, Debug)]
pub(super) struct File {
    pub(super) stages: Vec<String>,
    pub(super) jobs: Vec<Definition>,
}

/// A mapping in the order in which it stands in the file.
#[derive(Debug)]
struct Ordered(Vec<(String, Value)>);

impl<'de> Deserialize<'de> for Ordered {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members;
        impl<'de> Visitor<'de> for Members {
            type Value = Ordered;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a mapping")
            }

            fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Ordered, M::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Ordered(members))
            }
        }
        deserializer.deserialize_map(Members)
    }
}

/// Reads the text of a `.gitlab-ci.yml`.
pub(super) fn parse(text: &str) -> Result<File> {
    let Ordered(members) = serde_saphyr::from_str(text).context(".gitlab-ci.yml is no YAML")?;
    let find = |key: &str| {
        members
            .iter()
            .find(|(name, _)| name == key)
            .map(|(_, value)| value)
    };
    if find("include").is_some() {
        bail!("`include` is not known here");
    }
    let stages = match find("stages") {
        None => STAGES.map(str::to_owned).to_vec(),
        Some(stages) => {
            let named = value::words("stages", stages)?;
            [vec![".pre".to_owned()], named, vec![".post".to_owned()]].concat()
        }
    };
    let mut jobs = Vec::new();
    for (name, body) in &members {
        if GLOBAL.contains(&name.as_str()) || name.starts_with('.') {
            continue;
        }
        let body = inherit(&members, name, body)?;
        let definition = Definition::read(name, &body, find("variables"))
            .with_context(|| format!("jobs:{name}"))?;
        if !stages.contains(&definition.stage) {
            bail!(
                "{name} job: chosen stage {} does not exist",
                definition.stage
            );
        }
        jobs.push(definition);
    }
    Ok(File { stages, jobs })
}

/// A job's own keywords over those it extends, over `default`, over those at the top.
fn inherit(members: &[(String, Value)], name: &str, body: &Value) -> Result<Value> {
    let Value::Object(own) = body else {
        bail!("jobs:{name} is no mapping")
    };
    let mut whole = serde_json::Map::new();
    for (key, value) in members {
        if [
            "image",
            "services",
            "before_script",
            "after_script",
            "cache",
        ]
        .contains(&key.as_str())
        {
            whole.insert(key.clone(), value.clone());
        }
    }
    if let Some((_, Value::Object(default))) = members.iter().find(|(key, _)| key == "default") {
        whole.extend(default.clone());
    }
    let parents = own
        .get("extends")
        .map(|one| value::words("extends", one))
        .transpose()?;
    for parent in parents.into_iter().flatten() {
        let Some((_, found)) = members.iter().find(|(key, _)| *key == parent) else {
            bail!("jobs:{name} extends {parent}, which is not there");
        };
        let Value::Object(found) = found else {
            bail!("{parent} is no mapping")
        };
        if found.contains_key("extends") {
            bail!("{parent} extends another job; only one level is known here");
        }
        merge(&mut whole, found);
    }
    merge(&mut whole, own);
    whole.remove("extends");
    Ok(Value::Object(whole))
}

/// Mappings are merged, everything else replaced.
fn merge(into: &mut serde_json::Map<String, Value>, from: &serde_json::Map<String, Value>) {
    for (key, value) in from {
        match (into.get_mut(key), value) {
            (Some(Value::Object(inner)), Value::Object(more)) => merge(inner, more),
            _ => {
                into.insert(key.clone(), value.clone());
            }
        }
    }
}
