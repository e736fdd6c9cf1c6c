//! Definitions that a client wrote: what a Dockerfile of this job could say, and nothing else.

use crate::gate::build::known::Realm;
use crate::gate::build::llb::judge;
use crate::gate::build::wire::{push_bytes, push_entry, push_number};

type Bytes = Vec<u8>;

fn message(number: u64, inner: &[u8]) -> Bytes {
    let mut out = Vec::new();
    push_bytes(&mut out, number, inner);
    out
}

fn number(field: u64, value: u64) -> Bytes {
    let mut out = Vec::new();
    push_number(&mut out, field, value);
    out
}

fn definition(operation: &[u8]) -> Bytes {
    message(1, operation)
}

fn source(identifier: &str) -> Bytes {
    definition(&message(3, &message(1, identifier.as_bytes())))
}

/// A step with these hosts, and these further fields.
fn step(hosts: &[&str], more: &[u8]) -> Bytes {
    let hosts = hosts.iter().flat_map(|host| {
        let entry = [message(1, host.as_bytes()), message(2, b"127.0.0.1")].concat();
        message(6, &entry)
    });
    let meta: Bytes = message(1, b"true").into_iter().chain(hosts).collect();
    definition(&message(2, &[message(1, &meta), more.to_vec()].concat()))
}

fn cache_mount(id: &str) -> Bytes {
    message(
        2,
        &[number(6, 3), message(20, &message(1, id.as_bytes()))].concat(),
    )
}

fn judged(definition: &[u8]) -> Result<(), String> {
    let prefixes = ["dockmaster-00.invalid/".to_owned()];
    let realm = Realm {
        unnamed: "",
        word: "00",
        group: None,
        prefixes: &prefixes,
        is_frontend: &|_| false,
        seal: &|_| String::new(),
    };
    judge(definition, &realm).map_err(|denied| denied.message)
}

const HOST: &str = "dockmaster-00.invalid";

#[test]
fn what_a_dockerfile_of_the_job_says_passes() {
    for definition in [
        source("local://context"),
        source("docker-image://dockmaster-00.invalid/alpine:3"),
        step(&[HOST], &[]),
        step(
            &["db", HOST],
            &[number(3, 2), cache_mount("dockmaster-00//root")].concat(),
        ),
        definition(&message(4, b"")),
        definition(&message(6, b"")),
        definition(&message(8, b"")),
        Vec::new(),
    ] {
        judged(&definition).unwrap();
    }
}

#[test]
fn what_the_engine_would_fetch_or_share_is_refused() {
    let mut session = Vec::new();
    push_entry(&mut session, 2, "local.session", "evil:0123");
    let local = [message(1, b"local://x"), session].concat();
    for (definition, word) in [
        (source("docker-image://docker.io/library/alpine"), "alpine"),
        (source("https://127.0.0.1/x"), "127.0.0.1"),
        (source("git://127.0.0.1/x"), "git:"),
        (source("oci-layout://x@sha256:0"), "oci-layout"),
        (source("dockmaster-00.invalid/x"), "not allowed"),
        (definition(&message(3, &local)), "evil:0123"),
        (step(&[], &[]), "no Dockerfile of this job"),
        (
            step(&["dockmaster-66.invalid"], &[]),
            "no Dockerfile of this job",
        ),
        (step(&[HOST], &number(3, 1)), "network"),
        (step(&[HOST], &number(4, 1)), "security"),
        (step(&[HOST], &message(6, b"x")), "cdiDevices"),
        (
            step(&[HOST], &cache_mount("dockmaster-66//root")),
            "CacheOpt.ID",
        ),
        (
            step(&[HOST], &cache_mount("dockmaster-001/root")),
            "CacheOpt.ID",
        ),
        (step(&[HOST], &message(2, &number(6, 3))), "cache mount"),
        (step(&[HOST], &message(7, b"x")), "field 7"),
        (definition(&message(5, b"x")), "build"),
        (definition(&message(9, b"x")), "field 9"),
        (vec![0xff], "malformed"),
    ] {
        let denied = judged(&definition).unwrap_err();
        assert!(denied.contains(word), "{word}: {denied}");
    }
}

#[test]
fn a_host_that_is_said_twice_counts_as_the_engine_reads_it() {
    // The last one stands.
    let entry = [message(1, HOST.as_bytes()), message(1, b"other")].concat();
    let meta = message(1, &message(6, &entry));
    assert!(judged(&definition(&message(2, &meta))).is_err());
}
