//! What the operator gives to every container of a lane, and what those have that a job makes itself: names lead where
//! they lead for the job, and nothing comes back that was taken from it.
//!
//! Pure.

use serde_json::{Map, Value, json};

/// Settings of a lane for the containers and networks that its jobs make.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Usual {
    /// Where the client names no server, no domain.
    pub dns: Vec<String>,
    pub dns_search: Vec<String>,
    /// `name:address`; a name that the client gives is the client's.
    pub extra_hosts: Vec<String>,
    /// Without their `CAP_`; `ALL` leaves those of `cap_add`.
    pub cap_drop: Vec<String>,
    pub cap_add: Vec<String>,
    pub security: Vec<String>,
    pub runtime: Option<String>,
    /// Of networks, where the client says nothing.
    pub mtu: Option<u16>,
}

/// Where names lead, in a container with a network of its own: the engine refuses it in one that shares another's, which
/// has it from there.
pub(super) fn names(usual: &Usual, host: &mut Map<String, Value>) {
    for (field, given) in [("Dns", &usual.dns), ("DnsSearch", &usual.dns_search)] {
        if texts(host, field).is_empty() && !given.is_empty() {
            host.insert(field.to_owned(), json!(given));
        }
    }
    extra_hosts(usual, host);
}

/// Brings a container to the rest; what was left out, for the client to print.
pub(super) fn fill(usual: &Usual, host: &mut Map<String, Value>) -> Vec<String> {
    let mut options = texts(host, "SecurityOpt");
    options.extend(
        usual
            .security
            .iter()
            .filter(|it| !options.contains(it))
            .cloned()
            .collect::<Vec<_>>(),
    );
    if !options.is_empty() {
        host.insert("SecurityOpt".to_owned(), json!(options));
    }
    if let Some(runtime) = &usual.runtime {
        host.insert("Runtime".to_owned(), json!(runtime));
    }
    capabilities(usual, host)
}

fn extra_hosts(usual: &Usual, host: &mut Map<String, Value>) {
    let mut hosts = texts(host, "ExtraHosts");
    let name = |entry: &str| {
        entry
            .split([':', '='])
            .next()
            .unwrap_or_default()
            .to_owned()
    };
    let given: Vec<String> = hosts.iter().map(|entry| name(entry)).collect();
    hosts.extend(
        usual
            .extra_hosts
            .iter()
            .filter(|entry| !given.contains(&name(entry)))
            .cloned(),
    );
    if !hosts.is_empty() {
        host.insert("ExtraHosts".to_owned(), json!(hosts));
    }
}

/// The engine adds after it has dropped, so what was dropped must not be asked for.
fn capabilities(usual: &Usual, host: &mut Map<String, Value>) -> Vec<String> {
    if usual.cap_drop.is_empty() {
        return Vec::new();
    }
    let plain = |name: &String| {
        let upper = name.to_ascii_uppercase();
        upper.strip_prefix("CAP_").unwrap_or(&upper).to_owned()
    };
    let drops_all = usual.cap_drop.iter().any(|name| name == "ALL");
    let is_left = |name: &String| {
        let (name, dropped) = (plain(name), &usual.cap_drop);
        usual.cap_add.contains(&name) || !drops_all && !dropped.contains(&name)
    };
    let asked = texts(host, "CapAdd");
    let mut dropped: Vec<String> = texts(host, "CapDrop").iter().map(plain).collect();
    let (mut added, refused): (Vec<String>, Vec<String>) = asked.into_iter().partition(is_left);
    // Left by the operator, and not dropped by the client.
    if !dropped.iter().any(|name| name == "ALL") {
        added.extend(
            usual
                .cap_add
                .iter()
                .filter(|name| !dropped.contains(name))
                .cloned(),
        );
    }
    dropped.extend(usual.cap_drop.iter().cloned());
    host.insert("CapAdd".to_owned(), json!(added));
    host.insert("CapDrop".to_owned(), json!(dropped));
    let told = |name: String| {
        format!("dockmaster: the capability {name} is left out, the operator drops it (`cap-drop`)")
    };
    refused.into_iter().map(told).collect()
}

fn texts(host: &Map<String, Value>, field: &str) -> Vec<String> {
    let list = host
        .get(field)
        .and_then(Value::as_array)
        .into_iter()
        .flatten();
    list.filter_map(Value::as_str).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(usual: &Usual, given: &Value) -> (Value, usize) {
        let mut host = given.as_object().unwrap().clone();
        names(usual, &mut host);
        let told = fill(usual, &mut host).len();
        (Value::Object(host), told)
    }

    fn words(all: &[&str]) -> Vec<String> {
        all.iter().map(|word| (*word).to_owned()).collect()
    }

    #[test]
    fn a_lane_without_settings_changes_nothing() {
        let given = json!({ "CapAdd": ["CHOWN"], "ExtraHosts": ["a:10.0.0.1"] });
        assert_eq!(filled(&Usual::default(), &given), (given, 0));
    }

    #[test]
    fn names_lead_where_they_lead_for_the_job_unless_the_client_says_otherwise() {
        let usual = Usual {
            dns: words(&["10.0.0.2"]),
            extra_hosts: words(&["a:10.0.0.9", "b:10.0.0.8"]),
            ..Usual::default()
        };
        let (host, _) = filled(&usual, &json!({ "ExtraHosts": ["a:10.0.0.1"] }));
        assert_eq!(
            host,
            json!({ "Dns": ["10.0.0.2"], "ExtraHosts": ["a:10.0.0.1", "b:10.0.0.8"] })
        );
        let (host, _) = filled(&usual, &json!({ "Dns": ["1.1.1.1"] }));
        assert_eq!(host["Dns"], json!(["1.1.1.1"]));
    }

    #[test]
    fn who_shares_a_network_has_its_names_and_none_else() {
        let usual = Usual {
            dns: words(&["10.0.0.2"]),
            dns_search: words(&["corp"]),
            extra_hosts: words(&["a:10.0.0.9"]),
            security: words(&["no-new-privileges"]),
            ..Usual::default()
        };
        let written = |mode: &str| {
            let body = json!({ "Image": "i", "HostConfig": { "NetworkMode": mode } }).to_string();
            let mut creation = super::super::read(body.as_bytes()).unwrap();
            creation.fill(&usual);
            creation.write(&super::super::Resolution::default())["HostConfig"].clone()
        };
        let shared = written("container:db");
        for field in ["Dns", "DnsSearch", "ExtraHosts"] {
            assert!(shared.get(field).is_none(), "{shared}");
            assert!(written("default").get(field).is_some(), "{field}");
        }
        assert_eq!(shared["SecurityOpt"], json!(["no-new-privileges"]));
    }

    #[test]
    fn what_the_operator_took_away_does_not_come_back() {
        let usual = Usual {
            cap_drop: words(&["NET_RAW"]),
            security: words(&["no-new-privileges"]),
            runtime: Some("crun".to_owned()),
            ..Usual::default()
        };
        let (host, told) = filled(&usual, &json!({ "CapAdd": ["cap_net_raw", "CHOWN"] }));
        assert_eq!(
            host,
            json!({ "CapAdd": ["CHOWN"], "CapDrop": ["NET_RAW"], "SecurityOpt": ["no-new-privileges"], "Runtime": "crun" })
        );
        assert_eq!(told, 1);
        let usual = Usual {
            cap_drop: words(&["ALL"]),
            cap_add: words(&["SETUID", "CHOWN"]),
            ..Usual::default()
        };
        let (host, _) = filled(
            &usual,
            &json!({ "CapAdd": ["NET_RAW", "SETUID"], "CapDrop": ["CHOWN"] }),
        );
        assert_eq!(
            host,
            json!({ "CapAdd": ["SETUID", "SETUID"], "CapDrop": ["CHOWN", "ALL"] })
        );
        let (host, _) = filled(&usual, &json!({ "CapDrop": ["all"] }));
        assert_eq!(host["CapAdd"], json!([]));
    }
}
