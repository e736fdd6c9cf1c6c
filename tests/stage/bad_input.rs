//! Bad input: one clear message, the right exit code, and nothing lost.

use super::{Attempt, DOCKER, docker_lane, job};

/// A host fault: exit 2, no job code, and one message that holds all of `says`.
#[track_caller]
fn host_fault(attempt: &Attempt, arguments: &[&str], says: &[&str]) {
    let called = attempt.call(arguments);
    assert_eq!(called.code, Some(2), "{called:?}");
    assert_eq!(attempt.job_code(), None);
    let text = format!("{}{}", called.stdout, called.stderr);
    for part in says {
        assert!(text.contains(part), "`{part}` is missing in: {text}");
    }
}

/// A job fault: exit 1, and its code where the runner looks.
#[track_caller]
fn job_fault(attempt: &Attempt, arguments: &[&str], code: &str, says: &[&str]) {
    let called = attempt.call(arguments);
    assert_eq!(called.code, Some(1), "{called:?}");
    assert_eq!(attempt.job_code().as_deref(), Some(code));
    for part in says {
        assert!(
            called.stdout.contains(part),
            "`{part}` is missing in: {}",
            called.stdout
        );
    }
}

const STAGES: [&[&str]; 4] = [
    &["config"],
    &["prepare"],
    &["run", "/no/script", "build_script"],
    &["cleanup"],
];

fn with_lane<'a>(lane: &'a str, stage: &[&'a str]) -> Vec<&'a str> {
    [&["--lane", lane], stage].concat()
}

#[test]
fn a_missing_configuration_is_named() {
    for stage in STAGES {
        let attempt = Attempt::new(DOCKER);
        std::fs::remove_file(attempt.path("config.toml")).unwrap();
        host_fault(
            &attempt,
            &with_lane("docker", stage),
            &["cannot read", "config.toml"],
        );
    }
}

#[test]
fn an_unknown_key_is_shown_with_its_line() {
    let attempt = Attempt::new("[lanes.docker]\nkind = \"docker\"\nimag = \"alpine\"\n");
    host_fault(
        &attempt,
        &with_lane("docker", &["config"]),
        &[
            "config.toml",
            "3 | imag = \"alpine\"",
            "^^^^",
            "unknown field `imag`",
        ],
    );
}

#[test]
fn an_unknown_lane_is_named_beside_the_known_ones() {
    let attempt = Attempt::new(DOCKER);
    host_fault(
        &attempt,
        &with_lane("dokcer", &["config"]),
        &["`dokcer`", "it has: docker"],
    );
}

#[test]
fn a_missing_lane_says_where_it_belongs() {
    host_fault(
        &Attempt::new(DOCKER),
        &["config"],
        &["--lane is missing", "config_args"],
    );
}

#[test]
fn an_absent_job_response_file_is_named() {
    for stage in STAGES {
        let attempt = Attempt::new(DOCKER);
        std::fs::remove_file(attempt.path("response.json")).unwrap();
        host_fault(
            &attempt,
            &with_lane("docker", stage),
            &["cannot read the job", "response.json", "JOB_RESPONSE_FILE"],
        );
    }
}

#[test]
fn a_job_response_file_that_is_not_set_says_who_should_have_set_it() {
    let attempt = Attempt::new(DOCKER);
    let mut command = attempt.command(&["--lane", "docker", "config"]);
    let output = command.env_remove("JOB_RESPONSE_FILE").output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(text.contains("JOB_RESPONSE_FILE is not set"), "{text}");
}

#[test]
fn a_job_response_file_that_is_no_job_is_named() {
    let attempt = Attempt::new(DOCKER);
    attempt.write("response.json", "{\"id\": \"seven\"}");
    host_fault(
        &attempt,
        &with_lane("docker", &["prepare"]),
        &["response.json", "is not a job description", "line 1"],
    );
}

#[test]
fn an_engine_that_is_down_is_the_host_s_fault_in_every_stage() {
    for stage in [&["prepare"][..], &["cleanup"]] {
        let attempt = Attempt::new("");
        attempt.write("config.toml", &docker_lane(attempt.folder.path()));
        host_fault(
            &attempt,
            &with_lane("docker", stage),
            &[
                "Docker Engine",
                "cannot be reached",
                "try: systemctl status docker",
            ],
        );
    }
}

#[test]
fn an_unreadable_script_is_the_host_s_fault() {
    let attempt = Attempt::new(DOCKER);
    let stage = ["run", "/no/script", "build_script"];
    host_fault(
        &attempt,
        &with_lane("docker", &stage),
        &["reading the script /no/script"],
    );
}

#[test]
fn an_image_name_that_no_image_can_have_is_the_job_s_fault() {
    for name in ["-v/:/host", "Alpine Linux", "$(reboot)"] {
        let attempt = Attempt::new(DOCKER);
        let mut job = job();
        job["image"]["name"] = name.into();
        attempt.write("response.json", &job.to_string());
        let says = ["is not the name of an image"];
        job_fault(&attempt, &with_lane("docker", &["prepare"]), "111\n", &says);
    }
}

#[test]
fn an_image_that_the_admin_does_not_allow_is_refused() {
    let attempt = Attempt::new(&format!("{DOCKER}images = [\"harbor.example.com/**\"]\n"));
    let says = [
        "alpine:latest may not be used here",
        "harbor.example.com/**",
    ];
    job_fault(&attempt, &with_lane("docker", &["prepare"]), "110\n", &says);
}

#[test]
fn a_job_without_an_image_says_what_to_add() {
    let attempt = Attempt::new(DOCKER);
    let mut job = job();
    job["image"]["name"] = "".into();
    attempt.write("response.json", &job.to_string());
    let says = ["names no image", "try: add `image: NAME`"];
    job_fault(&attempt, &with_lane("docker", &["prepare"]), "111\n", &says);
}

#[test]
fn usage_errors_are_the_host_s_fault() {
    let attempt = Attempt::new(DOCKER);
    host_fault(
        &attempt,
        &["--lane", "docker", "prepaer"],
        &["prepaer", "Usage"],
    );
    host_fault(&attempt, &[], &["Usage"]);
}
