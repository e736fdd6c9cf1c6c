//! Folders and uids: who gets one, and what is left afterwards.

use std::{fs, os::unix::fs::MetadataExt};

use serde_json::json;

use super::fixture::{Lane, Squatter};

testbed::tests![(); [Root];
    a_job_without_the_right_is_refused_before_anything_is_made,
    a_job_that_lost_the_right_meanwhile_runs_nothing,
    cleanup_leaves_nothing_and_can_be_repeated,
    what_a_dead_runner_left_is_removed_and_nothing_else,
    links_that_a_job_left_do_not_lead_cleanup_away,
    a_uid_is_not_given_out_while_a_process_has_it,
    more_jobs_than_uids_are_the_host_s_turn,
];

fn a_job_without_the_right_is_refused_before_anything_is_made(_: &()) {
    let lane = Lane::install();
    for (path, value, reason) in [
        ("/git_info/protected", json!(false), "is not protected"),
        ("/git_info/ref_type", json!("branch"), "is a branch"),
        (
            "/job_info/project_id",
            json!(43),
            "project 43 may not deploy",
        ),
        ("/variables/0/value", json!("0".repeat(40)), "CI_COMMIT_SHA"),
    ] {
        let mut job = lane.job(1);
        *job.response.pointer_mut(path).unwrap() = value;
        let ended = job.prepare();
        assert_eq!(
            (ended.code, ended.job_code.as_deref()),
            (Some(1), Some("110\n")),
            "{}",
            ended.text
        );
        ended.says(reason);
        assert!(!lane.path("state").exists() && !lane.path("run").exists());
        job.cleanup().is_good();
    }
}

fn a_job_that_lost_the_right_meanwhile_runs_nothing(_: &()) {
    let lane = Lane::install();
    let mut job = lane.job(5);
    job.prepare().is_good();
    job.response["git_info"]["protected"] = json!(false);
    let ended = job.step("echo never");
    assert_eq!(ended.job_code.as_deref(), Some("110\n"), "{}", ended.text);
    ended.says("is not protected");
    assert!(!ended.text.contains("never"), "{}", ended.text);
    job.cleanup().is_good();
}

fn cleanup_leaves_nothing_and_can_be_repeated(_: &()) {
    let lane = Lane::install();
    let job = lane.job(2);
    job.cleanup().is_good();
    job.prepare().is_good();
    job.prepare().is_good();
    job.step("mkdir -p ~/deep/er; touch ~/deep/er/file; chmod 0 ~/deep")
        .is_good();
    assert_eq!(lane.leased(), [lane.first_uid.to_string()]);
    for name in ["builds", "home", "tmp"] {
        let folder = fs::metadata(job.own_folder().join(name)).unwrap();
        assert_eq!(folder.mode() & 0o777, 0o700, "{name}");
        assert_eq!(folder.uid(), lane.first_uid, "{name}");
    }
    for _ in 0..2 {
        let ended = job.cleanup();
        assert_eq!(ended.is_good().text, "");
        assert_eq!(fs::read_dir(lane.path("state/jobs")).unwrap().count(), 0);
        assert_eq!(fs::read_dir(lane.path("run/jobs")).unwrap().count(), 0);
        assert!(lane.leased().is_empty());
    }
    let ended = job.step("echo never");
    assert_eq!(ended.code, Some(2));
    ended.says("not prepared");
}

fn what_a_dead_runner_left_is_removed_and_nothing_else(_: &()) {
    let lane = Lane::install();
    let (dead, alive) = (lane.job(8), lane.job(9));
    dead.prepare().is_good();
    alive.prepare().is_good();
    let folder = dead.own_folder();
    let key = folder.file_name().unwrap().to_str().unwrap();
    // This test is the runner of both, so one record is made to name a runner that is gone.
    let record = lane.path("state/uids").join(lane.first_uid.to_string());
    fs::write(&record, format!("{key}\n1-1")).unwrap();
    let mut gc = std::process::Command::new(env!("CARGO_BIN_EXE_dockmaster"));
    let output = gc
        .arg("--config")
        .arg(lane.config())
        .arg("gc")
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains(key), "{text}");
    assert!(!folder.exists() && !record.exists());
    assert!(alive.own_folder().exists());
    alive.cleanup().is_good();
}

fn links_that_a_job_left_do_not_lead_cleanup_away(_: &()) {
    let lane = Lane::install();
    let foreign = lane.path("foreign");
    fs::create_dir(&foreign).unwrap();
    fs::write(foreign.join("canary"), "alive").unwrap();
    let job = lane.job(3);
    job.prepare().is_good();
    let script =
        "cd ~ && ln -s FOREIGN link && mkdir a && ln -s FOREIGN a/b && ln -s / root && ln -s .. up"
            .replace("FOREIGN", foreign.to_str().unwrap());
    job.step(&script).is_good();
    // The first component of the temp root, as the next phase will look for it in the job's /tmp.
    let own = lane.path("").file_name().unwrap().to_owned();
    let trap = job.own_folder().join("tmp").join(own);
    fs::remove_dir_all(&trap).unwrap();
    std::os::unix::fs::symlink(&foreign, &trap).unwrap();
    let ended = job.step("echo never");
    assert_eq!(ended.code, Some(2), "{}", ended.text);
    ended.says("sandbox is unavailable");
    job.cleanup().is_good();
    assert_eq!(fs::read_dir(&foreign).unwrap().count(), 1);
    assert_eq!(fs::read_to_string(foreign.join("canary")).unwrap(), "alive");
}

fn a_uid_is_not_given_out_while_a_process_has_it(_: &()) {
    let lane = Lane::install();
    let squatter = Squatter::start(lane.first_uid);
    let job = lane.job(4);
    job.prepare().is_good();
    job.step("id -u")
        .is_good()
        .says(&(lane.first_uid + 1).to_string());
    job.cleanup().is_good();
    drop(squatter);
    job.prepare().is_good();
    job.step("id -u")
        .is_good()
        .says(&lane.first_uid.to_string());
    job.cleanup().is_good();
}

fn more_jobs_than_uids_are_the_host_s_turn(_: &()) {
    let lane = Lane::install();
    let jobs: Vec<_> = (10..14).map(|id| lane.job(id)).collect();
    for job in &jobs {
        job.prepare().is_good();
    }
    let ended = lane.job(14).prepare();
    assert_eq!(ended.code, Some(2));
    ended.says("all 4 uids");
    for job in &jobs {
        job.cleanup().is_good();
    }
}
