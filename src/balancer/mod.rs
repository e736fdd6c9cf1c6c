//! Load balancers, as the rollout's [`Balancer`](port::Balancer): one file or folder each. A new one
//! is its file, its `mod` line and its line in [`KINDS`]; `tests/host/contract.rs` says what it owes.

mod aliyun;
mod error;

use std::{collections::BTreeMap, pin::Pin};

use crate::{
    config::Environment,
    rollout::port::{self, Health, Member, Pool, Weight},
};
pub use error::BalancerError;

type Open = fn(&Environment) -> Result<Option<Box<dyn Adapter>>, BalancerError>;

/// A line for each `balancer.kind`.
const KINDS: &[(&str, Open)] = &[
    ("clb-vserver-group", |it| {
        Ok(Some(Box::new(aliyun::Clb::vserver_group(it)?)))
    }),
    ("clb", |it| {
        Ok(Some(Box::new(aliyun::Clb::default_group(it)?)))
    }),
    ("alb", |it| {
        Ok(Some(Box::new(aliyun::ServerGroup::alb(it)?)))
    }),
    ("nlb", |it| {
        Ok(Some(Box::new(aliyun::ServerGroup::nlb(it)?)))
    }),
    ("none", |_| Ok(None)),
];

/// Opens the environment's balancer by its kind; `None` when it has none. Reads no file and connects
/// to nothing: only the environment's own settings can be wrong.
pub fn open(environment: &Environment) -> Result<Option<Balancer>, BalancerError> {
    let kind = environment.balancer.kind.as_str();
    let Some((_, open)) = KINDS.iter().find(|(name, _)| *name == kind) else {
        let known: Vec<_> = KINDS.iter().map(|(name, _)| *name).collect();
        let why = format!("balancer.kind `{kind}` is not one of: {}", known.join(", "));
        return Err(BalancerError::settings(environment, why));
    };
    Ok(open(environment)?.map(Balancer))
}

/// The balancer of an environment, whatever its kind.
pub struct Balancer(Box<dyn Adapter>);

impl port::Balancer for Balancer {
    type Error = BalancerError;

    async fn pool(&self) -> Result<Pool, BalancerError> {
        self.0.pool().await
    }

    async fn set_weight(&self, member: &Member, weight: Weight) -> Result<(), BalancerError> {
        self.0.set_weight(member, weight).await
    }

    async fn join(&self, member: &Member) -> Result<(), BalancerError> {
        self.0.join(member).await
    }

    async fn leave(&self, member: &Member) -> Result<(), BalancerError> {
        self.0.leave(member).await
    }

    async fn health(&self, members: &[Member]) -> Result<Checked, BalancerError> {
        self.0.health(members).await
    }
}

type Checked = BTreeMap<Member, Health>;
type Answer<'a, T> = Pin<Box<dyn Future<Output = Result<T, BalancerError>> + 'a>>;

/// The port with boxed futures: a trait with async functions cannot be a trait object.
trait Adapter {
    fn pool(&self) -> Answer<'_, Pool>;

    fn set_weight<'a>(&'a self, member: &'a Member, weight: Weight) -> Answer<'a, ()>;

    fn join<'a>(&'a self, member: &'a Member) -> Answer<'a, ()>;

    fn leave<'a>(&'a self, member: &'a Member) -> Answer<'a, ()>;

    fn health<'a>(&'a self, members: &'a [Member]) -> Answer<'a, Checked>;
}

impl<B: port::Balancer<Error = BalancerError>> Adapter for B {
    fn pool(&self) -> Answer<'_, Pool> {
        Box::pin(port::Balancer::pool(self))
    }

    fn set_weight<'a>(&'a self, member: &'a Member, weight: Weight) -> Answer<'a, ()> {
        Box::pin(port::Balancer::set_weight(self, member, weight))
    }

    fn join<'a>(&'a self, member: &'a Member) -> Answer<'a, ()> {
        Box::pin(port::Balancer::join(self, member))
    }

    fn leave<'a>(&'a self, member: &'a Member) -> Answer<'a, ()> {
        Box::pin(port::Balancer::leave(self, member))
    }

    fn health<'a>(&'a self, members: &'a [Member]) -> Answer<'a, Checked> {
        Box::pin(port::Balancer::health(self, members))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_kind_is_refused_with_the_known_ones() {
        let text = include_str!("../../runner-config/environments/production.toml");
        let mut environment: Environment = toml::from_str(text).unwrap();
        assert!(matches!(open(&environment), Ok(Some(_))));
        environment.balancer.kind = "none".into();
        assert!(matches!(open(&environment), Ok(None)));
        environment.name = "staging".into();
        environment.balancer.kind = "elb".into();
        let text = open(&environment).err().unwrap().to_string();
        let (what, known) = text.split_once(" is not one of: ").unwrap();
        assert_eq!(what, "environments/staging.toml: balancer.kind `elb`");
        let known: Vec<_> = known.split(", ").collect();
        let expect = ["clb-vserver-group", "clb", "alb", "nlb", "none"];
        assert_eq!(known, expect);
        for kind in expect {
            environment.balancer.kind = kind.into();
            assert!(open(&environment).is_ok(), "{kind}");
        }
    }
}
