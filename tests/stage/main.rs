//! The built binary as gitlab-runner calls it: environment, arguments, exit codes, streams.
//! No Docker here: what needs the real engine is in tests/real.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod bad_input;
mod making;
mod protocol;

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

use serde_json::{Value, json};

/// One attempt's temporary folder, as the runner makes it, and a configuration.
struct Attempt {
    folder: tempfile::TempDir,
}

impl Attempt {
    fn new(config: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let attempt = Self { folder };
        attempt.write("config.toml", config);
        attempt.write("response.json", &job().to_string());
        attempt
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        path
    }

    /// The driver's command with the runner's environment around it.
    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_dockmaster"));
        command
            .args(["--config".as_ref(), self.path("config.toml").as_os_str()])
            .args(arguments)
            .current_dir(self.folder.path())
            .env("TMPDIR", self.folder.path())
            .env("JOB_RESPONSE_FILE", self.path("response.json"))
            .env("BUILD_EXIT_CODE_FILE", self.path("build_exit_code"))
            .env("BUILD_FAILURE_EXIT_CODE", "1")
            .env("SYSTEM_FAILURE_EXIT_CODE", "2")
            .stdin(Stdio::null());
        command
    }

    fn call(&self, arguments: &[&str]) -> Called {
        Called::from(self.command(arguments).output().unwrap())
    }

    fn job_code(&self) -> Option<String> {
        fs::read_to_string(self.path("build_exit_code")).ok()
    }
}

/// How a call ended.
#[derive(Debug)]
struct Called {
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

impl From<Output> for Called {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }
}

/// A job as GitLab describes it, cut to what the driver reads.
fn job() -> Value {
    json!({
        "id": 1001,
        "token": "job-token-1001",
        "job_info": {"name": "test", "stage": "test", "pipeline_id": 77, "project_id": 42},
        "git_info": {
            "repo_url": "https://gitlab-ci-token:job-token-1001@gitlab.example.com/group/project.git",
            "ref": "v1.0.0",
            "ref_type": "tag",
            "sha": "2b6202bd58b44c83de153e847af7aa646f7f055e",
            "protected": true,
        },
        "variables": [],
        "image": {"name": "alpine:latest"},
    })
}

/// A docker lane whose engine is not there.
fn docker_lane(folder: &Path) -> String {
    format!(
        "state-dir = \"{0}\"\n[lanes.docker]\nkind = \"docker\"\ndocker-host = \"unix://{0}/no.sock\"\n",
        folder.display()
    )
}

const DOCKER: &str =
    "[lanes.docker]\nkind = \"docker\"\ndocker-host = \"unix:///nowhere/docker.sock\"\n";
