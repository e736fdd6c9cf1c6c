//! The members of a group, as the API tells them and wants to be told.

use serde::{Deserialize, Serialize};

use super::wire::{number, weight};
use crate::rollout::port::Weight;

#[derive(Deserialize)]
pub(super) struct Description {
    #[serde(rename = "LoadBalancerId", default)]
    pub(super) balancer: String,
    #[serde(rename = "BackendServers")]
    pub(super) members: Members,
}

#[derive(Deserialize)]
pub(super) struct Members {
    #[serde(rename = "BackendServer", default)]
    pub(super) list: Vec<Backend>,
}

/// One backend. A server may be in a group several times, at other ports and addresses.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Backend {
    pub(super) server_id: String,
    #[serde(default)]
    server_ip: Option<String>,
    #[serde(deserialize_with = "number")]
    pub(super) port: u16,
    #[serde(deserialize_with = "weight")]
    pub(super) weight: Weight,
    #[serde(rename = "Type", default)]
    kind: Option<String>,
    #[serde(default)]
    description: Option<String>,
}

impl Backend {
    fn name(&self) -> String {
        format!("{}:{}", self.server(), self.port)
    }

    /// Network interfaces and container instances have several addresses, told apart by these.
    pub(super) fn server(&self) -> String {
        match self.address() {
            Some(address) => format!("{}/{address}", self.server_id),
            None => self.server_id.clone(),
        }
    }

    fn address(&self) -> Option<&str> {
        let is_told_apart = present(self.kind.as_ref()).is_some_and(|kind| kind != "ecs");
        present(self.server_ip.as_ref()).filter(|_| is_told_apart)
    }
}

pub(super) fn names(backends: &[Backend]) -> String {
    let names: Vec<_> = backends.iter().map(Backend::name).collect();
    if names.is_empty() {
        "nothing".into()
    } else {
        names.join(", ")
    }
}

/// The parameter `BackendServers` with one member: its identity as it was read, a port, and the weight.
pub(super) fn entry(backend: &Backend, port: u16, weight: Weight) -> String {
    /// Numbers are sent as strings, as Aliyun's own clients do.
    #[derive(Serialize)]
    #[serde(rename_all = "PascalCase")]
    struct Entry<'a> {
        server_id: &'a str,
        port: String,
        weight: String,
        #[serde(rename = "Type", skip_serializing_if = "Option::is_none")]
        kind: Option<&'a str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        server_ip: Option<&'a str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        description: Option<&'a str>,
    }
    let entry = Entry {
        server_id: &backend.server_id,
        port: port.to_string(),
        weight: weight.to_string(),
        server_ip: backend.address(),
        kind: present(backend.kind.as_ref()),
        description: present(backend.description.as_ref()).filter(|text| is_writable(text)),
    };
    serde_json::json!([entry]).to_string()
}

/// True for a description that may be sent back: what was read may be older than the rule, and a
/// weight must not wait for that.
fn is_writable(description: &str) -> bool {
    let is_allowed = |it: char| it.is_alphanumeric() || "-/._".contains(it);
    description.chars().count() <= 80 && description.chars().all(is_allowed)
}

fn present(text: Option<&String>) -> Option<&str> {
    text.map(String::as_str).filter(|text| !text.is_empty())
}
