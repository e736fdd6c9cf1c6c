//! A dockmaster as an admin would have installed it, under one folder of its own.
//!
//! Binary, configuration, environment, secrets and the runner's `config.toml` are the shipped ones
//! with only paths, names and tokens replaced, so that what is shipped is what is tested.

mod user;

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use toml_edit::{DocumentMut, Item, value};

use crate::command::run;
use crate::machine;
use crate::runner::Runner;
use user::BrokerUser;

const CONFIG: &str = include_str!("../../../../runner-config/dockmaster.toml");
const ENVIRONMENT: &str = include_str!("../../../../runner-config/environments/production.toml");
const RUNNER: &str = include_str!("../../../../runner-config/gitlab-runner.toml");

/// The tags of the company's `.gitlab-ci.yml`, by lane.
pub const DOCKER_TAG: &str = "devops_test_docker";
pub const DEPLOY_TAG: &str = "devops_prod_deploy";

/// The environment that is shipped.
pub const PRODUCTION: &str = "production";

/// An installed dockmaster; dropping it removes it and its broker's user.
#[derive(Debug)]
pub struct Installation {
    root: PathBuf,
    broker: BrokerUser,
}

/// What the shipped files leave to the admin.
#[derive(Clone, Debug)]
pub struct Site {
    /// `host[:port]` of the registry, and an account that may pull from it.
    pub registry: String,
    pub pull_account: Option<(String, String)>,
    /// An account that makes robots for jobs, and which Harbor projects each project pushes to.
    pub harbor_account: Option<(String, String)>,
    pub push: Vec<(i64, String)>,
    /// The repository that is deployed, with the registry's host.
    pub image: String,
    pub projects: Vec<i64>,
    /// The private key that opens every host.
    pub key: PathBuf,
    pub compose_directory: String,
    pub compose_service: String,
    pub container_port: u16,
    pub balancer: Option<BalancerSite>,
    pub hosts: Vec<HostSite>,
}

#[derive(Clone, Debug)]
pub struct BalancerSite {
    pub region: String,
    pub id: String,
    pub port: u16,
    pub endpoint: String,
    pub access_key_id: String,
    pub access_key_secret: String,
}

#[derive(Clone, Debug)]
pub struct HostSite {
    pub name: String,
    /// `user@host[:port]`.
    pub ssh: String,
    pub host_key: String,
    pub server_id: String,
}

impl Installation {
    /// Installs a dockmaster with both lanes. The environment is the shipped example until `site`
    /// has been called.
    pub fn new(dockmaster: &Path) -> Result<Self> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        sweep();
        let root = PathBuf::from(format!("{PREFIX}{}-{number}", std::process::id()));
        let broker = BrokerUser::create(number)?;
        let installation = Self { root, broker };
        for (folder, mode) in [
            ("", 0o755),
            ("bin", 0o755),
            ("etc", 0o755),
            ("etc/environments", 0o755),
            ("etc/secrets", 0o711),
            ("state", 0o755),
            ("run", 0o755),
        ] {
            let path = installation.root.join(folder);
            fs::create_dir_all(&path)
                .and_then(|()| fs::set_permissions(&path, fs::Permissions::from_mode(mode)))
                .with_context(|| format!("cannot create {}", path.display()))?;
        }
        installation.copy_program(dockmaster, "dockmaster")?;
        installation.copy_program(&machine::program("gitlab-runner")?, "gitlab-runner")?;
        installation.write("etc/environments/production.toml", ENVIRONMENT)?;
        installation.write_config(number)?;
        installation.write_runner_config("https://gitlab.example.com")?;
        Ok(installation)
    }

    pub fn root(&self) -> &Path {
        &self.root
    }

    pub fn binary(&self) -> PathBuf {
        self.root.join("bin/dockmaster")
    }

    pub fn config(&self) -> PathBuf {
        self.root.join("etc/config.toml")
    }

    pub fn state(&self) -> PathBuf {
        self.root.join("state")
    }

    pub fn run_directory(&self) -> PathBuf {
        self.root.join("run")
    }

    pub fn broker_user(&self) -> &str {
        &self.broker.name
    }

    /// What the gate saw being pushed for a project, a JSON record a line.
    pub fn ledger(&self, project: i64) -> PathBuf {
        self.state().join(format!("ledger/{project}.jsonl"))
    }

    /// An admin's call: `dockmaster --config …` and what follows.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(self.binary());
        command.arg("--config").arg(self.config()).args(arguments);
        command
    }

    /// The runner that the shipped `gitlab-runner.toml` makes, its tags as its comments say.
    /// Jobs without tags go to the docker lane.
    pub fn runner(&self) -> Result<Runner> {
        let bin = self.root.join("bin");
        let path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
        Ok(Runner::load(&self.root.join("etc/gitlab-runner.toml"))?
            .register("docker", &[DOCKER_TAG, "docker"])
            .register("deploy", &[DEPLOY_TAG, "deploy"])
            .run_untagged("docker")
            .environ("PATH", &format!("{}:{path}", bin.display())))
    }

    /// Changes the installed `config.toml`.
    pub fn edit(&self, change: impl FnOnce(&mut DocumentMut)) -> Result<()> {
        self.edit_file("etc/config.toml", change)
    }

    /// What rollouts speak; English without a word.
    pub fn language(&self, language: Option<&str>) -> Result<()> {
        self.edit(|config| set_path(config.as_item_mut(), "lang", language.map(Path::new)))
    }

    /// Sets keys of `[registry]`, or takes them out.
    pub fn registry_keys(&self, keys: &[(&str, Option<&str>)]) -> Result<()> {
        self.edit(|config| {
            for (key, text) in keys {
                set_path(&mut config["registry"], key, text.map(Path::new));
            }
        })
    }

    /// Which environments the deploy lane deploys to.
    pub fn environments(&self, names: &[&str]) -> Result<()> {
        self.edit(|config| {
            let list: toml_edit::Array = names.iter().copied().collect();
            config["lanes"]["deploy"]["environments"] = value(list);
        })
    }

    /// Changes the installed `environments/production.toml`.
    pub fn edit_environment(&self, change: impl FnOnce(&mut DocumentMut)) -> Result<()> {
        self.edit_file("etc/environments/production.toml", change)
    }

    /// Changes the installed runner configuration, before `runner` reads it.
    pub fn edit_runner(&self, change: impl FnOnce(&mut DocumentMut)) -> Result<()> {
        self.edit_file("etc/gitlab-runner.toml", change)
    }

    /// Removes it when the program is told to end, where nothing is dropped any more.
    pub fn sweeper(&self) -> impl FnOnce() + Send + 'static {
        let (root, user) = (self.root.clone(), self.broker.name.clone());
        move || {
            remove(&root);
            user::delete(&user);
        }
    }

    /// A file that only the broker can read.
    pub fn secret(&self, name: &str, content: &[u8]) -> Result<PathBuf> {
        let path = self.root.join("etc/secrets").join(name);
        fs::write(&path, content).with_context(|| format!("cannot write {}", path.display()))?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600))?;
        chown(
            &path,
            Some(self.broker.uid.as_raw()),
            Some(self.broker.gid.as_raw()),
        )?;
        Ok(path)
    }

    /// Every live process of this installation: its programs, and all that the broker started.
    pub fn processes(&self) -> Vec<Pid> {
        let broker = format!("Uid:\t{}\t", self.broker.uid);
        let is_ours = |pid: &Pid| {
            let folder = PathBuf::from(format!("/proc/{pid}"));
            let program = fs::read_link(folder.join("exe")).unwrap_or_default();
            let status = fs::read_to_string(folder.join("status")).unwrap_or_default();
            // A dead one that nobody has waited for yet is no process any more.
            let is_dead = status.lines().any(|line| line.starts_with("State:\tZ"));
            let is_broker = status.lines().any(|line| line.starts_with(&broker));
            !is_dead && (program.starts_with(&self.root) || is_broker)
        };
        let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
        let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        pids.map(Pid::from_raw).filter(is_ours).collect()
    }

    /// What they were started with, for a test that expects none.
    pub fn left_running(&self) -> Vec<String> {
        let line = |pid: Pid| fs::read_to_string(format!("/proc/{pid}/cmdline")).ok();
        let lines = self.processes().into_iter().filter_map(line);
        lines.map(|line| line.replace('\0', " ")).collect()
    }

    /// `kill -9` for all of them, again until none is left.
    pub fn kill_everything(&self) {
        loop {
            let processes = self.processes();
            if processes.is_empty() {
                return;
            }
            for pid in processes {
                // One that has just ended is as good.
                let _ = kill(pid, Signal::SIGKILL);
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Fills in what is the company's own.
    pub fn site(&self, site: &Site) -> Result<()> {
        let key = self.secret("id_ed25519", &fs::read(&site.key)?)?;
        let pull_account = match &site.pull_account {
            Some((username, password)) => {
                let account = serde_json::json!({ "username": username, "password": password });
                Some(self.secret("registry.json", account.to_string().as_bytes())?)
            }
            None => None,
        };
        self.edit(|config| {
            set_path(
                &mut config["registry"],
                "pull-account",
                pull_account.as_deref(),
            );
        })?;
        self.registry(&site.registry, site.harbor_account.as_ref(), &site.push)?;
        let account = site
            .balancer
            .as_ref()
            .map(|one| self.aliyun_account(one))
            .transpose()?;
        self.edit_environment(|file| {
            file["policy"]["projects"] =
                value(site.projects.iter().copied().collect::<toml_edit::Array>());
            file["release"]["image"] = value(&site.image);
            set_path(&mut file["ssh"], "key", Some(&key));
            file["compose"]["directory"] = value(&site.compose_directory);
            file["compose"]["service"] = value(&site.compose_service);
            file["compose"]["port"] = value(i64::from(site.container_port));
            set_balancer(&mut file["balancer"], site.balancer.as_ref());
            set_path(&mut file["balancer"], "account", account.as_deref());
            file["hosts"] = hosts(&site.hosts);
        })
    }

    /// Says which registry jobs push to, with the account that makes theirs, and which Harbor projects
    /// each project pushes to.
    pub fn registry(
        &self,
        host: &str,
        account: Option<&(String, String)>,
        push: &[(i64, String)],
    ) -> Result<()> {
        let account = match account {
            Some((username, password)) => {
                let account = serde_json::json!({ "username": username, "password": password });
                let path = self.secret("harbor.json", account.to_string().as_bytes())?;
                // The driver's, which is root, and not the broker's.
                chown(&path, Some(0), Some(0))?;
                Some(path)
            }
            None => None,
        };
        self.edit(|config| {
            config["registry"]["host"] = value(host);
            set_path(&mut config["registry"], "account", account.as_deref());
            for (project, name) in push {
                let names: toml_edit::Array = [name].into_iter().collect();
                config["registry"]["push"][&project.to_string()] = value(names);
            }
        })
    }

    /// Runs jobs behind a firewall that lets these ports of the host through. The host must be this
    /// installation's alone.
    pub fn firewall(&self, host_ports: &[u16]) -> Result<()> {
        self.edit(|config| {
            let network = &mut config["lanes"]["docker"]["network"];
            network["firewall"] = value(true);
            let ports = host_ports.iter().copied().map(i64::from);
            network["host-ports"] = value(ports.collect::<toml_edit::Array>());
        })
    }

    /// Says where GitLab is.
    pub fn gitlab(&self, url: &str) -> Result<()> {
        self.write_runner_config(url)
    }

    fn aliyun_account(&self, balancer: &BalancerSite) -> Result<PathBuf> {
        let account = serde_json::json!({
            "access-key-id": balancer.access_key_id,
            "access-key-secret": balancer.access_key_secret,
        });
        self.secret("aliyun.json", account.to_string().as_bytes())
    }

    /// Copies by another process: a file that this one has open for writing while another of its
    /// threads starts a program could not be executed until that program has begun.
    fn copy_program(&self, from: &Path, name: &str) -> Result<()> {
        let to = self.root.join("bin").join(name);
        let (from, to) = (from.to_string_lossy(), to.to_string_lossy());
        run("cp", &["--preserve=mode,timestamps", &from, &to])?;
        Ok(())
    }

    fn write(&self, name: &str, text: &str) -> Result<()> {
        let path = self.root.join(name);
        fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
        Ok(fs::set_permissions(
            &path,
            fs::Permissions::from_mode(0o644),
        )?)
    }

    fn write_config(&self, number: u32) -> Result<()> {
        self.write("etc/config.toml", CONFIG)?;
        // Live jobs of installations side by side must not share a uid.
        let first_uid = 200_000 + i64::from((std::process::id() * 8 + number) % 50_000) * 20;
        self.edit(|config| {
            set_path(config.as_item_mut(), "state-dir", Some(&self.state()));
            set_path(config.as_item_mut(), "run-dir", Some(&self.run_directory()));
            config["broker-user"] = value(&self.broker.name);
            if let Some(registry) = config["registry"].as_table_mut() {
                registry.remove("pull-account");
            }
            // Installations side by side share one kernel, and it has one set of rules.
            config["lanes"]["docker"]["network"]["firewall"] = value(false);
            // What the testbed makes on the spot, because nothing can be pulled.
            let shared: toml_edit::Array = ["alpine", "docker", "testbed-*"].into_iter().collect();
            config["lanes"]["docker"]["shared-images"] = value(shared);
            config["lanes"]["deploy"]["first-uid"] = value(first_uid);
            config["lanes"]["deploy"]["uid-count"] = value(20);
        })
    }

    fn write_runner_config(&self, url: &str) -> Result<()> {
        let (binary, config) = (self.binary(), self.config());
        let text = RUNNER
            .replace("/usr/bin/dockmaster", &binary.to_string_lossy())
            .replace("/etc/dockmaster/config.toml", &config.to_string_lossy())
            .replace("/var/lib/dockmaster", &self.state().to_string_lossy())
            .replace("https://gitlab.example.com", url);
        self.write("etc/gitlab-runner.toml", &text)
    }

    fn edit_file(&self, name: &str, change: impl FnOnce(&mut DocumentMut)) -> Result<()> {
        let path = self.root.join(name);
        let text = fs::read_to_string(&path)?;
        let mut document: DocumentMut = text
            .parse()
            .with_context(|| format!("{} is no TOML", path.display()))?;
        change(&mut document);
        self.write(name, &document.to_string())
    }
}

impl Drop for Installation {
    fn drop(&mut self) {
        remove(&self.root);
    }
}

const PREFIX: &str = "/tmp/dockmaster-installed-";

/// Removes what testbeds left that were killed.
fn sweep() {
    for entry in fs::read_dir("/tmp").into_iter().flatten().flatten() {
        let path = entry.path();
        let name = path.to_string_lossy();
        let owner = name
            .strip_prefix(PREFIX)
            .and_then(|rest| rest.split('-').next());
        if owner.is_some_and(|pid| !Path::new("/proc").join(pid).exists()) {
            remove(&path);
        }
    }
    user::sweep();
}

/// A folder that cannot be removed now is tried again by the next testbed's sweep.
fn remove(root: &Path) {
    let _ = fs::remove_dir_all(root);
}

fn set_path(table: &mut Item, key: &str, path: Option<&Path>) {
    match (path, table.as_table_mut()) {
        (Some(path), _) => table[key] = value(path.to_string_lossy().into_owned()),
        (None, Some(table)) => {
            table.remove(key);
        }
        (None, None) => {}
    }
}

fn set_balancer(table: &mut Item, balancer: Option<&BalancerSite>) {
    let Some(balancer) = balancer else {
        table["kind"] = value("none");
        return;
    };
    table["region"] = value(&balancer.region);
    table["id"] = value(&balancer.id);
    table["port"] = value(i64::from(balancer.port));
    table["endpoint"] = value(&balancer.endpoint);
}

fn hosts(hosts: &[HostSite]) -> Item {
    let tables = hosts.iter().map(|host| {
        let mut table = toml_edit::Table::new();
        table["name"] = value(&host.name);
        table["ssh"] = value(&host.ssh);
        table["host-key"] = value(&host.host_key);
        table["server-id"] = value(&host.server_id);
        table
    });
    Item::ArrayOfTables(tables.collect())
}
