//! The four stages that gitlab-runner calls, as recipes: short files that read as stories.

mod cleanup;
mod config;
mod docker;
mod prepare;
mod run;

use std::path::PathBuf;

use crate::{
    call::Call,
    cancel::Cancel,
    config::{Config, Lane},
    failure::{Failure, JobCode},
    job::{Job, Phase},
    log::Log,
    sandbox::{Engine, Host},
};

/// Which stage is called.
#[derive(Debug, Clone)]
pub enum Stage {
    Config,
    Prepare,
    Run { script: PathBuf, phase: String },
    Cleanup,
}

/// What every stage knows.
pub struct Context<'a> {
    pub call: Call,
    pub config: Config,
    pub lane: Lane,
    pub lane_name: String,
    pub job: Job,
    pub log: &'a Log,
    pub cancel: Cancel,
    /// The PATH of the runner's host.
    pub path: String,
}

/// Where a stage is called from: what `main` read from the outside.
#[derive(Debug, Clone)]
pub struct Setting {
    pub call: Call,
    pub config: PathBuf,
    pub lane: String,
    pub path: String,
}

/// Carries a stage out.
pub async fn run(stage: Stage, setting: Setting, log: &Log) -> Result<(), Failure> {
    dispatch(stage, &Context::open(setting, log)?).await
}

async fn dispatch(stage: Stage, context: &Context<'_>) -> Result<(), Failure> {
    match stage {
        Stage::Config => config::config(context),
        Stage::Prepare => prepare::prepare(context).await,
        Stage::Run { script, phase } => run::run(context, &script, Phase::parse(&phase)).await,
        Stage::Cleanup => cleanup::cleanup(context).await,
    }
}

impl<'a> Context<'a> {
    fn open(setting: Setting, log: &'a Log) -> Result<Self, Failure> {
        let config = Config::load(&setting.config).map_err(Failure::system)?;
        let lane = config.lane(&setting.lane).map_err(Failure::system)?.clone();
        let job = Job::read(setting.call.job_response_file.as_deref()).map_err(Failure::system)?;
        let cancel = Cancel::listen()
            .map_err(|error| Failure::system(error).during("listening for signals"))?;
        let Setting {
            call,
            lane: lane_name,
            path,
            ..
        } = setting;
        Ok(Self {
            call,
            config,
            lane,
            lane_name,
            job,
            log,
            cancel,
            path,
        })
    }

    /// The deploy lane, for this job.
    fn native(&self) -> Result<Engine<'_>, Failure> {
        let host = Host::here(self.path.clone())?;
        Engine::new(host, &self.config, &self.lane_name, &self.job)
    }

    /// Stops waiting for `work` when somebody wants to stop: for stages that can be dropped anywhere,
    /// since cleanup finds all they made.
    pub async fn until_cancelled<T>(
        &self,
        work: impl Future<Output = Result<T, Failure>>,
    ) -> Result<T, Failure> {
        tokio::select! {
            result = work => result,
            () = self.cancel.requested() => Err(Failure::system("cancelled")),
        }
    }
}

/// The job's image or service has a name that no image can have.
fn bad_reference(error: crate::docker::reference::BadReference) -> Failure {
    Failure::build(JobCode::Malformed, error)
}
