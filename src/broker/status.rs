//! How an environment is: for a person, at any hour. Changes nothing.

use futures_util::future::join_all;
use tokio::sync::watch;

use super::{
    open::{self, Live},
    voice::Voice,
};
use crate::{
    config::Config,
    failure::{self, Failure},
    rollout::{
        journal::Run,
        narrate,
        port::{Balancer, Container, Health, Narrator, Pool, Release, Remote, Weight, Wish},
        world::World,
    },
    store::{Lease, Runs},
};

/// Says it line by line. `true` when nothing needs a person.
pub(super) async fn status(config: &Config, name: &str) -> Result<bool, Failure> {
    let environment = config.environment(name)?;
    // Nobody can wish anything here.
    let (_, wish) = watch::channel(Wish::GoOn);
    let world = open::world(config, &environment, Voice::Admin, wish)?;
    let runs = Runs::new(&config.state_dir, name);
    let versions = runs.versions().map_err(Failure::system)?;
    let weights = match &world.balancer {
        None => Weights::NoBalancer,
        Some(balancer) => match balancer.pool().await {
            Ok(pool) => Weights::Read(pool),
            Err(error) => {
                world.narrator.say(&failure::chain(&error));
                Weights::Unread
            }
        },
    };
    let mut is_well = tell_hosts(&world, &weights, &versions).await;
    if let Some(holder) = Lease::holder(&config.state_dir, name) {
        world
            .narrator
            .say(&format!("{name} is being changed by {holder}"));
    } else if let Some(run) = runs.newest().map_err(Failure::system)? {
        is_well &= tell_run(&run, name, &world.narrator);
    }
    Ok(is_well)
}

/// What the balancer says; the hosts are told of whether it answers or not.
enum Weights {
    NoBalancer,
    Unread,
    Read(Pool),
}

impl Weights {
    /// A host's, for people; `false` when a person has to look at it.
    fn of(&self, host: &str) -> (bool, String) {
        match self {
            Self::NoBalancer => (true, "no balancer".into()),
            Self::Unread => (false, "weight unknown".into()),
            Self::Read(pool) => match pool.weights.get(host) {
                None => (false, "not at the balancer".into()),
                Some(weight) => (*weight != Weight::ZERO, format!("weight {weight}")),
            },
        }
    }
}

async fn tell_hosts(world: &World<Live>, weights: &Weights, versions: &[Release]) -> bool {
    let looks = world
        .hosts
        .iter()
        .map(async |(host, remote)| (host, remote.survey().await));
    let mut is_well = true;
    for (host, survey) in join_all(looks).await {
        let (is_in_service, weight) = weights.of(host);
        is_well &= is_in_service;
        let text = match survey {
            Ok(survey) => {
                let container = survey.container.as_ref();
                is_well &= container.is_some_and(is_serving);
                container.map_or("nothing runs".to_owned(), |container| {
                    running(container, versions)
                })
            }
            Err(error) => {
                is_well = false;
                failure::chain(&error)
            }
        };
        world.narrator.say(&format!("{host}  {weight}, {text}"));
    }
    is_well
}

fn is_serving(container: &Container) -> bool {
    container.is_running && matches!(container.health, Health::Healthy | Health::None)
}

fn running(container: &Container, versions: &[Release]) -> String {
    let health = match (container.is_running, container.health) {
        (false, _) => "not running",
        (true, Health::Starting) => "starting",
        (true, Health::Healthy) => "healthy",
        (true, Health::Unhealthy) => "unhealthy",
        (true, Health::None) => "no health check",
    };
    format!("{}, {health}", narrate::release_of(container, versions))
}

/// The last run; `false` when it was left open.
fn tell_run(run: &Run, environment: &str, narrator: &Voice) -> bool {
    let what = format!(
        "the last rollout, {} by job {}",
        run.release.version, run.owner.job
    );
    if !run.is_open() {
        narrator.say(&format!("{what}, has ended"));
        return true;
    }
    let why = run.stuck.as_deref().unwrap_or("it was cut off");
    narrator.say(&format!("{what}, is open: {why}"));
    narrator.say(&format!("next: dockmaster rollout recover {environment}"));
    false
}
