//! Rollouts that go wrong: whatever happens, the weights are right in the end and nobody notices.

use testbed::{
    balancer::Fault,
    company::Company,
    gitlab::{PipelineOutcome, Running},
};

use crate::{
    fixture::Fixture,
    pipeline::{bad, weights_are_as_before},
};

testbed::tests![
    Fixture; [Testbed];
    a_release_that_never_gets_healthy_is_undone,
    a_cancelled_rollout_leaves_every_weight_right,
    a_rollout_whose_processes_are_all_killed_is_put_right,
    a_changed_host_key_is_named_before_anything_is_touched,
    a_refused_signature_is_named_before_anything_is_touched,
    a_full_disk_is_named_before_anything_is_touched,
    a_registry_that_is_down_is_named_before_any_weight_moves,
];

/// Brings a good release out, so that there is one to go back to.
fn settle(company: &Company, version: &str) -> String {
    let outcome = company.ship(version).unwrap();
    assert!(outcome.is_passed(), "{}", outcome.story());
    company.pushed_digest(version).unwrap()
}

fn start(company: &Company, version: &str) -> Running {
    company
        .release(&testbed::application::Application::new(version), version)
        .unwrap();
    company
        .pipeline(version)
        .unwrap()
        .start(&company.runner().unwrap())
}

#[track_caller]
fn failed(outcome: &PipelineOutcome, says: &[&str]) {
    assert!(!outcome.is_passed(), "{}", outcome.story());
    let text = outcome.log("deploy").unwrap();
    for part in says {
        assert!(text.contains(part), "`{part}` is missing in:\n{text}");
    }
}

fn a_release_that_never_gets_healthy_is_undone(fixture: &Fixture) {
    let (company, _fleet) = fixture.fleet();
    let before = settle(&company, "v2.0.0");
    let client = company.client();
    company.release(&bad("v2.0.1"), "v2.0.1").unwrap();
    let runner = company.runner().unwrap();
    let outcome = company
        .pipeline("v2.0.1")
        .unwrap()
        .start(&runner)
        .wait()
        .unwrap();
    let totals = client.stop();
    failed(
        &outcome,
        &["app-1", "failed and was undone", "exit status 114"],
    );
    assert_eq!(totals.failed, 0, "{totals:?}");
    assert_eq!(company.running_digest().unwrap(), before);
    weights_are_as_before(&company);
    let text = outcome.log("deploy").unwrap();
    assert!(
        !text.contains("app-2  weight 100 -> 0"),
        "it went on after the first host:\n{text}"
    );
}

fn a_cancelled_rollout_leaves_every_weight_right(fixture: &Fixture) {
    let (company, _fleet) = fixture.fleet();
    settle(&company, "v2.1.0");
    let client = company.client();
    let running = start(&company, "v2.1.1");
    running
        .wait_for("deploy", "app-2  weight 100 -> 0")
        .unwrap();
    running.job("deploy").unwrap().1.cancel();
    let outcome = running.wait().unwrap();
    let totals = client.stop();
    assert!(!outcome.is_passed());
    assert_eq!(
        totals.failed,
        0,
        "{totals:?}\n{}",
        outcome.log("deploy").unwrap()
    );
    weights_are_as_before(&company);
    // The rest of the way: the same command once more.
    settle(&company, "v2.1.2");
    assert_eq!(
        company.running_digest().unwrap(),
        company.pushed_digest("v2.1.2").unwrap()
    );
}

fn a_rollout_whose_processes_are_all_killed_is_put_right(fixture: &Fixture) {
    let (company, _fleet) = fixture.fleet();
    settle(&company, "v2.2.0");
    let client = company.client();
    let running = start(&company, "v2.2.1");
    running
        .wait_for("deploy", "app-2  weight 100 -> 0")
        .unwrap();
    company.installation.kill_everything();
    let outcome = running.wait().unwrap();
    assert!(!outcome.is_passed());
    let recovered = company
        .installation
        .command(&["rollout", "recover", "production"])
        .output();
    let recovered = recovered.unwrap();
    assert!(
        recovered.status.success(),
        "{recovered:?}\n{}",
        outcome.log("deploy").unwrap()
    );
    let totals = client.stop();
    assert_eq!(totals.failed, 0, "{totals:?}");
    weights_are_as_before(&company);
    assert_eq!(company.installation.left_running(), Vec::<String>::new());
}

fn a_changed_host_key_is_named_before_anything_is_touched(fixture: &Fixture) {
    let (company, _fleet) = fixture.fleet();
    let host = company.infrastructure.fleet.host("app-2").unwrap();
    host.change_host_key().unwrap();
    let outcome = company.ship("v2.3.0");
    host.restore_host_key().unwrap();
    failed(&outcome.unwrap(), &["app-2", "host key"]);
    weights_are_as_before(&company);
}

fn a_refused_signature_is_named_before_anything_is_touched(fixture: &Fixture) {
    let (company, _fleet) = fixture.fleet();
    let balancer = &company.infrastructure.balancer;
    balancer.fail_always("DescribeVServerGroupAttribute", Fault::wrong_signature());
    let outcome = company.ship("v2.4.0");
    balancer.heal();
    failed(&outcome.unwrap(), &["SignatureDoesNotMatch"]);
    weights_are_as_before(&company);
}

fn a_full_disk_is_named_before_anything_is_touched(fixture: &Fixture) {
    let (company, _fleet) = fixture.fleet();
    let host = company.infrastructure.fleet.host("app-3").unwrap();
    host.fill_disk().unwrap();
    let outcome = company.ship("v2.5.0");
    host.free_disk().unwrap();
    failed(&outcome.unwrap(), &["app-3 has only", "of disk left"]);
    weights_are_as_before(&company);
}

fn a_registry_that_is_down_is_named_before_any_weight_moves(fixture: &Fixture) {
    let (company, _fleet) = fixture.fleet();
    let running = start(&company, "v2.6.0");
    running.wait_for("build", "digest: sha256:").unwrap();
    company.infrastructure.registry.take_down().unwrap();
    let outcome = running.wait();
    company
        .infrastructure
        .registry
        .bring_up(&company.infrastructure.machine)
        .unwrap();
    failed(&outcome.unwrap(), &["cannot pull"]);
    weights_are_as_before(&company);
}
