//! What a project finds again that moves here from GitLab's docker executor.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::json;
use testbed::{
    command::{DOCKER, docker, feed},
    company::PROJECT,
    gitlab::Project,
    harbor::Role,
    runner::{Outcome, Verdict},
    spec::{CachePolicy, Caches, JobBuilder, Service},
};

use crate::fixture::{Fixture, TAG, job, passed, says};

testbed::tests![
    Fixture; [Testbed];
    a_private_image_is_pulled_with_the_login_that_the_job_brings,
    services_see_the_checkout_and_the_cache,
    a_policy_that_fails_is_followed_by_the_next,
    a_user_may_be_named_by_a_variable,
    an_image_whose_user_is_not_root_works_on_checkout_and_cache,
    a_slot_s_checkout_follows_the_ref_and_the_strategy,
    a_failed_job_keeps_the_cache_that_it_is_told_to_keep,
    what_is_wrong_with_a_service_is_the_author_s,
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

/// An image made of another one; gone with the test.
struct Made(String);

impl Made {
    fn new(name: &str, change: &str) -> Self {
        let image = format!("testbed-{name}-{}:1", std::process::id());
        let container = docker(&["create", "alpine:latest"]).unwrap();
        docker(&["commit", "--change", change, container.trim(), &image]).unwrap();
        docker(&["rm", container.trim()]).unwrap();
        Self(image)
    }
}

impl Drop for Made {
    fn drop(&mut self) {
        // A test that failed is told of that, and not of this.
        let _ = docker(&["rmi", &self.0]);
    }
}

fn an_image_whose_user_is_not_root_works_on_checkout_and_cache(fixture: &Fixture) {
    let image = Made::new("nobody", "USER 65534");
    let job = job("nobody")
        .image(&image.0)
        .script([
            "id -u",
            "stat -c '%a %u' README .",
            "echo more >> README",
            "mkdir made /cache/made && echo both are open",
            "grep -c gitlab-ci-token .git/config || echo no token in the checkout",
            "echo 'LATER=$(touch /builds/never) later' >> $GITLAB_ENV",
        ])
        .after_script([
            "echo \"got $LATER\"",
            "ls /builds/never || echo nothing ran",
        ]);
    let outcome = fixture.company().run(TAG, job).unwrap();
    passed(&outcome);
    says(
        &outcome,
        &[
            "\n65534\n",
            "\n666 0\n777 0\n",
            "both are open",
            "no token in the checkout",
            "got $(touch /builds/never) later",
            "nothing ran",
        ],
    );
}

fn a_slot_s_checkout_follows_the_ref_and_the_strategy(fixture: &Fixture) {
    const REUSED: &str = "Reinitialized existing Git repository";
    let project = fixture.project(PROJECT + 33).unwrap();
    let change = |directory: &std::path::Path| {
        Ok(std::fs::write(directory.join("README"), "of the second\n")?)
    };
    project.commit("Second", change).unwrap();
    project.tag("v0.0.2").unwrap();
    let company = fixture.company();
    let run = |tag: &str, strategy: &str| {
        let job = job("checkout").variable("GIT_STRATEGY", strategy).script([
            "cat README",
            "ls left || echo nothing left",
            "touch left",
        ]);
        let queued = company.gitlab.job(&project, tag, job).unwrap();
        let outcome = company.runner().unwrap().run(queued).unwrap();
        passed(&outcome);
        outcome
    };
    let first = run(TAG, "fetch");
    says(&first, &["\na project\n", "\nnothing left\n"]);
    assert!(!first.text().contains(REUSED), "{}", first.text());
    let second = run("v0.0.2", "fetch");
    says(&second, &[REUSED, "\nof the second\n", "\nnothing left\n"]);
    says(&run(TAG, "fetch"), &["\na project\n"]);
    let none = run("v0.0.2", "none");
    says(&none, &["\na project\n"]);
    assert!(!none.text().contains("\nnothing left\n"), "{}", none.text());
    let cloned = run("v0.0.2", "clone");
    says(&cloned, &["\nof the second\n", "\nnothing left\n"]);
    assert!(!cloned.text().contains(REUSED), "{}", cloned.text());
}

fn a_failed_job_keeps_the_cache_that_it_is_told_to_keep(fixture: &Fixture) {
    let project = fixture.project(PROJECT + 34).unwrap();
    let write = |key: &str, when: &str, code: &str| {
        let cache = Caches::new(key, ["kept"])
            .when(when)
            .policy(CachePolicy::Push);
        job("write")
            .cache(cache)
            .script(["mkdir -p kept", "echo it is kept > kept/file", code])
    };
    run(fixture, &project, write("always", "always", "exit 1"));
    run(fixture, &project, write("success", "on_success", "exit 1"));
    run(fixture, &project, write("failure", "on_failure", "true"));
    let read = |key: &str| {
        let cache = Caches::new(key, ["kept"]).policy(CachePolicy::Pull);
        let read = [
            "cat kept/file || echo nothing was kept",
            "rm -rf kept",
            "mkdir kept",
        ];
        let outcome = run(fixture, &project, job("read").cache(cache).script(read));
        passed(&outcome);
        outcome
    };
    says(&read("always"), &["\nit is kept\n"]);
    // A job that only pulls changes nothing.
    says(&read("always"), &["\nit is kept\n"]);
    for key in ["success", "failure"] {
        says(&read(key), &["nothing was kept"]);
    }
}

fn what_is_wrong_with_a_service_is_the_author_s(fixture: &Fixture) {
    // A neighbour takes the registry down for a while.
    let (company, _alone) = fixture.fleet();
    let missing = company
        .infrastructure
        .registry
        .image("test/no-such-service");
    for (name, words, code) in [
        (
            &*missing,
            "does not exist, or this project may not pull it",
            "exit status 112",
        ),
        ("", "invalid service image name", "exit status 111"),
    ] {
        let job = job("service")
            .service(Service::new(name))
            .script(["echo never"]);
        let outcome = company.run(TAG, job).unwrap();
        assert_ne!(outcome.verdict, Verdict::Success, "{}", outcome.text());
        says(&outcome, &[words, code]);
        assert_eq!(outcome.order(), ["config", "prepare", "cleanup"]);
    }
    // The same name twice: the service is started, and the author is told.
    let job = job("twice")
        .file("SETTINGS", "of a file")
        .service(
            sleeper()
                .variable("WHERE", "$SETTINGS")
                .command(["echo at $WHERE; exec busybox httpd -f -p 8000"]),
        )
        .service(sleeper().command(["exec busybox httpd -f -p 8000"]))
        .variable("CI_DEBUG_SERVICES", "true")
        .script(["true"]);
    let outcome = company.run(TAG, job).unwrap();
    passed(&outcome);
    says(
        &outcome,
        &[
            "services[1] (alpine:latest): the name one is taken",
            "2 services",
            "test_server1.tmp/SETTINGS",
        ],
    );
}

/// Listens as soon as it has begun.
fn sleeper() -> Service {
    Service::new("alpine:latest")
        .alias("one")
        .variable("HEALTHCHECK_TCP_PORT", "8000")
        .entrypoint(["/bin/sh", "-c"])
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
