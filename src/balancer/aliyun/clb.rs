//! A `VServer` group of Aliyun's Classic Load Balancer as the rollout's balancer.
//!
//! A write names one member and always its weight: Aliyun takes a weight left out for 100. Members
//! are read before they are written, so that nothing but the weight is changed, and so that the
//! last backend in service is never taken out.

use std::{cell::RefCell, collections::BTreeMap};

use serde::{Deserialize, Serialize};
use tokio::sync::Mutex;
use url::Url;

use self::{
    health::{Rows, is_unchecked},
    wire::{number, parsed, weight},
};
use super::call::Api;
use crate::{
    balancer::error::BalancerError,
    config::{self, Environment},
    rollout::port::{Balancer, Health, HostName, Member, Pool, Weight},
};

mod health;
mod wire;

const VERSION: &str = "2014-05-15";
const DESCRIBE: &str = "DescribeVServerGroupAttribute";
const SET: &str = "SetVServerGroupAttribute";

/// Regions that are served at the central address.
const CENTRAL: [&str; 12] = [
    "cn-qingdao",
    "cn-beijing",
    "cn-hangzhou",
    "cn-shanghai",
    "cn-shenzhen",
    "cn-hongkong",
    "ap-southeast-1",
    "us-east-1",
    "us-west-1",
    "cn-shanghai-finance-1",
    "cn-shenzhen-finance-1",
    "cn-north-2-gov-1",
];

/// One `VServer` group.
pub(in crate::balancer) struct Clb {
    api: Api,
    region: String,
    group: String,
    port: u16,
    /// The hosts' ids at Aliyun.
    servers: BTreeMap<HostName, String>,
    /// False where the environment's file says that the balancer's checks do not matter.
    is_asked: bool,
    /// What was read last, for one write: whoever writes has just compared it.
    known: RefCell<Option<Description>>,
    /// Aliyun refuses a second write to a load balancer while one is in flight.
    writing: Mutex<()>,
}

impl Clb {
    /// Reads no file and connects to nothing.
    pub(in crate::balancer) fn open(environment: &Environment) -> Result<Self, BalancerError> {
        let config = &environment.balancer;
        let missing = missing(config, &environment.hosts);
        if !missing.is_empty() {
            let why = format!("missing: {}", missing.join(", "));
            return Err(BalancerError::settings(environment, why));
        }
        let endpoint = config.endpoint.clone();
        let endpoint = endpoint.or_else(|| endpoint_of(&config.region));
        let endpoint = endpoint.ok_or_else(|| {
            let why = format!("balancer.region `{}` is not a region", config.region);
            BalancerError::settings(environment, why)
        })?;
        let account = config.account.clone().unwrap_or_default();
        let hosts = environment.hosts.iter();
        Ok(Self {
            api: Api::open(endpoint, VERSION, account)?,
            region: config.region.clone(),
            group: config.id.clone(),
            port: config.port,
            servers: hosts
                .map(|host| (host.name.clone(), host.server_id.clone()))
                .collect(),
            is_asked: !environment.rollout.admission_timeout.is_zero(),
            known: RefCell::default(),
            writing: Mutex::new(()),
        })
    }

    async fn describe(&self) -> Result<Description, BalancerError> {
        let query = [
            ("RegionId", self.region.as_str()),
            ("VServerGroupId", self.group.as_str()),
        ];
        let body = self.api.call(DESCRIBE, &query).await?;
        parsed(DESCRIBE, &body)
    }

    fn id(&self, balancer: &str, backend: &Backend) -> Member {
        Member {
            balancer: balancer.to_owned(),
            group: self.group.clone(),
            server: backend.server(),
            port: backend.port,
        }
    }

    /// The member of a host; as it is there, or as it would be.
    fn own(&self, described: &Description, server: &str) -> Member {
        let mut backends = described.members.list.iter();
        let found = backends.find(|it| it.server_id == server && it.port == self.port);
        Member {
            balancer: described.balancer.clone(),
            group: self.group.clone(),
            server: found.map_or_else(|| server.to_owned(), Backend::server),
            port: self.port,
        }
    }

    /// What the environment calls a member.
    fn called(&self, member: &Member) -> String {
        let mut servers = self.servers.iter();
        let host = servers.find(|(_, server)| **server == member.server);
        host.map_or_else(|| member.to_string(), |(host, _)| host.clone())
    }
}

impl Balancer for Clb {
    type Error = BalancerError;

    async fn pool(&self) -> Result<Pool, BalancerError> {
        let described = self.describe().await?;
        let servers = self.servers.iter();
        let backends = described.members.list.iter();
        let id = |backend| self.id(&described.balancer, backend);
        let pool = Pool {
            own: servers
                .map(|(host, server)| (host.clone(), self.own(&described, server)))
                .collect(),
            weights: backends
                .map(|backend| (id(backend), backend.weight))
                .collect(),
            health: BTreeMap::new(),
        };
        self.known.replace(Some(described));
        Ok(pool)
    }

    async fn set_weight(&self, member: &Member, weight: Weight) -> Result<(), BalancerError> {
        let _alone = self.writing.lock().await;
        let known = self.known.take();
        let described = match known {
            Some(described) => described,
            None => self.describe().await?,
        };
        let backends = &described.members.list;
        let id = |backend| self.id(&described.balancer, backend);
        let Some(backend) = backends.iter().find(|it| id(it) == *member) else {
            return Err(BalancerError::NotMember {
                member: member.to_string(),
                group: self.group.clone(),
                members: names(backends),
            });
        };
        let is_other = |it: &&Backend| !std::ptr::eq(*it, backend);
        let mut others = backends.iter().filter(is_other);
        if weight == Weight::ZERO && !others.any(|other| other.weight > Weight::ZERO) {
            let host = self.called(member);
            return Err(BalancerError::LastMember { host });
        }
        let entry = entry(backend, weight);
        let query = [
            ("BackendServers", entry.as_str()),
            ("RegionId", &self.region),
            ("VServerGroupId", &self.group),
        ];
        self.api.call(SET, &query).await?;
        Ok(())
    }

    async fn health(&self, members: &[Member]) -> Result<BTreeMap<Member, Health>, BalancerError> {
        let Some(first) = members.first().filter(|_| self.is_asked) else {
            return Ok(BTreeMap::new());
        };
        let query = [
            ("LoadBalancerId", first.balancer.as_str()),
            ("RegionId", &self.region),
        ];
        match self.api.call(health::ACTION, &query).await {
            Ok(body) => Ok(Rows::parse(&body)?.of(members)),
            // So it says where no listener has a check.
            Err(BalancerError::Refused { answer, .. }) if is_unchecked(&answer) => {
                Ok(BTreeMap::new())
            }
            Err(error) => Err(error),
        }
    }
}

#[derive(Deserialize)]
struct Description {
    #[serde(rename = "LoadBalancerId", default)]
    balancer: String,
    #[serde(rename = "BackendServers")]
    members: Members,
}

#[derive(Deserialize)]
struct Members {
    #[serde(rename = "BackendServer", default)]
    list: Vec<Backend>,
}

/// One backend. A server may be in a group several times, at other ports and addresses.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Backend {
    server_id: String,
    #[serde(default)]
    server_ip: Option<String>,
    #[serde(deserialize_with = "number")]
    port: u16,
    #[serde(deserialize_with = "weight")]
    weight: Weight,
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
    fn server(&self) -> String {
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

fn names(backends: &[Backend]) -> String {
    let names: Vec<_> = backends.iter().map(Backend::name).collect();
    if names.is_empty() {
        "nothing".into()
    } else {
        names.join(", ")
    }
}

/// The parameter `BackendServers` with one member: its identity as it was read, and the weight.
fn entry(backend: &Backend, weight: Weight) -> String {
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
        port: backend.port.to_string(),
        weight: weight.to_string(),
        server_ip: backend.address(),
        kind: present(backend.kind.as_ref()),
        description: present(backend.description.as_ref()),
    };
    serde_json::json!([entry]).to_string()
}

fn present(text: Option<&String>) -> Option<&str> {
    text.map(String::as_str).filter(|text| !text.is_empty())
}

/// The keys that this kind of balancer needs and the environment's file lacks.
fn missing(config: &config::Balancer, hosts: &[config::HostEntry]) -> Vec<String> {
    let own = [
        ("region", config.region.is_empty()),
        ("id", config.id.is_empty()),
        ("port", config.port == 0),
        ("account", config.account.is_none()),
    ];
    let own = own.iter().filter(|(_, is_missing)| *is_missing);
    let own = own.map(|(key, _)| format!("balancer.{key}"));
    let hosts = hosts.iter().filter(|host| host.server_id.is_empty());
    let hosts = hosts.map(|host| format!("hosts.server-id of `{}`", host.name));
    own.chain(hosts).collect()
}

/// The public address of a region's API.
fn endpoint_of(region: &str) -> Option<Url> {
    let host = if CENTRAL.contains(&region) {
        "slb.aliyuncs.com".to_owned()
    } else {
        format!("slb.{region}.aliyuncs.com")
    };
    Url::parse(&format!("https://{host}/")).ok()
}

#[cfg(test)]
mod tests;
