//! The host's firewall around jobs, with the kernel's own rules: a job reaches what the lane lets it, and nothing else.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
    thread,
};

use testbed::serve::everybody;

use crate::fixture::{Job, Jobs, docker};

testbed::tests![
    Jobs; [Root, Engine];
    a_job_reaches_what_the_lane_lets_it_and_nothing_else,
];

/// Where a cloud's metadata is; this machine is given it for a while.
const METADATA: &str = "169.254.169.254";

/// The rules of this machine, which a test leaves as it found them.
struct Rules {
    config: PathBuf,
    before: String,
}

impl Rules {
    /// Rules that let jobs reach this port of the host.
    fn plan(folder: &Path, open: u16) -> Self {
        let text = format!(
            "state-dir = '{0}'\nrun-dir = '{0}'\n[lanes.docker]\nkind = 'docker'\n\
             [lanes.docker.network]\nfirewall = true\nhost-ports = [80, {open}]\ndeny = ['192.0.2.128/25']\n",
            folder.display()
        );
        let config = folder.join("firewall.toml");
        fs::write(&config, text).unwrap();
        Self {
            config,
            before: rules(),
        }
    }

    fn call(&self, verb: &str) -> Output {
        Command::new(env!("CARGO_BIN_EXE_dockmaster"))
            .arg("--config")
            .arg(&self.config)
            .args(["firewall", verb])
            .output()
            .unwrap()
    }

    #[track_caller]
    fn says(&self, verb: &str, code: i32, word: &str) {
        let output = self.call(verb);
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(
            output.status.code() == Some(code) && text.contains(word),
            "{verb}: {output:?}"
        );
    }
}

impl Drop for Rules {
    fn drop(&mut self) {
        let removed = self.call("remove");
        if !thread::panicking() {
            assert!(removed.status.success(), "{removed:?}");
            assert_eq!(rules(), self.before);
        }
    }
}

/// Chains that Docker does not change by itself.
fn rules() -> String {
    ["iptables", "ip6tables"]
        .map(|program| {
            let output = Command::new(program).args(["-w", "-S"]).output().unwrap();
            let text = String::from_utf8(output.stdout).unwrap();
            let ours = ["INPUT", "DOCKER-USER", "DOCKMASTER", "-P"];
            let is_ours = |line: &&str| ours.iter().any(|word| line.contains(word));
            text.lines().filter(is_ours).collect::<Vec<_>>().join("\n")
        })
        .join("\n")
}

/// An address that this machine has for a while.
struct Address;

impl Address {
    fn add() -> Self {
        ip("add");
        Self
    }
}

impl Drop for Address {
    fn drop(&mut self) {
        ip("del");
    }
}

fn ip(verb: &str) {
    let address = format!("{METADATA}/32");
    let status = Command::new("ip")
        .args(["addr", verb, &address, "dev", "lo"])
        .status();
    assert!(status.unwrap().success());
}

/// Whether a container of the job's in its own network finds somebody there.
fn reaches(job: &Job, network: &str, address: &str) -> bool {
    let get = format!("busybox timeout 3 busybox wget -qO- http://{address}/");
    let arguments = [
        "run",
        "--rm",
        "--network",
        network,
        &job.base,
        "sh",
        "-c",
        &get,
    ];
    job.client(&arguments).run().stdout == "here\n"
}

/// The same past the gate, on the engine's own bridge, where `BuildKit`'s steps are.
fn step_reaches(job: &Job, address: &str) -> bool {
    let get = format!("busybox timeout 3 busybox wget -qO- http://{address}/");
    docker(&["run", "--rm", &job.base, "sh", "-c", &get])
        .run()
        .stdout
        == "here\n"
}

fn inspect(container: &str, what: &str) -> String {
    docker(&["inspect", "-f", what, container])
        .good()
        .stdout
        .trim()
        .to_owned()
}

/// A web server in a container of the job's own network; its id.
fn served(job: &Job, network: &str, name: &str) -> String {
    let serve = "mkdir /w; echo here > /w/index.html; exec busybox httpd -f -p 8080 -h /w";
    let arguments = [
        "run",
        "-d",
        "--name",
        name,
        "--network",
        network,
        &job.base,
        "sh",
        "-c",
        serve,
    ];
    job.client(&arguments).good().stdout.trim().to_owned()
}

fn a_job_reaches_what_the_lane_lets_it_and_nothing_else(jobs: &Jobs) {
    let (job, other) = (jobs.open("firewall"), jobs.open("firewall2"));
    let (open, closed) = (
        everybody("0.0.0.0:0").unwrap(),
        everybody("0.0.0.0:0").unwrap(),
    );
    let _address = Address::add();
    let metadata = everybody(&format!("{METADATA}:80")).unwrap();
    for job in [&job, &other] {
        job.line("network create net").good();
    }
    let (own, theirs) = (served(&job, "net", "web"), served(&other, "net", "web"));
    let gateway = inspect(
        &own,
        "{{range .NetworkSettings.Networks}}{{.Gateway}}{{end}}",
    );
    let stranger = inspect(
        &theirs,
        "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}",
    );
    let bridge = docker(&[
        "network",
        "inspect",
        "-f",
        "{{(index .IPAM.Config 0).Gateway}}",
        "bridge",
    ]);
    let bridge = bridge.good().stdout.trim().to_owned();

    let rules = Rules::plan(job.folder(), open);
    // Without rules all of the host is there, so that what follows proves something.
    assert!(reaches(&job, "net", &format!("{gateway}:{closed}")));
    assert!(reaches(&job, "net", &format!("{METADATA}:{metadata}")));
    assert!(step_reaches(&job, &format!("{bridge}:{closed}")));
    rules.says("check", 1, "missing");
    rules.says("plan", 0, "-A DOCKMASTER-HOST -p tcp -m tcp --dport");
    rules.says("apply", 0, "stands\n");
    rules.says("apply", 0, "nothing to do");
    rules.says("check", 0, "stands\n");

    assert!(reaches(&job, "net", &format!("{gateway}:{open}")));
    assert!(reaches(&job, "net", "web:8080"), "the job's own network");
    assert!(!reaches(&job, "net", &format!("{gateway}:{closed}")));
    assert!(!reaches(&job, "net", &format!("{METADATA}:{metadata}")));
    assert!(!reaches(&job, "net", &format!("{stranger}:8080")));
    assert!(step_reaches(&job, &format!("{bridge}:{open}")));
    assert!(!step_reaches(&job, &format!("{bridge}:{closed}")));
    assert!(!step_reaches(&job, &format!("{METADATA}:{metadata}")));

    // Somebody takes a rule out: the next apply puts it back.
    let taken = ["-w", "-D", "INPUT", "-i", "dm-+", "-j", "DOCKMASTER-HOST"];
    assert!(
        Command::new("iptables")
            .args(taken)
            .status()
            .unwrap()
            .success()
    );
    assert!(reaches(&job, "net", &format!("{gateway}:{closed}")));
    rules.says("check", 1, "missing");
    rules.says("apply", 0, "stands\n");
    assert!(!reaches(&job, "net", &format!("{gateway}:{closed}")));
    rules.says("remove", 0, "taken away");
    rules.says("remove", 0, "there was no");
}
