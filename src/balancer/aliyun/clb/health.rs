//! What a Classic Load Balancer's own checks say. Pure: an answer's body goes in.
//!
//! One row for each listener and server. `unavailable` is said where a check is switched off and where
//! it has not come to a result; which of them is told by the listener's other rows.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;

use super::super::wire::{number, parsed};
use crate::{
    balancer::error::BalancerError,
    rollout::port::{Health, Member},
};

pub(super) const ACTION: &str = "DescribeHealthStatus";

/// True for the answer that there is no listener, or none that checks anybody.
pub(super) fn is_unchecked(answer: &str) -> bool {
    ["ListenerNotFound", "CheckedListenerNotFound"]
        .iter()
        .any(|code| answer.starts_with(&format!("{code}:")))
}

/// All rows of an answer.
#[derive(Deserialize)]
pub(super) struct Rows {
    #[serde(rename = "BackendServers")]
    servers: Servers,
}

#[derive(Deserialize)]
struct Servers {
    #[serde(rename = "BackendServer", default)]
    list: Vec<Row>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Row {
    #[serde(deserialize_with = "number")]
    listener_port: u16,
    #[serde(default)]
    protocol: String,
    #[serde(deserialize_with = "number")]
    port: u16,
    server_id: String,
    #[serde(default)]
    server_ip: String,
    server_health_status: String,
}

impl Row {
    /// TCP and UDP may listen at one port.
    fn listener(&self) -> (u16, &str) {
        (self.listener_port, &self.protocol)
    }

    fn is(&self, member: &Member) -> bool {
        let (server, address) = match member.server.split_once('/') {
            Some((server, address)) => (server, Some(address)),
            None => (member.server.as_str(), None),
        };
        self.server_id == server
            && self.port == member.port
            && address.is_none_or(|address| self.server_ip == address)
    }

    fn health(&self) -> Health {
        match self.server_health_status.as_str() {
            "normal" => Health::Healthy,
            "unavailable" => Health::Starting,
            _ => Health::Unhealthy,
        }
    }
}

impl Rows {
    pub(super) fn parse(body: &str) -> Result<Self, BalancerError> {
        parsed(ACTION, body)
    }

    /// Those of the members that any listener checks; healthy is who is so for all of them.
    pub(super) fn of(&self, members: &[Member]) -> BTreeMap<Member, Health> {
        let rows = || self.servers.list.iter();
        let checking = rows().filter(|row| row.health() != Health::Starting);
        let checking: BTreeSet<_> = checking.map(Row::listener).collect();
        let judge = |member: &Member| {
            let own = rows().filter(|row| row.is(member) && checking.contains(&row.listener()));
            let health = own.map(Row::health).max_by_key(|health| match health {
                Health::Healthy | Health::None => 0,
                Health::Starting => 1,
                Health::Unhealthy => 2,
            });
            Some((member.clone(), health?))
        };
        members.iter().filter_map(judge).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `LISTENER SERVER STATUS`, a row a line; all at port 3131.
    fn rows(text: &str) -> Rows {
        let rows: Vec<_> = text
            .lines()
            .map(|line| {
                let words: Vec<_> = line.split_whitespace().collect();
                serde_json::json!({
                    "ListenerPort": words[0], "Port": 3131, "Protocol": "http",
                    "ServerId": words[1], "ServerIp": "10.0.0.1", "ServerHealthStatus": words[2],
                })
            })
            .collect();
        let body = serde_json::json!({"BackendServers": {"BackendServer": rows}});
        Rows::parse(&body.to_string()).unwrap()
    }

    #[track_caller]
    fn check(text: &str, expect: Option<Health>) {
        let member = Member {
            balancer: "lb-1".into(),
            group: "rsp-1".into(),
            server: "i-1".into(),
            port: 3131,
        };
        let mut health = rows(text).of(std::slice::from_ref(&member));
        assert_eq!(health.remove(&member), expect, "{text}");
    }

    #[test]
    fn healthy_is_who_is_so_for_every_listener_that_checks() {
        check("80 i-1 normal", Some(Health::Healthy));
        check("80 i-1 abnormal\n80 i-2 normal", Some(Health::Unhealthy));
        check("80 i-1 normal\n443 i-1 abnormal", Some(Health::Unhealthy));
        check("80 i-1 something-new", Some(Health::Unhealthy));
    }

    #[test]
    fn a_check_that_has_no_result_yet_is_told_from_one_that_is_switched_off() {
        check("80 i-1 unavailable\n80 i-2 normal", Some(Health::Starting));
        check("80 i-1 unavailable\n80 i-2 unavailable", None);
        check("80 i-1 normal\n443 i-1 unavailable", Some(Health::Healthy));
        check("80 i-2 normal", None);
        check("", None);
    }

    #[test]
    fn a_balancer_without_checks_is_known_by_its_answer() {
        assert!(is_unchecked(
            "CheckedListenerNotFound: none (HTTP 404, request R)"
        ));
        assert!(is_unchecked("ListenerNotFound: none (HTTP 404, request R)"));
        assert!(!is_unchecked(
            "Forbidden.RAM: no ListenerNotFound: (HTTP 403, request R)"
        ));
    }
}
