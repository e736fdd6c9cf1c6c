//! A stand-in for GitLab: projects with their repositories over HTTP, CI/CD variables, pipelines
//! from `.gitlab-ci.yml`, artifacts.
//!
//! What a job and its runner see is GitLab's; there is no user, no page and no database.
//!
//! ```no_run
//! # use testbed::{background::Background, gitlab::Gitlab, runner::Runner, spec::Variable};
//! # fn main() -> anyhow::Result<()> {
//! # let (background, runner) = (Background::start()?, Runner::parse("")?);
//! let gitlab = Gitlab::start(&background, "127.0.0.1".parse()?, "/tmp/somewhere".as_ref())?;
//! let project = gitlab.project(42, "copublic/test_server1")?;
//! project.protect_tags("v*");
//! project.variable(Variable::new("CI_REGISTRY_PASSWORD", "secret").masked());
//! project.commit("Release 1.0.0", |directory| {
//!     Ok(std::fs::write(directory.join(".gitlab-ci.yml"), "test: {script: [echo hi]}")?)
//! })?;
//! project.tag("v1.0.0")?;
//!
//! let running = gitlab.pipeline(&project, "v1.0.0")?.start(&runner);
//! running.wait_for("test", "hi")?; // a line in the log of that job
//! let outcome = running.wait()?;
//! assert!(outcome.is_passed());
//! # Ok(())
//! # }
//! ```

mod ci;
mod multipart;
mod pages;
mod pipeline;
mod project;
mod repository;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::{Context as _, Result};
use bytes::Bytes;

use crate::background::Background;
use crate::serve::Server;
use crate::spec::{JobBuilder, QueuedJob};
pub use pipeline::{Event, JobResult, Pipeline, PipelineOutcome, Running, Status};
pub use project::Project;

/// A running GitLab; dropping it closes its address.
#[derive(Debug)]
pub struct Gitlab {
    shared: Shared,
    url: String,
    directory: PathBuf,
    _server: Server,
}

pub(crate) type Shared = Arc<Mutex<State>>;

#[derive(Debug, Default)]
pub(crate) struct State {
    /// Every job handed out, by id.
    jobs: BTreeMap<i64, KnownJob>,
    pipelines: i64,
}

#[derive(Debug)]
struct KnownJob {
    token: String,
    project: String,
    is_running: bool,
    artifacts: Option<StoredArtifacts>,
}

#[derive(Clone, Debug)]
pub(crate) struct StoredArtifacts {
    pub(crate) name: String,
    pub(crate) content: Bytes,
}

pub(crate) fn lock(shared: &Shared) -> MutexGuard<'_, State> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Gitlab {
    /// Listens on a port of its own at `ip`: loopback, or an address that job containers reach.
    /// Repositories lie in `directory`.
    pub fn start(background: &Background, ip: IpAddr, directory: &Path) -> Result<Self> {
        let shared = Shared::default();
        let repositories = directory.join("repositories");
        std::fs::create_dir_all(&repositories)
            .with_context(|| format!("cannot create {}", repositories.display()))?;
        let server = Server::start(background, ip, pages::handler(shared.clone(), repositories))?;
        let url = format!("http://{}", server.address());
        Ok(Self {
            shared,
            url,
            directory: directory.to_owned(),
            _server: server,
        })
    }

    /// `http://ADDRESS:PORT`, as jobs see it.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Makes a project with an empty repository.
    pub fn project(&self, id: i64, path: &str) -> Result<Project> {
        Project::create(&self.directory, id, path)
    }

    /// Makes a pipeline of the jobs that `.gitlab-ci.yml` has for a tag or branch.
    pub fn pipeline(&self, project: &Project, reference: &str) -> Result<Pipeline> {
        let number = {
            let mut state = lock(&self.shared);
            state.pipelines += 1;
            76 + state.pipelines
        };
        Pipeline::create(
            self.shared.clone(),
            self.url.clone(),
            project,
            (reference, number),
        )
    }

    /// A job outside any pipeline, of a commit that was pushed.
    pub fn job(&self, project: &Project, reference: &str, job: JobBuilder) -> Result<QueuedJob> {
        let job = project
            .at(reference)?
            .dress(job.server(&*self.url), project);
        let queued = job.build();
        admit(&self.shared, &queued);
        Ok(queued)
    }

    /// The artifacts archive of a job.
    pub fn artifacts(&self, job: i64) -> Option<Bytes> {
        let state = lock(&self.shared);
        Some(state.jobs.get(&job)?.artifacts.as_ref()?.content.clone())
    }
}

/// Lets a job that was handed out fetch and upload with its token.
pub(crate) fn admit(shared: &Shared, queued: &QueuedJob) {
    let job = &queued.job;
    let known = KnownJob {
        token: job.token.clone(),
        project: job.job_info.project_full_path.clone(),
        is_running: true,
        artifacts: None,
    };
    lock(shared).jobs.insert(job.id, known);
}

/// Its token no longer opens the repository.
pub(crate) fn dismiss(shared: &Shared, job: i64) {
    if let Some(known) = lock(shared).jobs.get_mut(&job) {
        known.is_running = false;
    }
}
