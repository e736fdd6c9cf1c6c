//! Servers of a server group, and whose they are, as the API tells them and wants to be told.

use serde::Deserialize;

use super::super::{
    backend::{Backend, State, present},
    wire::{number, weight},
};
use crate::rollout::port::Weight;

/// One page of a list, whatever it lists.
#[derive(Deserialize)]
pub(super) struct Page<T> {
    #[serde(
        rename = "Servers",
        alias = "ServerGroups",
        alias = "Listeners",
        alias = "ListenerHealthStatus",
        default = "Vec::new"
    )]
    pub(super) list: Vec<T>,
    /// Forwarding rules say of their groups what listeners say of theirs.
    #[serde(rename = "RuleHealthStatus", default = "Vec::new")]
    pub(super) rules: Vec<T>,
    #[serde(rename = "NextToken", default)]
    pub(super) next: Option<String>,
}

#[derive(Deserialize)]
pub(super) struct RelatedGroup {
    #[serde(rename = "ServerGroupId")]
    pub(super) id: String,
    #[serde(rename = "RelatedLoadBalancerIds", default)]
    pub(super) balancers: Vec<String>,
}

#[derive(Deserialize)]
pub(super) struct RelatedListener {
    #[serde(rename = "ListenerId")]
    pub(super) id: String,
    #[serde(rename = "ListenerStatus", default)]
    status: String,
}

impl RelatedListener {
    /// One that was stopped sends nobody anything and checks nobody.
    pub(super) fn runs(&self) -> bool {
        !self.status.eq_ignore_ascii_case("Stopped")
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Server {
    #[serde(rename = "ServerId")]
    id: String,
    #[serde(rename = "ServerIp", default)]
    address: Option<String>,
    #[serde(rename = "ServerType")]
    kind: String,
    #[serde(deserialize_with = "number")]
    port: u16,
    #[serde(deserialize_with = "weight")]
    weight: Weight,
    status: String,
    #[serde(default)]
    description: Option<String>,
    #[serde(default)]
    remote_ip_enabled: Option<bool>,
}

impl Server {
    pub(super) fn backend(self) -> Backend {
        Backend {
            state: state(&self.status),
            server_id: self.id,
            address: present(self.address),
            port: self.port,
            weight: self.weight,
            kind: present(Some(self.kind)),
            description: present(self.description),
            is_remote: self.remote_ip_enabled.unwrap_or_default(),
        }
    }
}

/// A word that nobody knows is no promise that a weight counts.
fn state(word: &str) -> State {
    match word.to_ascii_lowercase().as_str() {
        "available" => State::Settled,
        "adding" => State::Joining,
        "removing" => State::Leaving,
        _ => State::Changing,
    }
}

/// One server of a write: its identity as it was read, with what is to be.
pub(super) fn parameters(
    backend: &Backend,
    (port, weight): (u16, Option<Weight>),
    is_new: bool,
) -> Vec<(&'static str, String)> {
    let description = backend.description.clone();
    let description = description.filter(|text| is_writable(text));
    let kind = backend.kind.clone().unwrap_or_else(|| "Ecs".into());
    let parameters = [
        ("Servers.1.ServerId", Some(backend.server_id.clone())),
        ("Servers.1.ServerType", Some(kind)),
        ("Servers.1.ServerIp", backend.address().map(str::to_owned)),
        ("Servers.1.Port", Some(port.to_string())),
        ("Servers.1.Weight", weight.map(|it| it.to_string())),
        (
            "Servers.1.Description",
            description.filter(|_| weight.is_some()),
        ),
        (
            "Servers.1.RemoteIpEnabled",
            (is_new && backend.is_remote).then(|| "true".into()),
        ),
    ];
    let said = parameters.into_iter();
    said.filter_map(|(name, text)| Some((name, text?)))
        .collect()
}

/// True for a description that both products take: what was read may be older than the rule, and a
/// weight must not wait for that.
fn is_writable(description: &str) -> bool {
    let is_allowed = |it: char| it.is_alphanumeric() || "-/._,;@".contains(it);
    (2..=256).contains(&description.chars().count()) && description.chars().all(is_allowed)
}
