//! The stand-in by itself, with a driver that runs each script in a plain shell.

use std::collections::BTreeMap;
use std::path::Path;

use tempfile::TempDir;

use super::Status::{Failed, Skipped, Success, Warned};
use super::{Gitlab, PipelineOutcome, Project, Status};
use crate::background::Background;
use crate::command::attempt;
use crate::runner::{Pace, Runner};
use crate::spec::{JobBuilder, Variable};

/// Runs scripts on this machine, in a directory of the job's own; `gitlab-runner` is a shell
/// script that says what it was asked for.
const DRIVER: &str = r#"
place=ROOT/$(sed 's/.*"id":\([0-9]*\).*/\1/;q' "$JOB_RESPONSE_FILE")
case $1 in
config) echo "{\"builds_dir\": \"$place/builds\", \"cache_dir\": \"ROOT/cache\"}" ;;
prepare) mkdir -p "$place" ;;
run)
  PATH=ROOT/bin:$PATH bash "$2"
  code=$?
  if [ $code != 0 ]; then echo $code > "$BUILD_EXIT_CODE_FILE"; exit 1; fi ;;
esac
exit 0
"#;

struct Bed {
    directory: TempDir,
    gitlab: Gitlab,
    runner: Runner,
    project: Project,
    _background: Background,
}

impl Bed {
    fn new(file: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let at = directory.path().to_str().unwrap();
        std::fs::write(directory.path().join("driver"), DRIVER.replace("ROOT", at)).unwrap();
        let stage = |name: &str| {
            format!("{name}_exec = \"/bin/bash\"\n{name}_args = [\"{at}/driver\", \"{name}\"]\n")
        };
        let custom: String = ["config", "prepare", "run", "cleanup"].map(stage).concat();
        let config = format!(
            "[[runners]]\nname = \"any\"\ntoken = \"t\"\nexecutor = \"custom\"\n[runners.custom]\n{custom}"
        );
        let runner = Runner::parse(&config)
            .unwrap()
            .register("any", &["here"])
            .run_untagged("any")
            .pace(Pace {
                attempt: std::time::Duration::ZERO,
                phase: std::time::Duration::ZERO,
            })
            .temporary(directory.path());
        let background = Background::start().unwrap();
        let gitlab =
            Gitlab::start(&background, "127.0.0.1".parse().unwrap(), directory.path()).unwrap();
        let project = gitlab.project(42, "copublic/test_server1").unwrap();
        project.protect_tags("v*");
        project
            .commit("Release 1.0.0", |tree| {
                Ok(std::fs::write(tree.join(".gitlab-ci.yml"), file)?)
            })
            .unwrap();
        project.tag("v1.0.0").unwrap();
        Self {
            directory,
            gitlab,
            runner,
            project,
            _background: background,
        }
    }

    fn run(&self, reference: &str) -> PipelineOutcome {
        self.gitlab
            .pipeline(&self.project, reference)
            .unwrap()
            .run(&self.runner)
            .unwrap()
    }
}

#[track_caller]
fn check(file: &str, expected: &[(&str, Status)]) -> PipelineOutcome {
    let outcome = Bed::new(file).run("v1.0.0");
    let found: BTreeMap<&str, Status> = outcome
        .jobs
        .iter()
        .map(|job| (job.name.as_str(), job.status))
        .collect();
    assert_eq!(
        found,
        expected.iter().copied().collect(),
        "{}",
        outcome.story()
    );
    outcome
}

#[test]
fn a_job_checks_out_its_commit_with_its_own_token_only() {
    let bed = Bed::new("show:\n  script: git log --format=%s; git status --short; pwd\n");
    let outcome = bed.run("v1.0.0");
    let log = outcome.log("show").unwrap();
    assert!(outcome.is_passed(), "{log}");
    assert!(log.contains("as detached HEAD (ref is v1.0.0)"), "{log}");
    assert!(log.contains("\nRelease 1.0.0\n"), "{log}");
    let address = format!("{}/copublic/test_server1.git", bed.gitlab.url());
    let queued = bed
        .gitlab
        .job(&bed.project, "v1.0.0", JobBuilder::new("live"))
        .unwrap();
    let reach = |user: &str| {
        let with_user = address.replace("http://", &format!("http://{user}@"));
        let quiet = ["-c", "credential.helper=", "ls-remote", &with_user];
        attempt("git", &quiet, b"").unwrap().status.success()
    };
    assert!(reach(&format!("gitlab-ci-token:{}", queued.job.token)));
    assert!(!reach("gitlab-ci-token:wrong"));
    let finished = outcome.job("show").unwrap().id;
    assert!(!reach(&format!("gitlab-ci-token:job-token-{finished}")));
}

#[test]
fn stages_follow_each_other_and_a_failure_stops_the_pipeline() {
    let file = "
stages: [one, two, three]
a: {stage: one, script: echo a}
b: {stage: two, script: exit 3}
c: {stage: two, script: echo c}
d: {stage: three, script: echo d}
late: {stage: three, script: echo late, when: on_failure}
always: {stage: three, script: echo always, when: always}
";
    let outcome = check(
        file,
        &[
            ("a", Success),
            ("b", Failed),
            ("c", Success),
            ("d", Skipped),
            ("late", Success),
            ("always", Success),
        ],
    );
    assert_eq!(
        outcome
            .job("b")
            .unwrap()
            .outcome
            .as_ref()
            .unwrap()
            .exit_code,
        Some(3)
    );
    assert!(!outcome.is_passed());
}

#[test]
fn jobs_of_a_stage_run_side_by_side() {
    // Each waits for what the other one does, so they pass only together.
    let meet = |own: &str, other: &str| {
        format!(
            "{own}: {{script: 'touch $BASE/{own}; until [ -e $BASE/{other} ]; do sleep 0.02; done'}}\n"
        )
    };
    let base = tempfile::tempdir().unwrap();
    let variables = format!("variables: {{BASE: {}}}\n", base.path().display());
    let file = variables + &meet("a", "b") + &meet("b", "a");
    check(&file, &[("a", Status::Success), ("b", Status::Success)]);
}

#[test]
fn a_job_that_needs_another_does_not_wait_for_the_stage() {
    let base = tempfile::tempdir().unwrap();
    let file = format!(
        "
stages: [one, two]
variables: {{BASE: {}}}
quick: {{stage: one, script: echo quick}}
slow: {{stage: one, script: 'until [ -e $BASE/early ]; do sleep 0.02; done'}}
early: {{stage: two, needs: [quick], script: touch $BASE/early}}
",
        base.path().display()
    );
    check(
        &file,
        &[("quick", Success), ("slow", Success), ("early", Success)],
    );
}

#[test]
fn only_and_except_choose_by_kind_and_name() {
    let file = "
tags-only: {script: echo, only: [tags]}
branches-only: {script: echo, only: [branches]}
not-on-features: {script: echo, except: ['feat*', master]}
main-only: {script: echo, only: [master]}
";
    let bed = Bed::new(file);
    bed.project.branch("feat-x").unwrap();
    let names = |reference: &str| {
        bed.gitlab
            .pipeline(&bed.project, reference)
            .unwrap()
            .names()
    };
    assert_eq!(names("v1.0.0"), ["tags-only", "not-on-features"]);
    assert_eq!(names("master"), ["branches-only", "main-only"]);
    assert_eq!(names("feat-x"), ["branches-only"]);
}

#[test]
fn copies_allowed_failures_and_inheritance() {
    let file = "
default: {before_script: [echo before]}
.base: {variables: {A: base, B: base}}
many: {parallel: 2, extends: .base, variables: {B: own}, script: 'echo $CI_NODE_INDEX of $CI_NODE_TOTAL $A $B'}
grid: {parallel: {matrix: [{X: [1, 2], Y: z}]}, script: [[echo x=$X], echo y=$Y]}
may: {allow_failure: true, script: exit 1}
code: {allow_failure: {exit_codes: [7]}, script: exit 7}
";
    let outcome = check(
        file,
        &[
            ("many 1/2", Success),
            ("many 2/2", Success),
            ("grid: [1, z]", Success),
            ("grid: [2, z]", Success),
            ("may", Warned),
            ("code", Warned),
        ],
    );
    assert!(outcome.is_passed());
    let log = outcome.log("many 2/2").unwrap();
    assert!(
        log.contains("$ echo before\nbefore\n") && log.contains("\n2 of 2 base own\n"),
        "{log}"
    );
    assert!(
        outcome
            .log("grid: [2, z]")
            .unwrap()
            .contains("x=2\n$ echo y=$Y\ny=z\n")
    );
}

#[test]
fn protected_variables_reach_protected_references_only() {
    let bed = Bed::new("show: {script: 'echo secret=$SECRET open=$OPEN'}");
    bed.project
        .protected_variable(Variable::new("SECRET", "hunter2-long").masked());
    bed.project.variable(Variable::new("OPEN", "yes"));
    bed.project.tag("unprotected").unwrap();
    assert!(
        bed.run("v1.0.0")
            .log("show")
            .unwrap()
            .contains("secret=[MASKED] open=yes")
    );
    let outcome = bed.run("unprotected");
    assert!(outcome.log("show").unwrap().contains("secret= open=yes"));
    let environ = &outcome.job("show").unwrap().outcome.as_ref().unwrap().calls[0].environ;
    assert_eq!(environ["CUSTOM_ENV_CI_COMMIT_REF_PROTECTED"], "false");
}

#[test]
fn artifacts_and_caches_travel_between_jobs() {
    let file = "
stages: [make, use]
variables: {KEPT: .kept}
make:
  stage: make
  cache: {key: k, paths: [$KEPT]}
  artifacts: {paths: ['out/*.txt'], exclude: ['out/b*']}
  script: mkdir -p out .kept; echo one > out/a.txt; echo two > out/b.txt; echo kept > .kept/c
use:
  stage: use
  cache: {key: k, paths: [$KEPT], policy: pull}
  script: [cat out/a.txt .kept/c, test ! -e out/b.txt]
alone: {stage: use, dependencies: [], script: test ! -e out}
";
    let bed = Bed::new(file);
    let helper = crate::machine::program("gitlab-runner").unwrap();
    std::fs::create_dir(bed.directory.path().join("bin")).unwrap();
    std::os::unix::fs::symlink(helper, bed.directory.path().join("bin/gitlab-runner")).unwrap();
    let outcome = bed.run("v1.0.0");
    assert!(outcome.is_passed(), "{}", outcome.story());
    let (make, used) = (outcome.log("make").unwrap(), outcome.log("use").unwrap());
    assert!(
        make.contains("Uploading artifacts as \"archive\" to coordinator... 201 Created"),
        "{make}"
    );
    assert!(
        make.contains("Failed to extract cache") && make.contains("Created cache"),
        "{make}"
    );
    assert!(used.contains("Successfully extracted cache"), "{used}");
    assert!(
        used.contains("Not uploading cache k-protected due to policy"),
        "{used}"
    );
    assert!(used.contains("\none\nkept\n"), "{used}");
    assert!(
        bed.gitlab
            .artifacts(outcome.job("make").unwrap().id)
            .is_some()
    );
}

#[test]
fn what_the_file_gets_wrong_is_said() {
    #[track_caller]
    fn refused(file: &str, part: &str) {
        let error = format!("{:#}", super::ci::parse(file).err().unwrap());
        assert!(error.contains(part), "{error}");
    }
    refused("a: {script: x, rules: []}", "jobs:a: unknown keyword rules");
    refused(
        "a: {stage: nowhere, script: x}",
        "stage nowhere does not exist",
    );
    refused("a: {stage: test}", "script is missing");
    refused(
        "a: {script: x, only: ['/^v/']}",
        "regular expressions are not known here",
    );
    refused("a: [", "no YAML");
    refused("include: x.yml", "`include` is not known");
}

#[test]
fn a_watched_job_can_be_canceled_in_a_running_pipeline() {
    let bed =
        Bed::new("wait: {script: [echo begun, sleep 60]}\nafter: {stage: deploy, script: echo}");
    let running = bed
        .gitlab
        .pipeline(&bed.project, "v1.0.0")
        .unwrap()
        .start(&bed.runner);
    running.wait_for("wait", "begun").unwrap();
    running.job("wait").unwrap().1.abort();
    let outcome = running.wait().unwrap();
    assert_eq!(outcome.job("wait").unwrap().status, Status::Canceled);
    assert_eq!(outcome.job("after").unwrap().status, Status::Skipped);
}

#[test]
fn the_companys_file_runs_lint_test_build_and_deploy_in_order() {
    let file =
        std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("app/.gitlab-ci.yml"))
            .unwrap();
    let file = super::ci::parse(&file).unwrap();
    assert_eq!(
        file.stages,
        [".pre", "lint", "test", "build", "deploy", ".post"]
    );
    let build = file.jobs.iter().find(|job| job.name == "build").unwrap();
    assert_eq!(build.image.name, "docker:latest");
    assert_eq!(build.script.len(), 3);
    let deploy = file.jobs.iter().find(|job| job.name == "deploy").unwrap();
    assert_eq!(deploy.environment.as_deref(), Some("production"));
    assert_eq!(deploy.tags, ["devops_prod_deploy"]);
}
