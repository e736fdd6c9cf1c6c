//! Facts of the custom executor's contract, each in a test of its name.

use std::{fs, os::unix::process::ExitStatusExt};

use serde_json::Value;

use super::{Attempt, DOCKER};

#[test]
fn config_prints_one_json_object_and_nothing_else() {
    let called = Attempt::new(DOCKER).call(&["--lane", "docker", "config"]);
    assert_eq!(called.code, Some(0), "{called:?}");
    let answer: Value = serde_json::from_str(&called.stdout).unwrap();
    assert_eq!(answer["driver"]["name"], "dockmaster");
    assert_eq!(answer["builds_dir"], "/builds");
    assert_eq!(answer["cache_dir"], "/cache");
    assert_eq!(answer["builds_dir_is_shared"], false);
    assert_eq!(called.stderr, "");
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "._/-".contains(c);
    for key in ["builds_dir", "cache_dir"] {
        assert!(answer[key].as_str().unwrap().chars().all(is_plain));
    }
}

#[test]
fn nothing_of_the_job_s_environment_changes_what_config_answers() {
    let attempt = Attempt::new(DOCKER);
    let plain = attempt.call(&["--lane", "docker", "config"]).stdout;
    let mut hostile = attempt.command(&["--lane", "docker", "config"]);
    for (key, value) in [
        ("CUSTOM_ENV_CI_BUILDS_DIR", "/etc"),
        ("CUSTOM_ENV_CI_PROJECT_DIR", "/etc"),
        ("CUSTOM_ENV_CI_CONCURRENT_PROJECT_ID", "../../x"),
        ("CUSTOM_ENV_DOCKMASTER_CONFIG", "/etc/shadow"),
        ("CUSTOM_ENV_CI_JOB_ID", "7; rm -rf /"),
    ] {
        hostile.env(key, value);
    }
    assert_eq!(
        String::from_utf8(hostile.output().unwrap().stdout).unwrap(),
        plain
    );
}

#[test]
fn the_code_of_an_earlier_stage_is_forgotten_at_the_start_of_every_call() {
    for arguments in [
        &["--lane", "docker", "config"][..],
        &["--lane", "docker", "prepare"],
        &["--lane", "docker", "run", "/no/script", "build_script"],
        &["--lane", "docker", "cleanup"],
    ] {
        let attempt = Attempt::new(DOCKER);
        fs::write(attempt.path("build_exit_code"), "37\n").unwrap();
        attempt.call(arguments);
        assert_eq!(attempt.job_code(), None, "{arguments:?}");
    }
}

#[test]
fn the_runner_s_own_codes_are_used() {
    let attempt = Attempt::new(DOCKER);
    let mut command = attempt.command(&["--lane", "docker", "prepare"]);
    let status = command
        .env("SYSTEM_FAILURE_EXIT_CODE", "73")
        .output()
        .unwrap()
        .status;
    assert_eq!(status.code(), Some(73));
}

#[test]
fn an_empty_exit_code_file_as_in_cleanup_is_no_error() {
    let attempt = Attempt::new(DOCKER);
    let mut command = attempt.command(&["--lane", "docker", "config"]);
    let status = command
        .env("BUILD_EXIT_CODE_FILE", "")
        .output()
        .unwrap()
        .status;
    assert_eq!(status.code(), Some(0));
}

#[test]
fn a_closed_log_is_no_panic_and_no_signal() {
    let attempt = Attempt::new(DOCKER);
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let mut command = attempt.command(&["--lane", "docker", "prepare"]);
    let status = command
        .stdout(writer.try_clone().unwrap())
        .stderr(writer)
        .status()
        .unwrap();
    assert_eq!((status.code(), status.signal()), (Some(2), None));
}
