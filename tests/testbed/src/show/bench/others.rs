//! What else builds images in a job without the host's socket, where it runs here: buildah without root, and an
//! engine in a container.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};

use super::gate::{must, ten_steps};
use super::{Bench, compare, middle, say, timed};
use crate::command::{DOCKER, docker, run};
use crate::{image, machine};

const COLD: usize = 3;
const CACHED: usize = 5;
const USER: &str = "dockmaster-bench";

/// Builds of ten steps beside those on the engine's own socket, with what each has here.
pub(super) fn compare_all(bench: &Bench) -> Result<()> {
    let folder = bench.0.machine.directory("others")?;
    for (name, measured) in [
        ("buildah without root", buildah(&folder)),
        ("an engine in a container", dind(bench, &folder)),
    ] {
        if let Err(why) = measured {
            say(&format!("{name:<36} not run here: {why:#}"));
        }
    }
    Ok(())
}

/// Cold and cached builds by `build`, beside `docker build` with `BuildKit` on the engine's socket.
fn beside(name: &str, folder: &Path, build: impl Fn(&Path) -> Command) -> Result<()> {
    let docker_build = |path: &Path| {
        let mut command = Command::new(DOCKER);
        command.args(["build", "-t", "bench-others:1"]).arg(path);
        command.env("DOCKER_BUILDKIT", "1");
        command
    };
    let path = folder.join("context");
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for number in 0..COLD {
        ten_steps(
            &path,
            image::ALPINE,
            &format!("{number}-{}", machine::random(8)?),
        )?;
        ours.push(timed(|| must(build(&path)))?);
        theirs.push(timed(|| must(docker_build(&path)))?);
    }
    let what = format!("{name}, cold / docker build");
    compare(&what, middle(ours), middle(theirs), "none");
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for _ in 0..CACHED {
        ours.push(timed(|| must(build(&path)))?);
        theirs.push(timed(|| must(docker_build(&path)))?);
    }
    let what = format!("{name}, cached / docker build");
    compare(&what, middle(ours), middle(theirs), "none");
    docker(&["image", "rm", "--force", "bench-others:1"])?;
    Ok(())
}

/// A user of the machine who may map others' ids; gone when dropped.
struct User(PathBuf);

impl User {
    fn create() -> Result<Self> {
        run("useradd", &["--create-home", USER])?;
        let home = PathBuf::from(format!("/home/{USER}"));
        let runtime = home.join("run");
        fs::create_dir(&runtime)?;
        run("chown", &[USER, &runtime.to_string_lossy()])?;
        Ok(Self(home))
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new("setpriv");
        let id = [
            "--reuid",
            USER,
            "--regid",
            USER,
            "--init-groups",
            "--reset-env",
        ];
        command.args(id).args(words).current_dir(&self.0);
        command
    }
}

impl Drop for User {
    fn drop(&mut self) {
        // The layers belong to ids that only the user can map.
        let prune = self.command(&[
            "buildah",
            "unshare",
            "rm",
            "-rf",
            "/home/dockmaster-bench/.local",
        ]);
        let _ = must(prune);
        let _ = run("userdel", &["--remove", USER]);
    }
}

fn buildah(folder: &Path) -> Result<()> {
    for (program, package) in [
        ("/usr/bin/buildah", "buildah"),
        ("/usr/bin/newuidmap", "uidmap"),
    ] {
        ensure!(
            Path::new(program).exists(),
            "apt-get install --no-install-recommends {package}"
        );
    }
    let user = User::create()?;
    let archive = user.0.join("base.tar");
    let archive = archive.to_string_lossy();
    docker(&["save", "--output", &archive, image::ALPINE])?;
    run("chown", &[USER, &archive])?;
    let source = format!("docker-archive:{archive}");
    must(user.command(&["buildah", "pull", &source]))?;
    run("chmod", &["-R", "a+rX", &folder.to_string_lossy()])?;
    beside("buildah without root", folder, |path| {
        let path = path.to_string_lossy();
        user.command(&[
            "buildah",
            "bud",
            "--layers",
            "--pull-never",
            "-t",
            "bench:1",
            &path,
        ])
    })
}

/// The container of an engine; gone when dropped.
struct Inner(String);

impl Drop for Inner {
    fn drop(&mut self) {
        let _ = docker(&["rm", "--force", "--volumes", &self.0]);
    }
}

/// With the rights that an engine needs, for which most would write `privileged`.
fn dind(bench: &Bench, folder: &Path) -> Result<()> {
    let host = format!("dockmaster-testbed/host:{}", image::RECIPE);
    ensure!(
        docker(&["image", "inspect", &host]).is_ok(),
        "there is no image {host}, which the demo makes"
    );
    let sockets = bench.0.machine.directory("dind")?;
    let began = Instant::now();
    let inner = Inner(machine::name("dind"));
    let (label, mount) = (machine::label(), format!("{}:/sockets", sockets.display()));
    let start = "mount -o remount,rw /proc/sys; exec dockerd --cgroup-parent=/docker/$NAME-inner -H unix:///sockets/docker.sock";
    let name = format!("NAME={}", inner.0);
    docker(&[
        "run",
        "--detach",
        "--name",
        &inner.0,
        "--label",
        &label,
        "--volume",
        &mount,
        "--env",
        &name,
        "--volume",
        "/var/lib/docker",
        "--volume",
        "/sys/fs/cgroup:/sys/fs/cgroup:rw",
        "--cgroupns",
        "host",
        "--cap-add",
        "ALL",
        "--cap-drop",
        "SYS_RESOURCE",
        "--security-opt",
        "seccomp=unconfined",
        "--security-opt",
        "apparmor=unconfined",
        &host,
        "sh",
        "-c",
        start,
    ])?;
    let address = format!("unix://{}/docker.sock", sockets.display());
    let inside = |words: &[&str]| {
        let mut command = Command::new(DOCKER);
        command.args(["--host", &address]).args(words);
        command
    };
    let deadline = Instant::now() + Duration::from_mins(1);
    while must(inside(&["version"])).is_err() {
        ensure!(
            Instant::now() < deadline,
            "the engine inside does not answer"
        );
        sleep(Duration::from_millis(20));
    }
    let mut load = inside(&["load"]);
    let mut save = Command::new(DOCKER)
        .args(["save", image::ALPINE])
        .stdout(Stdio::piped())
        .spawn()?;
    let status = load
        .stdin(save.stdout.take().context("no archive")?)
        .stdout(Stdio::null())
        .status()?;
    ensure!(
        save.wait()?.success() && status.success(),
        "no base image inside"
    );
    say(&format!(
        "an engine in a container: {:.0} ms until it can build, for each job, and its cache is empty then",
        began.elapsed().as_secs_f64() * 1000.0
    ));
    beside("an engine in a container", folder, |path| {
        let path = path.to_string_lossy();
        let mut command = inside(&["build", "-t", "bench:1", &path]);
        command.env("DOCKER_BUILDKIT", "1");
        command
    })
}
