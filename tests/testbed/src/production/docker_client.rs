//! A `docker` on the code server with logins of its own, so that nobody's ~/.docker is read or changed.

use std::path::PathBuf;

use anyhow::Result;

use crate::command::{DOCKER, feed};
use crate::machine::Machine;
use crate::registry::{Account, Registry};

#[derive(Debug)]
pub struct DockerClient {
    settings: PathBuf,
}

impl DockerClient {
    /// `name` tells its settings from another client's.
    pub fn new(machine: &Machine, name: &str) -> Result<Self> {
        Ok(Self {
            settings: machine.directory(&format!("docker-client/{name}"))?,
        })
    }

    pub fn log_in(&self, registry: &Registry, account: &Account) -> Result<String> {
        let login = [
            "login",
            "--username",
            &account.username,
            "--password-stdin",
            &registry.host,
        ];
        self.feed(&login, account.password.as_bytes())
    }

    pub fn log_out(&self, registry: &Registry) -> Result<()> {
        self.run(&["logout", &registry.host]).map(drop)
    }

    pub fn run(&self, arguments: &[&str]) -> Result<String> {
        self.feed(arguments, b"")
    }

    fn feed(&self, arguments: &[&str], input: &[u8]) -> Result<String> {
        let settings = self.settings.to_string_lossy();
        feed(
            DOCKER,
            &[&["--config", &settings], arguments].concat(),
            input,
        )
    }
}
