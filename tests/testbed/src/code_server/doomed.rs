//! A runner that is going to be killed: two stages of one job, called by a process of its own, so that
//! the driver sees its runner go. The runner stand-in lives in the test's process and cannot play that.

use std::{
    collections::BTreeSet,
    fs,
    io::Read,
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use anyhow::{Context as _, Result, ensure};
use nix::{
    sys::signal::{Signal, kill, killpg},
    unistd::Pid,
};
use serde_json::json;

use crate::{command::DOCKER, installation::Installation};

/// One job, at work until it is killed or done.
#[derive(Debug)]
pub struct DoomedRunner {
    child: Child,
    temporary: PathBuf,
    response: PathBuf,
    job: i64,
}

impl DoomedRunner {
    /// Starts prepare and then the script, as a job of the docker lane on an unprotected branch.
    pub fn start(installation: &Installation, job: i64, script: &str) -> Result<Self> {
        let temporary = installation.root().join(format!("custom-executor{job}"));
        fs::create_dir(&temporary)?;
        let response = temporary.join("response.json");
        let payload = json!({
            "id": job,
            "job_info": { "project_id": 42, "pipeline_id": 1 },
            "git_info": { "ref": "main", "sha": "a".repeat(40), "protected": false },
            "image": { "name": "docker:latest" },
        });
        fs::write(&response, payload.to_string())?;
        let path = temporary.join("script");
        fs::write(&path, script)?;
        let stages = "\"$@\" prepare && \"$@\" run \"$SCRIPT\" build_script";
        let mut command = Command::new("sh");
        command.args(["-c", stages, "runner"]);
        dockmaster(&mut command, installation);
        let child = command
            .env("JOB_RESPONSE_FILE", &response)
            .env("SCRIPT", &path)
            .process_group(0)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()?;
        Ok(Self {
            child,
            temporary,
            response,
            job,
        })
    }

    /// The runner's folder with the job's variables and token.
    pub fn temporary(&self) -> &Path {
        &self.temporary
    }

    /// Waits for this text in the job's log.
    pub fn wait_for(&mut self, text: &str) -> Result<()> {
        let mut output = self.child.stdout.take().context("waited for before")?;
        let (mut seen, mut byte) = (Vec::new(), [0]);
        while !String::from_utf8_lossy(&seen).contains(text) {
            let count = output.read(&mut byte)?;
            ensure!(
                count == 1,
                "the job ended: {}",
                String::from_utf8_lossy(&seen)
            );
            seen.extend(byte);
        }
        Ok(())
    }

    /// `kill -9` for runner and driver.
    pub fn kill_everything(&mut self) -> Result<()> {
        killpg(self.pid(), Signal::SIGKILL)?;
        self.child.wait()?;
        Ok(())
    }

    /// `kill -9` for the runner alone: the driver finds out.
    pub fn kill_runner(&mut self) -> Result<()> {
        kill(self.pid(), Signal::SIGKILL)?;
        self.child.wait()?;
        Ok(())
    }

    /// `kill -9` for the driver alone: the runner calls cleanup.
    pub fn kill_driver(&mut self, installation: &Installation) -> Result<()> {
        let children = format!("/proc/{0}/task/{0}/children", self.pid());
        // Between two stages there is none.
        for pid in fs::read_to_string(children)?.split_whitespace() {
            let _ = kill(Pid::from_raw(pid.parse()?), Signal::SIGKILL);
        }
        self.child.wait()?;
        let mut command = Command::new("sh");
        command.args(["-c", "\"$@\" cleanup", "runner"]);
        dockmaster(&mut command, installation);
        let cleaned = command.env("JOB_RESPONSE_FILE", &self.response).output()?;
        ensure!(
            cleaned.status.success(),
            "cleanup: {}",
            String::from_utf8_lossy(&cleaned.stderr)
        );
        fs::remove_dir_all(&self.temporary)?;
        Ok(())
    }

    /// All that is left of the job: in the engine, and in the installation's folders.
    pub fn left(&self, installation: &Installation) -> Result<BTreeSet<String>> {
        let mark = format!("-j{}-", self.job);
        let mut left = BTreeSet::new();
        for kind in [&["ps", "-a"][..], &["network", "ls"], &["volume", "ls"]] {
            for label in ["dockmaster.job", "dockmaster.made-by"] {
                let filter = format!("label={label}");
                let format = format!("{} {{{{.Label \"{label}\"}}}}", kind[0]);
                let list = Command::new(DOCKER)
                    .args(kind)
                    .args(["--filter", &filter, "--format", &format])
                    .output()?;
                let text = String::from_utf8(list.stdout)?;
                let lines = text.lines().filter(|line| line.contains(&mark));
                left.extend(lines.map(str::to_owned));
            }
        }
        for folder in ["notes", "gates", "making"] {
            let entries = fs::read_dir(installation.run_directory().join(folder));
            let names = entries.into_iter().flatten().flatten();
            let names = names.map(|entry| entry.file_name().to_string_lossy().into_owned());
            left.extend(
                names
                    .filter(|name| name.contains(&mark))
                    .map(|name| format!("{folder}/{name}")),
            );
        }
        if self.temporary.exists() {
            left.insert(self.temporary.display().to_string());
        }
        let mounts = fs::read_to_string("/proc/self/mountinfo")?;
        let mounts = mounts.lines().filter(|line| line.contains(&mark));
        left.extend(mounts.map(str::to_owned));
        Ok(left)
    }

    fn pid(&self) -> Pid {
        Pid::from_raw(self.child.id().cast_signed())
    }
}

fn dockmaster(command: &mut Command, installation: &Installation) {
    let binary = installation.binary();
    let bin = binary.parent().unwrap_or(Path::new("/"));
    let path = format!("{}:/usr/bin:/bin", bin.display());
    command
        .arg(&binary)
        .arg("--config")
        .arg(installation.config())
        .args(["--lane", "docker"])
        .env("PATH", path);
}
