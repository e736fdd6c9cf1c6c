//! A runner that is killed with all its drivers: nobody calls cleanup, and `gc` finds everything.

use std::{collections::BTreeSet, process::Command};

use testbed::doomed::DoomedRunner;

use crate::fixture::Fixture;

testbed::tests![Fixture; [];
    what_a_killed_runner_left_is_removed_by_gc,
];

/// What the job makes through its gate before everything is killed.
const SCRIPT: &str = "
set -e
docker volume create data >/dev/null
docker network create net >/dev/null
docker tag alpine:latest made:1
docker tag alpine:latest $CI_REGISTRY/test/doomed:1
docker push $CI_REGISTRY/test/doomed:1
docker run -d -v data:/data -v /builds:/here --network net alpine:latest sleep 1000 >/dev/null
echo begun
sleep 1000
";

fn what_a_killed_runner_left_is_removed_by_gc(fixture: &Fixture) {
    // A neighbour takes the registry down for a while.
    let (company, _alone) = fixture.fleet();
    let installation = &company.installation;
    let id = testbed::spec::next_id();
    let others = made();
    let mut runner = DoomedRunner::start(installation, id, SCRIPT).unwrap();
    runner.wait_for("begun").unwrap();
    runner.kill_everything().unwrap();
    let before = runner.left(installation).unwrap();
    for kind in ["ps ", "network ", "volume ", "notes/", "gates/"] {
        assert!(
            before.iter().any(|found| found.starts_with(kind)),
            "{kind}: {before:?}"
        );
    }
    let mark = format!("-j{id}-");
    let has_robot = || {
        let robots = company.infrastructure.registry.harbor.robots();
        robots.iter().any(|robot| robot.name.contains(&mark))
    };
    assert!(has_robot());
    assert_ne!(made(), others);
    let swept = installation.command(&["gc"]).output().unwrap();
    let text = String::from_utf8_lossy(&[swept.stdout, swept.stderr].concat()).into_owned();
    assert!(swept.status.success(), "{text}");
    assert!(text.contains(&mark), "{text}");
    let left = runner.left(installation).unwrap();
    assert!(left.is_empty(), "{left:?}");
    assert!(!has_robot());
    assert_eq!(made(), others);
}

/// The images of the whole machine that some job calls `made:1`, by their real names.
fn made() -> BTreeSet<String> {
    let mut docker = Command::new("/usr/bin/docker");
    let format = ["images", "--format", "{{.Repository}}:{{.Tag}}"];
    let output = docker.args(format).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    let made = text.lines().filter(|name| name.ends_with("/made:1"));
    made.map(str::to_owned).collect()
}
