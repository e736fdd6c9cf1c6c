//! One production host, and the ways in which tests spoil it.

use std::fs;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::{DIRECTORY, PROJECT, SERVICE, Setting, USER, login, make_key};
use crate::application::PORT;
use crate::command::{DOCKER, attempt, docker, feed};
use crate::machine;
use crate::registry::Registry;

const BOOT: &str = include_str!("../../../host-boot.sh");

/// More than the gigabyte a rollout wants to find free, and little enough to be filled quickly.
const DISK: &str = "/var/lib/docker:rw,mode=0711,size=1536m";

/// Where a Compose v2 plugin would be, if this machine has one: it is in none of Debian 12's packages.
const COMPOSE_V2: &str = "/usr/libexec/docker/cli-plugins/docker-compose";

/// Seconds.
const PATIENCE: &str = "60";

#[derive(Debug)]
pub struct Host {
    /// `app-1`
    pub name: String,
    /// The container that plays the host.
    pub container: String,
    pub ip: IpAddr,
    /// The id the load balancer's API knows it by.
    pub server_id: String,
    registry: String,
    directory: PathBuf,
}

impl Host {
    pub(super) fn boot(setting: &Setting<'_>, number: u8, fleet: &Path) -> Result<Self> {
        let name = format!("app-{number}");
        let host = Self {
            container: machine::name(&name),
            ip: setting.network.host(number),
            server_id: format!("i-bp1testbed{number:08}"),
            registry: setting.registry.host.clone(),
            directory: fleet.join(&name),
            name,
        };
        host.write_files(setting, fleet)?;
        host.start_container(setting)
            .with_context(|| format!("cannot start {}", host.name))?;
        host.wait_for("docker version")
            .with_context(|| host.log())?;
        Ok(host)
    }

    fn write_files(&self, setting: &Setting<'_>, fleet: &Path) -> Result<()> {
        fs::create_dir_all(&self.directory)?;
        make_key(&self.directory.join("host_key"), &self.name)?;
        fs::copy(
            fleet.join("deploy_key.pub"),
            self.directory.join("authorized_keys"),
        )?;
        fs::write(self.directory.join("ca.crt"), &setting.registry.certificate)?;
        fs::write(self.directory.join("boot.sh"), BOOT)?;
        if Path::new(COMPOSE_V2).exists() {
            fs::copy(COMPOSE_V2, self.directory.join("docker-compose-v2"))?;
        }
        let compose = format!(
            "version: \"3.8\"\nservices:\n  {SERVICE}:\n    image: {}\n    restart: always\n    \
             ports:\n      - \"{PORT}:{PORT}\"\n",
            setting.release,
        );
        fs::write(self.directory.join("docker-compose.yml"), compose)?;
        Ok(())
    }

    /// Capabilities one by one: a machine's root may itself lack one that `--privileged` would ask for.
    fn start_container(&self, setting: &Setting<'_>) -> Result<()> {
        let volume = format!("{}:/testbed:ro", self.directory.display());
        let label = machine::label();
        let variables = [
            format!("NAME={}", self.container),
            format!("REGISTRY={}", self.registry),
        ];
        let ip = self.ip.to_string();
        let mut arguments = vec![
            "run",
            "--detach",
            "--name",
            &self.container,
            "--label",
            &label,
        ];
        arguments.extend([
            "--hostname",
            &self.name,
            "--network",
            &setting.network.name,
            "--ip",
            &ip,
        ]);
        arguments.extend(["--cap-add", "ALL"]);
        if takes_all_literally(&docker(&["version", "--format", "{{.Server.Version}}"])?) {
            arguments.extend(["--cap-drop", "SYS_RESOURCE"]);
        }
        arguments.extend(["--security-opt", "seccomp=unconfined"]);
        arguments.extend([
            "--security-opt",
            "apparmor=unconfined",
            "--cgroupns",
            "host",
        ]);
        arguments.extend([
            "--tmpfs",
            DISK,
            "--volume",
            "/sys/fs/cgroup:/sys/fs/cgroup:rw",
        ]);
        arguments.extend([
            "--volume",
            &volume,
            "--env",
            &variables[0],
            "--env",
            &variables[1],
        ]);
        arguments.extend([setting.image, "sh", "/testbed/boot.sh"]);
        docker(&arguments)?;
        Ok(())
    }

    /// What an admin typed before there was anything better; the service is healthy when this returns.
    pub(super) fn deploy_by_hand(&self, registry: &Registry) -> Result<()> {
        self.log_in(registry)
            .with_context(|| format!("cannot log in on {}", self.name))?;
        self.exec_as_deploy(&format!("cd {DIRECTORY} && docker-compose up -d"), b"")?;
        self.wait_until_healthy()
    }

    /// Gives `deploy` the pull account, as an admin does once on every production host.
    pub fn log_in(&self, registry: &Registry) -> Result<()> {
        let account = &registry.pull_account;
        self.exec_as_deploy(&login(&registry.host, account), account.password.as_bytes())?;
        Ok(())
    }

    pub fn log_out(&self) -> Result<()> {
        self.exec_as_deploy(&format!("docker logout {}", self.registry), b"")?;
        Ok(())
    }

    /// Runs a shell command as the host's root.
    pub fn exec(&self, command: &str) -> Result<String> {
        docker(&["exec", &self.container, "sh", "-c", command])
    }

    /// Runs a shell command as the user that dockmaster comes as, with `input` on its standard input.
    pub fn exec_as_deploy(&self, command: &str, input: &[u8]) -> Result<String> {
        let user = [
            "exec",
            "-i",
            "-u",
            USER,
            "-e",
            "HOME=/home/deploy",
            &self.container,
        ];
        feed(DOCKER, &[&user[..], &["sh", "-c", command]].concat(), input)
    }

    /// The host's public key as a configuration names it: `ssh-ed25519 AAAA…`.
    pub fn host_key(&self) -> Result<String> {
        let text = fs::read_to_string(self.directory.join("host_key.pub"))?;
        Ok(text
            .split_whitespace()
            .take(2)
            .collect::<Vec<_>>()
            .join(" "))
    }

    /// Ids of the service's containers, running or not.
    pub fn containers(&self) -> Result<Vec<String>> {
        let filter = format!(
            "--filter label=com.docker.compose.project={PROJECT} \
             --filter label=com.docker.compose.service={SERVICE}"
        );
        let ids = self.exec(&format!("docker ps -aq --no-trunc {filter}"))?;
        Ok(ids.lines().map(str::to_owned).collect())
    }

    /// The digest of the image that the running service was made from, if the registry gave it one.
    pub fn running_digest(&self) -> Result<Option<String>> {
        let format = "docker inspect --format '{{.Image}}' $(docker ps -q \
             --filter label=com.docker.compose.service=app)";
        let image = self.exec(format)?;
        let digests = "docker image inspect --format '{{join .RepoDigests \" \"}}'";
        let digests = self.exec(&format!("{digests} {image}"))?;
        let ours = digests
            .split_whitespace()
            .find(|digest| digest.starts_with(&self.registry));
        Ok(ours
            .and_then(|digest| digest.split_once('@'))
            .map(|(_, digest)| digest.to_owned()))
    }

    /// What the service says of itself, asked past the load balancer.
    pub fn version(&self) -> Result<String> {
        self.exec(&format!("docker exec $(docker ps -q --filter label=com.docker.compose.service={SERVICE}) curl -fs http://127.0.0.1:{PORT}/"))
    }

    pub fn wait_until_healthy(&self) -> Result<()> {
        self.wait_for(&format!(
            "docker ps -q --filter health=healthy \
             --filter label=com.docker.compose.service={SERVICE} | grep -q ."
        ))
    }

    /// Refuses new SSH connections; those that exist stay.
    pub fn stop_ssh(&self) -> Result<()> {
        self.exec("kill $(cat /run/sshd.pid) && while [ -e /run/sshd.pid ]; do sleep 0.05; done")?;
        Ok(())
    }

    /// Its pid file is there once it listens.
    pub fn start_ssh(&self) -> Result<()> {
        self.exec("/usr/sbin/sshd -E /var/log/sshd.log")?;
        self.wait_for("[ -e /run/sshd.pid ]")
    }

    /// Ends the Docker Engine; its containers end with it.
    pub fn stop_engine(&self) -> Result<()> {
        self.exec("kill $(cat /run/docker.pid)")?;
        self.wait_for("[ ! -e /run/docker.pid ]")
    }

    pub fn start_engine(&self) -> Result<()> {
        self.exec("kill -USR1 1")?;
        self.wait_for("docker version")
    }

    /// Freezes the host: it answers nothing, and closes nothing either.
    pub fn pause(&self) -> Result<()> {
        docker(&["pause", &self.container]).map(drop)
    }

    pub fn resume(&self) -> Result<()> {
        docker(&["unpause", &self.container]).map(drop)
    }

    /// Leaves no space for another image layer.
    pub fn fill_disk(&self) -> Result<()> {
        // dd fails when the disk is full, which is the aim.
        self.exec("dd if=/dev/zero of=/var/lib/docker/full bs=1M 2>/dev/null || true")
            .map(drop)
    }

    pub fn free_disk(&self) -> Result<()> {
        self.exec("rm -f /var/lib/docker/full").map(drop)
    }

    /// Gives the host another key than the one `host_key` tells, as after an attack or a new installation.
    pub fn change_host_key(&self) -> Result<()> {
        self.stop_ssh()?;
        self.exec("rm /etc/ssh/ssh_host_ed25519_key*")?;
        self.exec("ssh-keygen -q -t ed25519 -N '' -f /etc/ssh/ssh_host_ed25519_key")?;
        self.start_ssh()
    }

    pub fn restore_host_key(&self) -> Result<()> {
        self.stop_ssh()?;
        self.exec("install -m 600 /testbed/host_key /etc/ssh/ssh_host_ed25519_key")?;
        self.start_ssh()
    }

    /// Waits inside the host, because every call into it starts four programs out here.
    fn wait_for(&self, command: &str) -> Result<()> {
        let wait = format!("until {command} >/dev/null 2>&1; do sleep 0.3; done");
        docker(&[
            "exec",
            &self.container,
            "timeout",
            PATIENCE,
            "sh",
            "-c",
            &wait,
        ])
        .with_context(|| format!("{}: waited {PATIENCE} s for {command}", self.name))?;
        Ok(())
    }

    fn log(&self) -> String {
        let own = attempt(DOCKER, &["logs", &self.container], b"");
        let own = own.map(|output| String::from_utf8_lossy(&output.stderr).into_owned());
        let engine = self
            .exec("tail -n 20 /var/log/dockerd.log")
            .unwrap_or_default();
        format!("{}: {}\n{engine}", self.name, own.unwrap_or_default())
    }
}

/// Whether an engine asks the kernel for every capability there is: then the one that a machine's root may lack has
/// to be left out. From 26 on `ALL` means all that the engine has, and leaving out one that it lacks is refused.
fn takes_all_literally(version: &str) -> bool {
    let major = version
        .split('.')
        .next()
        .and_then(|major| major.parse::<u32>().ok());
    major.is_none_or(|major| major < 26)
}

#[cfg(test)]
mod tests {
    use super::takes_all_literally;

    #[test]
    fn the_engine_s_generation_decides_which_capabilities_are_asked_for() {
        assert!(takes_all_literally("20.10.24+dfsg1"));
        assert!(takes_all_literally("25.0.3"));
        assert!(!takes_all_literally("26.1.5+dfsg1"));
        assert!(!takes_all_literally("29.0.0"));
    }
}
