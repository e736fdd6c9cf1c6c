//! The other bodies: networks, volumes, execs, logins. Read strictly and written anew.
//!
//! Pure. Knows no daemon.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

use super::container::endpoint;
use super::field::{Field, Rule, Shape, copy, forbidden, nested, text};
use super::json;
use super::refusal::Denied;
use crate::subnet::Subnet;

/// The words of each filter.
pub(crate) type Filters = BTreeMap<String, BTreeMap<String, bool>>;

/// A network of the job's own. Whether it may have the addresses that it asks for, the caller knows: a
/// range of the job's choice would draw the host's traffic for it.
pub(crate) fn network(bytes: &[u8]) -> Result<Value, Denied> {
    let given = json::object(bytes)?;
    let mut body = copy("", &given, NETWORK)?;
    new_name(&text("Name", given.get("Name"))?)?;
    let options = nested("Options", given.get("Options"))?;
    let options = copy("Options.", &options, NETWORK_OPTIONS)?;
    body.insert("Options".to_owned(), Value::Object(options));
    if let Some(ipam) = addresses(given.get("IPAM"))? {
        body.insert("IPAM".to_owned(), ipam);
    }
    body.insert("Driver".to_owned(), json!("bridge"));
    // The job's own: another job's have other names in the engine.
    body.insert("CheckDuplicate".to_owned(), json!(true));
    Ok(Value::Object(body))
}

/// The ranges that a network asks for; nothing where the engine shall choose.
fn addresses(given: Option<&Value>) -> Result<Option<Value>, Denied> {
    let given = nested("IPAM", given)?;
    let kept = copy("IPAM.", &given, IPAM)?;
    let ranges = kept.get("Config").and_then(Value::as_array);
    let is_set = |range: &&Value| !json::is_unset(range);
    let ranges: Vec<&Value> = ranges.into_iter().flatten().filter(is_set).collect();
    for range in &ranges {
        let text = text("IPAM.Config.Subnet", range.get("Subnet"))?;
        let parsed: Result<Subnet, _> = text.parse();
        parsed.map_err(|error| Denied::malformed(format!("IPAM.Config.Subnet: {error}")))?;
    }
    Ok((!ranges.is_empty()).then(|| json!({ "Driver": "default", "Config": ranges })))
}

/// Whether the ranges of a network that was read lie in those that are open to the job.
pub(crate) fn within(network: &Value, open: &[Subnet]) -> Result<(), Denied> {
    let ranges = network["IPAM"]["Config"].as_array().into_iter().flatten();
    for text in ranges.filter_map(|range| range["Subnet"].as_str()) {
        let subnet = text.parse::<Subnet>().ok();
        if !subnet.is_some_and(|subnet| open.iter().any(|range| range.covers(subnet))) {
            return Err(Denied::forbidden(format!(
                "the range {text} is not open to this job: leave ipam out, or use one that the operator gives in \
                 `subnets` of the lane"
            )));
        }
    }
    Ok(())
}

/// A volume of the job's own; the engine chooses its name if it has none.
pub(crate) fn volume(bytes: &[u8]) -> Result<Value, Denied> {
    let given = json::object(bytes)?;
    let mut body = copy("", &given, VOLUME)?;
    new_name(&text("Name", given.get("Name"))?)?;
    body.insert("Driver".to_owned(), json!("local"));
    Ok(Value::Object(body))
}

/// A command in a container.
pub(crate) fn exec(bytes: &[u8]) -> Result<Value, Denied> {
    copy("", &json::object(bytes)?, EXEC).map(Value::Object)
}

/// How a command in a container is started.
pub(crate) fn exec_start(bytes: &[u8]) -> Result<Value, Denied> {
    copy("", &json::object(bytes)?, EXEC_START).map(Value::Object)
}

/// A login that the daemon tries against a registry.
pub(crate) fn login(bytes: &[u8]) -> Result<Value, Denied> {
    copy("", &json::object(bytes)?, LOGIN).map(Value::Object)
}

/// A container to put in a network, and its settings there.
pub(crate) fn connect(bytes: &[u8]) -> Result<Value, Denied> {
    let given = json::object(bytes)?;
    let mut body = copy("", &given, CONNECT)?;
    let settings = endpoint("EndpointConfig", given.get("EndpointConfig"))?;
    body.insert("EndpointConfig".to_owned(), Value::Object(settings));
    Ok(Value::Object(body))
}

/// A container to take out of a network.
pub(crate) fn disconnect(bytes: &[u8]) -> Result<Value, Denied> {
    copy("", &json::object(bytes)?, DISCONNECT).map(Value::Object)
}

/// Filters of a list, with the job's own label among them.
pub(crate) fn filters(given: &str, label: (&str, &str)) -> Result<String, Denied> {
    let mut all = read_filters(given)?;
    let labels = all.entry("label".to_owned()).or_default();
    labels.insert(format!("{}={}", label.0, label.1), true);
    Ok(json!(all).to_string())
}

/// The same words, as sets.
pub(crate) fn words(given: &str) -> Result<BTreeMap<String, BTreeSet<String>>, Denied> {
    let all = read_filters(given)?.into_iter();
    Ok(all
        .map(|(name, words)| (name, words.into_keys().collect()))
        .collect())
}

/// Filters as every engine reads them.
pub(crate) fn written(filters: &BTreeMap<String, BTreeSet<String>>) -> String {
    let set = |words: &BTreeSet<String>| -> BTreeMap<String, bool> {
        words.iter().map(|word| (word.clone(), true)).collect()
    };
    let all: Filters = filters
        .iter()
        .map(|(name, it)| (name.clone(), set(it)))
        .collect();
    json!(all).to_string()
}

/// The words of each filter, in either of the two forms that clients write.
pub(crate) fn read_filters(given: &str) -> Result<Filters, Denied> {
    let mut all = Filters::new();
    let map = if given.is_empty() {
        Map::new()
    } else {
        json::object(given.as_bytes())?
    };
    for (name, values) in map {
        let malformed = || Denied::malformed(format!("the filter {name:?} is malformed"));
        let words = match &values {
            Value::Array(items) => items
                .iter()
                .map(|item| item.as_str().map(str::to_owned))
                .collect(),
            Value::Object(items) => Some(items.keys().cloned().collect::<Vec<String>>()),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => None,
        };
        let words = words.ok_or_else(malformed)?;
        all.insert(name, words.into_iter().map(|word| (word, true)).collect());
    }
    Ok(all)
}

/// A name that a job may give: not one that reads as an id, nor one of ours.
pub(crate) fn new_name(name: &str) -> Result<(), Denied> {
    let name = name.strip_prefix('/').unwrap_or(name);
    let reads_as_id = name.len() >= 12 && name.bytes().all(|byte| byte.is_ascii_hexdigit());
    if reads_as_id || name.starts_with("dockmaster") || matches!(name, "host" | "none" | "bridge") {
        return Err(forbidden(&format!("the name {name:?}"), "choose another"));
    }
    Ok(())
}

const FLAG: Rule = Rule::Keep(Shape::Flag);
const TEXT: Rule = Rule::Keep(Shape::Text);
const TEXTS: Rule = Rule::Keep(Shape::Texts);
const NUMBER: Rule = Rule::Keep(Shape::Number);
const LEAVE: Rule = Rule::Unset("leave it out");

const NETWORK: &[Field] = &[
    Field("Name", TEXT),
    Field("CheckDuplicate", Rule::Apart),
    Field("Driver", Rule::Among(&["bridge", "default"])),
    Field("Internal", FLAG),
    Field("Attachable", FLAG),
    Field("EnableIPv6", LEAVE),
    Field("EnableIPv4", FLAG),
    Field("Ingress", LEAVE),
    Field("ConfigOnly", LEAVE),
    Field("ConfigFrom", LEAVE),
    Field("Scope", Rule::Among(&["local"])),
    Field("IPAM", Rule::Apart),
    Field("Options", Rule::Apart),
    Field("Labels", Rule::Keep(Shape::Labels)),
];
const IPAM: &[Field] = &[
    Field("Driver", Rule::Among(&["default"])),
    Field("Options", LEAVE),
    Field("Config", Rule::Keep(Shape::Objects(RANGE))),
];
const RANGE: &[Field] = &[
    Field("Subnet", TEXT),
    Field("IPRange", TEXT),
    Field("Gateway", TEXT),
    Field("AuxiliaryAddresses", LEAVE),
    Field("AuxAddress", LEAVE),
];
const NETWORK_OPTIONS: &[Field] = &[
    Field("com.docker.network.driver.mtu", TEXT),
    Field("com.docker.network.bridge.enable_icc", TEXT),
];
const VOLUME: &[Field] = &[
    Field("Name", TEXT),
    Field("Driver", Rule::Among(&["local", "default"])),
    Field(
        "DriverOpts",
        Rule::Unset("a volume driver's options reach the host"),
    ),
    Field("ClusterVolumeSpec", LEAVE),
    Field("Labels", Rule::Keep(Shape::Labels)),
];
const CONNECT: &[Field] = &[
    Field("Container", TEXT),
    Field("EndpointConfig", Rule::Apart),
];
const DISCONNECT: &[Field] = &[Field("Container", TEXT), Field("Force", FLAG)];
const EXEC: &[Field] = &[
    Field("User", TEXT),
    Field(
        "Privileged",
        Rule::Unset("a job's containers never own the host"),
    ),
    Field("Tty", FLAG),
    Field("ConsoleSize", Rule::Apart),
    Field("Container", Rule::Apart),
    Field("AttachStdin", FLAG),
    Field("AttachStdout", FLAG),
    Field("AttachStderr", FLAG),
    Field("Detach", FLAG),
    Field("DetachKeys", TEXT),
    Field("Env", TEXTS),
    Field("WorkingDir", TEXT),
    Field("Cmd", Rule::Keep(Shape::Command)),
];
const EXEC_START: &[Field] = &[
    Field("Detach", FLAG),
    Field("Tty", FLAG),
    Field("ConsoleSize", Rule::Apart),
];
const LOGIN: &[Field] = &[
    Field("username", TEXT),
    Field("password", TEXT),
    Field("auth", TEXT),
    Field("email", TEXT),
    Field("serveraddress", TEXT),
    Field("identitytoken", TEXT),
    Field("registrytoken", TEXT),
    Field("expires_in", NUMBER),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_always_filtered_to_the_jobs_own() {
        let own = ("dockmaster.gate", "7");
        for (given, expect) in [
            ("", r#"{"label":{"dockmaster.gate=7":true}}"#),
            (
                r#"{"label":["a=b"]}"#,
                r#"{"label":{"a=b":true,"dockmaster.gate=7":true}}"#,
            ),
            (
                r#"{"status":{"running":true}}"#,
                r#"{"label":{"dockmaster.gate=7":true},"status":{"running":true}}"#,
            ),
        ] {
            assert_eq!(filters(given, own).unwrap(), expect);
        }
        assert!(filters(r#"{"label":{},"label":{}}"#, own).is_err());
    }

    #[test]
    fn what_reaches_the_host_is_refused_by_name() {
        let nfs = br#"{"Name":"x","DriverOpts":{"type":"nfs","device":":/"}}"#;
        assert!(volume(nfs).unwrap_err().message.contains("DriverOpts"));
        let subnet =
            br#"{"Name":"x","IPAM":{"Driver":"default","Config":[{"Subnet":"10.0.7.0/24"}]}}"#;
        let subnet = network(subnet).unwrap();
        assert!(within(&subnet, &["10.0.0.0/16".parse().unwrap()]).is_ok());
        for open in [&["10.1.0.0/16".parse().unwrap()][..], &[]] {
            assert!(
                within(&subnet, open)
                    .unwrap_err()
                    .message
                    .contains("10.0.7.0/24")
            );
        }
        for ipam in [
            r#"{"Config":[{"Subnet":"::/64"}]}"#,
            r#"{"Driver":"x"}"#,
            r#"{"Config":[{"Gateway":"10.0.0.1"}]}"#,
        ] {
            let body = format!(r#"{{"Name":"x","IPAM":{ipam}}}"#);
            assert!(network(body.as_bytes()).is_err(), "{ipam}");
        }
        let bridge = br#"{"Name":"x","Options":{"com.docker.network.bridge.name":"docker0"}}"#;
        assert!(network(bridge).unwrap_err().message.contains("bridge.name"));
        assert!(network(br#"{"Name":"x","Driver":"macvlan"}"#).is_err());
        assert!(
            exec(br#"{"Privileged":true}"#)
                .unwrap_err()
                .message
                .contains("Privileged")
        );
        assert!(new_name("0123456789abcdef").is_err());
        assert!(new_name("app_default").is_ok());
    }
}
