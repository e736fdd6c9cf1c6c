//! A pipeline at work: its jobs side by side on a runner, and what can be done while they run.

use std::collections::BTreeMap;
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, bail};

use super::{Pipeline, Status};
use crate::runner::{Handle, Log, Outcome, Runner};
use crate::spec::QueuedJob;

/// What a watcher of a pipeline hears. Lines of different jobs come in between each other.
#[derive(Debug)]
pub enum Event<'a> {
    Started {
        job: &'a str,
        stage: &'a str,
    },
    Line {
        job: &'a str,
        line: &'a str,
    },
    Ended {
        job: &'a str,
        status: Status,
        after: Duration,
    },
}

type Watcher = Arc<dyn Fn(&Event<'_>) + Send + Sync>;

/// How one job of a pipeline went. There is no outcome if it never ran.
#[derive(Clone, Debug)]
pub struct JobResult {
    pub name: String,
    pub stage: String,
    pub id: i64,
    pub status: Status,
    pub outcome: Option<Outcome>,
    pub duration: Duration,
}

/// How all of them went.
#[derive(Clone, Debug)]
pub struct PipelineOutcome {
    pub jobs: Vec<JobResult>,
}

impl PipelineOutcome {
    pub fn is_passed(&self) -> bool {
        self.jobs.iter().all(|job| job.status.is_good())
    }

    pub fn job(&self, name: &str) -> Result<&JobResult> {
        self.jobs
            .iter()
            .find(|job| job.name == name)
            .with_context(|| format!("no job {name}"))
    }

    /// The log of a job that ran.
    pub fn log(&self, name: &str) -> Result<String> {
        let outcome = self.job(name)?.outcome.as_ref();
        Ok(outcome
            .with_context(|| format!("{name} did not run"))?
            .text())
    }

    /// Every job's status and the logs of those that failed: for the message of an assertion.
    pub fn story(&self) -> String {
        let mut story = String::new();
        for job in &self.jobs {
            story.extend([&*job.name, ": ", &format!("{:?}", job.status), "\n"]);
        }
        for job in self.jobs.iter().filter(|job| !job.status.is_good()) {
            let text = job.outcome.as_ref().map(Outcome::text).unwrap_or_default();
            story.extend(["\n--- ", &*job.name, "\n", &*text]);
        }
        story
    }
}

/// A pipeline that runs.
#[derive(Debug)]
pub struct Running {
    begun: Arc<Begun>,
    thread: JoinHandle<PipelineOutcome>,
}

/// The jobs that have begun, for those who wait for one.
#[derive(Debug, Default)]
struct Begun {
    jobs: Mutex<BegunJobs>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct BegunJobs {
    by_name: BTreeMap<String, (Log, Handle)>,
    are_all: bool,
}

impl Pipeline {
    pub fn start(self, runner: &Runner) -> Running {
        self.start_watched(runner, |_| {})
    }

    /// As `start`, with everything that happens as it happens.
    pub fn start_watched(
        self,
        runner: &Runner,
        watch: impl Fn(&Event<'_>) + Send + Sync + 'static,
    ) -> Running {
        let begun = Arc::new(Begun::default());
        let (runner, watch, known) = (runner.clone(), Arc::new(watch) as Watcher, begun.clone());
        let thread = std::thread::spawn(move || {
            let outcome = work(&self, &runner, &watch, &known);
            known.change(|jobs| jobs.are_all = true);
            outcome
        });
        Running { begun, thread }
    }

    /// Runs the pipeline to its end.
    pub fn run(self, runner: &Runner) -> Result<PipelineOutcome> {
        self.start(runner).wait()
    }
}

impl Begun {
    fn change<T>(&self, change: impl FnOnce(&mut BegunJobs) -> T) -> T {
        let answer = change(&mut self.jobs.lock().unwrap_or_else(PoisonError::into_inner));
        self.changed.notify_all();
        answer
    }
}

impl Running {
    /// The log and the handle of a job, once it has begun.
    pub fn job(&self, name: &str) -> Result<(Log, Handle)> {
        let deadline = Instant::now() + Duration::from_mins(5);
        let mut jobs = self
            .begun
            .jobs
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        loop {
            if let Some(found) = jobs.by_name.get(name) {
                return Ok(found.clone());
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if jobs.are_all || left.is_zero() {
                bail!("the job {name} has not begun");
            }
            let waited = self.begun.changed.wait_timeout(jobs, left);
            jobs = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Waits until a line of a job's log contains the text.
    pub fn wait_for(&self, job: &str, text: &str) -> Result<String> {
        self.job(job)?.0.wait_for(text, Duration::from_mins(5))
    }

    pub fn is_finished(&self) -> bool {
        self.thread.is_finished()
    }

    pub fn wait(self) -> Result<PipelineOutcome> {
        self.thread
            .join()
            .map_err(|_| anyhow!("the pipeline's thread panicked"))
    }
}

/// A job's end, from the thread that waited for it.
struct Ended {
    id: i64,
    outcome: Outcome,
    duration: Duration,
}

fn work(
    pipeline: &Pipeline,
    runner: &Runner,
    watch: &Watcher,
    begun: &Arc<Begun>,
) -> PipelineOutcome {
    let (sender, ends) = channel();
    let mut running = 0;
    let mut ended = BTreeMap::new();
    loop {
        for queued in pipeline.take_ready() {
            let id = queued.job.id;
            match begin(pipeline, runner, queued, (watch, begun, &sender)) {
                Ok(()) => running += 1,
                Err(_) => pipeline.set(id, Status::Stuck),
            }
        }
        if running == 0 {
            break;
        }
        let Ok(end) = ends.recv() else { break };
        running -= 1;
        let status = pipeline.finish(end.id, &end.outcome);
        let name = name_of(pipeline, end.id);
        watch(&Event::Ended {
            job: &name,
            status,
            after: end.duration,
        });
        ended.insert(end.id, end);
    }
    results(pipeline, &mut ended)
}

fn name_of(pipeline: &Pipeline, id: i64) -> String {
    let jobs = pipeline.jobs();
    jobs.iter()
        .find(|job| job.id == id)
        .map_or_else(String::new, |job| job.name.clone())
}

fn begin(
    pipeline: &Pipeline,
    runner: &Runner,
    queued: QueuedJob,
    (watch, begun, sender): (&Watcher, &Arc<Begun>, &Sender<Ended>),
) -> Result<()> {
    let (id, name) = (queued.job.id, queued.job.job_info.name.clone());
    watch(&Event::Started {
        job: &name,
        stage: &pipeline.stage_of(&name)?,
    });
    let start = Instant::now();
    let (line_watch, line_name) = (watch.clone(), name.clone());
    let run = runner.start_watched(queued, move |line| {
        line_watch(&Event::Line {
            job: &line_name,
            line,
        });
    })?;
    begun.change(|jobs| jobs.by_name.insert(name, (run.log().clone(), run.handle())));
    let sender = sender.clone();
    std::thread::spawn(move || {
        if let Ok(outcome) = run.wait() {
            // The pipeline waits for every job it started.
            let _ = sender.send(Ended {
                id,
                outcome,
                duration: start.elapsed(),
            });
        }
    });
    Ok(())
}

fn results(pipeline: &Pipeline, ended: &mut BTreeMap<i64, Ended>) -> PipelineOutcome {
    let jobs = pipeline.jobs();
    let result = |job: &super::PlannedJob| {
        let end = ended.remove(&job.id);
        JobResult {
            name: job.name.clone(),
            stage: job.definition.stage.clone(),
            id: job.id,
            status: if end.is_none() && job.status == Status::Created {
                Status::Skipped
            } else {
                job.status
            },
            duration: end.as_ref().map_or(Duration::ZERO, |end| end.duration),
            outcome: end.map(|end| end.outcome),
        }
    };
    let mut jobs: Vec<JobResult> = jobs.iter().map(result).collect();
    // As a person reads a pipeline: stage by stage, whatever the order in the file.
    jobs.sort_by_key(|job| pipeline.stages.iter().position(|stage| *stage == job.stage));
    PipelineOutcome { jobs }
}
