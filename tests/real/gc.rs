//! A runner that is killed with all its drivers: nobody calls cleanup, and `gc` finds everything.

use std::{
    fs,
    io::Read,
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use nix::{
    sys::signal::{Signal, killpg},
    unistd::Pid,
};
use serde_json::json;
use testbed::installation::Installation;

use crate::fixture::{Fixture, left};

testbed::tests![Fixture; [];
    what_a_killed_runner_left_is_removed_by_gc,
];

/// What the job makes through its gate before everything is killed.
const SCRIPT: &str = "
docker volume create data >/dev/null
docker network create net >/dev/null
docker tag alpine:latest made:1
docker run -d -v data:/data -v $PWD:/here --network net alpine:latest sleep 1000 >/dev/null
echo begun
sleep 1000
";

/// A runner of two stages, in a process group of its own.
struct DoomedRunner {
    child: Child,
    temporary: PathBuf,
}

impl DoomedRunner {
    fn start(installation: &Installation, job: i64) -> Self {
        let temporary = installation.root().join("custom-executor77");
        fs::create_dir(&temporary).unwrap();
        let response = json!({
            "id": job,
            "job_info": { "project_id": 42, "pipeline_id": 1 },
            "git_info": { "ref": "main", "sha": "a".repeat(40), "protected": false },
            "image": { "name": "docker:latest" },
        });
        let path = temporary.join("response.json");
        fs::write(&path, response.to_string()).unwrap();
        let script = temporary.join("script");
        fs::write(&script, SCRIPT).unwrap();
        let binary = installation.binary();
        let bin = binary.parent().unwrap();
        let stages = "\"$@\" prepare && \"$@\" run \"$SCRIPT\" build_script";
        let child = Command::new("sh")
            .args(["-c", stages, "runner"])
            .arg(&binary)
            .arg("--config")
            .arg(installation.config())
            .args(["--lane", "docker"])
            .env("PATH", format!("{}:/usr/bin:/bin", bin.display()))
            .env("JOB_RESPONSE_FILE", &path)
            .env("SCRIPT", &script)
            .process_group(0)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        Self { child, temporary }
    }

    /// Waits for this text in the job's log.
    fn wait_for(&mut self, text: &str) {
        let mut output = self.child.stdout.take().unwrap();
        let (mut seen, mut byte) = (Vec::new(), [0]);
        while !String::from_utf8_lossy(&seen).contains(text) {
            let count = output.read(&mut byte).unwrap();
            assert_eq!(count, 1, "{}", String::from_utf8_lossy(&seen));
            seen.extend(byte);
        }
    }

    fn kill_everything(&mut self) {
        killpg(
            Pid::from_raw(self.child.id().cast_signed()),
            Signal::SIGKILL,
        )
        .unwrap();
        self.child.wait().unwrap();
    }
}

fn what_a_killed_runner_left_is_removed_by_gc(fixture: &Fixture) {
    let company = fixture.company();
    let installation = &company.installation;
    let id = testbed::spec::next_id();
    let mut runner = DoomedRunner::start(installation, id);
    runner.wait_for("begun");
    runner.kill_everything();
    assert!(!left(id).is_empty());
    let swept = installation.command(&["gc"]).output().unwrap();
    let text = String::from_utf8_lossy(&swept.stdout).into_owned();
    assert!(
        swept.status.success(),
        "{text}{}",
        String::from_utf8_lossy(&swept.stderr)
    );
    assert!(text.contains(&format!("-j{id}-")), "{text}");
    assert!(left(id).is_empty(), "{:?}", left(id));
    assert!(
        !runner.temporary.exists(),
        "the job's variables and token stay"
    );
    let run = installation.run_directory();
    for folder in ["notes", "gates", "making"] {
        assert_eq!(of_job(&run.join(folder), id), [] as [String; 0], "{folder}");
    }
    assert_eq!(
        docker(&[
            "volume",
            "ls",
            "-q",
            "--filter",
            &format!("label=dockmaster.job={}", key(&text, id))
        ]),
        ""
    );
    assert!(!docker(&["images", "--format", "{{.Repository}}:{{.Tag}}"]).contains("made:1"));
}

/// What a folder holds of a job.
fn of_job(folder: &Path, id: i64) -> Vec<String> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let names = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
    names
        .filter(|name| name.contains(&format!("-j{id}-")))
        .collect()
}

/// The job's key, as `gc` told it.
fn key(text: &str, id: i64) -> String {
    let words = text.split_whitespace();
    let mut keys = words.filter(|word| word.contains(&format!("-j{id}-")));
    keys.next().unwrap().to_owned()
}

fn docker(arguments: &[&str]) -> String {
    let output = Command::new("/usr/bin/docker")
        .args(arguments)
        .output()
        .unwrap();
    String::from_utf8(output.stdout).unwrap()
}
