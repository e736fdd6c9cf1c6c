//! What listeners say of a server group's health. Pure: answers go in.
//!
//! A listener names only the servers that are not well; whoever it does not name is healthy, if he is there at
//! all.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::super::{
    backend::{Backend, Described, State},
    wire::number,
};
use crate::rollout::port::{Health, Member};

/// What a listener, or one of its rules, says.
#[derive(Deserialize)]
pub(super) struct Status {
    #[serde(rename = "ServerGroupInfos", default)]
    infos: Vec<Info>,
}

impl Status {
    pub(super) fn of(self, group: &str) -> impl Iterator<Item = Info> {
        let infos = self.infos.into_iter();
        infos.filter(move |info| info.group == group)
    }
}

/// What it says of one group.
#[derive(Deserialize)]
pub(super) struct Info {
    #[serde(rename = "ServerGroupId")]
    group: String,
    // The Network Load Balancer's own SDK spells it so.
    #[serde(rename = "HealthCheckEnabled", alias = "HeathCheckEnabled")]
    enabled: Option<Switch>,
    #[serde(rename = "NonNormalServers", default)]
    ill: Vec<Ill>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Switch {
    Is(bool),
    Word(String),
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Ill {
    server_id: String,
    #[serde(default)]
    server_ip: String,
    #[serde(deserialize_with = "number")]
    port: u16,
    status: String,
}

impl Ill {
    fn is(&self, backend: &Backend) -> bool {
        let is_there = backend.address().is_none_or(|it| it == self.server_ip);
        self.server_id == backend.server_id && self.port == backend.port && is_there
    }

    /// `None` where nobody checks.
    fn health(&self) -> Option<Health> {
        match self.status.to_ascii_lowercase().as_str() {
            "unavailable" => None,
            "initial" => Some(Health::Starting),
            // Also who is in another zone, and gets nothing for that.
            _ => Some(Health::Unhealthy),
        }
    }
}

impl Info {
    /// True where servers are checked: also when that is not said.
    pub(super) fn is_checked(&self) -> bool {
        match &self.enabled {
            None => true,
            Some(Switch::Is(is_on)) => *is_on,
            Some(Switch::Word(word)) => ["on", "true"]
                .iter()
                .any(|it| word.eq_ignore_ascii_case(it)),
        }
    }

    fn health(&self, backend: &Backend) -> Option<Health> {
        match self.ill.iter().find(|it| it.is(backend)) {
            Some(ill) => ill.health(),
            None => Some(Health::Healthy),
        }
    }
}

/// Those of the members that any listener checks; healthy is who is so for all of them.
pub(super) fn judge(
    described: &Described,
    infos: &[Info],
    members: &[Member],
) -> BTreeMap<Member, Health> {
    let judge = |member: &Member| {
        let backend = described.find(member)?;
        if backend.state != State::Settled {
            return Some((member.clone(), Health::Starting));
        }
        let checking = infos.iter().filter(|info| info.is_checked());
        let health = checking.filter_map(|info| info.health(backend));
        let worst = health.max_by_key(|health| match health {
            Health::Healthy | Health::None => 0,
            Health::Starting => 1,
            Health::Unhealthy => 2,
        });
        Some((member.clone(), worst?))
    };
    members.iter().filter_map(judge).collect()
}
