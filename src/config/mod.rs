//! `/etc/dockmaster/config.toml`: what the admin decided. Unknown keys are refused with line and caret.
//!
//! A file that somebody else than its owner can write is not the admin's word, so it is refused too.

mod environment;
mod lane;
#[cfg(test)]
mod tests;
mod value;

use std::{
    collections::BTreeMap,
    fs,
    io::Read,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::failure::Failure;

pub use environment::{
    Balancer, Compose, Environment, HostEntry, Policy, Refs, Release, Rollout, Ssh,
};
pub use lane::{DeployLane, DockerApi, DockerLane, Lane, PullPolicy};
pub use value::{Bytes, Percent, SshTarget};

/// Where the configuration is looked for when `--config` does not say.
pub const DEFAULT_PATH: &str = "/etc/dockmaster/config.toml";

/// Why the configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    #[error("cannot read {path}")]
    Unreadable {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("{path} is not trusted: {why}")]
    Untrusted { path: PathBuf, why: String },
    #[error("{path} has an error\n{text}")]
    Malformed { path: PathBuf, text: String },
    #[error("{path} has no lane called `{lane}` (it has: {known})")]
    UnknownLane {
        path: PathBuf,
        lane: String,
        known: String,
    },
    #[error("there is no environment called `{name}`: {path} does not exist")]
    UnknownEnvironment { name: String, path: PathBuf },
    #[error("`{name}` cannot be the name of an environment: use a-z, 0-9, `-` and `_`")]
    BadEnvironmentName { name: String },
}

impl From<ConfigError> for Failure {
    fn from(error: ConfigError) -> Self {
        match error {
            ConfigError::Unreadable { .. }
            | ConfigError::Untrusted { .. }
            | ConfigError::Malformed { .. }
            | ConfigError::UnknownLane { .. }
            | ConfigError::UnknownEnvironment { .. }
            | ConfigError::BadEnvironmentName { .. } => Self::system(error),
        }
    }
}

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
    pub registry: Option<Registry>,
    #[serde(default)]
    pub lanes: BTreeMap<String, Lane>,
    /// Where this was read from.
    #[serde(skip)]
    pub path: PathBuf,
}

/// The image registry, Harbor.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Registry {
    /// `host[:port]`, as image names begin.
    pub host: String,
    /// A JSON file with `username` and `password`: the account the production hosts pull with.
    pub pull_account: Option<PathBuf>,
}

impl Config {
    /// Reads and checks the file.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let mut config: Self = read_trusted(path)?;
        path.clone_into(&mut config.path);
        Ok(config)
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
        let mut environment: Environment = read_trusted(&path)?;
        name.clone_into(&mut environment.name);
        let problems = environment.problems();
        if problems.is_empty() {
            return Ok(environment);
        }
        let text = problems.join("\n");
        Err(ConfigError::Malformed { path, text })
    }
}

/// Reads a TOML file that only root (or whoever runs this) can have written.
fn read_trusted<T: DeserializeOwned>(path: &Path) -> Result<T, ConfigError> {
    let unreadable = |source| ConfigError::Unreadable {
        path: path.to_owned(),
        source,
    };
    let mut file = fs::File::open(path).map_err(unreadable)?;
    let metadata = file.metadata().map_err(unreadable)?;
    let owner = metadata.uid();
    let refuse = |why: String| {
        Err(ConfigError::Untrusted {
            path: path.to_owned(),
            why,
        })
    };
    if owner != 0 && owner != nix::unistd::geteuid().as_raw() {
        return refuse(format!(
            "it belongs to uid {owner}; try: chown root {}",
            path.display()
        ));
    }
    if metadata.mode() & 0o022 != 0 {
        return refuse(format!(
            "others can write it; try: chmod go-w {}",
            path.display()
        ));
    }
    let mut text = String::new();
    file.read_to_string(&mut text).map_err(unreadable)?;
    toml::from_str(&text).map_err(|error| ConfigError::Malformed {
        path: path.to_owned(),
        text: error.to_string().trim_end().to_owned(),
    })
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
