//! A company that builds and deploys nothing yet: a code server, its GitLab and its registry. Nothing of it is fetched.

use std::fs;
use std::path::Path;

use anyhow::Result;

use crate::{
    company::PROJECT,
    gitlab::{Gitlab, Project},
    image,
    installation::Installation,
    machine::Machine,
    network::Network,
    registry::{self, Registry},
    runner::{Outcome, Run, Runner},
    spec::JobBuilder,
};

/// All of it; gone when dropped. Parts end in the order they are named here.
#[derive(Debug)]
pub struct Workshop {
    pub runner: Runner,
    pub project: Project,
    pub installation: Installation,
    pub gitlab: Gitlab,
    pub registry: Registry,
    pub network: Network,
    pub machine: Machine,
}

impl Workshop {
    /// Installs the dockmaster at `binary`.
    pub fn open(binary: &Path) -> Result<Self> {
        let machine = Machine::start()?;
        image::prepare_jobs(&machine)?;
        let network = Network::create()?;
        let registry = Registry::start(&machine, network.gateway)?;
        let repositories = machine.directory("gitlab")?;
        let gitlab = Gitlab::start(machine.background(), network.gateway, &repositories)?;
        let installation = Installation::new(binary)?;
        let maker = &registry.robot_maker;
        let account = (maker.username.clone(), maker.password.clone());
        let push = [(PROJECT, registry::PROJECT.to_owned())];
        installation.registry(&registry.host, Some(&account), &push)?;
        installation.gitlab(gitlab.url())?;
        let project = gitlab.project(PROJECT, "copublic/workshop")?;
        project.commit("Start", |tree| {
            Ok(fs::write(tree.join("README"), "a workshop\n")?)
        })?;
        Ok(Self {
            runner: installation.runner()?,
            project,
            installation,
            gitlab,
            registry,
            network,
            machine,
        })
    }

    /// Starts a job of the project's.
    pub fn start(&self, job: JobBuilder) -> Result<Run> {
        let queued = self.gitlab.job(&self.project, "master", job)?;
        self.runner.start(queued)
    }

    /// Runs a job of the project's.
    pub fn run(&self, job: JobBuilder) -> Result<Outcome> {
        self.start(job)?.wait()
    }
}
