//! What a machine may lack.

use std::{
    collections::BTreeMap,
    env,
    path::{Path, PathBuf},
    process::Command,
    sync::{Mutex, PoisonError},
};

use crate::{command::DOCKER, machine};

/// A part of the machine that a test uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Need {
    Root,
    /// Root and the packages of the testbed, which starts an engine itself where none runs.
    Testbed,
    /// A Docker Engine that answers at the usual socket.
    Engine,
    /// docker-compose of the first generation, as a program.
    Compose,
    /// docker-compose of the second generation, as a plugin of the Docker client.
    ComposePlugin,
    DockerRegistry,
    /// The plugin docker-buildx.
    Buildx,
    /// A Docker client of another generation than the packaged one.
    NewerClient,
    Node,
    /// GitLab's own; the only part that may be missing in CI.
    GitlabRunner,
}

/// The answers, because a machine does not change while tests run.
static ANSWERS: Mutex<BTreeMap<Need, Option<String>>> = Mutex::new(BTreeMap::new());

impl Need {
    /// What is missing, as a reason; nothing if it is there.
    pub fn missing(self) -> Option<String> {
        let mut answers = ANSWERS.lock().unwrap_or_else(PoisonError::into_inner);
        answers.entry(self).or_insert_with(|| self.look()).clone()
    }

    pub(super) fn may_be_missing_in_ci(self) -> bool {
        self == Self::GitlabRunner
    }

    fn look(self) -> Option<String> {
        match self {
            Self::Root => {
                (!nix::unistd::geteuid().is_root()).then(|| "this is not root".to_owned())
            }
            Self::Testbed => machine::check_programs()
                .err()
                .map(|error| error.to_string()),
            Self::Engine => answers(DOCKER, &["version"], "no Docker Engine answers"),
            Self::Compose => answers("docker-compose", &["version"], "there is no docker-compose"),
            Self::ComposePlugin => found(
                plugin("docker-compose").as_deref(),
                "there is no docker-compose plugin",
            ),
            Self::DockerRegistry => answers(
                "docker-registry",
                &["--version"],
                "there is no docker-registry",
            ),
            Self::Buildx => found(
                plugin("docker-buildx").as_deref(),
                "there is no docker-buildx plugin",
            ),
            Self::NewerClient => found(
                newer_client().as_deref(),
                "there is no second Docker client",
            ),
            Self::Node => found(program("node").as_deref(), "there is no node"),
            Self::GitlabRunner => found(
                program("gitlab-runner").as_deref(),
                "there is no real gitlab-runner",
            ),
        }
    }
}

fn answers(program: &str, arguments: &[&str], reason: &str) -> Option<String> {
    let output = Command::new(program).args(arguments).output();
    let is_good = output.is_ok_and(|output| output.status.success());
    (!is_good).then(|| reason.to_owned())
}

fn found(path: Option<&Path>, reason: &str) -> Option<String> {
    path.is_none().then(|| reason.to_owned())
}

fn program(name: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path)
        .map(|folder| folder.join(name))
        .find(|path| path.exists())
}

/// Where `scripts/test` puts clients of another generation than the packaged one.
fn more_clients() -> PathBuf {
    env::var_os("DOCKMASTER_TEST_CLIENTS").map_or_else(PathBuf::new, PathBuf::from)
}

/// A plugin of the Docker client, where this machine has it.
pub fn plugin(name: &str) -> Option<PathBuf> {
    let more = more_clients();
    [
        &more,
        Path::new("/usr/libexec/docker/cli-plugins"),
        Path::new("/usr/local/lib/docker/cli-plugins"),
    ]
    .into_iter()
    .map(|folder| folder.join(name))
    .find(|path| path.is_absolute() && path.exists())
}

/// A Docker client of another generation than the packaged one.
pub fn newer_client() -> Option<PathBuf> {
    [
        more_clients().join("docker"),
        "/usr/local/bin/docker".into(),
    ]
    .into_iter()
    .find(|path| path.is_absolute() && path.exists())
}
