//! Server groups of Aliyun's Application and Network Load Balancers: one API but for what stands in the
//! table below.
//!
//! A write is accepted at once and made later: until then the group refuses the next one, and the server
//! that is changed says so. A weight counts once its server is `Available`.

use std::{cell::RefCell, collections::BTreeMap};

use self::{
    health::Info,
    wire::{Page, RelatedGroup, RelatedListener, Server, parameters},
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

const LIST: &str = "ListServerGroupServers";
const UPDATE: &str = "UpdateServerGroupServersAttribute";
const ADD: &str = "AddServersToServerGroup";
const REMOVE: &str = "RemoveServersFromServerGroup";
const GROUPS: &str = "ListServerGroups";
const LISTENERS: &str = "ListListeners";
const HEALTH: &str = "GetListenerHealthStatus";

/// More pages than any group has: an answer that never ends is not understood.
const MOST_PAGES: usize = 100;

type Pairs<'a> = Vec<(&'a str, &'a str)>;

/// What one product has otherwise than the other.
struct Table {
    product: Product,
    /// The actions whose parameters travel in the form; those of the others are in the query.
    form: &'static [&'static str],
    /// As `form`, for the servers of a write.
    servers_in_form: &'static [&'static str],
    /// Whether a call names the region.
    has_region: bool,
    /// Whether a listener's rules may send to other groups, and are asked about.
    has_rules: bool,
}

macro_rules! rights {
    ($name:literal) => {
        concat!(
            $name,
            ":ListServerGroupServers, ",
            $name,
            ":UpdateServerGroupServersAttribute, ",
            $name,
            ":ListServerGroups, ",
            $name,
            ":ListListeners and ",
            $name,
            ":GetListenerHealthStatus on this server group, its balancer and the hosts' \
             instances, with start-first also ",
            $name,
            ":AddServersToServerGroup and ",
            $name,
            ":RemoveServersFromServerGroup"
        )
    };
}

static ALB: Table = Table {
    product: Product {
        name: "alb",
        version: "2020-06-16",
        rights: rights!("alb"),
    },
    form: &[],
    servers_in_form: &[UPDATE, ADD],
    has_region: false,
    has_rules: true,
};

static NLB: Table = Table {
    product: Product {
        name: "nlb",
        version: "2022-04-30",
        rights: rights!("nlb"),
    },
    form: &[LIST, UPDATE, ADD, REMOVE, GROUPS],
    servers_in_form: &[UPDATE, ADD, REMOVE],
    has_region: true,
    has_rules: false,
};

/// One server group.
pub(in crate::balancer) struct ServerGroup {
    api: Api,
    table: &'static Table,
    region: String,
    id: String,
    /// The listeners that send to it, once they are known: others are not asked every time.
    listeners: RefCell<Option<Vec<String>>>,
}

impl ServerGroup {
    pub(in crate::balancer) fn alb(
        environment: &Environment,
    ) -> Result<Group<Self>, BalancerError> {
        Self::open(environment, &ALB)
    }

    pub(in crate::balancer) fn nlb(
        environment: &Environment,
    ) -> Result<Group<Self>, BalancerError> {
        Self::open(environment, &NLB)
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
            listeners: RefCell::default(),
        })
    }

    /// Sends each parameter where the product wants it.
    async fn ask(
        &self,
        action: &'static str,
        scope: &[(&str, &str)],
        servers: &[(&str, &str)],
    ) -> Result<String, BalancerError> {
        let (mut query, mut form) = (Pairs::new(), Pairs::new());
        let mut place = |is_form: bool, pairs: &[_]| {
            let place = if is_form { &mut form } else { &mut query };
            place.extend_from_slice(pairs);
        };
        let is_in = |list: &[&str]| list.contains(&action);
        place(is_in(self.table.form), scope);
        if self.table.has_region {
            place(
                is_in(self.table.form),
                &[("RegionId", self.region.as_str())],
            );
        }
        place(is_in(self.table.servers_in_form), servers);
        let ask = Ask {
            action,
            query: &query,
            form: &form,
        };
        self.api.call(ask).await
    }

    /// All pages of a list.
    async fn pages<T: serde::de::DeserializeOwned>(
        &self,
        action: &'static str,
        scope: &[(&str, &str)],
    ) -> Result<Vec<T>, BalancerError> {
        let mut all = Vec::new();
        let mut token = String::new();
        for _ in 0..MOST_PAGES {
            let mut scope = scope.to_vec();
            if !token.is_empty() {
                scope.push(("NextToken", &token));
            }
            let page: Page<T> = parsed(action, &self.ask(action, &scope, &[]).await?)?;
            all.extend(page.list.into_iter().chain(page.rules));
            match page.next.filter(|next| !next.is_empty()) {
                Some(next) => token = next,
                None => return Ok(all),
            }
        }
        Err(BalancerError::Malformed {
            action,
            why: format!("more than {MOST_PAGES} pages"),
        })
    }

    /// The listeners of all balancers that the group belongs to.
    async fn listeners(&self) -> Result<Vec<String>, BalancerError> {
        let scope = [
            ("ServerGroupIds.1", self.id.as_str()),
            ("MaxResults", "100"),
        ];
        let groups: Vec<RelatedGroup> = self.pages(GROUPS, &scope).await?;
        let balancers = groups.into_iter().filter(|it| it.id == self.id);
        let balancers: Vec<String> = balancers.flat_map(|it| it.balancers).collect();
        let mut listeners = Vec::new();
        for balancer in &balancers {
            let scope = [
                ("LoadBalancerIds.1", balancer.as_str()),
                ("MaxResults", "100"),
            ];
            let all: Vec<RelatedListener> = self.pages(LISTENERS, &scope).await?;
            listeners.extend(
                all.into_iter()
                    .filter(RelatedListener::runs)
                    .map(|it| it.id),
            );
        }
        Ok(listeners)
    }

    /// What the listeners that send to this group say of it.
    async fn infos(&self) -> Result<Vec<Info>, BalancerError> {
        let known = self.listeners.borrow().clone();
        let listeners = match known {
            Some(known) => known,
            None => self.listeners().await?,
        };
        let mut infos = Vec::new();
        let mut sending = Vec::new();
        for listener in listeners {
            let mut scope = vec![("ListenerId", listener.as_str())];
            if self.table.has_rules {
                scope.push(("IncludeRule", "true"));
            }
            let all: Vec<health::Status> = self.pages(HEALTH, &scope).await?;
            let before = infos.len();
            infos.extend(all.into_iter().flat_map(|it| it.of(&self.id)));
            if infos.len() > before {
                sending.push(listener);
            }
        }
        self.listeners.replace(Some(sending));
        Ok(infos)
    }
}

impl Calls for ServerGroup {
    async fn read(&self) -> Result<Described, BalancerError> {
        let scope = [("ServerGroupId", self.id.as_str()), ("MaxResults", "100")];
        let servers: Vec<Server> = self.pages(LIST, &scope).await?;
        Ok(Described {
            balancer: self.table.product.name.to_owned(),
            group: self.id.clone(),
            backends: servers.into_iter().map(Server::backend).collect(),
        })
    }

    async fn change(&self, change: Change<'_>) -> Result<(), BalancerError> {
        let (action, backend, port, weight) = match change {
            Change::Weight(backend, weight) => (UPDATE, backend, backend.port, Some(weight)),
            Change::Join(backend, port) => (ADD, backend, port, Some(Weight::ZERO)),
            Change::Leave(backend) => (REMOVE, backend, backend.port, None),
        };
        let is_new = matches!(change, Change::Join(..));
        let servers = parameters(backend, (port, weight), is_new);
        let servers: Pairs<'_> = servers
            .iter()
            .map(|(name, it)| (*name, it.as_str()))
            .collect();
        let scope = [("ServerGroupId", self.id.as_str())];
        self.ask(action, &scope, &servers).await.map(drop)
    }

    /// Listeners name only those that are not well, so who is there is asked, too.
    async fn health(&self, members: &[Member]) -> Result<BTreeMap<Member, Health>, BalancerError> {
        let infos = self.infos().await?;
        if infos.iter().all(|info| !info.is_checked()) {
            return Ok(BTreeMap::new());
        }
        let described = self.read().await?;
        Ok(health::judge(&described, &infos, members))
    }
}

#[cfg(test)]
mod tests;
