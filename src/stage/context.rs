//! What every stage knows of its call, its configuration and its job.

use std::path::PathBuf;

use crate::{
    call::Call,
    cancel::Cancel,
    config::{Config, Lane},
    failure::Failure,
    job::Job,
    log::Log,
    runner,
    store::{Note, Notes},
};

/// Where a stage is called from: what `app` read from the outside.
#[derive(Debug, Clone)]
pub(crate) struct Setting {
    pub(crate) call: Call,
    pub(crate) config: PathBuf,
    pub(crate) lane: String,
    /// The PATH of the runner's host.
    pub(crate) path: String,
    /// The dockmaster executable.
    pub(crate) program: PathBuf,
}

/// One stage of one job.
pub(super) struct Context<'a> {
    pub(super) call: Call,
    pub(super) config: Config,
    pub(super) lane: Lane,
    pub(super) lane_name: String,
    pub(super) job: Job,
    pub(super) log: &'a Log,
    pub(super) cancel: Cancel,
    pub(super) path: String,
    pub(super) program: PathBuf,
}

impl<'a> Context<'a> {
    pub(super) fn open(setting: Setting, log: &'a Log) -> Result<Self, Failure> {
        let config = Config::load(&setting.config)?;
        let lane = config.lane(&setting.lane)?.clone();
        let mut job = Job::read(setting.call.job_response_file.as_deref())?;
        if !config.require_typed_protection {
            job.complete();
        }
        let cancel = Cancel::listen()
            .map_err(|error| Failure::system(error).during("listening for signals"))?;
        Ok(Self {
            call: setting.call,
            config,
            lane,
            lane_name: setting.lane,
            job,
            log,
            cancel,
            path: setting.path,
            program: setting.program,
        })
    }

    /// Writes down who drives the job, for the day when nobody cleans up after it.
    pub(super) fn write_note(&self) -> Result<(), Failure> {
        let note = Note::new(runner::of_caller(), self.call.job_response_file.as_deref());
        Ok(self.notes().write(&self.job.key(), &note)?)
    }

    /// Nothing of the job is left.
    pub(super) fn remove_note(&self) -> Result<(), Failure> {
        Ok(self.notes().remove(&self.job.key())?)
    }

    /// Where it is written how far the lines of the job's services were shown.
    pub(super) fn shown(&self) -> PathBuf {
        self.notes().shown(&self.job.key())
    }

    fn notes(&self) -> Notes {
        Notes::new(&self.config.run_dir)
    }

    /// Stops waiting for `work` when somebody wants to stop: for stages that can be dropped anywhere,
    /// since cleanup finds all they made.
    pub(super) async fn until_cancelled<T>(
        &self,
        work: impl Future<Output = Result<T, Failure>>,
    ) -> Result<T, Failure> {
        tokio::select! {
            result = work => result,
            () = self.cancel.requested() => Err(Failure::system("cancelled")),
        }
    }
}
