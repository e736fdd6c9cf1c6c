//! What a rollout would do, and whether it may: decided before anything is done. Pure.
//!
//! Capacity is counted in weight, not in hosts: the sum of the weights of backends that serve.

use std::collections::BTreeMap;

use super::{
    debt::Debt,
    health::{answers, is_serving},
    port::{Container, Health, HostName, Member, Pool, Release, Survey, Weight},
};
use crate::config::{Bytes, Order, Percent, Rollout};
use crate::lang::both;

/// What was seen of hosts and balancer at one moment.
#[derive(Debug, Clone, Default)]
pub(crate) struct Fleet {
    /// `None` without a balancer.
    pub pool: Option<Pool>,
    /// The hosts that answered.
    pub surveys: BTreeMap<HostName, Survey>,
}

impl Fleet {
    /// A host's weight; `None` without a balancer or when it is not a member.
    pub(crate) fn weight(&self, host: &str) -> Option<Weight> {
        self.pool.as_ref()?.weight(host)
    }

    /// A member's weight, whichever host it stands for.
    pub(crate) fn at(&self, member: &Member) -> Option<Weight> {
        self.pool.as_ref()?.weights.get(member).copied()
    }

    /// Fails where a host's machine gets requests in a way that nobody can take away from it.
    pub(crate) fn is_explained(&self, host: &str) -> Result<(), Refusal> {
        let Some(pool) = &self.pool else {
            return Ok(());
        };
        let mut siblings = pool.siblings(host);
        match siblings.find(|(_, weight)| *weight > Weight::ZERO) {
            None => Ok(()),
            Some((member, weight)) => Err(Refusal::Sibling {
                host: host.into(),
                member: member.to_string(),
                weight,
            }),
        }
    }

    pub(crate) fn container(&self, host: &str) -> Option<&Container> {
        self.surveys.get(host)?.container.as_ref()
    }

    /// How much weight a host carries: none when its container could not answer.
    fn serves(&self, host: &str) -> u32 {
        let is_serving = self.surveys.get(host).is_some_and(is_serving);
        let weight = self.weight(host).filter(|_| is_serving);
        weight.map_or(0, |weight| weight.value().into())
    }

    /// True where anything of a second instance is there.
    pub(crate) fn has_bridge(&self, host: &str) -> bool {
        let survey = self.surveys.get(host);
        survey.is_some_and(|survey| survey.bridge.is_some()) || self.bridge(host).is_some()
    }

    /// The member of a host's second instance with its weight, where it is in its group.
    pub(crate) fn bridge(&self, host: &str) -> Option<(&Member, Weight)> {
        let pool = self.pool.as_ref()?;
        let member = pool.bridges.get(host)?;
        Some((member, *pool.weights.get(member)?))
    }

    /// How much weight a host's second instance carries.
    pub(crate) fn bridge_serves(&self, host: &str) -> u32 {
        let bridge = self.surveys.get(host).and_then(|it| it.bridge.as_ref());
        let weight = self.bridge(host).filter(|_| bridge.is_some_and(answers));
        weight.map_or(0, |(_, weight)| weight.value().into())
    }

    fn strangers(&self) -> u32 {
        self.pool.as_ref().map_or(0, Pool::foreign_capacity)
    }
}

/// Why a rollout may not begin, or not go on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    #[error("{}", both!("{host} is the only backend that serves requests: taking it out would be an outage, so nothing is deployed until another one serves; it goes on serving with rollout.order = \"start-first\", and rollout.allow-downtime = true accepts the outage", "{host} 是唯一提供服务的后端：摘掉它就会中断服务，因此在有另一个后端之前不做发布；设置 rollout.order = \"start-first\" 可在更新期间继续服务，rollout.allow-downtime = true 表示接受中断"))]
    Alone { host: HostName },
    #[error("{}", both!("without {host} the pool would serve with a weight of {left} of {total}, and min-capacity = \"{percent}%\" does not allow that", "摘掉 {host} 后剩余权重为 {left}（总共 {total}），min-capacity = \"{percent}%\" 不允许"))]
    Capacity {
        host: HostName,
        left: u32,
        total: u32,
        percent: u8,
    },
    #[error("{}", both!("without {host} the pool would serve with a weight of {left} of {total}: no more than one backend may be missing (rollout.min-capacity)", "摘掉 {host} 后剩余权重为 {left}（总共 {total}）：最多只能缺一个后端（rollout.min-capacity）"))]
    Another {
        host: HostName,
        left: u32,
        total: u32,
    },
    #[error("{}", both!("an interrupted compose left half-made containers on {host}: {names}; see what they are, then remove them there with: docker rm NAME", "中断的 compose 在 {host} 上留下了半成品容器：{names}；请先看看它们是什么，再在那里用 docker rm NAME 删除"))]
    Leftovers { host: HostName, names: String },
    #[error("{}", both!("{host} has only {free} of disk left, and {needed} are needed (rollout.min-free-disk)", "{host} 的磁盘只剩 {free}，需要 {needed}（rollout.min-free-disk）"))]
    Disk {
        host: HostName,
        free: Bytes,
        needed: Bytes,
    },
    #[error("{}", both!("compose is already at work on {host}: somebody else's deployment has not ended", "compose 已在 {host} 上执行：别人的部署还没有结束"))]
    Busy { host: HostName },
    #[error("{}", both!("{host} did not answer when it was looked at again", "再次查看时 {host} 没有应答"))]
    Silent { host: HostName },
    #[error("{}", both!("host {host} ({member}) is not behind the balancer, which has: {members}", "主机 {host}（{member}）不在负载均衡后面，那里有：{members}"))]
    NotMember {
        host: HostName,
        member: String,
        members: String,
    },
    #[error("{}", both!("nothing at the balancer stands for host {host}", "负载均衡上没有主机 {host} 对应的后端"))]
    NoMember { host: HostName },
    #[error("{}", both!("the machine of {host} also gets requests as {member} (weight {weight}), which the environment does not name: they would be cut; set that weight to 0 first, or take it out of the group", "{host} 这台机器还以 {member}（权重 {weight}）接收请求，而环境文件没有写它：这些请求会被打断；请先把它的权重设为 0，或把它移出服务器组"))]
    Sibling {
        host: HostName,
        member: String,
        weight: Weight,
    },
}

/// The weights to count with.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Floor<'a> {
    /// All but one where nothing is said.
    pub percent: Option<Percent>,
    /// True where the operator accepts that nothing serves meanwhile.
    pub allows_downtime: bool,
    /// What each host carries when all is well.
    pub originals: &'a BTreeMap<HostName, Weight>,
}

impl Floor<'_> {
    /// Whether `host` may be taken out of the pool as it is now.
    ///
    /// A host that serves nothing takes nothing away; one that is out already counts as used up, and
    /// one that could not be looked at may well serve.
    pub(crate) fn allows(&self, fleet: &Fleet, host: &str) -> Result<(), Refusal> {
        let serves_nothing = fleet.surveys.contains_key(host) && fleet.serves(host) == 0;
        if serves_nothing || self.allows_downtime {
            return Ok(());
        }
        // Two instances of one host are no more than that host.
        let carries = |host: &str, own: u32, weight: &Weight| {
            (own + fleet.bridge_serves(host)).min(weight.value().into())
        };
        let left = self.originals.iter().map(|(name, weight)| {
            let own = if name == host { 0 } else { fleet.serves(name) };
            carries(name, own, weight)
        });
        let left = left.sum::<u32>() + fleet.strangers();
        let originals = self.originals.values();
        let total = originals
            .map(|weight| u32::from(weight.value()))
            .sum::<u32>()
            + fleet.strangers();
        if left == 0 {
            return Err(Refusal::Alone { host: host.into() });
        }
        self.is_enough(host, left, total)
    }

    fn is_enough(&self, host: &str, left: u32, total: u32) -> Result<(), Refusal> {
        let own = self.originals.get(host).map_or(0, |it| it.value().into());
        let host = host.to_owned();
        match self.percent.map(Percent::value) {
            Some(percent) if left * 100 < total * u32::from(percent) => Err(Refusal::Capacity {
                host,
                left,
                total,
                percent,
            }),
            None if left + own < total => Err(Refusal::Another { host, left, total }),
            Some(_) | None => Ok(()),
        }
    }
}

/// One host of a plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Planned {
    pub host: HostName,
    /// True when it runs the release already, healthy: it is not touched.
    pub is_current: bool,
    /// True when an earlier rollout left a second instance there.
    pub has_bridge: bool,
    /// The weight to give back in the end.
    pub weight: Option<Weight>,
    /// The weight it has now.
    pub found: Option<Weight>,
    /// Whose weights these are.
    pub member: Option<Member>,
    pub previous: Option<Container>,
    /// True where that is the release's image, made of other compose files.
    pub is_outdated: bool,
}

/// What a plan is made from.
#[derive(Debug)]
pub(crate) struct Wanted<'a> {
    pub release: &'a Release,
    pub rollout: &'a Rollout,
    /// Whether hosts are asked over HTTP, so that a release needs no HEALTHCHECK.
    pub has_probe: bool,
    /// The hosts as the environment's file lists them.
    pub hosts: Vec<HostName>,
    /// Weights to give back to hosts that earlier rollouts had to leave out.
    pub debt: &'a Debt,
}

/// Decides what is done, in order: hosts that serve nothing first, for they cost nothing.
pub(crate) fn plan(wanted: &Wanted<'_>, fleet: &Fleet) -> Result<Vec<Planned>, Refusal> {
    let mut hosts = Vec::new();
    for host in &wanted.hosts {
        hosts.push(planned(wanted, fleet, host)?);
    }
    hosts.sort_by_key(|planned| fleet.serves(&planned.host) > 0);
    rehearse(wanted, fleet.clone(), &hosts)?;
    Ok(hosts)
}

fn planned(wanted: &Wanted<'_>, fleet: &Fleet, name: &HostName) -> Result<Planned, Refusal> {
    let host = name.clone();
    let Some(survey) = fleet.surveys.get(name) else {
        return Err(Refusal::Silent { host });
    };
    if survey.is_switching {
        return Err(Refusal::Busy { host });
    }
    if !survey.leftovers.is_empty() {
        let names = survey.leftovers.join(", ");
        return Err(Refusal::Leftovers { host, names });
    }
    let (free, needed) = (Bytes::from(survey.free_bytes), wanted.rollout.min_free_disk);
    if free < needed {
        return Err(Refusal::Disk { host, free, needed });
    }
    let member = own_member(fleet, name)?;
    fleet.is_explained(name)?;
    let found = fleet.weight(name);
    let owed = member.as_ref().and_then(|member| wanted.debt.of(member));
    let weight = owed.map(|owed| owed.weight).or(found);
    let previous = survey.container.clone();
    let is_current = found == weight
        && !survey.is_outdated
        && previous.as_ref().is_some_and(|container| {
            container.runs(wanted.release)
                && container.is_running
                && (container.health == Health::Healthy
                    || (wanted.has_probe && container.health == Health::None))
        });
    Ok(Planned {
        has_bridge: fleet.has_bridge(&host),
        host,
        is_current,
        weight,
        found,
        member,
        previous,
        is_outdated: survey.is_outdated,
    })
}

/// The member that stands for a host; `None` without a balancer.
fn own_member(fleet: &Fleet, host: &HostName) -> Result<Option<Member>, Refusal> {
    let Some(pool) = &fleet.pool else {
        return Ok(None);
    };
    match pool.own.get(host) {
        Some(member) if pool.weights.contains_key(member) => Ok(Some(member.clone())),
        Some(member) => Err(Refusal::NotMember {
            host: host.clone(),
            member: member.to_string(),
            members: members(pool),
        }),
        None => Err(Refusal::NoMember { host: host.clone() }),
    }
}

fn members(pool: &Pool) -> String {
    let members: Vec<_> = pool.weights.keys().map(ToString::to_string).collect();
    if members.is_empty() {
        return "nothing".into();
    }
    members.join(", ")
}

/// Goes through the rollout host by host and asks the floor at each.
fn rehearse(wanted: &Wanted<'_>, mut fleet: Fleet, hosts: &[Planned]) -> Result<(), Refusal> {
    let originals = originals(hosts);
    let floor = Floor {
        percent: wanted.rollout.min_capacity,
        allows_downtime: wanted.rollout.allow_downtime,
        originals: &originals,
    };
    for planned in hosts.iter().filter(|planned| !planned.is_current) {
        if !is_bridged(wanted.rollout.order, &fleet, &planned.host) {
            floor.allows(&fleet, &planned.host)?;
        }
        if let (Some(pool), Some(weight), Some(member)) =
            (&mut fleet.pool, planned.weight, &planned.member)
        {
            pool.weights.insert(member.clone(), weight);
        }
        if let Some(survey) = fleet.surveys.get_mut(&planned.host) {
            survey.container = Some(as_deployed(wanted.release));
        }
    }
    Ok(())
}

/// True when a host goes on serving from its second port while it changes: where it serves at all.
pub(crate) fn is_bridged(order: Order, fleet: &Fleet, host: &str) -> bool {
    let pool = fleet.pool.as_ref();
    let has_port = pool.is_some_and(|pool| pool.bridges.contains_key(host));
    order == Order::StartFirst && has_port && fleet.serves(host) > 0
}

fn as_deployed(release: &Release) -> Container {
    Container {
        id: String::new(),
        reference: release.reference(),
        image: String::new(),
        digests: vec![release.reference()],
        is_running: true,
        is_paused: false,
        health: Health::Healthy,
        restarts: 0,
    }
}

/// The weights to give back.
pub(crate) fn originals(hosts: &[Planned]) -> BTreeMap<HostName, Weight> {
    hosts
        .iter()
        .filter_map(|planned| Some((planned.host.clone(), planned.weight?)))
        .collect()
}
