//! The firewall that a lane's jobs make stand, on a real engine. All installations of a machine share one kernel with one
//! set of rules, so this one has a network, an engine and rules of its own.

use std::{net::IpAddr, path::Path};

use testbed::{
    command::{docker, run},
    serve::everybody,
    spec::{self, JobBuilder, Variable},
    workshop::Workshop,
};

use crate::apart;
use crate::fixture::{Fixture, job, passed};

testbed::tests![
    Fixture; [Testbed];
    a_job_of_a_lane_with_a_firewall_reaches_its_registry_and_not_its_host,
];

/// Where a cloud's metadata is; the network inside is given it.
const METADATA: &str = "169.254.169.254";
const MISSING: &str = "The firewall around jobs was missing on this host; it stands now.";

fn a_job_of_a_lane_with_a_firewall_reaches_its_registry_and_not_its_host(_: &Fixture) {
    apart::run("firewall");
}

/// What jobs look for, and where.
struct Places {
    /// Of the host, and not among the lane's ports.
    port: u16,
    host: IpAddr,
    registry: String,
    /// A container of another job's.
    stranger: String,
}

/// The test itself.
pub(crate) fn inside() {
    let workshop = Workshop::open(Path::new(env!("CARGO_BIN_EXE_dockmaster"))).unwrap();
    run(
        "ip",
        &["addr", "add", &format!("{METADATA}/32"), "dev", "lo"],
    )
    .unwrap();
    everybody(&format!("{METADATA}:80")).unwrap();
    let other = spec::next_id();
    let served = job("other").id(other).script([
        "mkdir /w",
        "echo here > /w/index.html",
        "httpd -p 8080 -h /w",
        "echo it serves",
        "sleep 1000",
    ]);
    let served = workshop.start(served).unwrap();
    served.wait_for("it serves").unwrap();
    let places = Places {
        port: everybody("0.0.0.0:0").unwrap(),
        host: workshop.network.gateway,
        registry: workshop.registry.host.replace(':', " "),
        stranger: address(other),
    };
    // Without a firewall all of the host is there, so that what follows proves something.
    sees(&workshop, &places, "yes");
    let url = workshop.gitlab.url();
    let gitlab = url.rsplit(':').next().unwrap().parse().unwrap();
    workshop.installation.firewall(&[gitlab]).unwrap();
    let log = sees(&workshop, &places, "no");
    assert!(log.contains(MISSING), "{log}");
    let log = sees(&workshop, &places, "no");
    assert!(!log.contains(MISSING), "{log}");
    // Rules do not survive a boot, nor whoever clears them: the next job does not run without.
    run("iptables", &["-w", "-F", "DOCKMASTER-HOST"]).unwrap();
    run("iptables", &["-w", "-F", "DOCKMASTER"]).unwrap();
    let log = sees(&workshop, &places, "no");
    assert!(log.contains(MISSING), "{log}");
    served.abort();
    served.wait().unwrap();
}

/// A job looks around itself, from a container that it starts, and from the steps of both builders. It finds its registry
/// and no other job; `host` says whether it finds metadata and a port of the host.
#[track_caller]
fn sees(workshop: &Workshop, places: &Places, host: &str) -> String {
    let outcome = workshop.run(looking(places)).unwrap();
    passed(&outcome);
    let text = outcome.text();
    for from in ["job", "container", "classic", "buildkit"] {
        for (what, expected) in [
            ("metadata", host),
            ("host", host),
            ("stranger", "no"),
            ("registry", "yes"),
        ] {
            let line = format!("{from} sees {what}: {expected}");
            assert!(text.contains(&line), "`{line}` is missing in:\n{text}");
        }
    }
    text
}

fn looking(places: &Places) -> JobBuilder {
    let Places {
        port,
        host,
        registry,
        stranger,
    } = places;
    // One line each, as a step of a Dockerfile is.
    let look = format!(
        "get() {{ timeout 3 wget -qO- http://$2/ 2>/dev/null | grep -q here && a=yes || a=no; echo $W sees $1: $a; }}; \
         get metadata {METADATA}; get host {host}:{port}; get stranger {stranger}:8080; \
         timeout 3 nc -w 2 {registry} </dev/null && a=yes || a=no; echo $W sees registry: $a"
    );
    // Another text for each build: none is cached.
    let file = |by: &str| {
        let nonce = spec::next_id();
        format!("FROM alpine:latest\nRUN W={by}; : {nonce}; {look}\n")
    };
    job("look")
        .image("docker:latest")
        .with(Variable::new("LOOK", look.clone()).raw())
        .with(Variable::new("FILE", file("classic")).raw())
        .with(Variable::new("KIT", file("buildkit")).raw())
        .script([
            "W=job; eval \"$LOOK\"",
            "docker run --rm -e W=container alpine:latest sh -c \"$LOOK\"",
            "mkdir classic kit; printf '%s' \"$FILE\" > classic/Dockerfile; printf '%s' \"$KIT\" > kit/Dockerfile",
            "docker build classic",
            "DOCKER_BUILDKIT=1 docker build --progress plain kit 2>&1",
        ])
}

/// The address of a job's helper, which holds its network.
fn address(job: i64) -> String {
    let containers = docker(&["ps", "-q", "--filter", "label=dockmaster.role=helper"]).unwrap();
    let mark = format!("-j{job}-");
    let format = "{{index .Config.Labels \"dockmaster.job\"}} {{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}";
    let lines = containers
        .lines()
        .map(|id| docker(&["inspect", "--format", format, id]).unwrap());
    let mut found = lines.filter(|line| line.contains(&mark));
    let line = found.next().unwrap();
    line.split_whitespace().last().unwrap().to_owned()
}
