//! What a build asks of `BuildKit` directly.

use crate::docker::reference::Reference;
use crate::gate::build::known::Realm;
use crate::gate::build::proto::{control, gateway};
use crate::gate::build::solve::{Method, is_open, judge};
use crate::gate::build::wire;
use crate::gate::build::{Build, form};
use crate::gate::query::Query;
use crate::gate::refusal::Denied;

fn text(number: u8, text: &str) -> Vec<u8> {
    let mut out = Vec::new();
    wire::push_bytes(&mut out, u64::from(number), text.as_bytes());
    out
}

fn pair(number: u8, key: &str, value: &str) -> Vec<u8> {
    let mut out = Vec::new();
    wire::push_entry(&mut out, u64::from(number), key, value);
    out
}

/// One of the exporters that newer clients list.
fn exporter(part: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    wire::push_bytes(&mut out, 13, part);
    out
}

fn judged(method: Method, parts: &[Vec<u8>]) -> Result<(Build, Vec<u8>), Denied> {
    let mut build = Build::default();
    let prefixes = ["dockmaster-00.invalid/".to_owned()];
    let realm = Realm {
        unnamed: "dockmaster-00.invalid/dockmaster-kept:1",
        word: "00",
        group: Some("/dockmaster/builds-00"),
        prefixes: &prefixes,
        is_frontend: &|name| name == "docker/dockerfile:1",
        seal: &|_| "0123456789abcdef".to_owned(),
    };
    let judged = judge(method, &parts.concat(), realm, &mut build)?;
    Ok((build, judged.written))
}

/// What is forced on each build.
fn forced(number: u8) -> Vec<u8> {
    [
        pair(number, "add-hosts", "dockmaster-00.invalid=127.0.0.1"),
        pair(number, "build-arg:BUILDKIT_CACHE_MOUNT_NS", "dockmaster-00"),
        pair(number, "cgroup-parent", "/dockmaster/builds-00"),
        pair(number, "image-resolve-mode", "local"),
        pair(number, "dockerfilekey", "dockerfile-0123456789abcdef"),
    ]
    .concat()
}

#[track_caller]
fn passes(method: Method, part: Vec<u8>) {
    let number = if method == Method::Control { 7 } else { 3 };
    let (_, written) = judged(method, std::slice::from_ref(&part)).unwrap();
    let options = part[0] >> 3 == number;
    let expect = if options { vec![] } else { part };
    assert!(
        written.starts_with(&expect) && written.ends_with(&forced(number)),
        "{written:?}"
    );
}

#[test]
fn a_build_passes_with_what_is_forced() {
    let parts = [
        text(1, "ref"),
        text(3, "moby"),
        pair(4, "name", "app:1,app:2"),
        text(6, "dockerfile.v0"),
    ];
    let (build, message) = judged(Method::Control, &parts).unwrap();
    let names: Vec<String> = build.tags.iter().map(Reference::tagged).collect();
    let full = ["docker.io/library/app:1", "docker.io/library/app:2"];
    assert_eq!(names, full);
    let parts = [
        text(1, "ref"),
        text(3, "moby"),
        pair(4, "name", &full.join(",")),
        text(6, "dockerfile.v0"),
        forced(7),
    ];
    assert_eq!(message, parts.concat());
}

/// Nothing but a name says whose an image is.
#[test]
fn an_image_that_stays_with_the_engine_has_a_name_whatever_the_client_says() {
    let name = "dockmaster-00.invalid/dockmaster-kept:1";
    let of = |parts: &[Vec<u8>]| judged(Method::Control, parts).unwrap().1;
    for unnamed in [vec![], pair(4, "name", ""), pair(4, "name", ",")] {
        let written = of(&[text(3, "moby"), unnamed]);
        assert!(contains(&written, &pair(4, "name", name)), "{written:?}");
        assert!(!contains(&written, &pair(4, "name", "")), "{written:?}");
    }
    let listed = |kind: &str, more: &[u8]| of(&[exporter(&[&text(1, kind), more].concat())]);
    for kind in ["moby", "image"] {
        assert!(contains(&listed(kind, &[]), &pair(2, "name", name)));
        let named = listed(kind, &pair(2, "name", "app"));
        assert!(!contains(&named, &pair(2, "name", name)), "{named:?}");
    }
    assert!(!contains(&listed("tar", &[]), name.as_bytes()));
    for (query, is_given) in [
        ("", true),
        ("&t=", true),
        ("&t=app", false),
        (
            r#"&outputs=[{"Type":"moby","Attrs":{"name":"app"}}]"#,
            false,
        ),
        (r#"&outputs=[{"Type":"moby","Attrs":{"name":""}}]"#, true),
    ] {
        let given = format!("version=2&remote=client-session{query}");
        let form = formed(&Query::parse(&given));
        let names: Vec<&str> = form.all("t").collect();
        assert_eq!(names.contains(&name), is_given, "{query}: {names:?}");
    }
}

/// The query of a build through `BuildKit`, for the engine.
fn formed(query: &Query) -> Query {
    let prefixes = [];
    let realm = Realm {
        unnamed: "dockmaster-00.invalid/dockmaster-kept:1",
        word: "00",
        group: None,
        prefixes: &prefixes,
        is_frontend: &|_| false,
        seal: &|_| "0123456789abcdef".to_owned(),
    };
    form::judge(query, realm, &mut Build::default())
        .unwrap()
        .query
}

#[test]
fn what_is_forced_is_not_the_client_s_to_say() {
    for (key, value) in [
        ("build-arg:BUILDKIT_CACHE_MOUNT_NS", "dockmaster-66"),
        ("build-arg:BUILDKIT_SYNTAX", "evil"),
        ("build-arg:BUILDKIT_DISABLE_FILEOP", "1"),
        ("image-resolve-mode", "pull"),
        ("dockerfilekey", "dockerfile"),
        ("cache-from", "registry.test/evil"),
        ("cache-imports", "[{\"Type\":\"registry\"}]"),
    ] {
        let (_, written) = judged(Method::Gateway, &[pair(3, key, value)]).unwrap();
        assert_eq!(written, forced(3), "{key}");
    }
}

#[test]
fn a_host_of_the_client_s_stands_beside_ours() {
    let (_, written) = judged(Method::Gateway, &[pair(3, "add-hosts", "db=10.0.0.2")]).unwrap();
    let both = pair(
        3,
        "add-hosts",
        "db=10.0.0.2,dockmaster-00.invalid=127.0.0.1",
    );
    assert!(contains(&written, &both));
}

#[test]
fn another_context_gets_a_name_that_no_image_has() {
    let parts = [pair(3, "context:base", "docker-image://alpine")];
    let (build, written) = judged(Method::Gateway, &parts).unwrap();
    assert_eq!(build.images, ["alpine"]);
    let alias = pair(
        3,
        "context:dockmaster-context-62617365",
        "docker-image://alpine",
    );
    assert!(contains(&written, &alias) && contains(&written, &parts[0]));
}

#[test]
fn a_cache_that_somebody_else_wrote_is_not_read() {
    let entry = |kind: &str| text(1, kind);
    let field = |number: u8, inner: &[u8]| {
        let mut out = Vec::new();
        wire::push_bytes(&mut out, u64::from(number), inner);
        out
    };
    let given = [
        field(4, &entry("inline")),
        field(5, &entry("registry")),
        text(2, "evil"),
    ];
    let (_, written) = judged(Method::Control, &[field(8, &given.concat())]).unwrap();
    assert_eq!(
        written,
        [field(8, &field(4, &entry("inline"))), forced(7)].concat()
    );
}

#[test]
fn a_cache_that_the_engine_would_push_by_itself_is_refused_with_what_to_do() {
    for kind in ["registry", "gha", "s3", "azblob"] {
        let (mut entry, mut cache) = (Vec::new(), Vec::new());
        wire::push_bytes(&mut entry, 4, &text(1, kind));
        wire::push_bytes(&mut cache, 8, &entry);
        let denied = judged(Method::Control, &[cache]).unwrap_err();
        let words = ["--cache-to out", kind];
        assert!(
            words.iter().all(|word| denied.message.contains(word)),
            "{}",
            denied.message
        );
    }
}

fn contains(all: &[u8], part: &[u8]) -> bool {
    all.windows(part.len()).any(|window| window == part)
}

#[test]
fn what_a_newer_client_brings_passes_if_it_can_do_nothing() {
    // buildx 0.38 sends the first one with each build.
    for (key, value) in [
        ("prefer-image-digest", "true"),
        ("oci-mediatypes", "true"),
        ("some-switch-of-2030", "true"),
        ("layout", "flat"),
        ("name-canonical", "true"),
        ("push", "false"),
    ] {
        let part = exporter(&pair(2, key, value));
        assert!(judged(Method::Control, &[part]).is_ok(), "{key}");
    }
    for (key, value) in [
        ("speed", "fast"),
        ("build-arg:A", "http://x"),
        ("target", "a"),
    ] {
        passes(Method::Gateway, pair(3, key, value));
    }
    // A field that says nothing.
    assert!(judged(Method::Control, &[vec![0xa0, 1, 0]]).is_ok());
    passes(Method::Control, text(6, "gateway.v0"));
    passes(Method::Gateway, pair(3, "source", "docker/dockerfile:1"));
}

#[test]
fn what_the_builder_would_push_is_the_gate_s_to_push() {
    let named = |number: u8| pair(number, "name", "reg.test/app:1,reg.test/app:2");
    let old = |push: &str| [text(3, "moby"), named(4), pair(4, "push", push)].concat();
    let new = |push: &str| {
        let parts = [
            text(1, "image"),
            pair(2, "push", push),
            named(2),
            pair(2, "store", "false"),
        ];
        exporter(&parts.concat())
    };
    for (push, expect) in [("true", 2), ("1", 2), ("", 2), ("false", 0)] {
        for (part, has_store) in [(old(push), false), (new(push), expect == 0)] {
            let (build, written) = judged(Method::Control, &[part]).unwrap();
            let named = (build.tags.len(), build.pushes.len());
            assert_eq!(named, (2, expect), "{push}");
            assert!(!contains(&written, b"push"), "{push}");
            assert_eq!(contains(&written, b"store"), has_store, "{push}");
        }
    }
    // An archive for the client is pushed by nobody.
    let archive = exporter(&[text(1, "oci"), named(2), pair(2, "push", "true")].concat());
    assert!(
        judged(Method::Control, &[archive])
            .unwrap()
            .0
            .pushes
            .is_empty()
    );
}

#[test]
fn what_leaves_the_sandbox_is_refused_by_name() {
    use Method::{Control, Gateway};
    let control = |number: u8, value: &str, word| (Control, text(number, value), word);
    let option = |key: &str, value: &str, word| (Gateway, pair(3, key, value), word);
    let output = |key: &str, value: &str| (Control, exporter(&pair(2, key, value)), key.to_owned());
    let mut all = vec![
        control(9, "network.host", "network.host"),
        control(9, "security.insecure", "security.insecure"),
        control(3, "registry", "registry"),
        control(6, "evil.v0", "evil.v0"),
        control(12, "x", "SourcePolicy"),
        control(15, "x", "SourcePolicySession"),
        control(5, "evil:0123", "evil:0123"),
        control(18, "x", "field 18"),
        (Control, vec![14 << 3, 1], "EnableSessionExporter"),
        (Control, vec![0x4a, 200], "malformed"),
        (Gateway, text(11, "{}"), "ExporterAttr"),
        (Gateway, text(15, "x"), "SourcePolicies"),
        (Control, exporter(&text(1, "registry")), "registry"),
        (Control, exporter(&text(3, "x")), "field 3"),
        option("force-network-mode", "host", "force-network-mode"),
        option("cgroup-parent", "/x", "cgroup-parent"),
        option("context", "http://10.0.0.1/x", "clone it"),
        option("context:a", "https://10.0.0.1/x", "clone it"),
        option("context:a", "oci-layout://x@sha256:0", "clone it"),
        option("contextkey", "foo", "contextkey"),
        option("dockerfilekey", "foo", "dockerfilekey"),
        option("source", "evil", "build-frontends"),
        option("gateway-devel", "true", "gateway-devel"),
        option("filename", "a.dockerignore", "filename"),
        option("filename", "a.dockerignore/../a.DockerIgnore/", "filename"),
        option("override-copy-image", "evil", "override-copy-image"),
        option("attest:sbom", "", "attest:sbom"),
        option("attest:SBOM", "generator=evil", "attest:SBOM"),
        option("build-arg:BUILDKIT_ATTEST_SBOM", "1", "ATTEST_SBOM"),
        option("label:dockmaster.gate", "8", "label:dockmaster.gate"),
        option("add-hosts", "Dockmaster-66.invalid=1.1.1.1", "66.invalid"),
        option("add-hosts", "\"a=1.1.1.1", "host name"),
        option("local-sessionid:context", "x:0123", "x:0123"),
        option("helper-image", "evil", "helper-image"),
        option("speed", "a/b", "speed"),
    ]
    .into_iter()
    .map(|(method, part, word)| (method, part, word.to_owned()))
    .collect::<Vec<_>>();
    all.extend([
        output("push", "maybe"),
        output("push-by-digest", "1"),
        output("dangling-name-prefix", "true"),
        output("registry.insecure", "true"),
        output("containerimage.config", "{}"),
        output("strange", "reg/app:1"),
        output("other-name", "evil"),
        output("name", "-v/:/host"),
    ]);
    for (method, part, word) in all {
        let denied = judged(method, &[part]).map(|_| word.clone()).unwrap_err();
        assert!(denied.message.contains(&word), "{}", denied.message);
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
        "/moby.buildkit.v1.frontend.LLBBridge/ResolveImageConfig",
        "/moby.buildkit.v1.frontend.LLBBridge/ResolveSourceMeta",
        "/moby.buildkit.v1.Control/Session",
        "/moby.buildkit.v1.frontend.LLBBridge/ExecProcess",
        "/moby.buildkit.v1.Control/Solve/",
        "/containerd.services.content.v1.Content/Read",
    ] {
        assert!(!is_open(path), "{path}");
    }
}
