//! `/etc/dockmaster/config.toml`: what the admin decided. Unknown keys are refused with line and caret.
//!
//! A file that others can write is refused too: it may not be what the admin wrote.

mod closed;
mod container;
mod docker;
mod environment;
mod error;
mod lane;
mod limit;
mod mount;
mod moved;
mod network;
mod pull;
mod read;
mod reality;
mod refs;
mod registry;
#[cfg(test)]
mod tests;
mod tier;
mod value;
mod volume;
mod word;

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
};

use serde::Deserialize;

use closed::Closed;

use crate::lang::Language;

pub(crate) use container::USUAL_CAPABILITIES;
pub use container::{Device, ExtraHost, Gpus, LogOptions, ServiceOfEveryJob, Sysctl, TmpfsOptions};
pub use docker::{DockerApi, DockerLane};
pub use environment::{
    Balancer, Compose, Environment, HostEntry, Order, Policy, Probe, Release, Rollbacks, Rollout,
    Ssh,
};
pub use error::ConfigError;
pub use lane::{DeployLane, Lane};
pub use limit::{Cpus, Set, Size, Ulimit, Word};
pub(crate) use mount::free_target;
pub use network::Network;
pub use pull::{PullPolicies, PullPolicy};
pub use refs::{RefKind, RefRule, Refs};
pub use registry::{Pusher, Registry, Severity};
pub use tier::Tier;
pub use value::{Bytes, HostKey, Percent, SshTarget};
pub use volume::{Source, Target, Volume};

/// Where the configuration is looked for when `--config` does not say.
pub const DEFAULT_PATH: &str = "/etc/dockmaster/config.toml";

/// The whole configuration.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Config {
    /// Journals, leases, the ledger, the deploy lane's job directories.
    #[serde(default = "default_state_dir")]
    pub state_dir: PathBuf,
    /// Sockets of live jobs.
    #[serde(default = "default_run_dir")]
    pub run_dir: PathBuf,
    /// The system user that owns the secrets, and as whom the broker runs.
    #[serde(default = "default_broker_user")]
    pub broker_user: String,
    /// What rollouts are told in.
    #[serde(default)]
    pub lang: Language,
    /// Whether only GitLab's typed field says that a ref is protected, which versions before 18.3 do not send.
    #[serde(default)]
    pub require_typed_protection: bool,
    pub registry: Option<Registry>,
    #[serde(default)]
    pub lanes: BTreeMap<String, Lane>,
    /// Where this was read from.
    #[serde(skip)]
    pub path: PathBuf,
}

impl Config {
    /// Reads and checks the file.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let mut config: Self = read::trusted(path).map_err(|error| with_others(error, path))?;
        path.clone_into(&mut config.path);
        match config.problems() {
            problems if problems.is_empty() => Ok(config),
            problems => {
                let (path, text) = (path.to_owned(), problems.join("\n"));
                Err(with_others(
                    ConfigError::Malformed {
                        path: path.clone(),
                        text,
                    },
                    &path,
                ))
            }
        }
    }

    /// What is wrong beyond a single key.
    fn problems(&self) -> Vec<String> {
        let registry = self
            .registry
            .as_ref()
            .map(Registry::problems)
            .unwrap_or_default();
        let (closed, open) = (Closed::written(self.closed()), mount::open(self.docker()));
        let lanes = self.docker();
        let volumes = lanes.flat_map(|(name, lane)| mount::problems(name, lane, &closed, &open));
        registry.into_iter().chain(volumes).collect()
    }

    fn docker(&self) -> impl Iterator<Item = (&str, &DockerLane)> {
        self.lanes.iter().filter_map(|(name, lane)| match lane {
            Lane::Docker(lane) => Some((name.as_str(), &**lane)),
            Lane::Deploy(_) => None,
        })
    }

    /// Whether a docker lane may run jobs on this host as it is now. What is wrong concerns that lane alone.
    pub fn admit_host(&self, name: &str, lane: &DockerLane) -> Result<(), ConfigError> {
        let mut own = self.closed();
        own.extend(self.environment_keys());
        let (closed, open) = (Closed::written(own).really(), mount::open(self.docker()));
        match reality::problems(name, lane, &closed, &open) {
            problems if problems.is_empty() => Ok(()),
            problems => Err(ConfigError::Host {
                path: self.path.clone(),
                lane: name.to_owned(),
                text: problems.join("\n"),
            }),
        }
    }

    /// The keys that environments name. One whose file is wrong is told where it is used, and closes what it can.
    fn environment_keys(&self) -> Vec<PathBuf> {
        let files = environment_files(&self.path).unwrap_or_default();
        let tables = files.iter().filter_map(|path| {
            let text = fs::read_to_string(path).ok()?;
            text.parse::<toml::Table>().ok()
        });
        let keys = tables.flat_map(|table| {
            [("ssh", "key"), ("balancer", "account")]
                .map(|(part, key)| Some(PathBuf::from(table.get(part)?.get(key)?.as_str()?)))
        });
        keys.flatten().filter(|path| path.is_absolute()).collect()
    }

    /// What no job may see of this host because dockmaster itself lives by it.
    fn closed(&self) -> Vec<PathBuf> {
        let mut closed = vec![self.state_dir.clone(), self.run_dir.clone()];
        closed.extend(self.path.parent().map(Path::to_owned));
        for lane in self.lanes.values() {
            if let Lane::Docker(lane) = lane {
                closed.push(lane.engine().to_owned());
                closed.extend(lane.docker_config.clone());
            }
        }
        if let Some(registry) = &self.registry {
            let accounts = [
                &registry.pull_account,
                &registry.account,
                &registry.static_account,
            ];
            closed.extend(accounts.into_iter().flatten().cloned());
        }
        closed
    }

    /// The lane of that name.
    pub fn lane(&self, name: &str) -> Result<&Lane, ConfigError> {
        self.lanes
            .get(name)
            .ok_or_else(|| ConfigError::UnknownLane {
                path: self.path.clone(),
                lane: name.to_owned(),
                known: self
                    .lanes
                    .keys()
                    .map(String::as_str)
                    .collect::<Vec<_>>()
                    .join(", "),
            })
    }

    /// Reads the environment of that name from the folder `environments` beside the file.
    pub fn environment(&self, name: &str) -> Result<Environment, ConfigError> {
        let is_name = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "-_".contains(c);
        if name.is_empty() || !name.chars().all(is_name) {
            return Err(ConfigError::BadEnvironmentName {
                name: name.to_owned(),
            });
        }
        let folder = self
            .path
            .parent()
            .unwrap_or(Path::new("/"))
            .join("environments");
        let path = folder.join(format!("{name}.toml"));
        if !path.exists() {
            return Err(ConfigError::UnknownEnvironment {
                name: name.to_owned(),
                path,
            });
        }
        read_environment(&path).map_err(|error| with_others(error, &self.path))
    }

    /// The environments there are, in order of name.
    pub fn environment_names(&self) -> Result<Vec<String>, ConfigError> {
        let files = environment_files(&self.path)?;
        let names = files.iter().filter_map(|path| path.file_stem());
        Ok(names
            .map(|name| name.to_string_lossy().into_owned())
            .collect())
    }
}

/// Adds what is wrong in the other files of the configuration: an admin repairs all of it at once.
fn with_others(error: ConfigError, config: &Path) -> ConfigError {
    let ConfigError::Malformed { path, mut text } = error else {
        return error;
    };
    // A folder that cannot be listed has no problem to add: who needs a file of it says so.
    let files = environment_files(config).unwrap_or_default();
    let others = files.iter().filter(|other| **other != path);
    for error in others.filter_map(|other| read_environment(other).err()) {
        text.push('\n');
        text.push_str(&error.to_string());
    }
    ConfigError::Malformed { path, text }
}

fn read_environment(path: &Path) -> Result<Environment, ConfigError> {
    let mut environment: Environment = read::trusted(path)?;
    let name = path.file_stem().unwrap_or_default().to_string_lossy();
    environment.name = name.into_owned();
    let problems = environment.problems();
    if problems.is_empty() {
        return Ok(environment);
    }
    Err(ConfigError::Malformed {
        path: path.to_owned(),
        text: problems.join("\n"),
    })
}

/// The files of the folder `environments` beside `config`, in order of name.
fn environment_files(config: &Path) -> Result<Vec<PathBuf>, ConfigError> {
    let path = config.with_file_name("environments");
    let entries = match fs::read_dir(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.and_then(Iterator::collect::<Result<Vec<_>, _>>),
    };
    let entries = entries.map_err(|source| ConfigError::Unreadable { path, source })?;
    let mut files: Vec<_> = entries
        .into_iter()
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|end| end == "toml"))
        .collect();
    files.sort();
    Ok(files)
}

fn default_state_dir() -> PathBuf {
    "/var/lib/dockmaster".into()
}

fn default_run_dir() -> PathBuf {
    "/run/dockmaster".into()
}

fn default_broker_user() -> String {
    "dockmaster-broker".into()
}
