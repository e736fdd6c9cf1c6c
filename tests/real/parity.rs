//! What a project finds again that moves here from GitLab's docker executor.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::json;
use testbed::{
    command::{DOCKER, docker, feed},
    company::PROJECT,
    gitlab::Project,
    harbor::Role,
    runner::{Outcome, Verdict},
    spec::{JobBuilder, Service},
};

use crate::fixture::{Fixture, TAG, job, passed, says};

testbed::tests![
    Fixture; [Testbed];
    a_private_image_is_pulled_with_the_login_that_the_job_brings,
    services_see_the_checkout_and_the_cache,
    a_policy_that_fails_is_followed_by_the_next,
    a_user_may_be_named_by_a_variable,
];

fn run(fixture: &Fixture, project: &Project, job: JobBuilder) -> Outcome {
    let company = fixture.company();
    let job = company.gitlab.job(project, TAG, job).unwrap();
    company.runner().unwrap().run(job).unwrap()
}

/// An image in a folder of the registry that no project of the company may pull from; its reader's login.
fn secret_image(fixture: &Fixture) -> (String, String) {
    let company = fixture.company();
    let registry = &company.infrastructure.registry;
    registry.harbor.project("secret");
    let role = Role::Developer;
    registry
        .harbor
        .user("reader", "Reader12345", role, &["secret"]);
    let image = format!("{}/secret/tool:v1", registry.host);
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().to_string_lossy().into_owned();
    let call = |words: &[&str], input: &[u8]| {
        let words = [&["--config", &config], words].concat();
        feed(DOCKER, &words, input).unwrap()
    };
    let log_in = [
        "login",
        "--username",
        "reader",
        "--password-stdin",
        &registry.host,
    ];
    call(&log_in, b"Reader12345");
    call(&["tag", "alpine:latest", &image], b"");
    call(&["push", &image], b"");
    docker(&["rmi", &image]).unwrap();
    let auth = STANDARD.encode("reader:Reader12345");
    let place = format!("{}/secret", registry.host);
    let logins = json!({"auths": {place: {"auth": auth}}, "credsStore": "none-of-yours"});
    (image, logins.to_string())
}

fn a_private_image_is_pulled_with_the_login_that_the_job_brings(fixture: &Fixture) {
    // A neighbour takes the registry down for a while.
    let (_company, _alone) = fixture.fleet();
    let (image, logins) = secret_image(fixture);
    let project = fixture.project(PROJECT + 31).unwrap();
    let asks = || job("private").image(&image).script(["echo it runs"]);
    let outcome = run(fixture, &project, asks());
    assert_ne!(outcome.verdict, Verdict::Success, "{}", outcome.text());
    says(&outcome, &["exit status 112"]);
    let malformed = asks().variable("DOCKER_AUTH_CONFIG", "{\"auths\": 1}");
    let outcome = run(fixture, &project, malformed);
    says(
        &outcome,
        &["DOCKER_AUTH_CONFIG is left out", "exit status 112"],
    );
    let service = Service::new(&image)
        .alias("private")
        .entrypoint(["/bin/sh", "-c"])
        .command(["exec sleep 1000"]);
    let brings = asks()
        .variable("DOCKER_AUTH_CONFIG", logins)
        .service(service);
    let outcome = run(fixture, &project, brings);
    passed(&outcome);
    says(&outcome, &["it runs", "1 service"]);
    // Another project does not find what this one pulled.
    let other = fixture.project(PROJECT + 32).unwrap();
    let outcome = run(fixture, &other, asks().pull_policy("never"));
    assert_ne!(outcome.verdict, Verdict::Success, "{}", outcome.text());
}

fn services_see_the_checkout_and_the_cache(fixture: &Fixture) {
    let service = Service::new("alpine:latest")
        .alias("web")
        .variable("HEALTHCHECK_TCP_PORT", "8000")
        .entrypoint(["/bin/sh", "-c"])
        .command(["ls -d /cache && exec busybox httpd -f -p 8000 -h /builds"]);
    let job = job("shared").service(service).script([
        "echo of the job > page",
        "wget -q -O - http://web:8000/${CI_PROJECT_DIR#/builds/}/page",
    ]);
    let outcome = fixture.company().run(TAG, job).unwrap();
    passed(&outcome);
    says(&outcome, &["\nof the job\n"]);
}

fn a_policy_that_fails_is_followed_by_the_next(fixture: &Fixture) {
    // An image that no registry has; the operator shares it.
    let job = job("fallback")
        .pull_policy("always")
        .pull_policy("if-not-present")
        .script(["echo it runs"]);
    let outcome = fixture.company().run(TAG, job).unwrap();
    passed(&outcome);
    says(&outcome, &["by the policy always: ", "it runs"]);
}

fn a_user_may_be_named_by_a_variable(fixture: &Fixture) {
    let job = job("user")
        .variable("WHO", "65534")
        .user("$WHO")
        .script(["id -u", "touch made && ls -n made"]);
    let outcome = fixture.company().run(TAG, job).unwrap();
    passed(&outcome);
    says(&outcome, &["\n65534\n"]);
}
