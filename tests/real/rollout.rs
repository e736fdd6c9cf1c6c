//! Rollouts that go wrong: whatever happens, the weights are right in the end and nobody notices.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use testbed::{
    application::Application,
    balancer::{Call, Change, Fault, GROUP, SERVER_GROUP},
    company::{Company, PIPELINE},
    gitlab::{PipelineOutcome, Running},
    runner::{Outcome, Verdict},
};

use crate::{
    fixture::{Fixture, says},
    pipeline::{deploy_job, weights_are_as_before},
};

testbed::tests![
    Fixture; [Testbed];
    a_release_that_never_gets_healthy_is_undone,
    a_release_that_the_balancer_does_not_call_healthy_is_undone,
    a_host_goes_on_serving_from_its_second_port_while_it_changes,
    a_killed_start_first_rollout_leaves_no_second_instance_and_the_whole_weight,
    a_server_group_of_an_application_load_balancer_is_rolled_out_in_either_order,
    a_cancelled_rollout_leaves_every_weight_right,
    a_rollout_whose_processes_are_all_killed_is_put_right,
    a_release_is_gone_back_from_without_a_registry_and_does_not_come_back_unasked,
    a_compose_file_comes_with_its_tag_and_goes_back_with_it,
    a_changed_host_key_is_named_before_anything_is_touched,
    a_refused_signature_is_named_before_anything_is_touched,
    a_full_disk_is_named_before_anything_is_touched,
    a_registry_that_is_down_is_named_before_any_weight_moves,
];

/// The company's pipeline without some of its jobs.
fn pipeline_without(jobs: &[&str]) -> String {
    let is_kept = |part: &&str| {
        let mut lines = part.lines();
        !lines.any(|line| {
            line.strip_suffix(':')
                .is_some_and(|name| jobs.contains(&name))
        })
    };
    let parts: Vec<&str> = PIPELINE.split("\n\n").filter(is_kept).collect();
    parts.join("\n\n")
}

/// Builds a release and starts to deploy it.
fn start(company: &Company, application: &Application, version: &str) -> Running {
    let jobs = pipeline_without(&["lint", "test"]);
    company.release_with(&jobs, application, version).unwrap();
    let pipeline = company.pipeline(version).unwrap();
    pipeline.start(&company.runner().unwrap())
}

/// Brings a good release out.
fn ship(company: &Company, version: &str) -> String {
    let outcome = start(company, &Application::new(version), version).wait();
    let outcome = outcome.unwrap();
    assert!(outcome.is_passed(), "{}", outcome.story());
    company.pushed_digest(version).unwrap()
}

/// The release that every host runs. Where a test before this one left the hosts apart, `version` is brought out.
fn settle(company: &Company, version: &str) -> String {
    let running = company.running_digest();
    running.unwrap_or_else(|_| ship(company, version))
}

/// Deploys a release that is pushed just before, and that no host gets: an older one than the newest would
/// be refused for that.
fn refused(company: &Company, version: &str, spoil: impl FnOnce(), mend: impl FnOnce()) -> Outcome {
    let jobs = pipeline_without(&["lint", "test", "deploy"]);
    let application = Application::new(version);
    company.release_with(&jobs, &application, version).unwrap();
    let pipeline = company.pipeline(version).unwrap();
    let outcome = pipeline.start(&company.runner().unwrap()).wait().unwrap();
    assert!(outcome.is_passed(), "{}", outcome.story());
    spoil();
    let outcome = company.run(version, deploy_job());
    mend();
    let outcome = outcome.unwrap();
    assert_ne!(outcome.verdict, Verdict::Success, "{}", outcome.text());
    weights_are_as_before(company);
    outcome
}

#[track_caller]
fn failed(outcome: &PipelineOutcome, says: &[&str]) {
    assert!(!outcome.is_passed(), "{}", outcome.story());
    let text = outcome.log("deploy").unwrap();
    for part in says {
        assert!(text.contains(part), "`{part}` is missing in:\n{text}");
    }
}

/// The company's deploy job that keeps its report.
const KEEPING: &str = "    - dockmaster deploy
  artifacts: {when: always, paths: [rollout-report.html, rollout-report.json]}
";

fn a_release_that_never_gets_healthy_is_undone(fixture: &Fixture) {
    let (company, _fleet) = fixture.fleet();
    let before = settle(&company, "v2.0.0");
    let client = company.client();
    let jobs = pipeline_without(&["lint", "test"]).replace("    - dockmaster deploy\n", KEEPING);
    let application = Application::unhealthy("v2.0.1");
    company.release_with(&jobs, &application, "v2.0.1").unwrap();
    let pipeline = company.pipeline("v2.0.1").unwrap();
    let outcome = pipeline.start(&company.runner().unwrap()).wait().unwrap();
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
    assert!(
        text.contains("rollout-report.html and rollout-report.json are in"),
        "{text}"
    );
    let archive = company.gitlab.artifacts(outcome.job("deploy").unwrap().id);
    let archive = archive.unwrap();
    for name in ["rollout-report.html", "rollout-report.json"] {
        let is_there = archive
            .windows(name.len())
            .any(|part| part == name.as_bytes());
        assert!(is_there, "{name} is not among the artifacts:\n{text}");
    }
    let page = company.installation.root().join("page.html");
    let words = [
        "rollout",
        "report",
        "production",
        "-o",
        page.to_str().unwrap(),
    ];
    typed(&company, 0, &words);
    let html = std::fs::read_to_string(&page).unwrap();
    for part in [
        "failed and undone",
        "v2.0.1",
        "health check ended with 1",
        "class=\"undo\"",
    ] {
        assert!(html.contains(part), "`{part}` is missing in:\n{html}");
    }
    let json = std::fs::read_to_string(page.with_extension("json")).unwrap();
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(
        (&json["format"], &json["outcome"]),
        (&1.into(), &"undone".into())
    );
    let hosts = json["hosts"].as_array().unwrap();
    assert!(hosts.iter().all(|it| it["connections-cut"] == 0), "{json}");
}

fn a_release_that_the_balancer_does_not_call_healthy_is_undone(fixture: &Fixture) {
    let (company, _fleet) = fixture.fleet();
    let before = settle(&company, "v2.9.0");
    let balancer = &company.infrastructure.balancer;
    balancer.forget_calls();
    let client = company.client();
    let outcome = start(&company, &Application::private("v2.9.1"), "v2.9.1").wait();
    let outcome = outcome.unwrap();
    let totals = client.stop();
    failed(
        &outcome,
        &[
            "app-1 does not become healthy: it has its weight, and",
            "the balancer's own health check does not call it healthy",
            "exit status 114",
        ],
    );
    assert_eq!(totals.failed, 0, "{totals:?}");
    assert_eq!(company.running_digest().unwrap(), before);
    weights_are_as_before(&company);
    let text = outcome.log("deploy").unwrap();
    assert!(
        !text.contains("app-2  weight 100 -> 0"),
        "it went on after the first host:\n{text}"
    );
    let calls = balancer.calls();
    let is_asked = |call: &&Call| call.action == "DescribeHealthStatus";
    assert!(calls.iter().any(|call| is_asked(&call)), "{calls:?}");
}

/// The least that the weights of the group came to together, felt by the balancer.
fn least_sum(changes: &[Change]) -> u32 {
    let hosts = ["app-1", "app-2", "app-3"];
    let mut weights: BTreeMap<_, _> = hosts.map(|host| (host.to_owned(), 100)).into();
    let mut least = 300;
    for change in changes {
        weights.insert(change.backend.clone(), change.weight);
        least = least.min(weights.values().sum());
    }
    least
}

/// What is there of second instances: containers, files, members.
fn seconds(company: &Company) -> Vec<String> {
    let infrastructure = &company.infrastructure;
    let project = "test_server1-dockmaster-b";
    let look = format!(
        "docker ps -aq --filter label=com.docker.compose.project={project}; ls -d ~/.cache/dockmaster/{project} 2>/dev/null || true"
    );
    let hosts = infrastructure.fleet.hosts.iter();
    let left = hosts.map(|host| infrastructure.fleet.ssh(host, &look).unwrap());
    let members = infrastructure.balancer.weights();
    let members = members.into_keys().filter(|name| name.contains(':'));
    left.filter(|text| !text.trim().is_empty())
        .chain(members)
        .collect()
}

fn a_host_goes_on_serving_from_its_second_port_while_it_changes(fixture: &Fixture) {
    let (company, _fleet) = fixture.fleet();
    settle(&company, "v2.8.0");
    company.start_first(true).unwrap();
    let balancer = &company.infrastructure.balancer;
    let since = balancer.timeline().len();
    let client = company.client();
    let outcome = start(&company, &Application::new("v2.8.1"), "v2.8.1").wait();
    let totals = client.stop();
    company.start_first(false).unwrap();
    let outcome = outcome.unwrap();
    let log = outcome.log("deploy").unwrap();
    assert!(outcome.is_passed(), "{}\n{log}", outcome.story());
    assert_eq!(totals.failed, 0, "{totals:?}\n{log}");
    let changes = &balancer.timeline()[since..];
    assert!(
        changes
            .iter()
            .any(|it| it.backend == "app-2:3132" && it.weight == 100)
    );
    assert_eq!(least_sum(changes), 300, "{changes:#?}\n{log}");
    assert_eq!(seconds(&company), [""; 0], "{log}");
    let pushed = company.pushed_digest("v2.8.1").unwrap();
    assert_eq!(company.running_digest().unwrap(), pushed);
    weights_are_as_before(&company);
}

fn a_killed_start_first_rollout_leaves_no_second_instance_and_the_whole_weight(fixture: &Fixture) {
    let (company, _fleet) = fixture.fleet();
    let before = settle(&company, "v2.10.0");
    company.start_first(true).unwrap();
    let balancer = &company.infrastructure.balancer;
    let since = balancer.timeline().len();
    let client = company.client();
    let running = start(&company, &Application::new("v2.10.1"), "v2.10.1");
    running
        .wait_for("deploy", "app-1  weight 100 -> 0")
        .unwrap();
    company.installation.kill_everything();
    let outcome = running.wait().unwrap();
    let recover = company
        .installation
        .command(&["rollout", "recover"])
        .output();
    let totals = client.stop();
    company.start_first(false).unwrap();
    let log = outcome.log("deploy").unwrap();
    assert!(!outcome.is_passed());
    let recovered = recover.unwrap();
    assert!(recovered.status.success(), "{recovered:?}\n{log}");
    assert_eq!(totals.failed, 0, "{totals:?}\n{log}");
    let changes = &balancer.timeline()[since..];
    assert_eq!(least_sum(changes), 300, "{changes:#?}\n{log}");
    assert_eq!(seconds(&company), [""; 0], "{recovered:?}\n{log}");
    assert_eq!(company.running_digest().unwrap(), before);
    weights_are_as_before(&company);
}

fn a_server_group_of_an_application_load_balancer_is_rolled_out_in_either_order(fixture: &Fixture) {
    let (company, _fleet) = fixture.fleet();
    settle(&company, "v2.11.0");
    let balancer = &company.infrastructure.balancer;
    company.balance("alb", SERVER_GROUP).unwrap();
    // Long enough for a write to be seen under way.
    balancer.set_window(Duration::from_millis(700));
    for (version, is_start_first) in [("v2.11.1", false), ("v2.11.2", true)] {
        company.start_first(is_start_first).unwrap();
        balancer.forget_calls();
        let since = balancer.timeline().len();
        let client = company.client();
        let outcome = start(&company, &Application::new(version), version).wait();
        let totals = client.stop();
        let outcome = outcome.unwrap();
        let log = outcome.log("deploy").unwrap();
        assert!(outcome.is_passed(), "{}\n{log}", outcome.story());
        assert_eq!(totals.failed, 0, "{totals:?}\n{log}");
        let least = if is_start_first { 300 } else { 200 };
        let changes = &balancer.timeline()[since..];
        assert_eq!(least_sum(changes), least, "{changes:#?}\n{log}");
        let pushed = company.pushed_digest(version).unwrap();
        assert_eq!(company.running_digest().unwrap(), pushed);
        let asked: BTreeSet<_> = balancer.calls().into_iter().map(|it| it.action).collect();
        let moved = asked.contains("AddServersToServerGroup")
            && asked.contains("RemoveServersFromServerGroup");
        assert_eq!(moved, is_start_first, "{asked:?}");
        assert!(asked.contains("GetListenerHealthStatus"), "{asked:?}");
        let foreign = asked.iter().find(|it| it.contains("VServerGroup"));
        assert_eq!(foreign, None, "{log}");
        assert_eq!(seconds(&company), [""; 0], "{log}");
        weights_are_as_before(&company);
    }
    company.start_first(false).unwrap();
    company.balance("clb-vserver-group", GROUP).unwrap();
    balancer.set_window(Duration::from_millis(200));
}

fn a_cancelled_rollout_leaves_every_weight_right(fixture: &Fixture) {
    let (company, _fleet) = fixture.fleet();
    settle(&company, "v2.1.0");
    let client = company.client();
    let running = start(&company, &Application::new("v2.1.1"), "v2.1.1");
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
    ship(&company, "v2.1.2");
    assert_eq!(
        company.running_digest().unwrap(),
        company.pushed_digest("v2.1.2").unwrap()
    );
}

fn a_rollout_whose_processes_are_all_killed_is_put_right(fixture: &Fixture) {
    let (company, _fleet) = fixture.fleet();
    settle(&company, "v2.2.0");
    let client = company.client();
    let running = start(&company, &Application::new("v2.2.1"), "v2.2.1");
    running
        .wait_for("deploy", "app-2  weight 100 -> 0")
        .unwrap();
    company.installation.kill_everything();
    let outcome = running.wait().unwrap();
    assert!(!outcome.is_passed());
    let recovered = company
        .installation
        .command(&["rollout", "recover"])
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

/// What an admin's call printed; it must end with `code`.
#[track_caller]
fn typed(company: &Company, code: i32, words: &[&str]) -> String {
    let output = company.installation.command(words).output().unwrap();
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8_lossy(&text).into_owned();
    assert_eq!(output.status.code(), Some(code), "{text}");
    text
}

fn a_release_is_gone_back_from_without_a_registry_and_does_not_come_back_unasked(
    fixture: &Fixture,
) {
    let (company, _fleet) = fixture.fleet();
    let good = ship(&company, "v2.7.0");
    ship(&company, "v2.7.1");
    let infrastructure = &company.infrastructure;
    infrastructure.registry.take_down().unwrap();
    let client = company.client();
    let told = typed(&company, 0, &["rollout", "rollback", "production"]);
    let totals = client.stop();
    let registry = &infrastructure.registry;
    registry.bring_up(&infrastructure.machine).unwrap();
    assert_eq!(totals.failed, 0, "{totals:?}\n{told}");
    assert!(
        told.contains("production: back to v2.7.0 on 3 hosts"),
        "{told}"
    );
    assert_eq!(company.running_digest().unwrap(), good);
    weights_are_as_before(&company);
    let past = typed(&company, 0, &["rollout", "history", "production"]);
    let line = past.lines().next().unwrap();
    assert!(
        line.contains("back to v2.7.0") && line.contains("done"),
        "{past}"
    );
    let json = typed(&company, 0, &["rollout", "history", "production", "--json"]);
    let newest: serde_json::Value = serde_json::from_str(json.lines().next().unwrap()).unwrap();
    assert_eq!(newest["digest"], good);
    assert_eq!(newest["is-rollback"], true);
    let again = typed(
        &company,
        0,
        &["rollout", "rollback", "production", "v2.7.0"],
    );
    assert!(again.contains("nothing to do"), "{again}");
    let refused = company.run("v2.7.1", deploy_job()).unwrap();
    says(
        &refused,
        &["v2.7.1 is not newer than v2.7.1", "exit status 110"],
    );
    assert_eq!(company.running_digest().unwrap(), good);
    let installation = &company.installation;
    installation.language(Some("zh-CN")).unwrap();
    let status = typed(&company, 0, &["rollout", "status", "production"]);
    installation.language(None).unwrap();
    assert!(status.contains("权重 100，v2.7.0，健康"), "{status}");
    let newer = ship(&company, "v2.7.2");
    assert_eq!(company.running_digest().unwrap(), newer);
    weights_are_as_before(&company);
}

/// Commits what the next release's compose file says.
fn write_compose(company: &Company, more: &str) {
    let image = company
        .infrastructure
        .registry
        .image(testbed::infrastructure::REPOSITORY);
    let text = format!(
        "version: \"3.7\"\nservices:\n  app:\n    image: {image}:${{TAG}}\n    restart: always\n{more}"
    );
    let commit = company
        .project
        .commit("Change the compose file", |directory| {
            std::fs::create_dir_all(directory.join("deploy"))?;
            Ok(std::fs::write(
                directory.join("deploy/docker-compose.yml"),
                text,
            )?)
        });
    commit.unwrap();
}

/// What runs on each host, and what its compose file says.
fn colours(company: &Company) -> Vec<(bool, bool)> {
    let hosts = company.infrastructure.fleet.hosts.iter();
    let has_colour =
        |command: &str, host: &testbed::fleet::Host| host.exec(command).unwrap().contains("COLOUR");
    hosts
        .map(|host| {
            let inspect = "docker inspect --format '{{.Config.Env}}' $(docker ps -q --filter label=com.docker.compose.service=app)";
            let file = "cat /srv/test_server1/docker-compose.yml";
            (has_colour(inspect, host), has_colour(file, host))
        })
        .collect()
}

const PORTS: &str = "    ports: [\"3131:3131\"]\n";

fn a_compose_file_comes_with_its_tag_and_goes_back_with_it(fixture: &Fixture) {
    let (company, _fleet) = fixture.fleet();
    let file = "deploy/docker-compose.yml";
    company.compose_file(Some(file)).unwrap();
    let client = company.client();
    write_compose(&company, PORTS);
    let good = ship(&company, "v2.12.0");
    write_compose(
        &company,
        &format!("{PORTS}    environment: {{COLOUR: \"bright-green\"}}\n"),
    );
    let outcome = start(&company, &Application::new("v2.12.1"), "v2.12.1").wait();
    let outcome = outcome.unwrap();
    assert!(outcome.is_passed(), "{}", outcome.story());
    let log = outcome.log("deploy").unwrap();
    assert!(log.contains("+ app: environment variable COLOUR"), "{log}");
    assert!(!log.contains("bright-green"), "{log}");
    assert_eq!(colours(&company), [(true, true); 3]);
    // What Compose does not take moves no weight.
    write_compose(&company, "    volumes: {}\n    nonsense: 1\n");
    let outcome = start(&company, &Application::new("v2.12.2"), "v2.12.2").wait();
    let text = outcome.unwrap().log("deploy").unwrap();
    assert!(
        text.contains("does not take deploy/docker-compose.yml of the release"),
        "{text}"
    );
    assert_eq!(colours(&company), [(true, true); 3]);
    let told = typed(&company, 0, &["rollout", "rollback", "production"]);
    assert_eq!(company.running_digest().unwrap(), good, "{told}");
    assert_eq!(colours(&company), [(false, false); 3], "{told}");
    let totals = client.stop();
    assert_eq!(totals.failed, 0, "{totals:?}");
    weights_are_as_before(&company);
    company.compose_file(None).unwrap();
}

fn a_changed_host_key_is_named_before_anything_is_touched(fixture: &Fixture) {
    let (company, _fleet) = fixture.fleet();
    let host = company.infrastructure.fleet.host("app-2").unwrap();
    let outcome = refused(
        &company,
        "v2.3.0",
        || host.change_host_key().unwrap(),
        || host.restore_host_key().unwrap(),
    );
    says(&outcome, &["app-2", "host key"]);
}

fn a_refused_signature_is_named_before_anything_is_touched(fixture: &Fixture) {
    let (company, _fleet) = fixture.fleet();
    let balancer = &company.infrastructure.balancer;
    let wrong = Fault::wrong_signature();
    let outcome = refused(
        &company,
        "v2.4.0",
        || balancer.fail_always("DescribeVServerGroupAttribute", wrong),
        || balancer.heal(),
    );
    says(&outcome, &["SignatureDoesNotMatch"]);
}

fn a_full_disk_is_named_before_anything_is_touched(fixture: &Fixture) {
    let (company, _fleet) = fixture.fleet();
    let host = company.infrastructure.fleet.host("app-3").unwrap();
    let outcome = refused(
        &company,
        "v2.5.0",
        || host.fill_disk().unwrap(),
        || host.free_disk().unwrap(),
    );
    says(&outcome, &["app-3 has only", "of disk left"]);
}

fn a_registry_that_is_down_is_named_before_any_weight_moves(fixture: &Fixture) {
    let (company, _fleet) = fixture.fleet();
    let infrastructure = &company.infrastructure;
    let registry = &infrastructure.registry;
    let outcome = refused(
        &company,
        "v2.6.0",
        || registry.take_down().unwrap(),
        || registry.bring_up(&infrastructure.machine).unwrap(),
    );
    says(&outcome, &["cannot pull"]);
}
