//! The whole company: its infrastructure, its GitLab, an installed dockmaster and a runner that drives it.

pub mod application;
pub mod client;
pub mod workshop;

use std::{net::IpAddr, path::Path, sync::Arc, time::Duration};

use anyhow::{Context as _, Result, ensure};
use sha2::{Digest as _, Sha256};

use crate::{
    application::Application,
    balancer,
    client::Client,
    command::{docker, docker_lines},
    fleet,
    gitlab::{Gitlab, Pipeline, PipelineOutcome, Project},
    infrastructure::{Infrastructure, REPOSITORY},
    installation::{BalancerSite, HostSite, Installation, Site},
    machine::hexadecimal,
    registry,
    runner::{Outcome, Pace, Run, Runner},
    spec::JobBuilder,
};

/// The project that may deploy.
pub const PROJECT: i64 = 42;
/// The company's own pipeline, unchanged.
pub const PIPELINE: &str = include_str!("../app/.gitlab-ci.yml");

/// All of it; gone when dropped. Parts end in the order they are named here.
#[derive(Debug)]
pub struct Company {
    pub installation: Installation,
    pub gitlab: Gitlab,
    pub project: Project,
    pub infrastructure: Arc<Infrastructure>,
}

impl Company {
    /// Installs the dockmaster at `binary` into a company of its own.
    pub fn found(binary: &Path, infrastructure: Arc<Infrastructure>) -> Result<Self> {
        let machine = &infrastructure.machine;
        let repositories = machine.directory("gitlab")?;
        let gateway = infrastructure.network.gateway;
        let gitlab = Gitlab::start(machine.background(), gateway, &repositories)?;
        remove_volumes(gateway);
        let project = gitlab.project(PROJECT, "copublic/test_server1")?;
        project.protect_tags("v*");
        let installation = Installation::new(binary)?;
        let sweep = installation.sweeper();
        machine.before_signal_sweep(move || {
            sweep();
            remove_volumes(gateway);
        });
        installation.site(&site(&infrastructure)?)?;
        installation.gitlab(gitlab.url())?;
        installation.edit_environment(|file| {
            for (key, text) in QUICK {
                file["rollout"][key] = toml_edit::value(text);
            }
        })?;
        Ok(Self {
            installation,
            gitlab,
            project,
            infrastructure,
        })
    }

    /// Lets hosts serve from a second port while they change, or stop first again.
    pub fn start_first(&self, is_so: bool) -> Result<()> {
        self.installation.edit_environment(|file| {
            let order = if is_so { "start-first" } else { "stop-first" };
            file["rollout"]["order"] = toml_edit::value(order);
            let port = i64::from(application::SECOND_PORT);
            file["compose"]["bridge-port"] = toml_edit::value(port);
        })
    }

    /// Lets the compose file come with releases, or takes the hosts' own again.
    pub fn compose_file(&self, path: Option<&str>) -> Result<()> {
        self.installation.edit_environment(|file| {
            let compose = file["compose"].as_table_like_mut();
            let Some(compose) = compose else { return };
            compose.remove("file");
            if let Some(path) = path {
                compose.insert("file", toml_edit::value(path));
            }
        })
    }

    /// Puts another of the cloud's load balancers in front of the hosts: its kind, and its group's id.
    pub fn balance(&self, kind: &str, id: &str) -> Result<()> {
        self.installation.edit_environment(|file| {
            file["balancer"]["kind"] = toml_edit::value(kind);
            file["balancer"]["id"] = toml_edit::value(id);
        })
    }

    /// A runner that loses no time between attempts.
    pub fn runner(&self) -> Result<Runner> {
        Ok(self.installation.runner()?.pace(QUICK_PACE))
    }

    /// Commits a version of the application with the company's pipeline, and tags it.
    pub fn release(&self, application: &Application, tag: &str) -> Result<()> {
        self.release_with(PIPELINE, application, tag)
    }

    /// As `release`, with a pipeline of the caller's.
    pub fn release_with(&self, jobs: &str, application: &Application, tag: &str) -> Result<()> {
        let base = &self.infrastructure.images.application_base;
        self.project
            .commit(&format!("Release {tag}"), |directory| {
                application.write(directory, base)?;
                std::fs::write(directory.join(".gitlab-ci.yml"), jobs).context("the pipeline")
            })?;
        self.project.tag(tag)
    }

    /// Pushes a tag and waits for its pipeline.
    pub fn ship(&self, tag: &str) -> Result<PipelineOutcome> {
        self.release(&Application::new(tag), tag)?;
        self.pipeline(tag)?.start(&self.runner()?).wait()
    }

    /// The pipeline of a tag that is there.
    pub fn pipeline(&self, tag: &str) -> Result<Pipeline> {
        self.gitlab.pipeline(&self.project, tag)
    }

    /// Starts one job of the project at a ref.
    pub fn start(&self, reference: &str, job: JobBuilder) -> Result<Run> {
        self.runner()?
            .start(self.gitlab.job(&self.project, reference, job)?)
    }

    /// Runs one job of the project at a ref.
    pub fn run(&self, reference: &str, job: JobBuilder) -> Result<Outcome> {
        self.start(reference, job)?.wait()
    }

    /// Requests through the balancer, from now on.
    pub fn client(&self) -> Client {
        self.infrastructure.client(50)
    }

    /// The release that every host runs, by digest; an error when they differ.
    pub fn running_digest(&self) -> Result<String> {
        let mut digests = Vec::new();
        for host in &self.infrastructure.fleet.hosts {
            digests.extend(host.running_digest()?);
        }
        let first = digests.first().cloned().context("no host runs anything")?;
        let all = self.infrastructure.fleet.hosts.len();
        ensure!(
            digests.len() == all && digests.iter().all(|digest| *digest == first),
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

impl Drop for Company {
    fn drop(&mut self) {
        remove_volumes(self.infrastructure.network.gateway);
    }
}

/// Checkouts and caches outlive their jobs in volumes named after the project and its GitLab. The next company
/// at this address must not find them.
fn remove_volumes(gitlab: IpAddr) {
    let server = &hexadecimal(&Sha256::digest(gitlab.to_string()))[..6];
    let filter = format!("name=^dockmaster-p[0-9]+-{server}-");
    for volume in docker_lines(&["volume", "ls", "-q", "--filter", &filter]) {
        // One that is still in use belongs to a container that somebody looks at.
        let _ = docker(&["volume", "rm", &volume]);
    }
}

/// What the shipped files leave to this company's admin. Waits are short: its application is quick.
fn site(infrastructure: &Infrastructure) -> Result<Site> {
    let balancer = &infrastructure.balancer;
    let here = &infrastructure.registry;
    let (pull, maker) = (&here.pull_account, &here.robot_maker);
    let mut hosts = Vec::new();
    for host in &infrastructure.fleet.hosts {
        hosts.push(HostSite {
            name: host.name.clone(),
            ssh: format!("{}@{}", fleet::USER, host.ip),
            host_key: host.host_key()?,
            server_id: host.server_id.clone(),
        });
    }
    Ok(Site {
        registry: here.host.clone(),
        pull_account: Some((pull.username.clone(), pull.password.clone())),
        harbor_account: Some((maker.username.clone(), maker.password.clone())),
        push: vec![(PROJECT, registry::PROJECT.to_owned())],
        image: here.image(REPOSITORY),
        projects: vec![PROJECT],
        key: infrastructure.fleet.key.clone(),
        compose_directory: fleet::DIRECTORY.to_owned(),
        compose_service: fleet::SERVICE.to_owned(),
        container_port: 3131,
        balancer: Some(BalancerSite {
            region: balancer::REGION.to_owned(),
            id: balancer::GROUP.to_owned(),
            port: 3131,
            endpoint: balancer.endpoint.clone(),
            access_key_id: balancer.key.id.clone(),
            access_key_secret: balancer.key.secret.clone(),
        }),
        hosts,
    })
}

/// The waits of an environment whose application is quick and whose balancer is on this machine.
const QUICK: [(&str, &str); 8] = [
    ("bake-time", "1s"),
    ("admission-timeout", "10s"),
    ("min-free-disk", "100MB"),
    ("propagation", "500ms"),
    ("drain-quiet", "1s"),
    ("drain-timeout", "15s"),
    ("healthy-deadline", "30s"),
    ("min-healthy-time", "1s"),
];

/// A runner that wastes no time between attempts.
const QUICK_PACE: Pace = Pace {
    attempt: Duration::from_millis(100),
    phase: Duration::from_millis(100),
};
