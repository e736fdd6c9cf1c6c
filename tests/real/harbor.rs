//! Jobs and the company's Harbor: an account for each job that it never sees, and what Harbor refuses.

use testbed::{
    company::{Company, PROJECT},
    harbor::Vulnerabilities,
    runner::{Outcome, Verdict},
};

use crate::fixture::{Fixture, TAG, job, passed, says};

testbed::tests![
    Fixture; [Testbed];
    a_job_pushes_with_an_account_that_it_never_sees,
    a_project_without_a_row_pushes_nowhere,
    an_immutable_tag_says_what_to_do,
    both_builders_take_a_private_base_without_a_login,
    an_image_with_vulnerabilities_is_not_released,
];

/// Builds an image of its own and pushes it, logging in as the company's pipeline does.
fn push(image: &str) -> Vec<String> {
    [
        "docker login --username $CI_REGISTRY_USER --password $CI_REGISTRY_PASSWORD $CI_REGISTRY",
        "mkdir -p context && date +%N >context/file",
        "printf 'FROM alpine:latest\\nCOPY file /file\\n' >context/Dockerfile",
        &format!("docker build -t {image} context"),
        &format!("docker push {image}"),
    ]
    .map(str::to_owned)
    .into()
}

fn run(company: &Company, script: Vec<String>) -> Outcome {
    let job = job("push").image("docker:latest").script(script);
    company.run(TAG, job).unwrap()
}

fn a_job_pushes_with_an_account_that_it_never_sees(fixture: &Fixture) {
    // A rollout's test stops the registry for a while.
    let (company, _alone) = fixture.fleet();
    let mut script = push("$CI_REGISTRY/test/robot:v1");
    script.push("env | sort; cat ~/.docker/config.json; echo image $CI_REGISTRY_IMAGE".to_owned());
    let outcome = run(&company, script);
    passed(&outcome);
    let registry = &company.infrastructure.registry;
    let image = format!("image {}/test/test_server1", registry.host);
    says(
        &outcome,
        &["Login Succeeded", "v1: digest: sha256:", &image],
    );
    let text = outcome.text();
    let maker = &registry.robot_maker;
    for canary in ["robot$", "robot%24", &maker.password] {
        assert!(!text.contains(canary), "the job saw {canary}");
    }
    assert!(registry.digest("test/robot", "v1").is_some());
    // It was a robot of this job's that pushed.
    let calls = registry.harbor.calls();
    let is_its = |line: &&String| line.contains("+dockmaster-") && line.contains("/service/token");
    assert!(calls.iter().any(|line| is_its(&line)), "{calls:?}");
    let made = "POST /api/v2.0/robots";
    assert!(calls.iter().any(|line| line.contains(made)), "{calls:?}");
}

fn a_project_without_a_row_pushes_nowhere(fixture: &Fixture) {
    let (company, _alone) = fixture.fleet();
    let project = fixture.project(PROJECT + 24).unwrap();
    let script = push("$CI_REGISTRY/test/foreign:v1");
    let job = job("push").image("docker:latest").script(script);
    let job = company.gitlab.job(&project, TAG, job).unwrap();
    let outcome = company.runner().unwrap().run(job).unwrap();
    assert_ne!(outcome.verdict, Verdict::Success, "{}", outcome.text());
    says(
        &outcome,
        &[
            "Login Succeeded",
            "jobs of project 66 may not push to",
            "they may push to: nowhere",
        ],
    );
    let registry = &company.infrastructure.registry;
    assert_eq!(registry.digest("test/foreign", "v1"), None);
}

fn an_immutable_tag_says_what_to_do(fixture: &Fixture) {
    let (company, _alone) = fixture.fleet();
    let harbor = &company.infrastructure.registry.harbor;
    harbor.make_immutable("test", "kept-*");
    passed(&run(&company, push("$CI_REGISTRY/test/kept:kept-1")));
    let outcome = run(&company, push("$CI_REGISTRY/test/kept:kept-1"));
    assert_ne!(outcome.verdict, Verdict::Success, "{}", outcome.text());
    says(
        &outcome,
        &[
            "'kept:kept-1' configured as immutable",
            "dockmaster: this tag is there already and Harbor lets nobody move it",
        ],
    );
}

fn an_image_with_vulnerabilities_is_not_released(fixture: &Fixture) {
    let (company, _alone) = fixture.fleet();
    let installation = &company.installation;
    let found = Vulnerabilities {
        severity: "High".into(),
        total: 5,
    };
    let harbor = &company.infrastructure.registry.harbor;
    harbor.set_scanner("test/bad", found);
    let keys =
        |wait, from| installation.registry_keys(&[("scan-wait", wait), ("scan-refuse-from", from)]);
    keys(Some("1m"), Some("high")).unwrap();
    let bad = run(&company, push("$CI_REGISTRY/test/bad:v1"));
    let good = run(&company, push("$CI_REGISTRY/test/good:v1"));
    keys(None, None).unwrap();
    assert_ne!(bad.verdict, Verdict::Success, "{}", bad.text());
    says(
        &bad,
        &[
            "Harbor found 5 High in ",
            "(scan-refuse-from of [registry])",
            "/artifacts-tab/artifacts/sha256:",
        ],
    );
    passed(&good);
    let ledger = installation
        .command(&["ledger", "--json"])
        .output()
        .unwrap();
    let ledger = String::from_utf8(ledger.stdout).unwrap();
    assert!(!ledger.contains("/test/bad\""), "{ledger}");
    let good = ledger.lines().find(|line| line.contains("/test/good\""));
    assert!(
        good.unwrap().contains("\"scan\":\"no vulnerabilities\""),
        "{ledger}"
    );
}

fn both_builders_take_a_private_base_without_a_login(fixture: &Fixture) {
    let (company, _alone) = fixture.fleet();
    passed(&run(&company, push("$CI_REGISTRY/test/base:v1")));
    for builder in ["0", "1"] {
        let script = [
            "mkdir -p context && printf \"FROM $CI_REGISTRY/test/base:v1\\nCOPY file /other\\n\" >context/Dockerfile",
            "date +%N >context/file",
            &format!("DOCKER_BUILDKIT={builder} docker build --pull -t based:1 context"),
        ];
        let outcome = run(&company, script.map(str::to_owned).into());
        passed(&outcome);
    }
}
