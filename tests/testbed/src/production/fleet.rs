//! Production hosts: containers with their own sshd, Docker Engine and docker-compose, each running a release
//! that somebody deployed by hand. Knows nothing of how releases get there later.

mod host;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow};

use crate::command::run;
use crate::machine::Machine;
use crate::network::Network;
use crate::registry::{Account, Registry};
pub use host::Host;

/// The user that owns the compose project and may use Docker.
pub const USER: &str = "deploy";

/// Where the compose project lies on every host.
pub const DIRECTORY: &str = "/srv/test_server1";

/// The compose service, and the project's name as Compose takes it from the folder.
pub const SERVICE: &str = "app";
pub const PROJECT: &str = "test_server1";

/// What every host needs to come up.
#[derive(Debug, Clone)]
pub struct Setting<'a> {
    pub machine: &'a Machine,
    pub network: &'a Network,
    pub registry: &'a Registry,
    /// The host's root file system.
    pub image: &'a str,
    /// What the compose file names: `host:port/repository:tag`.
    pub release: &'a str,
}

#[derive(Debug)]
pub struct Fleet {
    pub hosts: Vec<Host>,
    /// The private key that opens `deploy` on every host.
    pub key: PathBuf,
}

impl Fleet {
    /// Starts `app-1` to `app-<count>` side by side. Nothing is deployed on them yet.
    pub fn boot(setting: &Setting<'_>, count: u8) -> Result<Self> {
        let directory = setting.machine.directory("fleet")?;
        let key = directory.join("deploy_key");
        make_key(&key, "code-server")?;
        let numbers: Vec<u8> = (1..=count).collect();
        let hosts = side_by_side(&numbers, |number| Host::boot(setting, *number, &directory))?;
        Ok(Self { hosts, key })
    }

    /// Runs the compose project as it is written on every host, and waits until it is healthy.
    pub fn deploy_by_hand(&self, registry: &Registry) -> Result<()> {
        side_by_side(&self.hosts, |host| host.deploy_by_hand(registry)).map(drop)
    }

    /// The host of that name, as `app-1`.
    pub fn host(&self, name: &str) -> Result<&Host> {
        self.hosts
            .iter()
            .find(|host| host.name == name)
            .with_context(|| format!("no host {name}"))
    }

    /// Runs a command as `deploy` over SSH, as an admin on the code server would.
    pub fn ssh(&self, host: &Host, command: &str) -> Result<String> {
        let known_hosts = self.key.with_file_name(format!("{}.known", host.name));
        fs::write(&known_hosts, format!("{} {}\n", host.ip, host.host_key()?))?;
        let hosts_option = format!("UserKnownHostsFile={}", known_hosts.display());
        let target = format!("{USER}@{}", host.ip);
        let key = self.key.to_string_lossy();
        let mut arguments = vec!["-F", "/dev/null", "-i", &key, "-o", "BatchMode=yes"];
        arguments.extend([
            "-o",
            &hosts_option,
            "-o",
            "ConnectTimeout=5",
            &target,
            command,
        ]);
        run("ssh", &arguments)
    }
}

/// Does the same for all at once; the first failure is the answer.
fn side_by_side<I: Sync, T: Send>(
    items: &[I],
    action: impl Fn(&I) -> Result<T> + Sync,
) -> Result<Vec<T>> {
    let action = &action;
    std::thread::scope(|scope| {
        let threads: Vec<_> = items
            .iter()
            .map(|item| scope.spawn(move || action(item)))
            .collect();
        let results = threads.into_iter().map(|thread| {
            thread
                .join()
                .map_err(|_| anyhow!("a thread of the testbed has panicked"))?
        });
        results.collect()
    })
}

/// `docker login` as a shell command that reads the password from standard input.
fn login(registry: &str, account: &Account) -> String {
    format!(
        "docker login --username '{}' --password-stdin {registry}",
        account.username
    )
}

fn make_key(path: &Path, comment: &str) -> Result<()> {
    let path = path.to_string_lossy();
    run(
        "ssh-keygen",
        &["-q", "-t", "ed25519", "-N", "", "-C", comment, "-f", &path],
    )?;
    Ok(())
}
