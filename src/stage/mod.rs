//! The four stages that gitlab-runner calls, as recipes: short files that read as stories. Both lanes
//! have one shape: prepare, run, cleanup.

mod config;
mod context;
mod deploy;
mod docker;

pub use docker::job_scope;
pub(crate) use docker::{Marker, trim_layers};
pub(crate) use docker::{sweep_builds, sweep_groups};

use std::path::PathBuf;

pub(crate) use context::Setting;

use crate::{config::Lane, failure::Failure, job::Phase, log::Log};
use context::Context;

/// Which stage is called.
#[derive(Debug, Clone)]
pub(crate) enum Stage {
    Config,
    Prepare,
    Run { script: PathBuf, phase: String },
    Cleanup,
}

/// Carries a stage out.
pub(crate) async fn run(stage: Stage, setting: Setting, log: &Log) -> Result<(), Failure> {
    let context = Context::open(setting, log)?;
    let is_last = matches!(stage, Stage::Cleanup);
    carry_out(&context, stage).await?;
    if is_last {
        context.remove_note()?;
    }
    Ok(())
}

async fn carry_out(context: &Context<'_>, stage: Stage) -> Result<(), Failure> {
    match (&context.lane, stage) {
        (_, Stage::Config) => config::config(context),
        (Lane::Docker(lane), Stage::Prepare) => docker::prepare(context, lane).await,
        (Lane::Docker(lane), Stage::Run { script, phase }) => {
            docker::run(context, lane, &script, Phase::parse(&phase)).await
        }
        (Lane::Docker(lane), Stage::Cleanup) => docker::cleanup(context, lane).await,
        (Lane::Deploy(lane), Stage::Prepare) => deploy::Recipe::new(context, lane).prepare(),
        (Lane::Deploy(lane), Stage::Run { script, phase }) => {
            let recipe = deploy::Recipe::new(context, lane);
            recipe.run(&script, Phase::parse(&phase)).await
        }
        (Lane::Deploy(lane), Stage::Cleanup) => deploy::Recipe::new(context, lane).cleanup().await,
    }
}
