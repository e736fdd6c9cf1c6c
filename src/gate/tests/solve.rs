//! What a build asks of `BuildKit` directly.

use crate::docker::reference::Reference;
use crate::gate::build::Build;
use crate::gate::build::proto::{control, gateway};
use crate::gate::build::solve::{Method, is_open, judge};
use crate::gate::build::wire;
use crate::gate::refusal::Denied;

fn text(number: u8, text: &str) -> Vec<u8> {
    let mut out = vec![number << 3 | 2, u8::try_from(text.len()).unwrap()];
    out.extend_from_slice(text.as_bytes());
    out
}

fn pair(number: u8, key: &str, value: &str) -> Vec<u8> {
    let mut out = Vec::new();
    wire::push_entry(&mut out, u64::from(number), key, value);
    out
}

/// One of the exporters that newer clients list.
fn exporter(part: &[u8]) -> Vec<u8> {
    let number = u8::try_from(control::solve_request::EXPORTERS).unwrap();
    let length = u8::try_from(part.len()).unwrap();
    [&[number << 3 | 2, length], part].concat()
}

fn judged(method: Method, parts: &[Vec<u8>]) -> Result<(Build, Vec<u8>), Denied> {
    judge(
        method,
        &parts.concat(),
        &("dockmaster.gate-image".to_owned(), "7".to_owned()),
    )
}

#[test]
fn a_build_passes_with_our_label_added() {
    let parts = [
        text(1, "ref"),
        text(3, "moby"),
        pair(4, "name", "app:1,app:2"),
        text(6, "dockerfile.v0"),
    ];
    let (build, message) = judged(Method::Control, &parts).unwrap();
    let names: Vec<String> = build.tags.iter().map(Reference::tagged).collect();
    assert_eq!(
        names,
        ["docker.io/library/app:1", "docker.io/library/app:2"]
    );
    let label = pair(7, "label:dockmaster.gate-image", "7");
    assert_eq!(message, [parts.concat(), label].concat());
}

#[test]
fn a_switch_that_a_newer_client_brings_passes() {
    // buildx 0.38 sends the first one with each build.
    for key in [
        "prefer-image-digest",
        "oci-mediatypes",
        "some-switch-of-2030",
    ] {
        let part = exporter(&pair(2, key, "true"));
        assert!(judged(Method::Control, &[part]).is_ok(), "{key}");
    }
}

#[test]
fn what_leaves_the_sandbox_is_refused_by_name() {
    for (method, part, word) in [
        (Method::Control, text(9, "network.host"), "network.host"),
        (
            Method::Control,
            text(9, "security.insecure"),
            "security.insecure",
        ),
        (Method::Control, text(3, "registry"), "registry"),
        (Method::Control, pair(4, "push", "true"), "docker push"),
        (Method::Control, pair(4, "strange", "reg/app:1"), "strange"),
        (
            Method::Control,
            pair(4, "dangling-name-prefix", "true"),
            "dangling-name-prefix",
        ),
        (
            Method::Control,
            pair(4, "registry.insecure", "true"),
            "registry.insecure",
        ),
        (
            Method::Control,
            pair(7, "force-network-mode", "host"),
            "force-network-mode",
        ),
        (
            Method::Control,
            pair(7, "cgroup-parent", "/x"),
            "cgroup-parent",
        ),
        (
            Method::Gateway,
            pair(3, "force-network-mode", "host"),
            "force-network-mode",
        ),
        (
            Method::Gateway,
            pair(3, "context", "http://10.0.0.1/x"),
            "clone it",
        ),
        (
            Method::Gateway,
            pair(3, "context:a", "https://10.0.0.1/x"),
            "clone it",
        ),
        (
            Method::Gateway,
            pair(3, "label:dockmaster.gate", "8"),
            "label:dockmaster.gate",
        ),
        (Method::Control, exporter(&text(1, "registry")), "registry"),
        (
            Method::Control,
            exporter(&pair(2, "push", "true")),
            "docker push",
        ),
        (Method::Control, exporter(&text(3, "x")), "field 3"),
        (Method::Control, text(15, "x"), "field 15"),
        (Method::Control, vec![0x4a, 200], "malformed"),
    ] {
        let denied = judged(method, &[part]).unwrap_err();
        assert!(denied.message.contains(word), "{}", denied.message);
    }
}

#[test]
fn only_methods_of_a_build_are_open() {
    assert!(is_open(control::SOLVE) && is_open(gateway::SOLVE));
    for path in [
        "/moby.buildkit.v1.Control/Prune",
        "/moby.buildkit.v1.Control/DiskUsage",
        "/moby.buildkit.v1.Control/ListenBuildHistory",
        "/moby.buildkit.v1.frontend.LLBBridge/NewContainer",
        "/moby.buildkit.v1.frontend.LLBBridge/ExecProcess",
        "/moby.buildkit.v1.Control/Solve/",
        "/containerd.services.content.v1.Content/Read",
    ] {
        assert!(!is_open(path), "{path}");
    }
}
