//! The docker lane on a real engine: what a user of GitLab's docker executor expects.

use testbed::{
    company::PROJECT,
    runner::Verdict,
    spec::{Artifacts, Caches, JobBuilder, Service},
};

use crate::fixture::{Fixture, TAG, job, left, passed, says};

testbed::tests![
    Fixture; [Testbed];
    a_job_runs_on_the_checkout_of_its_commit,
    the_exit_code_of_a_script_reaches_gitlab,
    after_script_finds_the_files_and_none_of_the_processes,
    variables_reach_the_script_byte_for_byte,
    the_image_s_entrypoint_runs_and_may_be_replaced,
    a_cancelled_job_still_runs_its_after_script,
    an_aborted_job_leaves_nothing,
    a_job_whose_driver_is_killed_leaves_nothing_after_cleanup,
    a_missing_image_is_the_job_s_fault_and_is_not_tried_again,
    caches_and_artifacts_reach_the_next_job,
    services_answer_to_all_their_names,
    a_service_that_does_not_listen_is_a_warning,
    an_engine_that_a_job_brings_is_told_what_to_do_instead,
    jobs_side_by_side_share_no_volume,
    a_large_log_arrives_whole,
];

/// The id of a job that a builder has not chosen itself.
fn with_id(job: JobBuilder) -> (i64, JobBuilder) {
    let id = testbed::spec::next_id();
    (id, job.id(id))
}

fn a_job_runs_on_the_checkout_of_its_commit(fixture: &Fixture) {
    let company = fixture.company();
    let (id, job) = with_id(job("checkout").script(["cat README", "pwd", "id -u"]));
    let outcome = company.run(TAG, job).unwrap();
    passed(&outcome);
    says(
        &outcome,
        &[
            "a project",
            "/builds/copublic/test_server1",
            "Image alpine:latest",
        ],
    );
    assert!(left(id).is_empty());
}

fn the_exit_code_of_a_script_reaches_gitlab(fixture: &Fixture) {
    let outcome = fixture
        .company()
        .run(TAG, job("fail").script(["exit 37"]))
        .unwrap();
    assert!(
        matches!(outcome.verdict, Verdict::Failed { .. }),
        "{}",
        outcome.text()
    );
    says(&outcome, &["exit status 37"]);
}

fn after_script_finds_the_files_and_none_of_the_processes(fixture: &Fixture) {
    let job = job("after")
        .script(["echo kept > /root.txt", "sleep 1000 &", "echo done"])
        .after_script(["cat /root.txt", "ps | grep -c '[s]leep 1000' || true"]);
    let outcome = fixture.company().run(TAG, job).unwrap();
    passed(&outcome);
    says(&outcome, &["kept", "\n0\n"]);
}

fn variables_reach_the_script_byte_for_byte(fixture: &Fixture) {
    let job = job("variables")
        .variable("GREETING", "hello $CI_COMMIT_TAG")
        .variable("AWKWARD", "a'b\"c\\d\te $$ 中")
        .file("SETTINGS", "line\nwithout end")
        .masked("PASSWORD", "hunter2hunter2")
        .script([
            "echo \"$GREETING\"",
            "printf '%s' \"$AWKWARD\" | od -An -v -tx1 | tr -d ' \\n'; echo",
            "od -An -v -tx1 < $SETTINGS | tr -d ' \\n'; echo",
            "echo $PASSWORD",
        ]);
    let outcome = fixture.company().run(TAG, job).unwrap();
    passed(&outcome);
    let hex = |text: &str| -> String {
        let digits = text.bytes().map(|byte| format!("{byte:02x}"));
        format!("\n{}\n", digits.collect::<String>())
    };
    // The runner reads `$$` as one dollar.
    let (awkward, settings) = (hex("a'b\"c\\d\te $ 中"), hex("line\nwithout end"));
    let expected = ["hello v0.0.1", &awkward, &settings, "[MASKED]"];
    says(&outcome, &expected);
    assert!(!outcome.text().contains("hunter2hunter2"));
}

fn the_image_s_entrypoint_runs_and_may_be_replaced(fixture: &Fixture) {
    let company = fixture.company();
    let replaced = job("entrypoint")
        .entrypoint([
            "/bin/sh",
            "-c",
            "echo from the entrypoint; exec \"$@\"",
            "entry",
        ])
        .script(["echo from the script"]);
    let outcome = company.run(TAG, replaced).unwrap();
    passed(&outcome);
    says(&outcome, &["from the entrypoint", "from the script"]);
    let deaf = job("deaf")
        .entrypoint(["/bin/sh", "-c", "exit 9"])
        .script(["echo never"]);
    let outcome = company.run(TAG, deaf).unwrap();
    says(&outcome, &["exit status 9"]);
    assert!(!outcome.text().contains("\nnever"));
}

fn a_cancelled_job_still_runs_its_after_script(fixture: &Fixture) {
    let company = fixture.company();
    let (id, job) = with_id(
        job("cancel")
            .script([
                "trap 'echo caught TERM; exit 1' TERM",
                "echo begun",
                "sleep 1000 & wait $!",
            ])
            .after_script(["echo after $CI_JOB_STATUS"]),
    );
    let run = company.start(TAG, job).unwrap();
    run.wait_for("begun").unwrap();
    run.cancel();
    let outcome = run.wait().unwrap();
    says(&outcome, &["caught TERM", "after canceled"]);
    assert!(left(id).is_empty());
}

fn an_aborted_job_leaves_nothing(fixture: &Fixture) {
    let company = fixture.company();
    let (id, job) = with_id(job("abort").script(["echo begun", "sleep 1000"]));
    let run = company.start(TAG, job).unwrap();
    run.wait_for("begun").unwrap();
    run.abort();
    run.wait().unwrap();
    assert!(left(id).is_empty(), "{:?}", left(id));
}

fn a_job_whose_driver_is_killed_leaves_nothing_after_cleanup(fixture: &Fixture) {
    let company = fixture.company();
    let (id, job) = with_id(job("kill").script(["echo begun", "sleep 1000"]));
    let run = company.start(TAG, job).unwrap();
    run.wait_for("begun").unwrap();
    assert!(run.handle().kill_driver());
    let outcome = run.wait().unwrap();
    assert_ne!(outcome.verdict, Verdict::Success);
    assert!(left(id).is_empty(), "{:?}", left(id));
}

fn a_missing_image_is_the_job_s_fault_and_is_not_tried_again(fixture: &Fixture) {
    let company = fixture.company();
    let image = company.infrastructure.registry.image("test/no-such-image");
    let outcome = company
        .run(TAG, job("missing").image(image).script(["true"]))
        .unwrap();
    says(
        &outcome,
        &[
            "does not exist, or this project may not pull it",
            "exit status 112",
        ],
    );
    assert_eq!(outcome.order(), ["config", "prepare", "cleanup"]);
}

fn caches_and_artifacts_reach_the_next_job(fixture: &Fixture) {
    let company = fixture.company();
    // A cache belongs to a slot of the project: a job of another test must not take it in between.
    let project = fixture.project(PROJECT + 2).unwrap();
    let run = |job| {
        let job = company.gitlab.job(&project, TAG, job).unwrap();
        company.runner().unwrap().run(job).unwrap()
    };
    let make = job("make")
        .cache(Caches::new("key", [".cache"]))
        .artifacts(Artifacts::paths(["out"]))
        .script([
            "mkdir -p .cache out",
            "echo cached > .cache/f",
            "echo built > out/f",
        ]);
    let (id, make) = with_id(make);
    let outcome = run(make);
    passed(&outcome);
    says(&outcome, &["Created cache", "Uploading artifacts"]);
    assert!(company.gitlab.artifacts(id).is_some());
    let again = job("use")
        .cache(Caches::new("key", [".cache"]))
        .script(["cat .cache/f"]);
    let outcome = run(again);
    passed(&outcome);
    says(&outcome, &["Successfully extracted cache", "cached"]);
}

fn services_answer_to_all_their_names(fixture: &Fixture) {
    let company = fixture.company();
    let image = &company.infrastructure.images.application_base;
    let web = "mkdir /w; echo served > /w/i; exec busybox httpd -f -p 8000 -h /w";
    let service = Service::new("alpine:latest")
        .alias("db,web")
        .variable("HEALTHCHECK_TCP_PORT", "8000")
        .entrypoint(["/bin/sh", "-c"])
        .command([web]);
    let job = job("services")
        .service(service)
        .script(["for name in db web alpine; do wget -q -O - http://$name:8000/i; done"]);
    let outcome = company.run(TAG, job).unwrap();
    assert!(!image.is_empty());
    passed(&outcome);
    says(&outcome, &["served\nserved\nserved", "1 service"]);
    assert!(!outcome.text().contains("probably didn't start"));
}

fn a_service_that_does_not_listen_is_a_warning(fixture: &Fixture) {
    let service = || Service::new("alpine:latest").entrypoint(["/bin/sh", "-c"]);
    let dead = service()
        .alias("dead")
        .variable("HEALTHCHECK_TCP_PORT", "8000")
        .command(["echo the reason; exit 3"]);
    let silent = service().alias("silent").command(["exec sleep 1000"]);
    let job = job("dead").service(dead).service(silent).script(["true"]);
    let outcome = fixture.company().run(TAG, job).unwrap();
    passed(&outcome);
    says(
        &outcome,
        &[
            "probably didn't start properly: it ended with exit code 3\nthe reason",
            "probably didn't start properly: it has no exposed ports",
        ],
    );
}

fn an_engine_that_a_job_brings_is_told_what_to_do_instead(fixture: &Fixture) {
    let job = job("dind")
        .service(Service::new("docker:27-dind"))
        .script(["true"]);
    let outcome = fixture.company().run(TAG, job).unwrap();
    passed(&outcome);
    says(&outcome, &["the service docker:27-dind is not started"]);
    assert!(!outcome.text().contains("probably didn't start"));
}

fn jobs_side_by_side_share_no_volume(fixture: &Fixture) {
    let company = fixture.company();
    let first = job("first").script(["echo mine > /cache/first", "echo begun", "sleep 1000"]);
    let first = company.start(TAG, first).unwrap();
    first.wait_for("begun").unwrap();
    let second = job("second").script(["ls /cache"]);
    let outcome = company.run(TAG, second).unwrap();
    first.abort();
    first.wait().unwrap();
    passed(&outcome);
    assert!(!outcome.text().contains("\nfirst\n"), "{}", outcome.text());
}

fn a_large_log_arrives_whole(fixture: &Fixture) {
    let lines = 30_000;
    let script = format!("seq 1 {lines}");
    let outcome = fixture
        .company()
        .run(TAG, job("large").script([script]))
        .unwrap();
    passed(&outcome);
    let text = outcome.text();
    let numbers = text
        .lines()
        .filter_map(|line| line.trim().parse::<u32>().ok());
    assert!(numbers.eq(1..=lines), "lines are missing or out of order");
}
