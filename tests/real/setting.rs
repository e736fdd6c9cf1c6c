//! What the operator writes of `[runners.docker]` into a lane, as jobs, their services and what they make find it.

use std::{fs, path::Path};

use testbed::{
    command::docker,
    company::PROJECT,
    gitlab::Project,
    installation::Installation,
    runner::{Outcome, Runner, Verdict},
    spec::{Artifacts, JobBuilder, Service},
};

use crate::fixture::{Fixture, TAG, job, left, passed, says};

testbed::tests![
    Fixture; [Testbed];
    what_the_operator_gives_reaches_the_job_its_services_and_what_it_makes,
    lines_of_services_stand_in_the_log_while_they_are_written,
    another_helper_image_is_used_and_one_that_lacks_the_runner_is_told,
];

/// A lane of its own, so that no other test meets these settings.
struct Lane<'a> {
    fixture: &'a Fixture,
    installation: Installation,
    project: Project,
}

impl<'a> Lane<'a> {
    fn new(fixture: &'a Fixture, project: i64, settings: &str) -> Self {
        let installation = Installation::new(Path::new(env!("CARGO_BIN_EXE_dockmaster"))).unwrap();
        installation.gitlab(fixture.company().gitlab.url()).unwrap();
        let lane = Self {
            fixture,
            installation,
            project: fixture.project(project).unwrap(),
        };
        lane.add(settings);
        lane
    }

    /// Adds lines to the lane's table.
    fn add(&self, settings: &str) {
        let head = "[lanes.docker]\nkind = \"docker\"\n";
        self.replace(head, &format!("{head}{settings}\n"));
    }

    fn replace(&self, from: &str, to: &str) {
        let path = self.installation.config();
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.contains(from), "{from}");
        fs::write(&path, text.replace(from, to)).unwrap();
    }

    fn runner(&self) -> Runner {
        self.installation.runner().unwrap()
    }

    fn run(&self, job: JobBuilder) -> Outcome {
        let company = self.fixture.company();
        let queued = company.gitlab.job(&self.project, TAG, job).unwrap();
        self.runner().run(queued).unwrap()
    }
}

/// A volume of the engine's, gone with the test.
struct Named(String);

impl Drop for Named {
    fn drop(&mut self) {
        // A test that failed is told of that, and not of this.
        let _ = docker(&["volume", "rm", "--force", &self.0]);
    }
}

const SETTINGS: &str = r#"
hostname = "ci.corp.test"
extra-hosts = ["db.corp.test:10.1.2.3"]
dns-search = ["corp.test"]
network-mtu = 1400
cap-add = ["NET_ADMIN"]
cap-drop = ["NET_RAW"]
security-opt = ["no-new-privileges"]
devices = ["/dev/zero:/dev/nought:r"]
tmpfs = { "/scratch" = "size=1m" }
sysctls = { "net.core.somaxconn" = 1234, "kernel.msgmax" = "4321" }
group-add = [4242]
init = true
container-labels = { "corp.team" = "ci" }
log-options = { labels = "corp.team" }
runtime = "runc"
services-limit = 2

[[lanes.docker.services-of-every-job]]
name = "alpine:latest"
alias = "everywhere"
entrypoint = ["/bin/sh", "-c"]
command = ["mkdir /w; { echo $GREETING; grep CapBnd /proc/self/status; grep corp.test /etc/hosts; cat /host/of-lane/mark; } > /w/page; exec busybox httpd -f -p 8000 -h /w"]
environment = ["GREETING=hello $CI_COMMIT_TAG", "HEALTHCHECK_TCP_PORT=8000"]
"#;

/// `NET_RAW` is the capability number 13, `NET_ADMIN` number 12.
const SCRIPT: &[&str] = &[
    "cat /host/of-lane/mark",
    "touch /host/of-lane/new || echo it is read-only",
    "cat /keep/seen || echo kept nothing yet",
    "echo kept of the slot > /keep/seen",
    "echo of the job > /named/seen",
    "echo here is $(hostname)",
    "grep db.corp.test /etc/hosts",
    "grep '^search' /etc/resolv.conf",
    "echo mtu $(cat /sys/class/net/eth0/mtu)",
    "raw() { echo $(( (0x$1 >> 13) & 1 )); }",
    "echo raw $(raw $(grep CapBnd /proc/self/status | cut -f2)) admin $(( 0x$(grep CapBnd /proc/self/status | cut -f2) >> 12 & 1 ))",
    "grep NoNewPrivs /proc/self/status",
    "head -c 1 /dev/nought | wc -c",
    "df /scratch | grep tmpfs",
    "echo settings $(cat /proc/sys/net/core/somaxconn) $(cat /proc/sys/kernel/msgmax)",
    "echo groups $(id -G)",
    "echo first $(cat /proc/1/comm)",
    "wget -q -O - http://everywhere:8000/page",
    "docker run --rm -v /keep:/keep alpine:latest sh -c 'echo made: $(cat /keep/seen); grep db.corp.test /etc/hosts; grep -E \"CapBnd|NoNewPrivs\" /proc/self/status; ls /dev/nought || echo no device'",
    "docker run --rm --cap-add NET_RAW alpine:latest sh -c 'echo asked $(grep CapBnd /proc/self/status)'",
    "docker network create n > /dev/null && docker run --rm --network n alpine:latest sh -c 'echo made mtu $(cat /sys/class/net/eth0/mtu)'",
];

const EXPECTED: &[&str] = &[
    "\nof the host\n",
    "it is read-only",
    "kept nothing yet",
    "here is ci.corp.test",
    "10.1.2.3\tdb.corp.test",
    "search corp.test",
    "mtu 1400",
    "raw 0 admin 1",
    "NoNewPrivs:\t1",
    "\n1\n",
    "/scratch",
    "settings 1234 4321",
    "4242",
    "first docker-init",
    "hello v0.0.1",
    // The engine's usual ones but for NET_RAW, in the service and in what the job made.
    "CapBnd:\t00000000a80405fb\n10.1.2.3\tdb.corp.test\nof the host",
    "made: kept of the slot\n10.1.2.3\tdb.corp.test\nCapBnd:\t00000000a80405fb\nNoNewPrivs:\t1\n",
    "no device",
    "asked CapBnd: 00000000a80405fb",
    "made mtu 1400",
    "the capability NET_RAW is left out",
];

fn what_the_operator_gives_reaches_the_job_its_services_and_what_it_makes(fixture: &Fixture) {
    let host = tempfile::Builder::new()
        .prefix("dockmaster-volume")
        .tempdir()
        .unwrap();
    let shown = host.path().display();
    fs::write(host.path().join("mark"), "of the host\n").unwrap();
    let named = Named(format!("testbed-named-{}", std::process::id()));
    let volumes = format!(
        "refs = \"protected\"\nvolumes = [\"{shown}:/host/$PLACE:ro\", \"{}:/named\", \"/keep\", \"/cache\"]",
        named.0
    );
    let settings = format!("{volumes}{SETTINGS}");
    let lane = Lane::new(fixture, PROJECT + 61, "");
    install(&lane, &settings);
    let id = testbed::spec::next_id();
    let outcome = lane.run(asks().id(id).script(SCRIPT.iter().copied()));
    passed(&outcome);
    says(&outcome, EXPECTED);
    assert!(left(id).is_empty());
    let seen = docker(&[
        "run",
        "--rm",
        "-v",
        &format!("{}:/named", named.0),
        "alpine:latest",
        "cat",
        "/named/seen",
    ])
    .unwrap();
    assert_eq!(seen.trim(), "of the job");
    the_next_job_finds_what_its_slot_kept_and_no_leave(&lane);
}

fn asks() -> JobBuilder {
    job("settings")
        .image("docker:latest")
        .variable("PLACE", "of-lane")
}

/// What an author writes of entrypoints counts for nothing here, and few users do.
fn the_next_job_finds_what_its_slot_kept_and_no_leave(lane: &Lane<'_>) {
    lane.add("disable-entrypoint-overwrite = true\nallowed-users = [\"65534\"]");
    let told = asks()
        .entrypoint(["/bin/sh", "-c", "echo not to be seen"])
        .user("65534")
        .service(Service::new("alpine:latest").alias("own").entrypoint([
            "/bin/sh",
            "-c",
            "sleep 1000",
        ]))
        .script(["cat /keep/seen", "id -u"]);
    let outcome = lane.run(told);
    passed(&outcome);
    says(
        &outcome,
        &[
            "\nkept of the slot\n",
            "\n65534\n",
            "2 services",
            "alpine:latest: `entrypoint:` counts for nothing",
        ],
    );
    assert!(!outcome.text().contains("not to be seen"));
    for (refused, words) in [
        (asks().user("root"), "may not run as `root`"),
        (
            asks()
                .service(Service::new("alpine:latest"))
                .service(Service::new("docker:latest")),
            "may have 2 services",
        ),
        (
            asks().variable("PLACE", "../../builds"),
            "at a place where it cannot be",
        ),
    ] {
        let outcome = lane.run(refused.script(["echo never"]));
        assert!(
            matches!(outcome.verdict, Verdict::Failed { .. }),
            "{}",
            outcome.text()
        );
        says(&outcome, &[words]);
    }
}

/// Writes a line each fifth of a second, from 1 on, and a secret.
const TICKER: &str =
    "echo secret $WORD; n=0; while :; do n=$((n + 1)); echo tick $n; sleep 0.2; done";

fn ticker() -> Service {
    Service::new("alpine:latest")
        .alias("ticker")
        .entrypoint(["/bin/sh", "-c", TICKER])
}

/// The numbers of the ticks in a log, in its order.
fn ticks(text: &str) -> Vec<u32> {
    let lines = text
        .lines()
        .filter_map(|line| line.split_once("[service:alpine-ticker] "));
    let ticks = lines.filter_map(|(before, line)| {
        assert_eq!(before, "", "a line of a service stands in another one");
        line.split_once("Z tick ")?.1.parse().ok()
    });
    ticks.collect()
}

fn lines_of_services_stand_in_the_log_while_they_are_written(fixture: &Fixture) {
    let lane = Lane::new(fixture, PROJECT + 62, "");
    // All that is shown comes with a phase then.
    lane.replace("wait-for-services = \"30s\"", "wait-for-services = \"0s\"");
    let asks = |name: &str| {
        job(name)
            .service(ticker().variable("WORD", "$PASSWORD"))
            .masked("PASSWORD", "hunter2hunter2")
            .variable("CI_DEBUG_SERVICES", "true")
    };
    let script = [
        "echo begun",
        "printf half; sleep 2; echo ' and whole'",
        "sleep 1",
        "echo ended",
    ];
    let outcome = lane.run(asks("ticks").script(script).after_script(["sleep 1"]));
    passed(&outcome);
    let text = outcome.text();
    says(&outcome, &["half and whole\n", "Z secret [MASKED]"]);
    assert!(!text.contains("hunter2"), "{text}");
    let all = ticks(&text);
    let expected: Vec<u32> = (1..=u32::try_from(all.len()).unwrap()).collect();
    assert!(all.len() > 10 && all == expected, "{all:?} in\n{text}");
    let (_, during) = text.split_once("\nhalf and whole\n").unwrap();
    let (during, after) = during.split_once("\nended\n").unwrap();
    assert!(
        !ticks(during).is_empty() && !ticks(after).is_empty(),
        "{text}"
    );
    // Nothing of it lives on: after a cancel, after a driver that was killed.
    let company = fixture.company();
    for is_killed in [false, true] {
        let id = testbed::spec::next_id();
        let sleeps = asks("ends").id(id).script(["echo begun", "sleep 1000"]);
        let queued = company.gitlab.job(&lane.project, TAG, sleeps).unwrap();
        let run = lane.runner().start(queued).unwrap();
        run.wait_for("tick 3").unwrap();
        run.wait_for("begun").unwrap();
        if is_killed {
            assert!(run.handle().kill_driver());
        } else {
            run.cancel();
        }
        run.wait().unwrap();
        assert!(left(id).is_empty());
        assert_eq!(lane.installation.left_running(), [""; 0]);
        let notes = fs::read_dir(lane.installation.run_directory().join("notes")).unwrap();
        assert_eq!(notes.count(), 0);
    }
    // The operator's word counts, and what is neither yes nor no is told.
    lane.add("debug-services = false");
    let quiet = lane.run(asks("quiet").script(["sleep 1"]));
    passed(&quiet);
    says(&quiet, &["debug-services = false"]);
    assert_eq!(ticks(&quiet.text()), [0; 0]);
    let odd = lane.run(
        job("odd")
            .service(ticker())
            .variable("CI_DEBUG_SERVICES", "yes")
            .script(["true"]),
    );
    says(&odd, &["CI_DEBUG_SERVICES is `yes`"]);
}

fn another_helper_image_is_used_and_one_that_lacks_the_runner_is_told(fixture: &Fixture) {
    let lane = Lane::new(fixture, PROJECT + 63, "helper-image = \"alpine:latest\"");
    // Without a checkout, only the upload needs what this one lacks.
    let uploads = job("uploads")
        .variable("GIT_STRATEGY", "none")
        .artifacts(Artifacts::paths(["made"]))
        .script(["echo of the job > made"]);
    let outcome = lane.run(uploads);
    assert_ne!(outcome.verdict, Verdict::Success, "{}", outcome.text());
    says(
        &outcome,
        &["the helper image has no gitlab-runner", "helper-image"],
    );
}

/// Puts keys and tables where they belong in the file: keys behind `kind`, tables at its end.
fn install(lane: &Lane<'_>, settings: &str) {
    let (keys, tables) = settings.split_once("\n[[").unwrap();
    lane.add(keys);
    let path = lane.installation.config();
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, format!("{text}\n[[{tables}")).unwrap();
}
