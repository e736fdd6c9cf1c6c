//! A company's Harbor: TLS by the company's own CA, one address for API, tokens and images, accounts with
//! rights. Debian's docker-registry keeps the images, HAProxy brings TLS, a stand-in is Harbor's core.

mod certificate;

use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result};

use crate::background::{Process, wait_until};
use crate::harbor::{Harbor, ISSUER, Permission, Role, SERVICE};
use crate::machine::{self, Machine};
use crate::serve::{Server, accepts, free_port};

/// A name and password for `docker login`.
#[derive(Debug, Clone)]
pub struct Account {
    pub username: String,
    pub password: String,
}

#[derive(Debug)]
pub struct Registry {
    /// `host:port`, as in image names.
    pub host: String,
    /// The company's CA that signed its certificate.
    pub certificate: String,
    /// For CI: pushes and pulls.
    pub push_account: Account,
    /// For production hosts.
    pub pull_account: Account,
    /// For dockmaster: makes robots for jobs.
    pub robot_maker: Account,
    /// The core, to look at and to change.
    pub harbor: Harbor,
    directory: PathBuf,
    /// None while the registry is down.
    front: Mutex<Option<Process>>,
    address: SocketAddr,
    _storage: Process,
    _core: Server,
}

/// The Harbor project of the company's images.
pub const PROJECT: &str = "test";

const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

impl Registry {
    /// Starts it on `ip` and makes the machine's engine trust it.
    pub fn start(machine: &Machine, ip: IpAddr) -> Result<Self> {
        let directory = machine.directory("registry")?;
        let certificate = certificate::make(&directory, ip)?;
        let address = SocketAddr::new(ip, free_port(ip)?);
        let host = address.to_string();
        let push_account = account("robot_ci")?;
        let pull_account = account("robot_pull")?;
        let (mut storage, storage_address) = start_storage(machine, &directory, &host)?;
        let harbor = Harbor::new(&machine::random(16)?).with_images(&directory, storage_address)?;
        harbor.project(PROJECT);
        for (account, role) in [
            (&push_account, Role::Developer),
            (&pull_account, Role::Guest),
        ] {
            harbor.user(&account.username, &account.password, role, &[PROJECT]);
        }
        let (username, password) = harbor.robot("dockmaster", "system", vec![robot_maker()]);
        let robot_maker = Account { username, password };
        let core = Server::start(machine.background(), LOOPBACK, harbor.handler())?;
        write_front(&directory, address, core.address())?;
        let front = Mutex::new(Some(start_front(machine, &directory)?));
        wait_until("docker-registry", Duration::from_secs(15), || {
            storage.must_run()?;
            Ok(accepts(storage_address) && accepts(address))
        })?;
        machine.trust_registry(&host, &certificate)?;
        Ok(Self {
            host,
            certificate,
            push_account,
            pull_account,
            robot_maker,
            harbor,
            directory,
            front,
            address,
            _storage: storage,
            _core: core,
        })
    }

    /// Takes the registry off the network: connections are refused until `bring_up`.
    pub fn take_down(&self) -> Result<()> {
        self.front
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        wait_until("the registry to be down", Duration::from_secs(5), || {
            Ok(!accepts(self.address))
        })
    }

    pub fn bring_up(&self, machine: &Machine) -> Result<()> {
        let mut front = self.front.lock().unwrap_or_else(PoisonError::into_inner);
        if front.is_none() {
            *front = Some(start_front(machine, &self.directory)?);
        }
        wait_until("the registry", Duration::from_secs(5), || {
            Ok(accepts(self.address))
        })
    }

    /// `host:port/repository`, to which a tag or digest is added.
    pub fn image(&self, repository: &str) -> String {
        format!("{}/{repository}", self.host)
    }

    /// The digest a tag names now, as the registry itself keeps it.
    pub fn digest(&self, repository: &str, tag: &str) -> Option<String> {
        let link = self
            .tags_directory(repository)
            .join(tag)
            .join("current/link");
        fs::read_to_string(link).ok()
    }

    /// All tags of a repository, sorted.
    pub fn tags(&self, repository: &str) -> Vec<String> {
        let entries = fs::read_dir(self.tags_directory(repository))
            .into_iter()
            .flatten()
            .flatten();
        let mut tags: Vec<String> = entries
            .filter_map(|entry| entry.file_name().into_string().ok())
            .collect();
        tags.sort();
        tags
    }

    fn tags_directory(&self, repository: &str) -> PathBuf {
        let repositories = self
            .directory
            .join("storage/docker/registry/v2/repositories");
        repositories.join(repository).join("_manifests/tags")
    }
}

/// Everything that it hands out, and what it needs to make and delete robots.
fn robot_maker() -> Permission {
    let rights = [
        "repository:pull",
        "repository:push",
        "robot:create",
        "robot:read",
        "robot:list",
        "robot:delete",
        "artifact:read",
        "scan:create",
        "scan:read",
    ];
    Permission::project(PROJECT, &rights)
}

fn account(username: &str) -> Result<Account> {
    Ok(Account {
        username: username.to_owned(),
        password: machine::random(16)?,
    })
}

fn start_storage(machine: &Machine, directory: &Path, host: &str) -> Result<(Process, SocketAddr)> {
    let address = SocketAddr::new(LOOPBACK, free_port(LOOPBACK)?);
    let text = format!(
        "version: 0.1\nlog: {{level: warn}}\n\
         storage:\n  filesystem: {{rootdirectory: {0}/storage}}\n  delete: {{enabled: true}}\n\
         http: {{addr: '{address}', relativeurls: true, secret: {1}}}\n\
         auth:\n  token:\n    realm: https://{host}/service/token\n    service: {2}\n    \
         issuer: {3}\n    rootcertbundle: {0}/token.crt\n",
        directory.display(),
        machine::random(16)?,
        SERVICE,
        ISSUER,
    );
    let file = directory.join("registry.yml");
    fs::write(&file, text).with_context(|| format!("cannot write {}", file.display()))?;
    let log = directory.join("registry.log");
    let arguments = ["serve", &file.to_string_lossy()];
    let process = machine
        .background()
        .process(&log, "/usr/bin/docker-registry", &arguments)?;
    Ok((process, address))
}

/// TLS, as Harbor's own proxy brings it.
fn write_front(directory: &Path, address: SocketAddr, core: SocketAddr) -> Result<()> {
    let text = format!(
        "global\n  maxconn 500\n\
         defaults\n  mode http\n  timeout connect 5s\n  timeout client 300s\n  timeout server 300s\n\
         frontend front\n  bind {address} ssl crt {}/server.pem\n  \
         http-request set-header X-Forwarded-Proto https\n  \
         default_backend core\n\
         backend core\n  server core {core}\n",
        directory.display(),
    );
    fs::write(directory.join("front.cfg"), text)?;
    Ok(())
}

fn start_front(machine: &Machine, directory: &Path) -> Result<Process> {
    let file = directory.join("front.cfg");
    let arguments = ["-db", "-f", &file.to_string_lossy()];
    machine.background().process(
        &directory.join("front.log"),
        "/usr/sbin/haproxy",
        &arguments,
    )
}
