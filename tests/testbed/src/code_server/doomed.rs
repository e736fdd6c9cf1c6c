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

/// As the runner calls them. The last stage comes when the job is over, or is told to stop; the end of the
/// output tells who waits for a word that the job is over.
const STAGES: &str = r#"
exec 2>"$LOG"
"$@" prepare && [ ! -e "$STOP" ] && "$@" run "$SCRIPT" build_script
exec >/dev/null
until [ -e "$STOP" ]; do sleep 0.05; done
"$@" cleanup
"#;

/// One job, at work until it is killed or done.
#[derive(Debug)]
pub struct DoomedRunner {
    child: Child,
    temporary: PathBuf,
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
        let mut command = Command::new("sh");
        command.args(["-c", STAGES, "runner"]);
        dockmaster(&mut command, installation);
        let child = command
            .env("JOB_RESPONSE_FILE", &response)
            .env("SCRIPT", &path)
            .env("STOP", temporary.join("stop"))
            .env("LOG", temporary.join("log"))
            .process_group(0)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()?;
        Ok(Self {
            child,
            temporary,
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
                "the job ended: {}{}",
                String::from_utf8_lossy(&seen),
                self.log()
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
    pub fn kill_driver(&mut self) -> Result<()> {
        self.signal_driver(Signal::SIGKILL)?;
        self.clean()
    }

    fn signal_driver(&self, signal: Signal) -> Result<()> {
        fs::write(self.temporary.join("stop"), "")?;
        let children = format!("/proc/{0}/task/{0}/children", self.pid());
        // Between two stages, or at the end, there is none.
        for pid in fs::read_to_string(children)
            .unwrap_or_default()
            .split_whitespace()
        {
            let _ = kill(Pid::from_raw(pid.parse()?), signal);
        }
        Ok(())
    }

    /// Waits until the runner has called cleanup.
    fn clean(&mut self) -> Result<()> {
        let status = self.child.wait()?;
        ensure!(status.success(), "cleanup: {}", self.log());
        fs::remove_dir_all(&self.temporary)?;
        Ok(())
    }

    /// What the driver wrote for the runner.
    fn log(&self) -> String {
        fs::read_to_string(self.temporary.join("log")).unwrap_or_default()
    }

    /// Whether its gate is open.
    pub fn has_gate(&self, installation: &Installation) -> bool {
        let gates = fs::read_dir(installation.run_directory().join("gates"));
        let mark = self.mark();
        let mut gates = gates.into_iter().flatten().flatten();
        gates.any(|gate| {
            let is_its = gate.file_name().to_string_lossy().contains(&mark);
            is_its && gate.path().join("docker.sock").exists()
        })
    }

    /// Whether its driver has written down whose it is.
    pub fn has_note(&self, installation: &Installation) -> bool {
        let notes = fs::read_dir(installation.run_directory().join("notes"));
        let mark = self.mark();
        let mut notes = notes.into_iter().flatten().flatten();
        notes.any(|note| note.file_name().to_string_lossy().contains(&mark))
    }

    /// `kill -9` for every Docker client in the job's containers; how many there were.
    pub fn kill_clients(&self) -> Result<usize> {
        let mark = self.mark();
        let mut killed = 0;
        for entry in fs::read_dir("/proc")?.flatten() {
            let name = entry.file_name();
            let Some(pid) = name.to_str().and_then(|name| name.parse().ok()) else {
                continue;
            };
            let read = |file| fs::read_to_string(entry.path().join(file)).unwrap_or_default();
            if read("comm") == "docker\n" && read("cgroup").contains(&mark) {
                // One that has just ended is as good.
                killed += usize::from(kill(Pid::from_raw(pid), Signal::SIGKILL).is_ok());
            }
        }
        Ok(killed)
    }

    /// Asks the driver to end, as a cancel does, and calls cleanup.
    pub fn cancel(&mut self) -> Result<()> {
        self.signal_driver(Signal::SIGTERM)?;
        self.clean()
    }

    /// Whether a driver of this job lives, also after its runner.
    pub fn has_driver(&self) -> bool {
        let group = self.pid().to_string();
        let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
        let stats = processes.filter_map(|it| fs::read_to_string(it.path().join("stat")).ok());
        stats.into_iter().any(|stat| {
            // Behind the name: state, parent, group.
            let rest = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
            let mut words = rest.split_whitespace();
            words.next() != Some("Z") && words.nth(1) == Some(&group)
        })
    }

    /// All that is left of the job: in the engine, in the kernel, and in the installation's folders.
    pub fn left(&self, installation: &Installation) -> Result<BTreeSet<String>> {
        let mark = self.mark();
        let mut left = BTreeSet::new();
        for kind in [&["ps", "-a"][..], &["network", "ls"], &["volume", "ls"]] {
            for label in ["dockmaster.job", "dockmaster.made-by"] {
                let filter = format!("label={label}");
                let format = format!("{} {{{{.Label \"{label}\"}}}}", kind[0]);
                let list = Command::new(DOCKER)
                    .args(kind)
                    .args(["--filter", &filter, "--format", &format])
                    .output()?;
                // What could not be listed is not gone.
                ensure!(list.status.success(), "docker {}: {list:?}", kind[0]);
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
        left.extend(groups().into_iter().filter(|group| group.contains(&mark)));
        let mounts = fs::read_to_string("/proc/self/mountinfo")?;
        let mounts = mounts.lines().filter(|line| line.contains(&mark));
        left.extend(mounts.map(str::to_owned));
        Ok(left)
    }

    /// What the key of this job has, and no other's.
    fn mark(&self) -> String {
        format!("-j{}-", self.job)
    }

    fn pid(&self) -> Pid {
        Pid::from_raw(self.child.id().cast_signed())
    }
}

/// The control groups of jobs, in each tree of the kernel's.
fn groups() -> Vec<String> {
    let root = Path::new("/sys/fs/cgroup");
    let trees = fs::read_dir(root).into_iter().flatten().flatten();
    let parents = trees
        .map(|tree| tree.path().join("dockmaster"))
        .chain([root.join("dockmaster")]);
    let groups = parents
        .filter_map(|parent| fs::read_dir(parent).ok())
        .flatten();
    groups
        .flatten()
        .map(|group| group.path().display().to_string())
        .collect()
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
