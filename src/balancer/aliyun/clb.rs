//! A `VServer` group of Aliyun's Classic Load Balancer as the rollout's balancer.
//!
//! A write names one member and always its weight: Aliyun takes a weight left out for 100. Members
//! are read before they are written, so that nothing but the weight is changed, and so that the
//! last backend in service is never taken out.

use std::{cell::RefCell, collections::BTreeMap};

use tokio::sync::Mutex;

use self::{
    backend::{Backend, Description, entry, names},
    health::{Rows, is_unchecked},
    wire::parsed,
};
use super::{
    call::{Api, Ask, Product},
    region,
};
use crate::{
    balancer::error::BalancerError,
    config::{self, Environment},
    rollout::port::{Balancer, Health, HostName, Member, Pool, Weight},
};

mod backend;
mod health;
mod wire;

const PRODUCT: Product = Product {
    name: "slb",
    version: "2014-05-15",
    rights: "slb:DescribeVServerGroupAttribute, slb:SetVServerGroupAttribute and \
             slb:DescribeHealthStatus on this load balancer, with start-first also \
             slb:AddVServerGroupBackendServers and slb:RemoveVServerGroupBackendServers on it \
             and on the hosts' instances",
};
const DESCRIBE: &str = "DescribeVServerGroupAttribute";
const JOIN: &str = "AddVServerGroupBackendServers";
const LEAVE: &str = "RemoveVServerGroupBackendServers";
const SET: &str = "SetVServerGroupAttribute";

/// One `VServer` group.
pub(in crate::balancer) struct Clb {
    api: Api,
    region: String,
    group: String,
    port: u16,
    /// Where second instances listen.
    bridge_port: Option<u16>,
    /// False where the operator accepts that nobody serves.
    keeps_last: bool,
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
        let endpoint = endpoint.or_else(|| region::endpoint(PRODUCT.name, &config.region));
        let endpoint = endpoint.ok_or_else(|| {
            let why = format!("balancer.region `{}` is not a region", config.region);
            BalancerError::settings(environment, why)
        })?;
        let account = config.account.clone().unwrap_or_default();
        let hosts = environment.hosts.iter();
        Ok(Self {
            api: Api::open(endpoint, PRODUCT, account)?,
            region: config.region.clone(),
            group: config.id.clone(),
            port: config.port,
            bridge_port: environment.compose.bridge_port,
            keeps_last: !environment.rollout.allow_downtime,
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
        let ask = Ask {
            action: DESCRIBE,
            query: &query,
            ..Ask::default()
        };
        let body = self.api.call(ask).await?;
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

    fn is(&self, described: &Description, backend: &Backend, member: &Member) -> bool {
        self.id(&described.balancer, backend) == *member
    }

    /// The member of a host at a port; as it is there, or as it would be.
    fn own(&self, described: &Description, server: &str, port: u16) -> Member {
        let found = self.found(described, server);
        Member {
            balancer: described.balancer.clone(),
            group: self.group.clone(),
            server: found.map_or_else(|| server.to_owned(), Backend::server),
            port,
        }
    }

    /// The backend at the environment's port.
    fn found<'a>(&self, described: &'a Description, server: &str) -> Option<&'a Backend> {
        let mut backends = described.members.list.iter();
        backends.find(|it| it.server_id == server && it.port == self.port)
    }

    /// What is there, for one change: read anew unless it was read just before.
    async fn known(&self) -> Result<Description, BalancerError> {
        let known = self.known.take();
        match known {
            Some(described) => Ok(described),
            None => self.describe().await,
        }
    }

    fn not_member(&self, member: &Member, backends: &[Backend]) -> BalancerError {
        BalancerError::NotMember {
            member: member.to_string(),
            group: self.group.clone(),
            members: names(backends),
        }
    }

    /// Changes the group by one of its members.
    async fn change(&self, action: &'static str, entry: &str) -> Result<(), BalancerError> {
        let query = [
            ("BackendServers", entry),
            ("RegionId", &self.region),
            ("VServerGroupId", &self.group),
        ];
        let ask = Ask {
            action,
            query: &query,
            ..Ask::default()
        };
        self.api.call(ask).await.map(drop)
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
        let own = |port| {
            let servers = self.servers.iter();
            let member = |server| self.own(&described, server, port);
            servers
                .map(|(host, it)| (host.clone(), member(it)))
                .collect()
        };
        let backends = described.members.list.iter();
        let id = |backend| self.id(&described.balancer, backend);
        let pool = Pool {
            own: own(self.port),
            bridges: self.bridge_port.map(own).unwrap_or_default(),
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
        let described = self.known().await?;
        let backends = &described.members.list;
        let found = backends.iter().find(|it| self.is(&described, it, member));
        let Some(backend) = found else {
            return Err(self.not_member(member, backends));
        };
        let is_other = |it: &&Backend| !std::ptr::eq(*it, backend);
        let mut others = backends.iter().filter(is_other);
        let is_last = weight == Weight::ZERO && !others.any(|other| other.weight > Weight::ZERO);
        if is_last && self.keeps_last {
            let host = self.called(member);
            return Err(BalancerError::LastMember { host });
        }
        let entry = entry(backend, backend.port, weight);
        self.change(SET, &entry).await
    }

    async fn join(&self, member: &Member) -> Result<(), BalancerError> {
        let _alone = self.writing.lock().await;
        let described = self.known().await?;
        let backends = &described.members.list;
        if backends.iter().any(|it| self.is(&described, it, member)) {
            return Ok(());
        }
        let server = backends.iter().find(|it| it.server() == member.server);
        let server = server.ok_or_else(|| self.not_member(member, backends))?;
        let entry = entry(server, member.port, Weight::ZERO);
        self.change(JOIN, &entry).await
    }

    async fn leave(&self, member: &Member) -> Result<(), BalancerError> {
        let _alone = self.writing.lock().await;
        let described = self.known().await?;
        let mut backends = described.members.list.iter();
        match backends.find(|it| self.is(&described, it, member)) {
            None => Ok(()),
            Some(backend) => {
                let entry = entry(backend, backend.port, backend.weight);
                self.change(LEAVE, &entry).await
            }
        }
    }

    async fn health(&self, members: &[Member]) -> Result<BTreeMap<Member, Health>, BalancerError> {
        let Some(first) = members.first().filter(|_| self.is_asked) else {
            return Ok(BTreeMap::new());
        };
        let query = [
            ("LoadBalancerId", first.balancer.as_str()),
            ("RegionId", &self.region),
        ];
        let ask = Ask {
            action: health::ACTION,
            query: &query,
            ..Ask::default()
        };
        match self.api.call(ask).await {
            Ok(body) => Ok(Rows::parse(&body)?.of(members)),
            // So it says where no listener has a check.
            Err(BalancerError::Refused { answer, .. }) if is_unchecked(&answer) => {
                Ok(BTreeMap::new())
            }
            Err(error) => Err(error),
        }
    }
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

#[cfg(test)]
mod tests;
