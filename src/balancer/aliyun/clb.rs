//! The groups of Aliyun's Classic Load Balancer: a `VServer` group, and the default group, in which a
//! server is once, whatever its ports. One table says what differs.

use std::{cell::Cell, collections::BTreeMap};

use self::{
    health::{Rows, is_unchecked},
    wire::{Answer, Listeners, VServerGroups, entry},
};
use super::{
    backend::Described,
    call::{Api, Ask, Product},
    group::{Calls, Change, Group},
    wire::parsed,
};
use crate::{
    balancer::error::BalancerError,
    config::Environment,
    rollout::port::{Health, Member, Weight},
};

mod health;
mod wire;

const GROUPS: &str = "DescribeVServerGroups";

/// What one kind of group has otherwise than the other.
struct Table {
    product: Product,
    /// The parameter that names it.
    id: &'static str,
    read: &'static str,
    set: &'static str,
    join: &'static str,
    leave: &'static str,
    /// Whether its backends have ports of their own; else the listeners' port is every backend's.
    has_ports: bool,
}

const fn product(rights: &'static str) -> Product {
    Product {
        name: "slb",
        version: "2014-05-15",
        rights,
    }
}

static VSERVER: Table = Table {
    product: product(
        "slb:DescribeVServerGroupAttribute, slb:SetVServerGroupAttribute and \
         slb:DescribeHealthStatus on this load balancer, with start-first also \
         slb:AddVServerGroupBackendServers and slb:RemoveVServerGroupBackendServers on it \
         and on the hosts' instances",
    ),
    id: "VServerGroupId",
    read: "DescribeVServerGroupAttribute",
    set: "SetVServerGroupAttribute",
    join: "AddVServerGroupBackendServers",
    leave: "RemoveVServerGroupBackendServers",
    has_ports: true,
};

static DEFAULT: Table = Table {
    product: product(
        "slb:DescribeLoadBalancerAttribute, slb:DescribeVServerGroups and \
         slb:DescribeHealthStatus on this load balancer, and slb:SetBackendServers on it and on \
         the hosts' instances",
    ),
    id: "LoadBalancerId",
    read: "DescribeLoadBalancerAttribute",
    set: "SetBackendServers",
    join: "AddBackendServers",
    leave: "RemoveBackendServers",
    has_ports: false,
};

/// One group of a load balancer.
pub(in crate::balancer) struct Clb {
    pub(super) api: Api,
    table: &'static Table,
    region: String,
    id: String,
    /// Of all backends, where they have none of their own.
    port: u16,
    /// True once a listener was seen to send to the default group.
    is_used: Cell<bool>,
}

impl Clb {
    pub(in crate::balancer) fn vserver_group(
        environment: &Environment,
    ) -> Result<Group<Self>, BalancerError> {
        Self::open(environment, &VSERVER)
    }

    pub(in crate::balancer) fn default_group(
        environment: &Environment,
    ) -> Result<Group<Self>, BalancerError> {
        Self::open(environment, &DEFAULT)
    }

    fn open(
        environment: &Environment,
        table: &'static Table,
    ) -> Result<Group<Self>, BalancerError> {
        let config = &environment.balancer;
        Group::open(environment, table.product, |api| Self {
            api,
            table,
            region: config.region.clone(),
            id: config.id.clone(),
            port: config.port,
            is_used: Cell::new(false),
        })
    }

    async fn ask(
        &self,
        action: &'static str,
        more: &[(&str, &str)],
    ) -> Result<String, BalancerError> {
        let query = [&[("RegionId", self.region.as_str())], more].concat();
        let ask = Ask {
            action,
            query: &query,
            form: &[],
        };
        self.api.call(ask).await
    }

    fn scope(&self) -> (&str, &str) {
        (self.table.id, &self.id)
    }

    /// A weight in the default group moves nobody where all listeners use other groups.
    async fn check_used(&self, body: &str) -> Result<(), BalancerError> {
        if self.table.has_ports || self.is_used.get() {
            return Ok(());
        }
        let mut listeners = parsed::<Listeners>(self.table.read, body)?.all();
        let more = [("IncludeListener", "true"), self.scope()];
        let groups: VServerGroups = parsed(GROUPS, &self.ask(GROUPS, &more).await?)?;
        for used in groups.listeners() {
            listeners.remove(&used);
        }
        if listeners.is_empty() {
            let balancer = self.id.clone();
            return Err(BalancerError::Unused { balancer });
        }
        self.is_used.set(true);
        Ok(())
    }
}

impl Calls for Clb {
    async fn read(&self) -> Result<Described, BalancerError> {
        let read = self.table.read;
        let body = self.ask(read, &[self.scope()]).await?;
        self.check_used(&body).await?;
        let port = (!self.table.has_ports).then_some(self.port);
        let answer: Answer = parsed(read, &body)?;
        let (balancer, backends) = answer.backends(read, port)?;
        Ok(Described {
            balancer,
            group: self.id.clone(),
            backends,
        })
    }

    async fn change(&self, change: Change<'_>) -> Result<(), BalancerError> {
        let Table {
            set, join, leave, ..
        } = *self.table;
        let (action, backend, port, weight) = match change {
            Change::Weight(backend, weight) => (set, backend, backend.port, weight),
            Change::Join(backend, port) => (join, backend, port, Weight::ZERO),
            Change::Leave(backend) => (leave, backend, backend.port, backend.weight),
        };
        let port = self.table.has_ports.then_some(port);
        let entry = entry(backend, port, weight);
        let more = [("BackendServers", entry.as_str()), self.scope()];
        self.ask(action, &more).await.map(drop)
    }

    async fn health(&self, members: &[Member]) -> Result<BTreeMap<Member, Health>, BalancerError> {
        let Some(first) = members.first() else {
            return Ok(BTreeMap::new());
        };
        let more = [("LoadBalancerId", first.balancer.as_str())];
        match self.ask(health::ACTION, &more).await {
            Ok(body) => Ok(Rows::parse(&body)?.of(members)),
            // So it says where no listener has a check.
            Err(BalancerError::Refused { answer, .. }) if is_unchecked(&answer) => {
                Ok(BTreeMap::new())
            }
            Err(error) => Err(error),
        }
    }
}

#[cfg(test)]
mod tests;
