//! Which requests exist, and how they are written for the engine.

use hyper::Method;
use proptest::prelude::*;

use crate::gate::refusal::Denied;
use crate::gate::route::{self, Route};
use crate::gate::table::{Act, TABLE};

fn find(method: &str, target: &str) -> Result<Route, Denied> {
    route::find(&Method::from_bytes(method.as_bytes()).unwrap(), target)
}

#[track_caller]
fn check(method: &str, target: &str, row: &str, name: &str, query: &str) {
    let route = find(method, target).unwrap();
    assert_eq!((route.row.method, route.row.path), (method, row));
    assert_eq!(route.name, name);
    assert_eq!(route.query.encode(), query);
}

#[track_caller]
fn refused(method: &str, target: &str, word: &str) {
    let denied = find(method, target).unwrap_err();
    assert!(
        denied.message.contains(word),
        "{target}: {}",
        denied.message
    );
}

#[test]
fn what_clients_ask_for_is_found() {
    check("HEAD", "/_ping", "/_ping", "", "");
    check(
        "GET",
        "/v1.41/containers/json?all=True",
        "/containers/json",
        "",
        "?all=1",
    );
    check(
        "POST",
        "/v1.41/containers/abc/start",
        "/containers/{name}/start",
        "abc",
        "",
    );
    let app = "harbor.example.com/test/app";
    check(
        "POST",
        &format!("/v1.41/images/{app}/push?tag=v1"),
        "/images/{image}/push",
        app,
        "?tag=v1",
    );
    check(
        "DELETE",
        &format!("/images/{app}:v1"),
        "/images/{image}",
        &format!("{app}:v1"),
        "",
    );
    check(
        "GET",
        "/v1.41/images/json/json",
        "/images/{image}/json",
        "json",
        "",
    );
    check("POST", "/build?t=a&t=b", "/build", "", "?t=a&t=b");
    check("GET", "/networks", "/networks", "", "");
}

#[test]
fn percent_signs_are_decoded_once() {
    check(
        "POST",
        "/v1.41/%63ontainers/abc/s%74art",
        "/containers/{name}/start",
        "abc",
        "",
    );
    refused("POST", "/v1.41/containers/a%2562c/start", "not open");
    refused("GET", "/v1.41/containers/%2e%2e/json", "not open");
    assert_eq!(find("GET", "/%zz").unwrap_err().status, 400);
}

#[test]
fn the_first_of_two_equal_names_counts() {
    let all = "/containers/create?name=a&n%61me=b";
    check("POST", all, "/containers/create", "", "?name=a");
}

#[test]
fn what_is_not_listed_is_refused_by_name() {
    for (method, target) in [
        ("POST", "/v1.41/swarm/init"),
        ("GET", "/v1.41/images/search?term=x"),
        ("POST", "/v1.41/plugins/prune"),
        ("GET", "/v1.41/containers/x/attach/ws"),
        ("DELETE", "/v1.41/images/"),
        ("GET", "//v1.41/info"),
        ("PATCH", "/info"),
    ] {
        refused(method, target, "is not open to jobs");
    }
}

#[test]
fn versions_that_take_a_host_config_at_start_are_refused() {
    for version in ["v1.12", "v1.22", "v1.23", "v2.0", "v1.041", "v1"] {
        refused(
            "POST",
            &format!("/{version}/containers/x/start"),
            "API version",
        );
    }
}

#[test]
fn dangerous_parameters_are_refused_by_name() {
    refused("POST", "/images/x/push?remote=1", "remote");
    refused("POST", "/build?cgroupparent=/x", "cgroupparent");
    refused(
        "POST",
        "/build?securityopt=apparmor:unconfined",
        "securityopt",
    );
    refused("GET", "/containers/x/top?ps_args=-o%20pid=PID", "ps_args");
    refused("GET", "/info?anything=1", "anything");
}

#[test]
fn a_look_at_what_no_job_has_finds_nothing() {
    check(
        "GET",
        "/v1.41/plugins/x/json",
        "/plugins/{any}",
        "x/json",
        "",
    );
    let services = "/v1.41/services/x?insertDefaults=true";
    check("GET", services, "/services/{any}", "x", "?insertDefaults=1");
}

const CONTAINER_ACTS: &[&str] = &[
    "start", "stop", "restart", "kill", "wait", "resize", "pause", "unpause", "attach", "update",
];

/// Acts on many things at once.
fn whole(method: &str, segments: &[&str]) -> Option<Act> {
    Some(match segments {
        ["system", "df"] if method == "GET" => Act::Usage,
        ["plugins"] if method == "GET" => Act::Empty,
        ["build", "prune"] if method == "POST" => Act::BuildPrune,
        ["images", "get"] if method == "GET" => Act::ImageSave,
        ["images", "load"] if method == "POST" => Act::ImageLoad,
        ["images", "prune"] if method == "POST" => Act::ImagePrune,
        ["containers", "prune"] if method == "POST" => Act::ContainerPrune,
        ["networks", "prune"] if method == "POST" => Act::NetworkPrune,
        ["volumes", "prune"] if method == "POST" => Act::VolumePrune,
        ["commit"] if method == "POST" => Act::ContainerCommit,
        _ => return None,
    })
}

/// The list of what is open, written a second time and in another way: by segments.
#[expect(clippy::match_same_arms, reason = "one line for each kind of thing")]
fn oracle(method: &str, segments: &[&str]) -> Option<Act> {
    let is_name = |name: &&str| {
        let letter = |c: char| c.is_ascii_alphanumeric() || "_.-:@".contains(c);
        !["", ".", ".."].contains(name) && name.chars().all(letter)
    };
    let act = match segments {
        ["_ping"] if ["GET", "HEAD"].contains(&method) => Act::Pass,
        _ if whole(method, segments).is_some() => return whole(method, segments),
        ["distribution", name @ .., "json"]
            if method == "GET" && !name.is_empty() && name.iter().all(is_name) =>
        {
            Act::Distribution
        }
        ["auth"] if method == "POST" => Act::Login,
        ["build", "cancel"] if method == "POST" => Act::Pass,
        ["version"] if method == "GET" => Act::Version,
        ["info"] if method == "GET" => Act::Info,
        ["events" | "networks" | "volumes"] if method == "GET" => Act::List,
        ["networks" | "volumes", ""] | ["containers", "json"] if method == "GET" => Act::List,
        ["containers", name @ .., "json"] if name.len() > 1 && name.iter().all(is_name) => {
            return (method == "GET").then_some(Act::NotFound);
        }
        ["networks" | "volumes", name @ ..]
            if method == "GET" && name.len() > 1 && name.iter().all(is_name) =>
        {
            Act::NotFound
        }
        [
            "plugins" | "services" | "tasks" | "nodes" | "secrets" | "configs",
            _,
            ..,
        ] => {
            return (method == "GET").then_some(Act::NotFound);
        }
        ["build"] if method == "POST" => Act::Build,
        ["session"] if method == "POST" => Act::Session,
        ["grpc"] if method == "POST" => Act::BuildKit,
        ["images", "json"] if method == "GET" => Act::ImageList,
        ["images", "create"] if method == "POST" => Act::ImagePull,
        ["containers", "create"] if method == "POST" => Act::ContainerCreate,
        ["networks", "create"] if method == "POST" => Act::NetworkCreate,
        ["volumes", "create"] if method == "POST" => Act::VolumeCreate,
        ["images", name @ ..] if method == "DELETE" => {
            return (!name.is_empty() && name.iter().all(is_name)).then_some(Act::ImageDelete);
        }
        ["images", name @ .., last] if !name.is_empty() && name.iter().all(is_name) => {
            match (method, *last) {
                ("GET", "json" | "history" | "attestations") => Act::Image,
                ("GET", "get") => Act::ImageSave,
                ("POST", "tag") => Act::ImageTag,
                ("POST", "push") => Act::ImagePush,
                _ => return None,
            }
        }
        [kind, name, last @ ..] if is_name(name) => {
            match (method, *kind, last.join("/").as_str()) {
                ("POST", "containers", "rename") => Act::ContainerRename,
                ("DELETE", "containers", "") if last.is_empty() => Act::ContainerDelete,
                ("GET", "containers", "json" | "logs" | "top" | "stats" | "changes" | "export") => {
                    Act::Container
                }
                ("GET" | "HEAD" | "PUT", "containers", "archive") => Act::Container,
                ("POST", "containers", act) if CONTAINER_ACTS.contains(&act) => Act::Container,
                ("POST", "containers", "exec") => Act::ExecCreate,
                ("GET", "exec", "json") => Act::Exec,
                ("POST", "exec", "resize" | "start") => Act::Exec,
                ("GET", "networks", "") if last.is_empty() => Act::Network,
                ("POST", "networks", "connect" | "disconnect") => Act::NetworkMember,
                ("DELETE", "networks", "") if last.is_empty() => Act::NetworkDelete,
                ("GET" | "DELETE", "volumes", "") if last.is_empty() => Act::Volume,
                _ => return None,
            }
        }
        _ => return None,
    };
    Some(act)
}

/// A path as the engine reads it; `None` for one that it refuses as malformed.
fn decoded(path: &str) -> Option<String> {
    let mut parts = path.split('%');
    let mut bytes = parts.next()?.as_bytes().to_vec();
    for part in parts {
        let (code, rest) = part.split_at_checked(2)?;
        let is_hex = code.bytes().all(|byte| byte.is_ascii_hexdigit());
        bytes.push(is_hex.then(|| u8::from_str_radix(code, 16).ok())??);
        bytes.extend_from_slice(rest.as_bytes());
    }
    String::from_utf8(bytes).ok()
}

const METHODS: &[&str] = &["GET", "HEAD", "POST", "PUT", "DELETE", "PATCH"];
const WORDS: &[&str] = &[
    "_ping",
    "version",
    "info",
    "events",
    "auth",
    "build",
    "cancel",
    "session",
    "grpc",
    "images",
    "json",
    "create",
    "history",
    "tag",
    "push",
    "containers",
    "logs",
    "top",
    "stats",
    "start",
    "stop",
    "restart",
    "kill",
    "wait",
    "resize",
    "pause",
    "unpause",
    "rename",
    "attach",
    "archive",
    "exec",
    "networks",
    "connect",
    "disconnect",
    "volumes",
    "plugins",
    "services",
    "swarm",
    "prune",
    "load",
    "get",
    "changes",
    "attestations",
    "distribution",
    "system",
    "df",
    "commit",
    "export",
    "update",
    "a:b",
    "a@sha256:00",
    "..",
    ".",
    "",
    "%2e%2e",
    "%2f",
    "%00",
    "a%20b",
    "%zz",
    "%",
    "%c3%a9",
    "%ff",
    "a%2Fb",
    "%6a%73on",
    "{name}",
];

fn word() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => prop::sample::select(WORDS).prop_map(str::to_owned),
        1 => "[a-zA-Z0-9%/._:@{}-]{0,6}",
    ]
}

/// Paths of the table with odd names, and paths of no table.
fn path() -> impl Strategy<Value = String> {
    let row = (0..TABLE.len(), word(), word()).prop_map(|(row, one, two)| {
        let path = TABLE[row].path.replace("{name}", &one);
        path.replace("{image}", &format!("{one}/{two}"))
            .replace("{path}", &format!("{one}/{two}"))
            .replace("{any}", &two)
    });
    let any = prop::collection::vec(word(), 0..5).prop_map(|words| format!("/{}", words.join("/")));
    prop_oneof![2 => row, 1 => any]
}

fn query() -> impl Strategy<Value = String> {
    let known = TABLE
        .iter()
        .flat_map(|row| row.parameters.iter().map(|(name, _)| *name));
    let names: Vec<&str> = known.chain(["x", "", "n%61me", "All"]).collect();
    let values = [
        "", "0", "1", "True", "default", "[]", "a b", "a+b", "%2f", "x=y", "..", "%c3%a9",
    ];
    let pair = (
        prop::sample::select(names),
        prop::sample::select(values.to_vec()),
    );
    prop::collection::vec(pair, 0..3).prop_map(|pairs| {
        let pairs: Vec<String> = pairs
            .iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        pairs.join("&")
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_open_is_what_the_second_list_says(
        method in prop::sample::select(METHODS),
        version in prop::sample::select(vec!["", "/v1.41", "/v1.24", "/v1.59"]),
        path in path(),
    ) {
        let found = find(method, &format!("{version}{path}"));
        let Some(text) = decoded(&path) else { return Ok(()) };
        let segments: Vec<&str> = text.split('/').skip(1).collect();
        match found {
            Ok(route) => prop_assert_eq!(Some(route.row.act), oracle(method, &segments)),
            Err(denied) => prop_assert_eq!(oracle(method, &segments), None, "{}", denied.message),
        }
    }

    #[test]
    fn what_is_written_for_the_engine_means_the_same_to_it(
        method in prop::sample::select(METHODS),
        version in prop::sample::select(vec!["", "/v1.41", "/v1.60", "/v1.23", "/v1", "/v1.041", "/v", "/"]),
        path in path(),
        query in query(),
    ) {
        let Ok(route) = find(method, &format!("{version}{path}?{query}")) else { return Ok(()) };
        if route.row.act == Act::NotFound { return Ok(()) }
        let written = route.path_of(&route.name);
        prop_assert!(!written.contains(['%', '?', '#', '\0', ' ']) && !written.contains("//"), "{}", written);
        prop_assert!(!written.split('/').any(|part| part == ".."), "{}", written);
        for (name, _) in route.query.pairs() {
            prop_assert!(route.row.parameters.iter().any(|(known, _)| *known == name), "{}", name);
        }
        let again = find(method, &format!("{written}{}", route.query.encode())).unwrap();
        prop_assert_eq!(again.row.act, route.row.act);
        prop_assert_eq!((again.version, again.name, again.query), (route.version, route.name, route.query));
    }

    #[test]
    fn no_request_is_of_two_rows(method in prop::sample::select(METHODS), path in path()) {
        let rows = TABLE.iter().filter(|row| row.method == method && row.name(&path).is_some());
        prop_assert!(rows.count() <= 1);
    }
}
