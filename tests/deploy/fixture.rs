//! An installed lane under a temp root, and the calls that a runner makes.

use std::{
    fs::{self, File, Permissions},
    os::unix::{
        fs::{DirBuilderExt, PermissionsExt, chown},
        process::CommandExt,
    },
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    sync::atomic::{AtomicU32, Ordering},
    thread,
    time::{Duration, Instant},
};

use nix::{
    sys::signal::{Signal, killpg},
    unistd::{Pid, User},
};
use serde_json::{Value, json};
use tempfile::TempDir;

/// What no job may ever see.
pub(crate) const CANARY: &str = "canary-5f1d9c";
pub(crate) const SHA: &str = "2b6202bd58b44c83de153e847af7aa646f7f055e";
pub(crate) const BROKER: &str = "nobody";
const UIDS: u32 = 4;

/// Looks until it is so, or fails.
#[track_caller]
pub(crate) fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !is_so() {
        assert!(Instant::now() < deadline, "never came: {what}");
        thread::sleep(Duration::from_millis(20));
    }
}

/// One deploy lane, installed for one test.
pub(crate) struct Lane {
    root: TempDir,
    pub(crate) first_uid: u32,
}

/// How a call ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    /// What the runner would tell GitLab.
    pub(crate) job_code: Option<String>,
    pub(crate) text: String,
}

impl Lane {
    pub(crate) fn install() -> Self {
        Self::install_in(&std::env::temp_dir())
    }

    pub(crate) fn install_in(folder: &Path) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let root = tempfile::Builder::new()
            .prefix("dockmaster-deploy-")
            .tempdir_in(folder)
            .unwrap();
        fs::set_permissions(root.path(), Permissions::from_mode(0o755)).unwrap();
        // Tests run side by side, in one process or in several: none shares a uid with another.
        let offset = NEXT.fetch_add(1, Ordering::Relaxed) + std::process::id() % 10_000 * 16;
        let lane = Self {
            root,
            first_uid: 1_000_000 + offset * UIDS,
        };
        lane.configure();
        lane
    }

    fn configure(&self) {
        let etc = self.path("etc");
        fs::create_dir_all(etc.join("environments")).unwrap();
        fs::create_dir_all(etc.join("secrets")).unwrap();
        fs::create_dir_all(self.path("runner")).unwrap();
        fs::set_permissions(self.path("runner"), Permissions::from_mode(0o700)).unwrap();
        let config = format!(
            "state-dir = \"{}\"\nrun-dir = \"{}\"\nbroker-user = {BROKER:?}\n[lanes.deploy]\n\
             kind = \"deploy\"\nenvironments = [\"production\"]\nfirst-uid = {}\nuid-count = {UIDS}\n",
            self.path("state").display(),
            self.path("run").display(),
            self.first_uid,
        );
        fs::write(self.config(), config).unwrap();
        let key = etc.join("secrets/id_ed25519");
        fs::write(&key, CANARY).unwrap();
        fs::set_permissions(&key, Permissions::from_mode(0o600)).unwrap();
        let broker = User::from_name(BROKER).unwrap().unwrap();
        chown(&key, Some(broker.uid.as_raw()), None).unwrap();
        // Even a file that an admin left readable is out of sight.
        fs::write(etc.join("secrets/careless"), CANARY).unwrap();
        fs::write(etc.join("environments/production.toml"), environment(&key)).unwrap();
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    pub(crate) fn config(&self) -> PathBuf {
        self.path("etc/config.toml")
    }

    /// A job that may deploy.
    pub(crate) fn job(&self, id: u32) -> Job<'_> {
        Job {
            lane: self,
            id,
            response: response(id),
        }
    }

    pub(crate) fn leased(&self) -> Vec<String> {
        let Ok(entries) = fs::read_dir(self.path("state/uids")) else {
            return Vec::new();
        };
        entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect()
    }
}

/// One job of the lane.
pub(crate) struct Job<'a> {
    lane: &'a Lane,
    id: u32,
    pub(crate) response: Value,
}

impl Job<'_> {
    /// The runner's temp folder for it.
    pub(crate) fn folder(&self) -> PathBuf {
        self.lane.path(&format!("runner/{}", self.id))
    }

    /// What is made for it.
    pub(crate) fn own_folder(&self) -> PathBuf {
        let jobs = self.lane.path("state/jobs");
        let prefix = format!("p42-j{}-", self.id);
        let entries = fs::read_dir(&jobs)
            .unwrap()
            .map(|entry| entry.unwrap().path());
        let is_own = |path: &PathBuf| {
            path.file_name()
                .unwrap()
                .to_string_lossy()
                .starts_with(&prefix)
        };
        entries.into_iter().find(is_own).unwrap()
    }

    pub(crate) fn prepare(&self) -> Ended {
        self.call(&["prepare"])
    }

    pub(crate) fn cleanup(&self) -> Ended {
        self.call(&["cleanup"])
    }

    /// Runs `script` as that phase.
    pub(crate) fn run(&self, phase: &str, script: &str) -> Ended {
        let script = self.write(script);
        self.call(&["run", script.to_str().unwrap(), phase])
    }

    pub(crate) fn step(&self, script: &str) -> Ended {
        self.run("build_script", script)
    }

    /// Starts `script` as the user's, and returns while it runs.
    pub(crate) fn start(&self, script: &str) -> Running {
        let script = self.write(script);
        let log = self.folder().join("log");
        let child = self
            .command(&["run", script.to_str().unwrap(), "build_script"])
            .stdout(File::create(&log).unwrap())
            .stderr(File::options().append(true).open(&log).unwrap())
            .spawn()
            .unwrap();
        Running { child, log }
    }

    fn call(&self, arguments: &[&str]) -> Ended {
        ended(&self.command(arguments).output().unwrap(), &self.folder())
    }

    fn write(&self, script: &str) -> PathBuf {
        self.write_response();
        let path = self.folder().join("script");
        fs::write(&path, script).unwrap();
        path
    }

    fn write_response(&self) {
        let folder = self.folder();
        if !folder.is_dir() {
            fs::DirBuilder::new().mode(0o700).create(&folder).unwrap();
        }
        fs::write(folder.join("response.json"), self.response.to_string()).unwrap();
    }

    fn command(&self, arguments: &[&str]) -> Command {
        self.write_response();
        let folder = self.folder();
        // A runner that allows core files and forgot to close a file.
        let mut command = Command::new("/bin/sh");
        command
            .args(["-c", "ulimit -c unlimited; exec 9<\"$0\"; exec \"$@\""])
            .arg(self.lane.path("etc/secrets/careless"))
            .arg(env!("CARGO_BIN_EXE_dockmaster"))
            .arg("--config")
            .arg(self.lane.config())
            .args(["--lane", "deploy"])
            .args(arguments)
            .env_clear()
            .env("PATH", "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin")
            .env("TMPDIR", &folder)
            .env("JOB_RESPONSE_FILE", folder.join("response.json"))
            .env("BUILD_EXIT_CODE_FILE", folder.join("build_exit_code"))
            .env("BUILD_FAILURE_EXIT_CODE", "1")
            .env("SYSTEM_FAILURE_EXIT_CODE", "2")
            .env("CUSTOM_ENV_LD_PRELOAD", CANARY)
            .env("RUNNER_SECRET", CANARY)
            .current_dir(&folder)
            .stdin(Stdio::null());
        command.process_group(0);
        command
    }
}

fn ended(output: &Output, folder: &Path) -> Ended {
    let text = [output.stdout.as_slice(), output.stderr.as_slice()].concat();
    Ended {
        code: output.status.code(),
        job_code: fs::read_to_string(folder.join("build_exit_code")).ok(),
        text: String::from_utf8_lossy(&text).into_owned(),
    }
}

/// A phase under way.
pub(crate) struct Running {
    child: Child,
    log: PathBuf,
}

impl Running {
    /// As the runner signals: the whole process group.
    pub(crate) fn signal(&self, signal: Signal) {
        killpg(Pid::from_raw(self.child.id().cast_signed()), signal).unwrap();
    }

    pub(crate) fn text(&self) -> String {
        fs::read_to_string(&self.log).unwrap()
    }

    #[track_caller]
    pub(crate) fn wait_for(&self, text: &str) {
        wait_until(text, || self.text().contains(text));
    }

    pub(crate) fn wait(mut self) -> Ended {
        let code = self.child.wait().unwrap().code();
        let text = self.text();
        Ended {
            code,
            job_code: None,
            text,
        }
    }
}

impl Drop for Running {
    /// A test that fails leaves nothing running.
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            self.signal(Signal::SIGKILL);
            self.child.wait().unwrap();
        }
    }
}

/// A process of that uid, until it is dropped.
pub(crate) struct Squatter(Child);

impl Squatter {
    pub(crate) fn start(uid: u32) -> Self {
        Self(
            Command::new("sleep")
                .arg("600")
                .uid(uid)
                .gid(uid)
                .spawn()
                .unwrap(),
        )
    }
}

impl Drop for Squatter {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

impl Ended {
    #[track_caller]
    pub(crate) fn is_good(&self) -> &Self {
        assert_eq!(self.code, Some(0), "{}", self.text);
        self
    }

    #[track_caller]
    pub(crate) fn says(&self, text: &str) -> &Self {
        assert!(self.text.contains(text), "no `{text}` in: {}", self.text);
        self
    }
}

/// True while a process has that uid.
pub(crate) fn is_alive(uid: u32) -> bool {
    fs::read_dir("/proc").unwrap().flatten().any(|entry| {
        fs::read_to_string(entry.path().join("status")).is_ok_and(|status| {
            let is_zombie = status.contains("\nState:\tZ");
            !is_zombie && status.contains(&format!("\nUid:\t{uid}\t"))
        })
    })
}

/// The brokers that serve that lane's jobs: those that hold a socket below its run-dir.
pub(crate) fn brokers(lane: &Lane) -> Vec<u32> {
    let run = lane.path("run");
    let sockets: Vec<String> = fs::read_to_string("/proc/net/unix")
        .unwrap()
        .lines()
        .filter(|line| line.contains(&*run.to_string_lossy()))
        .filter_map(|line| Some(format!("socket:[{}]", line.split_whitespace().nth(6)?)))
        .collect();
    let holds = |pid: &u32| {
        let output = fs::read_link(format!("/proc/{pid}/fd/1")).unwrap_or_default();
        sockets.contains(&output.to_string_lossy().into_owned())
    };
    let processes = fs::read_dir("/proc").unwrap().flatten();
    let pids = processes.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.filter(holds).collect()
}

fn response(id: u32) -> Value {
    json!({
        "id": id,
        "token": CANARY,
        "job_info": {"project_id": 42, "pipeline_id": 77, "name": "deploy", "stage": "deploy"},
        "git_info": {
            "repo_url": "http://gitlab-ci-token:token@127.0.0.1:9/group/app.git",
            "ref": "v1.0.0", "ref_type": "tag", "sha": SHA, "protected": true,
            "refspecs": ["+refs/tags/v1.0.0:refs/tags/v1.0.0"], "depth": 20,
        },
        "variables": [{"key": "CI_COMMIT_SHA", "value": SHA}],
    })
}

/// The environment that is shipped, with the broker's key and without a balancer.
fn environment(key: &Path) -> String {
    let text = include_str!("../../runner-config/environments/production.toml");
    let mut environment: toml::Table = text.parse().unwrap();
    environment["ssh"]["key"] = key.to_string_lossy().into_owned().into();
    environment["balancer"]["kind"] = "none".into();
    environment.to_string()
}
