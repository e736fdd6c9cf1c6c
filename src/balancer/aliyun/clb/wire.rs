//! The Classic Load Balancer's members and listeners, as its API tells them and wants to be told.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::super::{
    backend::{Backend, State, present},
    wire::{number, optional, weight},
};
use crate::{balancer::error::BalancerError, rollout::port::Weight};

/// What describes a group, of whichever kind.
#[derive(Deserialize)]
pub(super) struct Answer {
    #[serde(rename = "LoadBalancerId", default)]
    balancer: String,
    #[serde(rename = "BackendServers")]
    members: Members,
}

#[derive(Deserialize)]
struct Members {
    #[serde(rename = "BackendServer", default)]
    list: Vec<Row>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Row {
    server_id: String,
    #[serde(default)]
    server_ip: Option<String>,
    #[serde(default, deserialize_with = "optional")]
    port: Option<u16>,
    #[serde(deserialize_with = "weight")]
    weight: Weight,
    #[serde(rename = "Type", default)]
    kind: Option<String>,
    #[serde(default)]
    description: Option<String>,
}

impl Answer {
    /// The load balancer's id, and the backends; `port` is every backend's where rows have none.
    pub(super) fn backends(
        self,
        action: &'static str,
        port: Option<u16>,
    ) -> Result<(String, Vec<Backend>), BalancerError> {
        let backend = |row: Row| -> Result<Backend, BalancerError> {
            let malformed = || BalancerError::Malformed {
                action,
                why: format!("{} has no port", row.server_id),
            };
            Ok(Backend {
                port: port.or(row.port).ok_or_else(malformed)?,
                server_id: row.server_id,
                address: present(row.server_ip),
                weight: row.weight,
                kind: present(row.kind),
                description: present(row.description),
                is_remote: false,
                state: State::Settled,
            })
        };
        let backends = self.members.list.into_iter().map(backend);
        Ok((self.balancer, backends.collect::<Result<_, _>>()?))
    }
}

/// The parameter `BackendServers` with one member: its identity as it was read, a port, and the weight.
pub(super) fn entry(backend: &Backend, port: Option<u16>, weight: Weight) -> String {
    /// Numbers are sent as strings, as Aliyun's own clients do.
    #[derive(Serialize)]
    #[serde(rename_all = "PascalCase")]
    struct Entry<'a> {
        server_id: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        port: Option<String>,
        weight: String,
        #[serde(rename = "Type", skip_serializing_if = "Option::is_none")]
        kind: Option<&'a str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        server_ip: Option<&'a str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        description: Option<&'a str>,
    }
    let description = backend.description.as_deref();
    let entry = Entry {
        server_id: &backend.server_id,
        port: port.map(|port| port.to_string()),
        weight: weight.to_string(),
        server_ip: backend.address(),
        kind: backend.kind.as_deref(),
        description: description.filter(|text| is_writable(text)),
    };
    serde_json::json!([entry]).to_string()
}

/// True for a description that may be sent back: what was read may be older than the rule, and a
/// weight must not wait for that.
fn is_writable(description: &str) -> bool {
    let is_allowed = |it: char| it.is_alphanumeric() || "-/._".contains(it);
    description.chars().count() <= 80 && description.chars().all(is_allowed)
}

/// A listener: its port, and its protocol where that is told.
type Listener = (u16, String);

/// The listeners of a load balancer's description.
#[derive(Deserialize)]
pub(super) struct Listeners {
    #[serde(rename = "ListenerPortsAndProtocol")]
    outer: Outer,
}

#[derive(Deserialize)]
struct Outer {
    #[serde(rename = "ListenerPortAndProtocol", default)]
    list: Vec<Told>,
}

#[derive(Deserialize)]
struct Told {
    #[serde(rename = "ListenerPort", deserialize_with = "number")]
    port: u16,
    #[serde(rename = "ListenerProtocol", default)]
    protocol: String,
}

impl Listeners {
    pub(super) fn all(self) -> BTreeSet<Listener> {
        let told = self.outer.list.into_iter();
        told.map(|it| (it.port, it.protocol.to_ascii_lowercase()))
            .collect()
    }
}

/// The `VServer` groups of a load balancer, with who sends to them.
#[derive(Deserialize)]
pub(super) struct VServerGroups {
    #[serde(rename = "VServerGroups")]
    outer: Groups,
}

#[derive(Deserialize)]
struct Groups {
    #[serde(rename = "VServerGroup", default)]
    list: Vec<OneGroup>,
}

#[derive(Deserialize)]
struct OneGroup {
    #[serde(rename = "AssociatedObjects", default)]
    objects: Objects,
}

#[derive(Default, Deserialize)]
struct Objects {
    #[serde(rename = "Listeners", default)]
    listeners: Users,
}

#[derive(Default, Deserialize)]
struct Users {
    #[serde(rename = "Listener", default)]
    list: Vec<User>,
}

#[derive(Deserialize)]
struct User {
    #[serde(rename = "Port", deserialize_with = "number")]
    port: u16,
    #[serde(rename = "Protocol", default)]
    protocol: String,
}

impl VServerGroups {
    pub(super) fn listeners(self) -> impl Iterator<Item = Listener> {
        let groups = self.outer.list.into_iter();
        let users = groups.flat_map(|group| group.objects.listeners.list);
        users.map(|it| (it.port, it.protocol.to_ascii_lowercase()))
    }
}
