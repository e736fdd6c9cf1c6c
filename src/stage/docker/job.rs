//! One job of the docker lane: what every recipe begins with.

use futures_util::future::join_all;

use super::super::context::Context;
use crate::{
    config::DockerLane,
    docker::{
        engine::{self, Engine, Object},
        fault::EngineError,
        name::{self, Names, Role},
    },
    failure::Failure,
    runner,
    store::host_secret,
};

/// One job of the docker lane, and what the engine holds of it.
pub(super) struct DockerJob<'a> {
    pub(super) context: &'a Context<'a>,
    pub(super) lane: &'a DockerLane,
    pub(super) engine: Engine,
    pub(super) names: Names,
    containers: Vec<Object>,
}

impl<'a> DockerJob<'a> {
    pub(super) async fn open(
        context: &'a Context<'a>,
        lane: &'a DockerLane,
    ) -> Result<Self, Failure> {
        let engine = Engine::connect(&lane.docker_host).await?;
        let mark = host_secret(&context.config.state_dir)?.mark();
        let names = Names::new(&context.job, runner::of_caller(), mark);
        let label = engine::job_label(names.key());
        let containers = engine.containers(&label).await?;
        Ok(Self {
            context,
            lane,
            engine,
            names,
            containers,
        })
    }

    pub(super) fn container(&self, role: Role) -> Option<&Object> {
        let has_role = |it: &&Object| it.label(name::ROLE) == role.text();
        self.containers.iter().find(has_role)
    }

    pub(super) fn containers_of(&self, role: Role) -> impl Iterator<Item = &Object> {
        let has_role = move |it: &&Object| it.label(name::ROLE) == role.text();
        self.containers.iter().filter(has_role)
    }

    /// Removes the job's containers, side by side, then its network. Tries everything before it
    /// tells the first error.
    pub(super) async fn remove_all(&self) -> Result<(), Failure> {
        let removals = self.containers.iter().map(|it| self.engine.remove(&it.id));
        let mut results = join_all(removals).await;
        let label = engine::job_label(self.names.key());
        for network in self.engine.networks(&label).await? {
            results.push(self.engine.remove_network(&network.id).await);
        }
        Ok(results.into_iter().collect::<Result<(), EngineError>>()?)
    }

    pub(super) async fn say(&self, line: &str) {
        self.context.log.say(line).await;
    }
}
