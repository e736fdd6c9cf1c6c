//! The control group of a tenant's builds, on a real engine: of its own, so that it can be another one than the machine's.

use std::{
    collections::BTreeSet,
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
};

use testbed::{
    command::{docker, run},
    runner::Run,
    trial::plugin,
    workshop::Workshop,
};

use crate::apart;
use crate::fixture::{Fixture, job};

testbed::tests![
    Fixture; [Testbed, Buildx];
    steps_of_a_build_are_in_the_group_of_their_tenant_and_stay_cached_there,
];

fn steps_of_a_build_are_in_the_group_of_their_tenant_and_stay_cached_there(_: &Fixture) {
    apart::run("builds");
}

/// A job whose gate is open.
struct Open<'a> {
    run: Run,
    socket: PathBuf,
    workshop: &'a Workshop,
}

impl<'a> Open<'a> {
    fn start(workshop: &'a Workshop) -> Self {
        let waiting = job("build").script(["echo begun", "sleep 1000"]);
        let run = workshop.start(waiting).unwrap();
        run.wait_for("begun").unwrap();
        let gates = fs::read_dir(workshop.installation.run_directory().join("gates")).unwrap();
        let sockets = gates.map(|gate| gate.unwrap().path().join("docker.sock"));
        let socket = sockets.into_iter().find(|path| path.exists()).unwrap();
        Self {
            run,
            socket,
            workshop,
        }
    }

    fn docker(&self, words: &[&str]) -> String {
        let settings = self.workshop.machine.directory("client").unwrap();
        let host = format!("unix://{}", self.socket.display());
        let settings = settings.to_string_lossy();
        let all = [&["--config", &settings, "--host", &host], words].concat();
        run("/usr/bin/docker", &all).unwrap()
    }

    /// Builds, and tells which group the step ran in, and what it drew.
    fn build(&self, context: &Path) -> (String, String) {
        let context = context.to_string_lossy();
        self.docker(&["buildx", "build", "--load", "--tag", "groups:1", &context]);
        let read = |file| self.docker(&["run", "--rm", "groups:1", "cat", file]);
        (read("/group"), read("/chance"))
    }

    fn end(self) {
        self.run.abort();
        self.run.wait().unwrap();
    }
}

/// The groups of a project's builds that there are, in any tree, of every installation on this machine.
fn groups(project: i64) -> BTreeSet<PathBuf> {
    let root = Path::new("/sys/fs/cgroup");
    let trees = fs::read_dir(root)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let parents = trees
        .chain([root.to_owned()])
        .map(|tree| tree.join("dockmaster"));
    let all = parents
        .filter_map(|parent| fs::read_dir(parent).ok())
        .flatten();
    let mark = format!("/builds-p{project}-");
    all.map(|entry| entry.unwrap().path())
        .filter(|path| path.to_string_lossy().contains(&mark))
        .collect()
}

/// The test itself.
pub(crate) fn inside() {
    let workshop = Workshop::open(Path::new(env!("CARGO_BIN_EXE_dockmaster"))).unwrap();
    let plugins = workshop.machine.directory("client/cli-plugins").unwrap();
    symlink(
        plugin("docker-buildx").unwrap(),
        plugins.join("docker-buildx"),
    )
    .unwrap();
    let context = workshop.machine.directory("context").unwrap();
    let step = "FROM alpine:latest\nRUN cat /proc/self/cgroup > /group; cat /proc/sys/kernel/random/uuid > /chance\n";
    fs::write(context.join("Dockerfile"), step).unwrap();
    // Those of this machine's other engines are none of ours.
    let others = groups(42);
    let ours = || &groups(42) - &others;
    let collect = || workshop.installation.command(&["gc"]).status().unwrap();

    let first = Open::start(&workshop);
    let (group, chance) = first.build(&context);
    let version = docker(&["version", "--format", "{{.Server.Version}}"]).unwrap();
    if version.starts_with("20.") {
        // It knows no word for it, and runs steps below its own group.
        assert!(group.contains("/buildkit/"), "{group}");
    } else {
        assert!(
            group.contains("/dockmaster/builds-p42-protected-"),
            "{group}"
        );
    }
    let found = ours();
    let limits = ["pids.max", "memory.max", "memory.limit_in_bytes"];
    let held = limits
        .iter()
        .flat_map(|file| found.iter().map(move |group| group.join(file)))
        .filter_map(|path| fs::read_to_string(path).ok())
        .filter(|text| text.trim().parse::<u64>().is_ok_and(|most| most < 1 << 40))
        .count();
    assert!(held >= 2, "{found:?}");
    assert!(collect().success());
    assert_eq!(ours(), found, "a live job uses it");
    first.end();
    assert!(collect().success());
    assert_eq!(ours(), BTreeSet::new(), "nobody uses it");

    let later = Open::start(&workshop);
    assert_eq!(
        later.build(&context),
        (group, chance),
        "a later job is not cached"
    );
    later.end();
    assert!(collect().success());
}
