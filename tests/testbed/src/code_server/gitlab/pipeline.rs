//! A pipeline: which of its jobs may start now, and what the end of one means for the others.

mod run;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::{Context as _, Result, bail};

use super::ci::{self, Definition, Parallel};
use super::project::Reference;
use super::{Project, Shared, admit, dismiss, lock};
use crate::runner::{Outcome, Verdict};
use crate::spec::{
    Artifacts, ArtifactsFile, Caches, Dependency, JobBuilder, QueuedJob, Variable, next_id, slug,
};

pub use run::{Event, JobResult, PipelineOutcome, Running};

/// How far a job has come.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Status {
    Created,
    Running,
    Success,
    Failed,
    /// Failed, and `allow_failure` says that this does not matter.
    Warned,
    Canceled,
    Skipped,
    Manual,
    /// No runner takes it.
    Stuck,
}

impl Status {
    fn is_over(self) -> bool {
        !matches!(self, Self::Created | Self::Running)
    }

    /// Whether jobs that wait for it may go on.
    fn is_good(self) -> bool {
        matches!(self, Self::Success | Self::Warned | Self::Manual)
    }
}

#[derive(Clone, Debug)]
struct PlannedJob {
    definition: Definition,
    /// With the number or the values of a parallel copy.
    name: String,
    id: i64,
    extra: Vec<Variable>,
    status: Status,
    token: String,
}

/// A pipeline that has been made and not yet started.
#[derive(Clone, Debug)]
pub struct Pipeline {
    pub id: i64,
    gitlab: Shared,
    url: String,
    project: Project,
    reference: Reference,
    stages: Vec<String>,
    jobs: Arc<Mutex<Vec<PlannedJob>>>,
}

impl Pipeline {
    pub(super) fn create(
        gitlab: Shared,
        url: String,
        project: &Project,
        (name, id): (&str, i64),
    ) -> Result<Self> {
        let reference = project.at(name)?;
        let file = ci::parse(&project.file(name, ".gitlab-ci.yml")?)?;
        let selected = file
            .jobs
            .into_iter()
            .filter(|job| ci::is_selected(job, name, reference.is_tag));
        let jobs: Vec<PlannedJob> = selected.flat_map(|job| copies(&job)).collect();
        if jobs.is_empty() {
            bail!("no job of .gitlab-ci.yml is for {name}");
        }
        for job in &jobs {
            for need in job.definition.needs.iter().flatten() {
                if !jobs.iter().any(|one| one.definition.name == need.job) {
                    bail!(
                        "{} needs {}, which is not in the pipeline",
                        job.name,
                        need.job
                    );
                }
            }
        }
        Ok(Self {
            id,
            gitlab,
            url,
            project: project.clone(),
            reference,
            stages: file.stages,
            jobs: Arc::new(Mutex::new(jobs)),
        })
    }

    fn jobs(&self) -> MutexGuard<'_, Vec<PlannedJob>> {
        self.jobs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Names of the jobs, in the order of the file.
    pub fn names(&self) -> Vec<String> {
        self.jobs().iter().map(|job| job.name.clone()).collect()
    }

    pub fn statuses(&self) -> BTreeMap<String, Status> {
        self.jobs()
            .iter()
            .map(|job| (job.name.clone(), job.status))
            .collect()
    }

    /// Takes every job that may start now; they count as running from here on.
    pub(crate) fn take_ready(&self) -> Vec<QueuedJob> {
        let mut jobs = self.jobs();
        while let Some(at) = (0..jobs.len()).find(|&at| self.is_hopeless(&jobs, at)) {
            jobs[at].status = Status::Skipped;
        }
        let ready: Vec<usize> = (0..jobs.len())
            .filter(|&at| self.is_ready(&jobs, at))
            .collect();
        let mut queued = Vec::new();
        for at in ready {
            if jobs[at].definition.when == "manual" {
                jobs[at].status = Status::Manual;
                continue;
            }
            jobs[at].status = Status::Running;
            let job = self.build(&jobs, at);
            jobs[at].token.clone_from(&job.job.token);
            admit(&self.gitlab, &job);
            queued.push(job);
        }
        queued
    }

    /// The jobs whose end this one waits for.
    fn awaited<'a>(&self, jobs: &'a [PlannedJob], at: usize) -> Vec<&'a PlannedJob> {
        let job = &jobs[at].definition;
        if let Some(needs) = &job.needs {
            let is_needed =
                |one: &&PlannedJob| needs.iter().any(|need| need.job == one.definition.name);
            return jobs.iter().filter(is_needed).collect();
        }
        let position = |stage: &str| self.stages.iter().position(|one| one == stage);
        let own = position(&job.stage);
        jobs.iter()
            .filter(|one| position(&one.definition.stage) < own)
            .collect()
    }

    fn is_ready(&self, jobs: &[PlannedJob], at: usize) -> bool {
        let awaited = self.awaited(jobs, at);
        let is_over = awaited.iter().all(|one| one.status.is_over());
        let is_good = awaited.iter().all(|one| one.status.is_good());
        jobs[at].status == Status::Created
            && is_over
            && match jobs[at].definition.when.as_str() {
                "always" => true,
                "on_failure" => !is_good,
                _ => is_good,
            }
    }

    fn is_hopeless(&self, jobs: &[PlannedJob], at: usize) -> bool {
        let awaited = self.awaited(jobs, at);
        let is_over = awaited.iter().all(|one| one.status.is_over());
        let has_failed = awaited
            .iter()
            .any(|one| one.status.is_over() && !one.status.is_good());
        jobs[at].status == Status::Created
            && match jobs[at].definition.when.as_str() {
                "always" => false,
                "on_failure" => is_over && !has_failed,
                _ => has_failed,
            }
    }

    /// Notes how a job ended.
    pub(crate) fn finish(&self, id: i64, outcome: &Outcome) -> Status {
        dismiss(&self.gitlab, id);
        let mut jobs = self.jobs();
        let Some(job) = jobs.iter_mut().find(|job| job.id == id) else {
            return Status::Skipped;
        };
        job.status = match &outcome.verdict {
            Verdict::Success => Status::Success,
            Verdict::Failed {
                reason: crate::runner::Reason::JobCanceled,
                ..
            } => Status::Canceled,
            Verdict::Failed { exit_code, .. } => {
                if job.definition.allow_failure.covers(*exit_code) {
                    Status::Warned
                } else {
                    Status::Failed
                }
            }
        };
        job.status
    }

    fn set(&self, id: i64, status: Status) {
        if let Some(job) = self.jobs().iter_mut().find(|job| job.id == id) {
            job.status = status;
        }
    }

    fn build(&self, jobs: &[PlannedJob], at: usize) -> QueuedJob {
        let planned = &jobs[at];
        let definition = &planned.definition;
        let image = &definition.image;
        let mut job = JobBuilder::new(&*planned.name)
            .id(planned.id)
            .stage(&*definition.stage)
            .pipeline(self.id)
            .server(&*self.url)
            .tags(definition.tags.clone())
            .image(&*image.name)
            .entrypoint(image.entrypoint.clone())
            .image_options(image.executor_opts.clone())
            .script(definition.script.clone())
            .after_script(definition.after_script.clone());
        for policy in &image.pull_policy {
            job = job.pull_policy(policy);
        }
        for service in &definition.services {
            job = job.service(crate::spec::Service(service.clone()));
        }
        if let Some(seconds) = definition.timeout {
            job = job.timeout(seconds);
        }
        for variable in Self::variables(planned) {
            job = job.with(variable);
        }
        job = self.reference.dress(job, &self.project);
        for cache in &definition.caches {
            let mut cache = cache.clone();
            let kind = if self.reference.is_protected {
                "protected"
            } else {
                "non_protected"
            };
            cache.key = format!("{}-{kind}", cache.key);
            job = job.cache(Caches(cache));
        }
        if let Some(artifact) = &definition.artifacts {
            job = job.artifacts(Artifacts(artifact.clone()));
        }
        for dependency in self.dependencies(jobs, at) {
            job = job.dependency(dependency);
        }
        job.build()
    }

    /// What the file and the copy add, in GitLab's order before the project's own.
    fn variables(planned: &PlannedJob) -> Vec<Variable> {
        let mut list = Vec::new();
        if let Some(environment) = &planned.definition.environment {
            list.push(Variable::new("CI_ENVIRONMENT_NAME", environment));
            list.push(Variable::new("CI_ENVIRONMENT_SLUG", slug(environment)));
        }
        list.extend(planned.extra.iter().cloned());
        list.extend(planned.definition.variables.iter().cloned());
        list
    }

    fn dependencies(&self, jobs: &[PlannedJob], at: usize) -> Vec<Dependency> {
        let definition = &jobs[at].definition;
        let is_wanted = |name: &str| match (&definition.dependencies, &definition.needs) {
            (Some(names), _) => names.iter().any(|one| one == name),
            (None, Some(needs)) => needs.iter().any(|need| need.job == name && need.artifacts),
            (None, None) => true,
        };
        let state = lock(&self.gitlab);
        let stored = |job: &PlannedJob| state.jobs.get(&job.id)?.artifacts.clone();
        self.awaited(jobs, at)
            .into_iter()
            .filter(|job| is_wanted(&job.definition.name))
            .filter_map(|job| {
                let file = stored(job)?;
                let size = u64::try_from(file.content.len()).ok()?;
                Some(Dependency {
                    id: job.id,
                    token: job.token.clone(),
                    name: job.name.clone(),
                    artifacts_file: ArtifactsFile {
                        filename: file.name,
                        size,
                    },
                })
            })
            .collect()
    }

    fn stage_of(&self, name: &str) -> Result<String> {
        let jobs = self.jobs();
        let job = jobs
            .iter()
            .find(|job| job.name == name)
            .context("a job of this pipeline")?;
        Ok(job.definition.stage.clone())
    }
}

/// The copies of a job: one, or as many as `parallel` says.
fn copies(definition: &Definition) -> Vec<PlannedJob> {
    let copy = |name: String, extra: Vec<Variable>| PlannedJob {
        definition: definition.clone(),
        name,
        id: next_id(),
        extra,
        status: Status::Created,
        token: String::new(),
    };
    let name = &definition.name;
    match &definition.parallel {
        Parallel::No => vec![copy(name.clone(), Vec::new())],
        Parallel::Number(count) => (1..=*count)
            .map(|number| {
                let index = Variable::new("CI_NODE_INDEX", number.to_string());
                let total = Variable::new("CI_NODE_TOTAL", count.to_string());
                copy(format!("{name} {number}/{count}"), vec![index, total])
            })
            .collect(),
        Parallel::Matrix(rows) => rows
            .iter()
            .map(|row| {
                let values: Vec<&str> = row.iter().map(|(_, value)| value.as_str()).collect();
                let variables = row
                    .iter()
                    .map(|(key, value)| Variable::new(key, value))
                    .collect();
                copy(format!("{name}: [{}]", values.join(", ")), variables)
            })
            .collect(),
    }
}
