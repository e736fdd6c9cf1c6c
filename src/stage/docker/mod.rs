//! The docker lane's recipes.

mod cleanup;
mod gate;
mod note;
mod prepare;
mod provide;
mod run;
mod scope;
mod service;

pub(super) use cleanup::cleanup;
pub(super) use prepare::prepare;
pub(super) use run::run;
pub use scope::job_scope;

use futures_util::future::join_all;

use super::context::Context;
use crate::{
    config::DockerLane,
    docker::{
        engine::{self, Engine, EngineError, Found},
        name::{self, Names, Role},
    },
    failure::Failure,
    runner,
};

/// The engine, and what it holds of the job.
struct Scene {
    engine: Engine,
    names: Names,
    containers: Vec<Found>,
}

impl Scene {
    async fn open(context: &Context<'_>, lane: &DockerLane) -> Result<Self, Failure> {
        let engine = Engine::connect(&lane.docker_host)
            .await
            .map_err(EngineError::into_failure)?;
        let names = Names::new(&context.job, runner::of_caller());
        let label = engine::job_label(names.key());
        let containers = engine
            .find(&label)
            .await
            .map_err(EngineError::into_failure)?;
        Ok(Self {
            engine,
            names,
            containers,
        })
    }

    fn container(&self, role: Role) -> Option<&Found> {
        self.containers.iter().find(|found| {
            found
                .labels
                .get(name::ROLE)
                .is_some_and(|text| text == role.text())
        })
    }

    /// Removes all of the job: containers side by side, then their network. Everything is tried
    /// before the first error is told.
    async fn clear(&self) -> Result<(), Failure> {
        let removals = self
            .containers
            .iter()
            .map(|found| self.engine.remove(&found.id));
        let mut results = join_all(removals).await;
        let label = engine::job_label(self.names.key());
        let networks = self
            .engine
            .find_networks(&label)
            .await
            .map_err(EngineError::into_failure)?;
        for network in networks {
            results.push(self.engine.remove_network(&network.id).await);
        }
        results
            .into_iter()
            .collect::<Result<(), _>>()
            .map_err(EngineError::into_failure)
    }
}
