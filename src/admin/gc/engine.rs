//! What an engine holds of dead jobs, and of older dockmasters.

use std::collections::BTreeSet;

use crate::{
    docker::{
        engine::{Engine, Object},
        fault::EngineError,
        name,
    },
    failure::Failure,
    runner,
};

pub(super) struct EngineSweep {
    pub(super) engine: Engine,
    /// The installation's: what another one made on this engine is not ours to judge, for its runner may
    /// live where we do not see it.
    pub(super) mark: String,
}

impl EngineSweep {
    pub(super) async fn connect(host: &str, mark: String) -> Result<Self, Failure> {
        let engine = Engine::connect(host).await?;
        Ok(Self { engine, mark })
    }

    /// Removes containers, networks and volumes of dead jobs; an error when the engine does not even
    /// say what it holds.
    pub(super) async fn orphans(
        &self,
        jobs: &mut BTreeSet<String>,
        failures: &mut Vec<Failure>,
    ) -> Result<(), Failure> {
        let engine = &self.engine;
        let mut note = |found: &Object, removed: Result<(), EngineError>| match removed {
            Ok(()) => jobs.extend(found.labels.get(name::JOB).cloned()),
            Err(error) => failures.push(error.into()),
        };
        let own = self.own_label();
        for found in engine.containers(&own).await?.iter().filter(is_orphan) {
            note(found, engine.remove(&found.id).await);
        }
        for found in engine.networks(&own).await?.iter().filter(is_orphan) {
            note(found, engine.remove_network(&found.id).await);
        }
        for found in engine.volumes(&own).await?.iter().filter(is_orphan) {
            note(found, engine.remove_volume(&found.id).await.map(drop));
        }
        Ok(())
    }

    fn own_label(&self) -> String {
        format!("{}={}", name::INSTALLATION, self.mark)
    }

    /// Removes helper images of our making that no container uses and that are not the newest: each version of the
    /// runner or of git brings another one, and one that is missed is made again in a second.
    pub(super) async fn old_helpers(&self, others: &mut Vec<String>) -> Result<(), Failure> {
        let own = self.own_label();
        let mut helpers = self.engine.images(name::HELPER_IMAGE, &own).await?;
        helpers.sort_by_key(|image| image.created);
        helpers.pop();
        for helper in helpers {
            if self.engine.remove_image(&helper.name).await? {
                others.push(format!("removed the helper image {}", helper.name));
            }
        }
        Ok(())
    }
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "the form that `filter` asks for"
)]
fn is_orphan(found: &&Object) -> bool {
    // What names no runner is nobody's job.
    let runner = found.labels.get(name::RUNNER);
    runner.is_some_and(|runner| !runner::is_alive(runner))
}
