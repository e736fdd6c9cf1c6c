//! The stand-in against what was recorded of the real runner, with a scripted driver.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use tempfile::TempDir;

use super::{Outcome, Pace, Reason, Run, Runner, Verdict};
use crate::spec::{Artifacts, ArtifactsFile, Caches, Dependency, JobBuilder, QueuedJob, Service};

const CONFIG: &str = r#"
[[runners]]
name = "docker lane"
token = "docker"
executor = "custom"
builds_dir = "/builds"
cache_dir = "/cache"
[runners.custom]
config_exec = "/bin/bash"
config_args = ["DRIVER", "config"]
prepare_exec = "/bin/bash"
prepare_args = ["DRIVER", "prepare"]
run_exec = "/bin/bash"
run_args = ["DRIVER", "run"]
cleanup_exec = "/bin/bash"
cleanup_args = ["DRIVER", "cleanup"]
graceful_kill_timeout = 1
force_kill_timeout = 1
"#;

const DRIVER: &str = r#"#!/bin/bash
case $1 in run) name=$3 ;; *) name=$1 ;; esac
[ "$name" = config ] && echo '{"job_env": {"FROM_CONFIG": "yes"}}'
if [ -f "RULES/$name" ]; then . "RULES/$name"; fi
exit 0
"#;

/// A driver that does nothing but what a test tells it, by name of the call.
struct Scripted {
    directory: TempDir,
    runner: Runner,
}

impl Scripted {
    fn new(rules: &[(&str, &str)]) -> Self {
        Self::with(rules, |config| config)
    }

    fn with(rules: &[(&str, &str)], change: impl FnOnce(String) -> String) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let driver = directory.path().join("driver");
        let at = directory.path().to_str().unwrap();
        std::fs::write(&driver, DRIVER.replace("RULES", at)).unwrap();
        for (name, rule) in rules {
            std::fs::write(directory.path().join(name), rule.replace("HERE", at)).unwrap();
        }
        let pause = Duration::from_millis(1);
        let text = change(CONFIG.replace("DRIVER", driver.to_str().unwrap()));
        let runner = Runner::parse(&text)
            .unwrap()
            .register("docker", &["docker"])
            .pace(Pace {
                attempt: pause,
                phase: pause,
            })
            .temporary(directory.path());
        Self { directory, runner }
    }

    fn path(&self) -> &Path {
        self.directory.path()
    }

    fn run(&self, queued: QueuedJob) -> Outcome {
        self.runner.run(queued).unwrap()
    }

    fn start(&self, queued: QueuedJob) -> Run {
        self.runner.start(queued).unwrap()
    }
}

fn trivial() -> JobBuilder {
    JobBuilder::new("trivial").tags(["docker"]).script(["true"])
}

fn make() -> QueuedJob {
    JobBuilder::new("make")
        .id(1001)
        .tags(["docker"])
        .stage("a")
        .image("alpine:latest")
        .entrypoint(["/bin/sh", "-c"])
        .service(Service::new("redis:7"))
        .service(
            Service::new("registry.example.com/group/postgres:16")
                .alias("db,pg")
                .command(["-c", "fsync=off"])
                .variable("POSTGRES_PASSWORD", "x"),
        )
        .cache(Caches::new("k-$CI_COMMIT_REF_SLUG", [".cache"]))
        .artifacts(Artifacts::paths(["out"]).when("always"))
        .variable("GREETING", "hello $CI_COMMIT_TAG")
        .masked("SECRET", "topsecretvalue")
        .file("FILEVAR", "filecontent")
        .script(["echo $GREETING"])
        .after_script(["echo after $CI_JOB_STATUS"])
        .build()
}

fn failed(reason: Reason, exit_code: Option<i64>) -> Verdict {
    Verdict::Failed { reason, exit_code }
}

#[test]
fn a_job_with_everything_has_every_phase_once_and_in_order() {
    let outcome = Scripted::new(&[]).run(make());
    assert_eq!(
        outcome.order(),
        [
            "config",
            "prepare",
            "prepare_script",
            "get_sources",
            "restore_cache",
            "build_script",
            "after_script",
            "archive_cache",
            "upload_artifacts_on_success",
            "cleanup_file_variables",
            "cleanup"
        ]
    );
    assert_eq!(
        (outcome.verdict, outcome.exit_code),
        (Verdict::Success, Some(0))
    );
    assert!(outcome.log.contains("Job succeeded"));
    assert!(outcome.log.contains("Preparing the \"custom\" executor"));
}

#[test]
fn a_trivial_job_is_seven_calls() {
    let outcome = Scripted::new(&[]).run(trivial().build());
    let phases = [
        "prepare_script",
        "get_sources",
        "build_script",
        "cleanup_file_variables",
    ];
    assert_eq!(
        outcome.order(),
        [&["config", "prepare"], &phases[..], &["cleanup"]].concat()
    );
}

#[test]
fn a_job_that_needs_another_downloads_its_artifacts() {
    let file = ArtifactsFile {
        filename: "artifacts.zip".to_owned(),
        size: 309,
    };
    let dependency = Dependency {
        id: 1001,
        token: "t".to_owned(),
        name: "make".to_owned(),
        artifacts_file: file,
    };
    let outcome = Scripted::new(&[]).run(trivial().dependency(dependency).build());
    assert_eq!(outcome.order()[4], "download_artifacts");
}

#[test]
fn a_failed_script_reports_its_code_and_uploads_what_is_for_failures() {
    let rule = "echo 37 > $BUILD_EXIT_CODE_FILE; exit $BUILD_FAILURE_EXIT_CODE";
    let job = trivial().artifacts(Artifacts::paths(["nothing"]).when("on_failure"));
    let outcome = Scripted::new(&[("build_script", rule)]).run(job.build());
    assert_eq!(outcome.verdict, failed(Reason::ScriptFailure, Some(37)));
    assert_eq!(
        outcome.order()[4..],
        [
            "build_script",
            "upload_artifacts_on_failure",
            "cleanup_file_variables",
            "cleanup"
        ]
    );
    assert!(
        outcome
            .text()
            .ends_with("ERROR: Job failed: exit status 37\n"),
        "{}",
        outcome.text()
    );
}

#[test]
fn the_environment_is_the_recorded_one() {
    let outcome = Scripted::new(&[]).run(make());
    let environ = &outcome.call("build_script").unwrap().environ;
    let keys = environ
        .keys()
        .filter(|key| !key.starts_with("CUSTOM_ENV_FF_"));
    let keys: BTreeSet<&str> = keys.map(String::as_str).collect();
    let custom: BTreeSet<&str> = keys
        .iter()
        .filter_map(|key| key.strip_prefix("CUSTOM_ENV_"))
        .collect();
    let recorded = "CI CI_API_V4_URL CI_BUILDS_DIR CI_COMMIT_MESSAGE CI_COMMIT_REF_NAME \
        CI_COMMIT_REF_PROTECTED CI_COMMIT_REF_SLUG CI_COMMIT_SHA CI_COMMIT_SHORT_SHA CI_COMMIT_TAG \
        CI_COMMIT_TITLE CI_CONCURRENT_ID CI_CONCURRENT_PROJECT_ID CI_DEFAULT_BRANCH CI_JOB_ID \
        CI_JOB_IMAGE CI_JOB_NAME CI_JOB_SERVICES CI_JOB_STAGE CI_JOB_STATUS CI_JOB_TIMEOUT \
        CI_JOB_TOKEN CI_JOB_URL CI_PIPELINE_ID CI_PIPELINE_IID CI_PIPELINE_SOURCE CI_PIPELINE_URL \
        CI_PROJECT_DIR CI_PROJECT_ID CI_PROJECT_NAME CI_PROJECT_NAMESPACE CI_PROJECT_PATH \
        CI_PROJECT_PATH_SLUG CI_PROJECT_URL CI_REPOSITORY_URL CI_RUNNER_EXECUTABLE_ARCH \
        CI_RUNNER_ID CI_RUNNER_REVISION CI_RUNNER_SHORT_TOKEN CI_RUNNER_TAGS CI_RUNNER_VERSION \
        CI_SERVER CI_SERVER_HOST CI_SERVER_URL CI_SERVER_VERSION CI_SHARED_ENVIRONMENT FILEVAR \
        GITLAB_CI GITLAB_USER_LOGIN GITLAB_USER_NAME GREETING RUNNER_TEMP_PROJECT_DIR SECRET";
    assert_eq!(custom, recorded.split_whitespace().collect());
    let others = "BUILD_EXIT_CODE_FILE BUILD_FAILURE_EXIT_CODE FROM_CONFIG HOME JOB_RESPONSE_FILE \
        LANG PATH PWD SYSTEM_FAILURE_EXIT_CODE TMPDIR";
    let plain: BTreeSet<&str> = keys
        .iter()
        .copied()
        .filter(|key| !key.starts_with("CUSTOM_ENV_"))
        .collect();
    assert_eq!(plain, others.split_whitespace().collect());
    assert_eq!(environ["CUSTOM_ENV_GREETING"], "hello v1.0.0");
    assert_eq!(environ["CUSTOM_ENV_FILEVAR"], "filecontent");
    assert_eq!(
        environ["CUSTOM_ENV_CI_JOB_SERVICES"],
        "[{\"name\":\"redis:7\",\"alias\":\"\",\"entrypoint\":null,\"command\":null},\
         {\"name\":\"registry.example.com/group/postgres:16\",\"alias\":\"db\",\"entrypoint\":null,\
         \"command\":[\"-c\",\"fsync=off\"],\"variables\":{\"POSTGRES_PASSWORD\":\"x\"}}]"
    );
}

#[test]
fn config_does_not_know_the_directories_and_cleanup_knows_how_the_script_ended() {
    let outcome = Scripted::new(&[]).run(make());
    let of = |call: &str, key: &str| {
        outcome
            .call(call)
            .unwrap()
            .environ
            .get(&format!("CUSTOM_ENV_{key}"))
            .cloned()
            .unwrap()
    };
    assert_eq!(of("config", "CI_PROJECT_DIR"), "");
    assert_eq!(of("config", "RUNNER_TEMP_PROJECT_DIR"), ".tmp");
    assert!(
        !outcome
            .call("config")
            .unwrap()
            .environ
            .contains_key("FROM_CONFIG")
    );
    assert_eq!(
        of("prepare", "CI_PROJECT_DIR"),
        "/builds/copublic/test_server1"
    );
    assert_eq!(of("build_script", "CI_JOB_STATUS"), "running");
    assert_eq!(of("cleanup", "CI_JOB_STATUS"), "success");
}

#[test]
fn the_driver_starts_where_and_how_the_runner_starts_it() {
    let rule = "stat -c '%a %n' . response.json $2 $(dirname $2); pwd; echo pgid $(ps -o pgid= $$) $$; \
                readlink /proc/$$/fd/0; cat response.json";
    let scripted = Scripted::new(&[("build_script", rule)]);
    let outcome = scripted.run(trivial().build());
    let text = outcome.text();
    assert!(text.contains("\n700 .\n600 response.json\n700 /"), "{text}");
    assert!(text.contains("\n/dev/null\n"), "{text}");
    assert!(
        text.contains("\"job_info\":{\"name\":\"trivial\""),
        "{text}"
    );
    let group: Vec<&str> = text
        .lines()
        .find(|line| line.starts_with("pgid"))
        .unwrap()
        .split_whitespace()
        .collect();
    assert_eq!(group[1], group[2]);
    assert!(!outcome.directory.exists());
}

#[test]
fn a_system_failure_is_tried_three_times_with_cleanup_between() {
    let outcome = Scripted::new(&[("prepare", "exit $SYSTEM_FAILURE_EXIT_CODE")]).run(make());
    assert_eq!(outcome.order(), ["config", "prepare", "cleanup"].repeat(3));
    assert_eq!(outcome.verdict, failed(Reason::RunnerSystemFailure, None));
    assert_eq!(outcome.text().matches("Will be retried in").count(), 3);
    assert!(
        outcome
            .text()
            .contains("ERROR: Job failed (system failure): exit status 2")
    );
    let second = &outcome.calls[3].environ;
    assert_eq!(
        second["CUSTOM_ENV_CI_PROJECT_DIR"],
        "/builds/copublic/test_server1"
    );
}

#[test]
fn a_build_failure_in_prepare_is_final() {
    let rule = "echo 110 > $BUILD_EXIT_CODE_FILE; exit 1";
    let outcome = Scripted::new(&[("prepare", rule)]).run(make());
    assert_eq!(outcome.order(), ["config", "prepare", "cleanup"]);
    assert_eq!(outcome.verdict, failed(Reason::ScriptFailure, Some(110)));
}

#[test]
fn config_that_is_no_json_is_tried_again() {
    let outcome = Scripted::new(&[("config", "echo hello")]).run(make());
    assert_eq!(outcome.order(), ["config", "cleanup"].repeat(3));
    assert!(outcome.text().contains("error while parsing JSON output"));
}

#[test]
fn what_can_never_work_is_not_tried_again() {
    let outcome = Scripted::with(&[], |config| config.replace("/cache", "")).run(make());
    assert_eq!(outcome.order(), ["config", "cleanup"]);
    assert!(
        outcome.text().contains("cache_dir is not configured"),
        "{}",
        outcome.text()
    );
}

#[test]
fn no_script_follows_sources_that_cannot_be_had() {
    let job = JobBuilder::new("sources")
        .tags(["docker"])
        .variable("GET_SOURCES_ATTEMPTS", "3");
    let outcome = Scripted::new(&[("get_sources", "exit 1")]).run(job.build());
    assert_eq!(
        outcome.order()[2..],
        [
            "prepare_script",
            "get_sources",
            "clear_worktree",
            "get_sources",
            "get_sources",
            "cleanup_file_variables",
            "cleanup"
        ]
    );
}

#[test]
fn nothing_but_cleanup_follows_a_failed_prepare_script() {
    let outcome = Scripted::new(&[("prepare_script", "exit 2")]).run(make());
    assert_eq!(
        outcome.order(),
        ["config", "prepare", "prepare_script", "cleanup"]
    );
    assert!(
        outcome
            .text()
            .contains("prepare environment: exit status 2. Check")
    );
}

#[test]
fn a_failed_after_script_changes_nothing() {
    let outcome = Scripted::new(&[("after_script", "exit 1")]).run(make());
    assert_eq!(outcome.verdict, Verdict::Success);
}

#[test]
fn a_failed_cleanup_is_only_told() {
    let outcome = Scripted::new(&[("cleanup", "echo secret; exit 2")]).run(make());
    assert_eq!(outcome.verdict, Verdict::Success);
    assert!(
        outcome
            .text()
            .contains("Cleanup script failed: exit status 2")
    );
    assert_eq!(outcome.call("cleanup").unwrap().stdout, "secret\n");
    assert!(!outcome.text().contains("secret"));
}

const SLOW: &str = "trap 'echo got TERM; exit 1' TERM; echo waiting; sleep 60 & wait";

#[test]
fn a_cancel_stops_the_script_and_after_script_still_runs() {
    let scripted = Scripted::new(&[("build_script", SLOW)]);
    let run = scripted.start(make());
    run.wait_for("waiting").unwrap();
    run.cancel();
    let outcome = run.wait().unwrap();
    assert_eq!(outcome.verdict, failed(Reason::JobCanceled, None));
    assert_eq!(
        outcome.order()[5..],
        [
            "build_script",
            "after_script",
            "upload_artifacts_on_failure",
            "cleanup_file_variables",
            "cleanup"
        ]
    );
    let after = &outcome.call("after_script").unwrap().environ;
    assert_eq!(after["CUSTOM_ENV_CI_JOB_STATUS"], "canceled");
    assert!(outcome.text().contains("got TERM"));
}

#[test]
fn a_forced_cancel_goes_straight_to_cleanup() {
    let scripted = Scripted::new(&[("build_script", SLOW)]);
    let run = scripted.start(make());
    run.wait_for("waiting").unwrap();
    run.abort();
    let outcome = run.wait().unwrap();
    assert_eq!(outcome.verdict, failed(Reason::JobCanceled, None));
    assert_eq!(outcome.order()[5..], ["build_script", "cleanup"]);
}

#[test]
fn a_cancel_before_the_script_ends_the_whole_job() {
    let scripted = Scripted::new(&[("get_sources", SLOW)]);
    let run = scripted.start(make());
    run.wait_for("waiting").unwrap();
    run.cancel();
    let outcome = run.wait().unwrap();
    assert_eq!(outcome.verdict, failed(Reason::JobCanceled, None));
    assert_eq!(outcome.order()[3..], ["get_sources", "cleanup"]);
}

#[test]
fn a_driver_that_ignores_a_signal_is_killed() {
    let scripted = Scripted::new(&[("build_script", "trap '' TERM; echo waiting; sleep 60")]);
    let run = scripted.start(trivial().build());
    run.wait_for("waiting").unwrap();
    run.abort();
    let outcome = run.wait().unwrap();
    assert_eq!(
        outcome.call("build_script").unwrap().exit,
        super::Exit::Signal(9)
    );
    assert_eq!(outcome.verdict, failed(Reason::JobCanceled, None));
}

#[test]
fn the_job_timeout_ends_the_script_and_nothing_follows_but_cleanup() {
    let scripted = Scripted::new(&[("build_script", SLOW)]);
    let outcome = scripted.run(trivial().timeout(1).after_script(["true"]).build());
    assert_eq!(outcome.verdict, failed(Reason::JobExecutionTimeout, None));
    assert_eq!(outcome.order()[4..], ["build_script", "cleanup"]);
    assert!(
        outcome
            .text()
            .contains("execution took longer than 0m1s seconds")
    );
}

#[test]
fn a_killed_driver_is_a_system_failure() {
    let scripted = Scripted::new(&[("build_script", SLOW)]);
    let run = scripted.start(make());
    run.wait_for("waiting").unwrap();
    assert!(run.handle().kill_driver());
    let outcome = run.wait().unwrap();
    assert_eq!(outcome.verdict, failed(Reason::RunnerSystemFailure, None));
    assert_eq!(outcome.order()[5], "build_script");
    assert_eq!(outcome.order()[6], "after_script");
}

#[test]
fn a_crash_takes_all_descendants_and_no_call_follows() {
    let rule = "setsid sleep 60 >/dev/null 2>&1 & echo $! > HERE/child; echo waiting; wait";
    let scripted = Scripted::new(&[("build_script", rule)]);
    let run = scripted.start(make());
    run.wait_for("waiting").unwrap();
    assert!(run.handle().crash());
    let outcome = run.wait().unwrap();
    assert_eq!(outcome.verdict, failed(Reason::RunnerGone, None));
    assert_eq!(outcome.order().last(), Some(&"build_script"));
    assert!(outcome.directory.join("response.json").exists());
    let child = std::fs::read_to_string(scripted.path().join("child")).unwrap();
    // Killed is not yet dead: the kernel takes a moment.
    crate::background::wait_until("its end", Duration::from_secs(10), || {
        let status = std::fs::read_to_string(format!("/proc/{}/stat", child.trim()));
        Ok(status.map_or(true, |status| status.contains(") Z ")))
    })
    .unwrap();
}

#[test]
fn masked_values_are_hidden_and_config_speaks_through_stderr_only() {
    let rules = [
        (
            "build_script",
            "echo a topsecretvalue; printf topsecret >&2; printf 'value\n' >&2",
        ),
        ("config", "echo from config >&2"),
    ];
    let outcome = Scripted::new(&rules).run(make());
    assert!(!outcome.log.contains("topsecretvalue"));
    assert!(outcome.text().contains("a [MASKED]"));
    assert!(outcome.text().contains("from config"));
    assert!(!outcome.text().contains("FROM_CONFIG"));
}

#[test]
fn jobs_that_run_together_have_different_concurrency_numbers() {
    let scripted = Scripted::new(&[("build_script", "echo waiting; sleep 60")]);
    let (first, second) = (
        scripted.start(trivial().build()),
        scripted.start(trivial().build()),
    );
    for run in [&first, &second] {
        run.wait_for("waiting").unwrap();
    }
    let numbers = [first, second].map(|run| {
        run.abort();
        let outcome = run.wait().unwrap();
        outcome.calls[0].environ["CUSTOM_ENV_CI_CONCURRENT_ID"].clone()
    });
    assert_eq!(
        BTreeSet::from(numbers),
        BTreeSet::from(["0".to_owned(), "1".to_owned()])
    );
}

#[test]
fn tags_choose_the_entry_and_a_job_nobody_takes_is_an_error() {
    let scripted = Scripted::new(&[]);
    let queued = JobBuilder::new("other").tags(["docker", "gpu"]).build();
    assert!(scripted.runner.start(queued).is_err());
    assert!(
        scripted
            .runner
            .start(JobBuilder::new("untagged").build())
            .is_err()
    );
}

#[test]
fn a_background_process_that_holds_the_output_keeps_the_phase_open() {
    let rule = "(until [ -e HERE/go ]; do sleep 0.02; done; echo late) & echo waiting";
    let scripted = Scripted::new(&[("build_script", rule)]);
    let run = scripted.start(trivial().build());
    run.wait_for("waiting").unwrap();
    assert!(!run.is_finished());
    std::fs::write(scripted.path().join("go"), "").unwrap();
    let outcome = run.wait().unwrap();
    assert_eq!(outcome.verdict, Verdict::Success);
    assert!(outcome.text().contains("late"));
}
