//! The company's pipeline, unchanged: a pushed tag becomes a running release.

use std::fs;

use testbed::{
    company::{Company, PROJECT},
    gitlab::Status,
    spec::JobBuilder,
};

use crate::fixture::{Fixture, TAG, passed, says};

testbed::tests![
    Fixture; [Testbed];
    a_pushed_tag_becomes_a_running_release,
    a_commit_that_was_never_pushed_as_an_image_is_not_deployed,
    a_failing_test_stops_the_pipeline,
    an_unprotected_tag_is_refused_before_any_work,
    a_foreign_project_is_refused_before_any_work,
    a_deploy_job_sees_no_key,
];

/// Every host has the weight that it had before anything began.
#[track_caller]
pub(crate) fn weights_are_as_before(company: &Company) {
    let weights = company.infrastructure.balancer.weights();
    assert_eq!(weights.len(), 3);
    assert!(weights.values().all(|weight| *weight == 100), "{weights:?}");
}

fn a_pushed_tag_becomes_a_running_release(fixture: &Fixture) {
    let (company, _fleet) = fixture.fleet();
    for version in ["v1.0.0", "v1.1.0"] {
        let client = company.client();
        let outcome = company.ship(version).unwrap();
        let totals = client.stop();
        assert!(outcome.is_passed(), "{}", outcome.story());
        assert_eq!(
            totals.failed,
            0,
            "{totals:?}\n{}",
            outcome.log("deploy").unwrap()
        );
        assert!(totals.requests > 0);
        assert_eq!(
            company.running_digest().unwrap(),
            company.pushed_digest(version).unwrap()
        );
        weights_are_as_before(&company);
    }
}

fn a_failing_test_stops_the_pipeline(fixture: &Fixture) {
    let company = fixture.company();
    let project = fixture.project(PROJECT + 3).unwrap();
    let jobs = testbed::company::PIPELINE.replace("- echo test", "- exit 37");
    project
        .commit("Break a test", |directory| {
            Ok(fs::write(directory.join(".gitlab-ci.yml"), jobs)?)
        })
        .unwrap();
    project.tag("v9.0.1").unwrap();
    let pipeline = company.gitlab.pipeline(&project, "v9.0.1").unwrap();
    let outcome = pipeline.start(&company.runner().unwrap()).wait().unwrap();
    assert!(!outcome.is_passed());
    let status = |name: &str| outcome.job(name).unwrap().status;
    assert_eq!(status("lint"), Status::Success);
    assert_eq!(status("test"), Status::Failed);
    assert_eq!(status("build"), Status::Skipped);
    assert_eq!(status("deploy"), Status::Skipped);
    assert!(outcome.story().contains("exit status 37"));
}

/// The deploy job of the company's pipeline alone.
pub(crate) fn deploy_job() -> JobBuilder {
    JobBuilder::new("deploy")
        .tags(["devops_prod_deploy"])
        .script(["dockmaster deploy"])
}

fn an_unprotected_tag_is_refused_before_any_work(fixture: &Fixture) {
    let company = fixture.company();
    company.project.tag("nightly").unwrap();
    let outcome = company.run("nightly", deploy_job()).unwrap();
    says(
        &outcome,
        &[
            "from protected tags only, and `nightly` is not protected",
            "exit status 110",
        ],
    );
    assert_eq!(outcome.order(), ["config", "prepare", "cleanup"]);
}

fn a_foreign_project_is_refused_before_any_work(fixture: &Fixture) {
    let company = fixture.company();
    let foreign = fixture.project(PROJECT + 1).unwrap();
    let job = company.gitlab.job(&foreign, TAG, deploy_job()).unwrap();
    let outcome = company.runner().unwrap().run(job).unwrap();
    says(
        &outcome,
        &[
            "project 43 may not deploy to `production`",
            "exit status 110",
        ],
    );
    assert_eq!(outcome.order(), ["config", "prepare", "cleanup"]);
}

fn a_commit_that_was_never_pushed_as_an_image_is_not_deployed(fixture: &Fixture) {
    let (company, _fleet) = fixture.fleet();
    let outcome = company.run(TAG, deploy_job()).unwrap();
    says(
        &outcome,
        &["no image", "was pushed for commit", "exit status 111"],
    );
    weights_are_as_before(&company);
}

fn a_deploy_job_sees_no_key(fixture: &Fixture) {
    let company = fixture.company();
    let etc = company.installation.root().join("etc");
    let look = format!(
        "cat -v {0}/secrets/* {0}/*.toml {0}/environments/* /etc/dockmaster/* 2>/dev/null || true",
        etc.display()
    );
    let outcome = company
        .run(
            TAG,
            deploy_job().script([
                "env".to_owned(),
                "find ~ -type f -exec cat {} + 2>/dev/null || true".to_owned(),
                "cat -v /proc/[0-9]*/environ /proc/[0-9]*/cmdline 2>/dev/null || true".to_owned(),
                look,
                "id".to_owned(),
            ]),
        )
        .unwrap();
    passed(&outcome);
    let text = outcome.text();
    let key = fs::read_to_string(&company.infrastructure.fleet.key).unwrap();
    let line = key.lines().nth(1).unwrap();
    let secret = &company.infrastructure.balancer.key.secret;
    let password = &company.infrastructure.registry.pull_account.password;
    for canary in [line, secret, password, "PRIVATE KEY"] {
        assert!(!text.contains(canary), "the job saw {canary}");
    }
    assert!(!text.contains("uid=0("), "{text}");
}
