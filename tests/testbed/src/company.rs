//! The whole company: production hosts, registry, load balancer, GitLab, and a code server with
//! dockmaster installed. What the demo shows and the end-to-end tests look at.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

use crate::application::{Application, PORT};
use crate::balancer::{GROUP, REGION};
use crate::fleet::{DIRECTORY, Host, SERVICE, USER};
use crate::gitlab::{Gitlab, Pipeline, Project};
use crate::infrastructure::{Infrastructure, REPOSITORY};
use crate::installation::{BalancerSite, HostSite, Installation, Site};
use crate::runner::{Outcome, Pace, Run, Runner};
use crate::spec::{JobBuilder, Variable};

/// The company's pipeline, word for word.
pub const PIPELINE: &str = include_str!("../app/.gitlab-ci.yml");

/// The id of the project that may deploy.
pub const PROJECT: i64 = 42;

/// They end in the order they are named here, the hosts last.
#[derive(Debug)]
pub struct Company {
    pub runner: Runner,
    pub gitlab: Gitlab,
    pub project: Project,
    pub installation: Installation,
    pub infrastructure: Infrastructure,
}

impl Company {
    /// Everything, with the given dockmaster installed. The project has no commit yet.
    pub fn boot(dockmaster: &Path) -> Result<Self> {
        Self::boot_telling(dockmaster, &|_| {})
    }

    /// As `boot`; `tell` hears what is about to happen.
    pub fn boot_telling(dockmaster: &Path, tell: &dyn Fn(&str)) -> Result<Self> {
        let infrastructure = Infrastructure::boot_telling(tell)?;
        tell("GitLab, and dockmaster on the code server");
        let machine = &infrastructure.machine;
        let directory = machine.directory("gitlab")?;
        let gateway = infrastructure.network.gateway;
        let gitlab = Gitlab::start(machine.background(), gateway, &directory)?;
        let installation = Installation::new(dockmaster)?;
        installation.gitlab(gitlab.url())?;
        installation.site(&site(&infrastructure)?)?;
        hurry(&installation)?;
        let runner = installation.runner()?.pace(PACE);
        let project = gitlab.project(PROJECT, "copublic/test_server1")?;
        configure(&project, &infrastructure);
        let (stopped, sweep) = (runner.clone(), installation.sweeper());
        machine.before_signal_sweep(move || {
            stopped.shut_down(Duration::from_mins(2));
            sweep();
        });
        Ok(Self {
            runner,
            gitlab,
            project,
            installation,
            infrastructure,
        })
    }

    /// Commits this release of the application with the company's pipeline, and pushes its tag.
    pub fn release(&self, application: &Application) -> Result<String> {
        let tag = format!("v{}", application.version);
        self.commit(application)?;
        self.project.tag(&tag)?;
        Ok(tag)
    }

    /// Commits and pushes without a tag.
    pub fn commit(&self, application: &Application) -> Result<String> {
        let base = &self.infrastructure.images.application_base;
        self.project
            .commit(&format!("Release {}", application.version), |tree| {
                application.write(tree, base)?;
                std::fs::write(tree.join(".gitlab-ci.yml"), PIPELINE).context("the pipeline's file")
            })
    }

    pub fn pipeline(&self, tag: &str) -> Result<Pipeline> {
        self.gitlab.pipeline(&self.project, tag)
    }

    /// Releases a version and runs its whole pipeline.
    pub fn ship(&self, application: &Application) -> Result<crate::gitlab::PipelineOutcome> {
        let tag = self.release(application)?;
        self.pipeline(&tag)?.run(&self.runner)
    }
}

impl Company {
    /// Starts one job of the project at a ref.
    pub fn start(&self, reference: &str, job: JobBuilder) -> Result<Run> {
        self.runner
            .start(self.gitlab.job(&self.project, reference, job)?)
    }

    /// Runs one job of the project at a ref.
    pub fn run(&self, reference: &str, job: JobBuilder) -> Result<Outcome> {
        self.start(reference, job)?.wait()
    }

    /// The release that every host runs, by digest; an error when they differ.
    pub fn running_digest(&self) -> Result<String> {
        let hosts = &self.infrastructure.fleet.hosts;
        let digests: Result<Vec<_>> = hosts.iter().map(Host::running_digest).collect();
        let digests: Vec<String> = digests?.into_iter().flatten().collect();
        let first = digests.first().cloned().context("no host runs anything")?;
        ensure!(
            digests.len() == hosts.len() && digests.iter().all(|digest| *digest == first),
            "the hosts run {digests:?}"
        );
        Ok(first)
    }

    /// The digest that the registry has under a tag.
    pub fn pushed_digest(&self, tag: &str) -> Result<String> {
        let digest = self.infrastructure.registry.digest(REPOSITORY, tag);
        digest.with_context(|| format!("{tag} is not in the registry"))
    }
}

/// A runner that wastes no time between attempts.
const PACE: Pace = Pace {
    attempt: Duration::from_millis(100),
    phase: Duration::from_millis(100),
};

/// Shortens the waits: this application is quick, and its balancer is on this machine.
fn hurry(installation: &Installation) -> Result<()> {
    installation.edit_environment(|file| {
        for (key, text) in [
            ("propagation", "500ms"),
            ("drain-quiet", "1s"),
            ("drain-timeout", "15s"),
            ("healthy-deadline", "30s"),
            ("min-healthy-time", "1s"),
        ] {
            file["rollout"][key] = toml_edit::value(text);
        }
    })
}

/// What the company set in the project's CI/CD settings.
fn configure(project: &Project, infrastructure: &Infrastructure) {
    let account = &infrastructure.registry.push_account;
    project.protect_tags("v*");
    project.variable(Variable::new("CI_REGISTRY", &*infrastructure.registry.host).private());
    project.variable(Variable::new("CI_REGISTRY_USER", &*account.username).private());
    project.variable(Variable::new("CI_REGISTRY_PASSWORD", &*account.password).masked());
}

/// What an admin writes into dockmaster's configuration for these parts.
pub fn site(infrastructure: &Infrastructure) -> Result<Site> {
    let (registry, balancer) = (&infrastructure.registry, &infrastructure.balancer);
    let pull = &registry.pull_account;
    let host = |host: &Host| -> Result<HostSite> {
        Ok(HostSite {
            name: host.name.clone(),
            ssh: format!("{USER}@{}", host.ip),
            host_key: host.host_key()?,
            server_id: host.server_id.clone(),
        })
    };
    let hosts: Result<Vec<HostSite>> = infrastructure.fleet.hosts.iter().map(host).collect();
    Ok(Site {
        registry: registry.host.clone(),
        pull_account: Some((pull.username.clone(), pull.password.clone())),
        image: registry.image(REPOSITORY),
        projects: vec![PROJECT],
        key: infrastructure.fleet.key.clone(),
        compose_directory: DIRECTORY.to_owned(),
        compose_service: SERVICE.to_owned(),
        container_port: PORT,
        balancer: Some(BalancerSite {
            region: REGION.to_owned(),
            id: GROUP.to_owned(),
            port: PORT,
            endpoint: balancer.endpoint.clone(),
            access_key_id: balancer.key.id.clone(),
            access_key_secret: balancer.key.secret.clone(),
        }),
        hosts: hosts?,
    })
}
