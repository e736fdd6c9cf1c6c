//! The scripts against facts recorded from the real runner, and in real shells.

use std::path::Path;
use std::process::{Command, Output};

use super::{Directories, Hooks, Phase, Scene, generate};
use crate::spec::{Artifacts, Caches, Job, JobBuilder, Variable};

fn job() -> Job {
    JobBuilder::new("make")
        .id(1001)
        .variable("GREETING", "hello v1.0.0")
        .file("FILEVAR", "filecontent")
        .cache(Caches::new("k-v1-0-0", [".cache"]))
        .artifacts(Artifacts::paths(["out"]).when("always"))
        .script([
            "echo $GREETING",
            "cat \"$FILEVAR\"; exit_code=3",
            "echo 'quotes \"and\" $dollars'\necho \"multi\nline\"\n",
        ])
        .after_script(["echo after $CI_JOB_STATUS"])
        .build()
        .job
}

fn script(phase: &Phase, job: &Job, root: &str) -> String {
    let directories = Directories {
        builds: format!("{root}/builds"),
        build: format!("{root}/builds/copublic/test_server1"),
        cache: format!("{root}/cache/copublic/test_server1"),
    };
    let mut variables = vec![Variable::new("CI_JOB_STATUS", "running")];
    variables.extend(job.variables.iter().cloned());
    generate(
        phase,
        &Scene {
            job,
            variables: &variables,
            directories: &directories,
            hostname: Some("box"),
            shell: "bash",
            hooks: &Hooks::default(),
            correlation: "c0ffee",
        },
    )
}

fn run(shell: &[&str], script: &str) -> Output {
    Command::new(shell[0])
        .args(&shell[1..])
        .arg("-c")
        .arg(script)
        .output()
        .unwrap()
}

/// The commands a script carries out, as their first words, without the preamble's exports.
fn commands(phase: &Phase) -> Vec<String> {
    let text = script(phase, &job(), "");
    let body = text.lines().find(|line| line.contains("; eval ")).unwrap();
    let quoted = body
        .split_once("eval ")
        .unwrap()
        .1
        .rsplit_once(") < /dev/null")
        .unwrap()
        .0;
    let output = run(&["bash"], &format!("printf %s {quoted}"));
    let body = String::from_utf8(output.stdout).unwrap();
    let words = |line: &str| {
        let words: Vec<&str> = line
            .split_whitespace()
            .map(|word| word.trim_matches('"'))
            .collect();
        words.iter().take(2).copied().collect::<Vec<_>>().join(" ")
    };
    body.lines()
        .filter(|line| !line.starts_with("export "))
        .map(words)
        .collect()
}

#[test]
fn a_script_stands_in_the_recorded_frame() {
    let text = script(&Phase::Prepare, &job(), "");
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines[0], "#!/usr/bin/env bash");
    assert_eq!(lines[2], "trap 'exit 1' TERM");
    assert!(lines[4].ends_with("set -o errexit"));
    assert_eq!(lines[5], "set +o noclobber");
    assert!(
        lines[6].starts_with("(trap 'exit 1' TERM; eval $'echo \"Running on $(hostname) via box")
    );
    assert!(lines[6].ends_with(") < /dev/null"));
    assert_eq!(lines[7..], ["exit 0"]);
}

#[test]
fn get_sources_carries_out_the_recorded_commands() {
    let recorded = [
        "mkdir -p",
        "printf '%s'",
        "mkdir -p",
        "touch /builds/copublic/test_server1.tmp/gitlab_runner_env",
        "while read",
        "rm -f",
        "rm -f",
        "rm -f",
        "rm -f",
        "rm -f",
        "if [",
        "et='+' ;",
        "fi",
        "rm -f",
        "if [",
        "chmod -R",
        "fi",
        "rm -r",
        "rm -f",
        "if [",
        "chmod -R",
        "fi",
        "rm -r",
        "mkdir -p",
        "git config",
        "git config",
        "git config",
        "git config",
        "rm -f",
        "git config",
        "echo $'\\x1b[32;1mGitaly",
        "git config",
        "git config",
        "git config",
        "git config",
        "echo $'\\x1b[32;1mFetching",
        "git init",
        "cd /builds/copublic/test_server1",
        "if git",
        "echo $'\\x1b[32;1mCreated",
        "else",
        "git remote",
        "git config",
        "fi",
        "git -c",
        "echo $'\\x1b[32;1mChecking",
        "git -c",
        "git clean",
        "if git",
        "git lfs",
        "echo",
        "fi",
        "echo $'\\x1b[32;1mSkipping",
        "if [",
        "if [",
        "chown -R",
        "fi",
        "fi",
        "echo $'url=https://gitlab.example.com\\nusername=gitlab-ci-token'",
    ];
    assert_eq!(commands(&Phase::GetSources), recorded);
}

#[test]
fn cleanup_carries_out_the_recorded_commands() {
    let found = commands(&Phase::CleanupFileVariables);
    assert_eq!(
        found[..3].concat(),
        "mkdir -ptouch /builds/copublic/test_server1.tmp/gitlab_runner_envwhile read"
    );
    let removed = found.iter().filter(|line| *line == "rm -f").count();
    assert_eq!(removed, 13);
    assert!(!found.iter().any(|line| line.starts_with("printf")));
}

#[test]
fn caches_and_artifacts_are_called_as_recorded() {
    let restore = script(&Phase::RestoreCache, &job(), "");
    assert!(restore.contains(
        "cache-extractor --file ../../../cache/copublic/test_server1/k-v1-0-0/cache.zip --timeout 10 ;"
    ));
    let archive = script(&Phase::ArchiveCache { success: true }, &job(), "");
    assert!(archive.contains(
        "/aa059afc8f817b499735fcfd953fc349b61dc1663a6da3c5d66b9f599451f8d5/cache.zip --timeout 10 \
         --path .cache --env-file /builds/copublic/test_server1.tmp/gitlab_runner_cache_env ;"
    ));
    let upload = script(&Phase::UploadArtifacts { success: true }, &job(), "");
    assert!(upload.contains(
        "--token job-token-1001 --id 1001 --timeout 1h0m0s --response-header-timeout 10m0s \
         --path out --artifact-format zip --artifact-type archive"
    ));
    assert!(upload.contains("Missing gitlab-runner. Uploading artifacts is disabled."));
}

/// Runs a phase for real below a directory of its own.
fn really(shell: &[&str], phase: &Phase, job: &Job, root: &Path) -> Output {
    run(shell, &script(phase, job, root.to_str().unwrap()))
}

#[test]
fn a_step_announces_and_runs_each_line_in_bash_and_busybox() {
    for shell in [&["bash"][..], &["busybox", "ash"]] {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(root.path().join("builds/copublic/test_server1")).unwrap();
        let output = really(
            shell,
            &Phase::Step("script".to_owned()),
            &job(),
            root.path(),
        );
        let text = String::from_utf8(output.stdout).unwrap();
        let green = |line: &str| format!("\x1b[32;1m$ {line}\x1b[0;m\n");
        let expected = [
            green("echo $GREETING"),
            "hello v1.0.0\n".to_owned(),
            green("cat \"$FILEVAR\"; exit_code=3"),
            "filecontent".to_owned(),
            green("echo 'quotes \"and\" $dollars' # collapsed multi-line command"),
            "quotes \"and\" $dollars\nmulti\nline\n".to_owned(),
        ];
        assert_eq!(text, expected.concat(), "{shell:?}");
        assert!(output.status.success());
    }
}

#[test]
fn the_first_failing_command_gives_the_script_its_status() {
    let mut job = job();
    job.steps[0].script = vec!["(exit 42)".to_owned(), "echo not reached".to_owned()];
    let root = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(root.path().join("builds/copublic/test_server1")).unwrap();
    let output = really(
        &["bash"],
        &Phase::Step("script".to_owned()),
        &job,
        root.path(),
    );
    assert_eq!(output.status.code(), Some(42));
    assert!(
        !String::from_utf8(output.stdout)
            .unwrap()
            .contains("\nnot reached")
    );
}

#[test]
fn what_a_job_writes_to_its_environment_file_reaches_after_script() {
    let mut job = job();
    job.steps[0].script = vec!["echo LATER=yes > $GITLAB_ENV".to_owned()];
    job.steps[1].script = vec!["echo later=$LATER".to_owned()];
    let root = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(root.path().join("builds/copublic/test_server1")).unwrap();
    really(
        &["bash"],
        &Phase::Step("script".to_owned()),
        &job,
        root.path(),
    );
    let output = really(&["bash"], &Phase::AfterScript, &job, root.path());
    assert!(
        String::from_utf8(output.stdout)
            .unwrap()
            .contains("later=yes\n")
    );
    really(&["bash"], &Phase::CleanupFileVariables, &job, root.path());
    let left = std::fs::read_dir(root.path().join("builds/copublic/test_server1.tmp")).unwrap();
    assert_eq!(left.count(), 0);
}
