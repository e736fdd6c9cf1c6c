//! Ends: of a phase, of a job that is cancelled, of a driver that is killed.

use std::process::Command;

use nix::sys::signal::Signal;

use super::fixture::{Lane, is_alive, wait_until};

testbed::tests![(); [Root];
    what_a_job_leaves_running_is_gone_with_the_phase,
    a_cancelled_job_hears_of_it_and_the_lane_works_on,
    a_job_that_ignores_the_signal_is_ended_all_the_same,
    a_killed_driver_takes_the_job_with_it,
    cleanup_ends_a_phase_that_still_runs,
    a_container_with_the_uid_of_a_job_lives_on_and_takes_no_uid_away: [Engine],
];

fn what_a_job_leaves_running_is_gone_with_the_phase(_: &()) {
    let lane = Lane::install();
    let job = lane.job(1);
    job.prepare().is_good();
    let script = "setsid sleep 601 & nohup sleep 602 >/dev/null 2>&1 & (sleep 603 & ) & \
         (trap '' TERM HUP; exec setsid sleep 604) & sleep 605 & echo left";
    job.step(script).is_good().says("left");
    assert!(!is_alive(lane.first_uid));
    job.cleanup().is_good();
}

fn a_cancelled_job_hears_of_it_and_the_lane_works_on(_: &()) {
    let lane = Lane::install();
    let job = lane.job(2);
    job.prepare().is_good();
    let running = job.start("trap 'echo tidying; exit 1' TERM; echo ready; sleep 600 & wait");
    running.wait_for("ready");
    running.signal(Signal::SIGTERM);
    let ended = running.wait();
    assert_eq!(ended.code, Some(2));
    ended.says("tidying");
    assert!(!is_alive(lane.first_uid));
    job.run("after_script", "echo after")
        .is_good()
        .says("after");
    job.run("cleanup_file_variables", "echo last")
        .is_good()
        .says("last");
    job.cleanup().is_good();
}

fn a_job_that_ignores_the_signal_is_ended_all_the_same(_: &()) {
    let lane = Lane::install();
    let job = lane.job(3);
    job.prepare().is_good();
    let running = job.start("trap '' TERM; echo ready; while true; do sleep 1; done");
    running.wait_for("ready");
    running.signal(Signal::SIGTERM);
    assert_eq!(running.wait().code, Some(2));
    // The kernel ends the processes of a killed sandbox one after the other.
    wait_until("the job's end", || !is_alive(lane.first_uid));
    job.cleanup().is_good();
}

fn a_killed_driver_takes_the_job_with_it(_: &()) {
    let lane = Lane::install();
    let job = lane.job(4);
    job.prepare().is_good();
    let running = job.start("trap '' TERM HUP; setsid sleep 600 & echo ready; sleep 600");
    running.wait_for("ready");
    assert!(is_alive(lane.first_uid));
    running.signal(Signal::SIGKILL);
    running.wait();
    wait_until("the job's end", || !is_alive(lane.first_uid));
    job.cleanup().is_good();
}

fn cleanup_ends_a_phase_that_still_runs(_: &()) {
    let lane = Lane::install();
    let job = lane.job(5);
    job.prepare().is_good();
    let running = job.start("trap '' TERM; echo ready; sleep 600");
    running.wait_for("ready");
    job.cleanup().is_good();
    assert!(!is_alive(lane.first_uid));
    running.wait();
    assert!(lane.leased().is_empty());
}

/// A container of the machine's engine that runs as a uid; gone when dropped.
struct Container(String);

impl Container {
    fn run(uid: u32) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let archive = folder.path().join("busybox.tar");
        let packed = Command::new("tar")
            .arg("-cf")
            .arg(&archive)
            .args(["-C", "/usr/bin", "busybox"])
            .status();
        assert!(packed.unwrap().success());
        let image = format!("dockmaster-deploy-test/{}:{uid}", std::process::id());
        docker(&["import", archive.to_str().unwrap(), &image]);
        let user = uid.to_string();
        let run = [
            "run", "-d", "--user", &user, &image, "/busybox", "sleep", "600",
        ];
        Self(docker(&run).trim().to_owned())
    }

    fn is_running(&self) -> bool {
        docker(&["inspect", "-f", "{{.State.Running}}", &self.0]).trim() == "true"
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        let image = docker(&["inspect", "-f", "{{.Image}}", &self.0]);
        docker(&["rm", "-f", &self.0]);
        docker(&["rmi", image.trim()]);
    }
}

#[track_caller]
fn docker(arguments: &[&str]) -> String {
    let output = Command::new("/usr/bin/docker")
        .args(arguments)
        .output()
        .unwrap();
    assert!(output.status.success(), "{arguments:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

fn a_container_with_the_uid_of_a_job_lives_on_and_takes_no_uid_away(_: &()) {
    let lane = Lane::install();
    let container = Container::run(lane.first_uid);
    let job = lane.job(6);
    job.prepare().is_good();
    assert_eq!(lane.leased(), [lane.first_uid.to_string()]);
    let running = job.start("trap '' TERM; echo ready; sleep 600");
    running.wait_for("ready");
    running.signal(Signal::SIGTERM);
    assert_eq!(running.wait().code, Some(2));
    job.cleanup().is_good();
    assert!(lane.leased().is_empty());
    assert!(container.is_running());
}
