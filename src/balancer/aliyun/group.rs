//! A group of members at Aliyun as the rollout's balancer, whichever product it belongs to: a product
//! brings its calls, all rules are here.
//!
//! A write names one member and always its weight: Aliyun takes a weight left out for 100. Members
//! are read before they are written, so that nothing but the weight is changed, and so that the
//! last backend in service is never taken out.

use std::{cell::RefCell, collections::BTreeMap};

use tokio::sync::Mutex;

use super::{
    backend::{Backend, Described, State, names},
    call::{Api, Product},
    region,
};
use crate::{
    balancer::error::BalancerError,
    config::{self, Environment},
    rollout::port::{Balancer, Health, HostName, Member, Pool, Weight},
};

/// What is changed, always by one member.
#[derive(Debug, Clone, Copy)]
pub(in crate::balancer) enum Change<'a> {
    Weight(&'a Backend, Weight),
    /// Another port of a backend's machine, at weight 0.
    Join(&'a Backend, u16),
    Leave(&'a Backend),
}

/// The calls that a product has for one of its groups.
pub(in crate::balancer) trait Calls {
    /// Every backend.
    async fn read(&self) -> Result<Described, BalancerError>;

    /// Success means accepted.
    async fn change(&self, change: Change<'_>) -> Result<(), BalancerError>;

    /// What its own checks say; those that nobody checks are left out.
    async fn health(&self, members: &[Member]) -> Result<BTreeMap<Member, Health>, BalancerError>;
}

/// One group.
pub(in crate::balancer) struct Group<C> {
    pub(super) calls: C,
    id: String,
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
    known: RefCell<Option<Described>>,
    /// Aliyun refuses a second write to a load balancer while one is in flight.
    writing: Mutex<()>,
}

impl<C: Calls> Group<C> {
    /// Reads no file and connects to nothing.
    pub(super) fn open(
        environment: &Environment,
        product: Product,
        calls: impl FnOnce(Api) -> C,
    ) -> Result<Self, BalancerError> {
        let config = &environment.balancer;
        let missing = missing(config, &environment.hosts);
        if !missing.is_empty() {
            let why = format!("missing: {}", missing.join(", "));
            return Err(BalancerError::settings(environment, why));
        }
        let endpoint = config.endpoint.clone();
        let endpoint = endpoint.or_else(|| region::endpoint(product.name, &config.region));
        let endpoint = endpoint.ok_or_else(|| {
            let why = format!("balancer.region `{}` is not a region", config.region);
            BalancerError::settings(environment, why)
        })?;
        let account = config.account.clone().unwrap_or_default();
        let hosts = environment.hosts.iter();
        Ok(Self {
            calls: calls(Api::open(endpoint, product, account)?),
            id: config.id.clone(),
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

    /// The member of a host at a port; as it is there, or as it would be.
    fn own(&self, described: &Described, server: &str, port: u16) -> Member {
        let mut backends = described.backends.iter();
        let found = backends.find(|it| it.server_id == server && it.port == self.port);
        Member {
            balancer: described.balancer.clone(),
            group: described.group.clone(),
            server: found.map_or_else(|| server.to_owned(), Backend::server),
            port,
        }
    }

    /// What is there, for one change: read anew unless it was read just before.
    async fn known(&self) -> Result<Described, BalancerError> {
        let known = self.known.take();
        match known {
            Some(described) => Ok(described),
            None => self.calls.read().await,
        }
    }

    /// A weight of ours that is on its way is neither the old one nor the new.
    fn check_settled(&self, described: &Described) -> Result<(), BalancerError> {
        let is_ours = |it: &&Backend| self.servers.values().any(|server| *server == it.server_id);
        let mut ours = described.backends.iter().filter(is_ours);
        if ours.any(|it| it.state == State::Changing) {
            return Err(self.busy());
        }
        Ok(())
    }

    fn busy(&self) -> BalancerError {
        BalancerError::Busy {
            group: self.id.clone(),
        }
    }

    fn not_member(&self, member: &Member, backends: &[Backend]) -> BalancerError {
        BalancerError::NotMember {
            member: member.to_string(),
            group: self.id.clone(),
            members: names(backends),
        }
    }

    /// What the environment calls a member.
    fn called(&self, member: &Member) -> String {
        let mut servers = self.servers.iter();
        let host = servers.find(|(_, server)| **server == member.server);
        host.map_or_else(|| member.to_string(), |(host, _)| host.clone())
    }
}

impl<C: Calls> Balancer for Group<C> {
    type Error = BalancerError;

    async fn pool(&self) -> Result<Pool, BalancerError> {
        let described = self.calls.read().await?;
        self.check_settled(&described)?;
        let own = |port| {
            let servers = self.servers.iter();
            let member = |server| self.own(&described, server, port);
            servers
                .map(|(host, it)| (host.clone(), member(it)))
                .collect()
        };
        let backends = described.backends.iter().filter(|it| it.serves());
        let pool = Pool {
            own: own(self.port),
            bridges: self.bridge_port.map(own).unwrap_or_default(),
            weights: backends
                .map(|backend| (described.id(backend), backend.weight))
                .collect(),
            health: BTreeMap::new(),
        };
        self.known.replace(Some(described));
        Ok(pool)
    }

    async fn set_weight(&self, member: &Member, weight: Weight) -> Result<(), BalancerError> {
        let _alone = self.writing.lock().await;
        let described = self.known().await?;
        let found = described.find(member).filter(|it| it.serves());
        let Some(backend) = found else {
            return Err(self.not_member(member, &described.backends));
        };
        let is_other = |it: &&Backend| !std::ptr::eq(*it, backend) && it.serves();
        let mut others = described.backends.iter().filter(is_other);
        let is_last = weight == Weight::ZERO && !others.any(|other| other.weight > Weight::ZERO);
        if is_last && self.keeps_last {
            let host = self.called(member);
            return Err(BalancerError::LastMember { host });
        }
        self.calls.change(Change::Weight(backend, weight)).await
    }

    async fn join(&self, member: &Member) -> Result<(), BalancerError> {
        let _alone = self.writing.lock().await;
        let described = self.known().await?;
        if let Some(backend) = described.find(member) {
            return match backend.state {
                State::Leaving => Err(self.busy()),
                State::Settled | State::Joining | State::Changing => Ok(()),
            };
        }
        let mut backends = described.backends.iter();
        let server = backends.find(|it| it.server() == member.server);
        let server = server.ok_or_else(|| self.not_member(member, &described.backends))?;
        self.calls.change(Change::Join(server, member.port)).await
    }

    async fn leave(&self, member: &Member) -> Result<(), BalancerError> {
        let _alone = self.writing.lock().await;
        let described = self.known().await?;
        match described.find(member) {
            None => Ok(()),
            Some(backend) if backend.state == State::Leaving => Ok(()),
            Some(backend) => self.calls.change(Change::Leave(backend)).await,
        }
    }

    async fn health(&self, members: &[Member]) -> Result<BTreeMap<Member, Health>, BalancerError> {
        if members.is_empty() || !self.is_asked {
            return Ok(BTreeMap::new());
        }
        self.calls.health(members).await
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
