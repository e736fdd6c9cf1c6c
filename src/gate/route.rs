//! Which requests exist at all: a closed list of endpoints and of their query parameters.
//!
//! Pure. What is not listed is refused by name; what is listed comes out decoded once, with only
//! known parameters, ready to be written anew. Knows neither bodies nor who owns what.

use hyper::Method;

use super::query::Query;
use super::refusal::Denied;

/// Older versions take a `HostConfig` when a container starts; none of today's clients needs them.
const OLDEST_VERSION: u32 = 24;
const NEWEST_VERSION: u32 = 59;

/// A request that exists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    pub endpoint: Endpoint,
    /// The minor number of `/v1.N`, if the client gave one.
    pub version: Option<u32>,
    /// The container, exec, image, network or volume that the path names.
    pub name: String,
    pub query: Query,
}

/// What a request asks for, as far as the gate treats it differently.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Endpoint {
    Ping,
    Version,
    Info,
    Auth,
    Events,
    Build,
    BuildCancel,
    Session,
    Grpc,
    ImageList,
    ImagePull,
    ImageInspect,
    ImageHistory,
    ImageTag,
    ImagePush,
    ImageDelete,
    ContainerList,
    ContainerCreate,
    /// An act on one container with this last word and no body, or a look at it.
    Container(&'static str),
    ContainerRename,
    ContainerAttach,
    ContainerCopyOut,
    ContainerCopyIn,
    ContainerDelete,
    ExecCreate,
    ExecStart,
    Exec(&'static str),
    NetworkList,
    NetworkCreate,
    NetworkInspect,
    NetworkConnect,
    NetworkDisconnect,
    NetworkDelete,
    VolumeList,
    VolumeCreate,
    VolumeInspect,
    VolumeDelete,
}

/// How the value of a parameter is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// True or false, written as 1 or 0.
    Flag,
    /// Letters, digits and `_.:+-`.
    Word,
    /// Any text: the reader of the endpoint judges it.
    Text,
    /// Text that may be given more than once.
    Many,
    /// Known, and refused unless it says nothing.
    Unset,
}

/// Finds the route of a request, from its method and its path with query.
pub fn classify(method: &Method, target: &str) -> Result<Route, Denied> {
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let path = decode(path)?;
    let unknown = || unknown(method, &path);
    let inner = path.strip_prefix('/').ok_or_else(unknown)?;
    let segments: Vec<&str> = inner.split('/').collect();
    let (version, segments) = match segments.split_first() {
        Some((first, rest)) if is_version(first) => (Some(version(first)?), rest),
        Some(_) | None => (None, segments.as_slice()),
    };
    if let [kind, name, ..] = segments
        && method == Method::GET
        && NEVER.contains(kind)
    {
        return Err(Denied::missing(format!("no such object: {name}")));
    }
    let (endpoint, name) = find(method, segments).ok_or_else(unknown)?;
    let query = known(endpoint, &Query::parse(query))?;
    Ok(Route {
        endpoint,
        version,
        name,
        query,
    })
}

/// Kinds of things that no job has; `docker inspect NAME` looks a name up among all of them.
const NEVER: &[&str] = &[
    "plugins", "services", "tasks", "nodes", "secrets", "configs",
];

fn find(method: &Method, segments: &[&str]) -> Option<(Endpoint, String)> {
    let (first, rest) = segments.split_first()?;
    match *first {
        "containers" => container(method, rest),
        "exec" => exec(method, rest),
        "images" => image(method, rest),
        "networks" => network(method, rest),
        "volumes" => volume(method, rest),
        _ => system(method, segments).map(|endpoint| (endpoint, String::new())),
    }
}

fn system(method: &Method, segments: &[&str]) -> Option<Endpoint> {
    Some(match (method.as_str(), segments) {
        ("GET" | "HEAD", ["_ping"]) => Endpoint::Ping,
        ("GET", ["version"]) => Endpoint::Version,
        ("GET", ["info"]) => Endpoint::Info,
        ("GET", ["events"]) => Endpoint::Events,
        ("POST", ["auth"]) => Endpoint::Auth,
        ("POST", ["build"]) => Endpoint::Build,
        ("POST", ["build", "cancel"]) => Endpoint::BuildCancel,
        ("POST", ["session"]) => Endpoint::Session,
        ("POST", ["grpc"]) => Endpoint::Grpc,
        _ => return None,
    })
}

/// Acts on one container that carry neither body nor upgrade, by their last word.
const ACTS: &[&str] = &[
    "start", "stop", "restart", "kill", "wait", "resize", "pause", "unpause",
];
/// Looks at one container.
const LOOKS: &[&str] = &["json", "logs", "top", "stats"];

fn container(method: &Method, rest: &[&str]) -> Option<(Endpoint, String)> {
    let among =
        |words: &[&'static str], last: &str| words.iter().copied().find(|word| *word == last);
    let endpoint = match (method.as_str(), rest) {
        ("GET", ["json"]) => return Some((Endpoint::ContainerList, String::new())),
        ("POST", ["create"]) => return Some((Endpoint::ContainerCreate, String::new())),
        ("GET" | "HEAD", [_, "archive"]) => Endpoint::ContainerCopyOut,
        ("PUT", [_, "archive"]) => Endpoint::ContainerCopyIn,
        ("POST", [_, "attach"]) => Endpoint::ContainerAttach,
        ("POST", [_, "exec"]) => Endpoint::ExecCreate,
        ("POST", [_, "rename"]) => Endpoint::ContainerRename,
        ("GET", [_, last]) => Endpoint::Container(among(LOOKS, last)?),
        ("POST", [_, last]) => Endpoint::Container(among(ACTS, last)?),
        ("DELETE", [_]) => Endpoint::ContainerDelete,
        _ => return None,
    };
    named(endpoint, rest.first()?)
}

fn exec(method: &Method, rest: &[&str]) -> Option<(Endpoint, String)> {
    let endpoint = match (method.as_str(), rest) {
        ("GET", [_, "json"]) => Endpoint::Exec("json"),
        ("POST", [_, "resize"]) => Endpoint::Exec("resize"),
        ("POST", [_, "start"]) => Endpoint::ExecStart,
        _ => return None,
    };
    named(endpoint, rest.first()?)
}

fn image(method: &Method, rest: &[&str]) -> Option<(Endpoint, String)> {
    match (method.as_str(), rest) {
        ("GET", ["json"]) => return Some((Endpoint::ImageList, String::new())),
        ("POST", ["create"]) => return Some((Endpoint::ImagePull, String::new())),
        ("DELETE", name) => return named(Endpoint::ImageDelete, &name.join("/")),
        _ => {}
    }
    let (last, name) = rest.split_last()?;
    let endpoint = match (method.as_str(), *last) {
        ("GET", "json") => Endpoint::ImageInspect,
        ("GET", "history") => Endpoint::ImageHistory,
        ("POST", "tag") => Endpoint::ImageTag,
        ("POST", "push") => Endpoint::ImagePush,
        _ => return None,
    };
    named(endpoint, &name.join("/"))
}

fn network(method: &Method, rest: &[&str]) -> Option<(Endpoint, String)> {
    let endpoint = match (method.as_str(), rest) {
        ("GET", [] | [""]) => return Some((Endpoint::NetworkList, String::new())),
        ("POST", ["create"]) => return Some((Endpoint::NetworkCreate, String::new())),
        ("GET", [_]) => Endpoint::NetworkInspect,
        ("POST", [_, "connect"]) => Endpoint::NetworkConnect,
        ("POST", [_, "disconnect"]) => Endpoint::NetworkDisconnect,
        ("DELETE", [_]) => Endpoint::NetworkDelete,
        _ => return None,
    };
    named(endpoint, rest.first()?)
}

fn volume(method: &Method, rest: &[&str]) -> Option<(Endpoint, String)> {
    let endpoint = match (method.as_str(), rest) {
        ("GET", [] | [""]) => return Some((Endpoint::VolumeList, String::new())),
        ("POST", ["create"]) => return Some((Endpoint::VolumeCreate, String::new())),
        ("GET", [_]) => Endpoint::VolumeInspect,
        ("DELETE", [_]) => Endpoint::VolumeDelete,
        _ => return None,
    };
    named(endpoint, rest.first()?)
}

/// A name that is one: empty ones, dot folders and control letters would move the path.
fn named(endpoint: Endpoint, name: &str) -> Option<(Endpoint, String)> {
    let sound = name.split('/').all(|part| !matches!(part, "" | "." | ".."))
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"_.-:/@".contains(&byte));
    sound.then(|| (endpoint, name.to_owned()))
}

fn known(endpoint: Endpoint, given: &Query) -> Result<Query, Denied> {
    let parameters = parameters(endpoint);
    let mut query = Query::default();
    for (name, value) in given.pairs() {
        let kind = parameters
            .iter()
            .find(|(known, _)| *known == name)
            .map(|(_, kind)| *kind);
        let seen = query.get(name).is_some();
        match kind {
            Some(Kind::Many) => query.push(name, value),
            Some(_) if seen => {}
            Some(Kind::Flag) => query.push(name, flag(value)),
            Some(Kind::Text) => query.push(name, value),
            Some(Kind::Word) if is_word(value) => query.push(name, value),
            Some(Kind::Word) => {
                return Err(Denied::malformed(format!(
                    "the parameter {name}={value:?} is malformed"
                )));
            }
            Some(Kind::Unset) | None if says_nothing(value) => {}
            Some(Kind::Unset) | None => {
                return Err(Denied::forbidden(format!(
                    "the parameter {name}={value:?} is not allowed in a job; leave it out"
                )));
            }
        }
    }
    Ok(query)
}

fn parameters(endpoint: Endpoint) -> &'static [(&'static str, Kind)] {
    use Kind::{Flag, Text, Word};
    match endpoint {
        Endpoint::Events => &[("since", Word), ("until", Word), ("filters", Text)],
        Endpoint::Build => BUILD,
        Endpoint::BuildCancel => &[("id", Word)],
        Endpoint::ImageList => &[
            ("all", Flag),
            ("digests", Flag),
            ("filters", Text),
            ("filter", Kind::Unset),
            ("only_ids", Flag),
            ("shared-size", Flag),
            ("manifests", Flag),
        ],
        Endpoint::ImagePull => PULL,
        Endpoint::ImageInspect => &[("size", Flag), ("manifests", Flag)],
        Endpoint::ImageTag => &[("repo", Text), ("tag", Text), ("force", Flag)],
        Endpoint::ImagePush => &[("tag", Text), ("platform", Kind::Unset)],
        Endpoint::ImageDelete => &[("force", Flag), ("noprune", Flag)],
        Endpoint::ContainerList => &[
            ("all", Flag),
            ("limit", Word),
            ("size", Flag),
            ("filters", Text),
            ("trunc_cmd", Flag),
            ("since", Kind::Unset),
            ("before", Kind::Unset),
        ],
        Endpoint::ContainerCreate => &[("name", Word), ("platform", Text)],
        Endpoint::ContainerRename => &[("name", Word)],
        Endpoint::Container(last) => container_parameters(last),
        Endpoint::ContainerAttach => &[
            ("detachKeys", Text),
            ("logs", Flag),
            ("stream", Flag),
            ("stdin", Flag),
            ("stdout", Flag),
            ("stderr", Flag),
        ],
        Endpoint::ContainerCopyOut => &[("path", Text)],
        Endpoint::ContainerCopyIn => &[
            ("path", Text),
            ("noOverwriteDirNonDir", Flag),
            ("copyUIDGID", Flag),
        ],
        Endpoint::ContainerDelete => &[("v", Flag), ("force", Flag), ("link", Kind::Unset)],
        Endpoint::Exec("resize") => &[("h", Word), ("w", Word)],
        Endpoint::NetworkList | Endpoint::VolumeList => &[("filters", Text)],
        Endpoint::NetworkInspect => &[("verbose", Flag), ("scope", Word)],
        Endpoint::VolumeDelete => &[("force", Flag)],
        _ => &[],
    }
}

fn container_parameters(last: &str) -> &'static [(&'static str, Kind)] {
    use Kind::{Flag, Word};
    match last {
        "json" => &[("size", Flag)],
        "logs" => &[
            ("follow", Flag),
            ("stdout", Flag),
            ("stderr", Flag),
            ("since", Word),
            ("until", Word),
            ("timestamps", Flag),
            ("tail", Word),
            ("details", Flag),
        ],
        "top" => &[("ps_args", Word)],
        "stats" => &[("stream", Flag), ("one-shot", Flag)],
        "start" => &[("detachKeys", Kind::Text), ("checkpoint", Kind::Unset)],
        "stop" | "restart" => &[("t", Word), ("signal", Word)],
        "kill" => &[("signal", Word)],
        "wait" => &[("condition", Word)],
        "resize" => &[("h", Word), ("w", Word)],
        _ => &[],
    }
}

const PULL: &[(&str, Kind)] = &[
    ("fromImage", Kind::Text),
    ("tag", Kind::Text),
    ("platform", Kind::Text),
    ("fromSrc", Kind::Unset),
    ("repo", Kind::Unset),
    ("message", Kind::Unset),
    ("changes", Kind::Unset),
];

const BUILD: &[(&str, Kind)] = &[
    ("t", Kind::Many),
    ("dockerfile", Kind::Text),
    ("extrahosts", Kind::Many),
    ("remote", Kind::Text),
    ("q", Kind::Flag),
    ("nocache", Kind::Flag),
    ("cachefrom", Kind::Text),
    ("pull", Kind::Flag),
    ("rm", Kind::Flag),
    ("forcerm", Kind::Flag),
    ("memory", Kind::Word),
    ("memswap", Kind::Word),
    ("cpushares", Kind::Word),
    ("cpusetcpus", Kind::Text),
    ("cpusetmems", Kind::Text),
    ("cpuperiod", Kind::Word),
    ("cpuquota", Kind::Word),
    ("buildargs", Kind::Text),
    ("shmsize", Kind::Word),
    ("squash", Kind::Unset),
    ("labels", Kind::Text),
    ("networkmode", Kind::Text),
    ("platform", Kind::Text),
    ("target", Kind::Text),
    ("outputs", Kind::Text),
    ("version", Kind::Word),
    ("session", Kind::Word),
    ("buildid", Kind::Word),
    ("ulimits", Kind::Text),
    ("cgroupparent", Kind::Unset),
    ("isolation", Kind::Unset),
    ("securityopt", Kind::Unset),
    ("stream", Kind::Unset),
];

fn unknown(method: &Method, path: &str) -> Denied {
    let shown: String = path
        .chars()
        .filter(|letter| !letter.is_control())
        .take(120)
        .collect();
    let hint = HINTS.iter().find(|(word, _)| shown.contains(word)).map_or(
        "a job may build, tag, push, pull, run and inspect what it made itself",
        |(_, hint)| hint,
    );
    Denied::forbidden(format!("{method} {shown} is not open to jobs: {hint}"))
}

const HINTS: &[(&str, &str)] = &[
    ("/prune", "what a job makes is removed when it ends"),
    ("/load", "push the image and pull it where it is needed"),
    ("/get", "push the image and pull it where it is needed"),
    ("/commit", "build the image from a Dockerfile"),
    ("/swarm", "swarm mode is the operator's"),
    ("/plugins", "plugins are the operator's"),
    ("/distribution", "pull the image, then inspect it"),
    ("/attach/ws", "attach without a web socket"),
];

fn flag(value: &str) -> &'static str {
    let false_words = ["", "0", "no", "false", "none"];
    if false_words.contains(&value.trim().to_ascii_lowercase().as_str()) {
        "0"
    } else {
        "1"
    }
}

fn says_nothing(value: &str) -> bool {
    matches!(
        value,
        "" | "0" | "false" | "False" | "null" | "default" | "[]" | "{}"
    )
}

fn is_word(value: &str) -> bool {
    let letter = |byte: u8| byte.is_ascii_alphanumeric() || b"_.:+-".contains(&byte);
    value.len() <= 256 && value.bytes().all(letter)
}

fn is_version(segment: &str) -> bool {
    segment
        .strip_prefix('v')
        .is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
}

fn version(segment: &str) -> Result<u32, Denied> {
    let minor = segment
        .strip_prefix("v1.")
        .and_then(|minor| minor.parse().ok());
    let range = OLDEST_VERSION..=NEWEST_VERSION;
    minor.filter(|minor| range.contains(minor) && segment == format!("v1.{minor}")).ok_or_else(|| {
        Denied::forbidden(format!(
            "API version {segment} is not served here, only v1.{OLDEST_VERSION} and newer: use a newer client"
        ))
    })
}

/// Decodes percent signs once, as the engine does; what is not UTF-8 names nothing here.
fn decode(path: &str) -> Result<String, Denied> {
    let malformed = || Denied::malformed("the path is malformed");
    let mut bytes = Vec::with_capacity(path.len());
    let mut rest = path.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let mut digit = || rest.next().and_then(|byte| char::from(byte).to_digit(16));
        let (high, low) = (
            digit().ok_or_else(malformed)?,
            digit().ok_or_else(malformed)?,
        );
        bytes.push(u8::try_from(high * 16 + low).map_err(|_| malformed())?);
    }
    String::from_utf8(bytes).map_err(|_| malformed())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn classify(method: &str, target: &str) -> Result<Route, Denied> {
        super::classify(&Method::from_bytes(method.as_bytes()).unwrap(), target)
    }

    #[track_caller]
    fn check(method: &str, target: &str, endpoint: Endpoint, name: &str, query: &str) {
        let route = classify(method, target).unwrap();
        assert_eq!(route.endpoint, endpoint);
        assert_eq!(route.name, name);
        assert_eq!(route.query.encode(), query);
    }

    #[track_caller]
    fn refused(method: &str, target: &str, word: &str) {
        let denied = classify(method, target).unwrap_err();
        assert!(
            denied.message.contains(word),
            "{target}: {}",
            denied.message
        );
    }

    #[test]
    fn what_clients_ask_for_is_found() {
        check("HEAD", "/_ping", Endpoint::Ping, "", "");
        check(
            "GET",
            "/v1.41/containers/json?all=True",
            Endpoint::ContainerList,
            "",
            "?all=1",
        );
        check(
            "POST",
            "/v1.41/containers/abc/start",
            Endpoint::Container("start"),
            "abc",
            "",
        );
        let app = "harbor.example.com/test/app";
        check(
            "POST",
            &format!("/v1.41/images/{app}/push?tag=v1"),
            Endpoint::ImagePush,
            app,
            "?tag=v1",
        );
        check(
            "DELETE",
            &format!("/images/{app}:v1"),
            Endpoint::ImageDelete,
            &format!("{app}:v1"),
            "",
        );
        check(
            "GET",
            "/v1.41/images/json/json",
            Endpoint::ImageInspect,
            "json",
            "",
        );
        check("POST", "/build?t=a&t=b", Endpoint::Build, "", "?t=a&t=b");
        check("GET", "/networks", Endpoint::NetworkList, "", "");
    }

    #[test]
    fn percent_signs_are_decoded_once() {
        check(
            "POST",
            "/v1.41/%63ontainers/abc/s%74art",
            Endpoint::Container("start"),
            "abc",
            "",
        );
        refused("POST", "/v1.41/containers/a%2562c/start", "not open");
        refused("GET", "/v1.41/containers/%2e%2e/json", "not open");
        assert_eq!(classify("GET", "/%zz").unwrap_err().status, 400);
    }

    #[test]
    fn the_first_of_two_equal_names_counts() {
        let all = "/containers/create?name=a&n%61me=b";
        check("POST", all, Endpoint::ContainerCreate, "", "?name=a");
    }

    #[test]
    fn what_is_not_listed_is_refused_by_name() {
        for (method, target) in [
            ("POST", "/v1.41/swarm/init"),
            ("POST", "/v1.41/commit?container=x"),
            ("POST", "/v1.41/images/load"),
            ("GET", "/v1.41/images/get?names=x"),
            ("GET", "/v1.41/plugins"),
            ("GET", "/v1.41/distribution/x/json"),
            ("POST", "/v1.41/containers/prune"),
            ("POST", "/v1.41/containers/x/update"),
            ("GET", "/v1.41/containers/x/export"),
            ("GET", "/v1.41/containers/x/attach/ws"),
            ("GET", "/v1.41/system/df"),
            ("DELETE", "/v1.41/images/"),
            ("GET", "//v1.41/info"),
            ("PATCH", "/info"),
        ] {
            refused(method, target, "is not open to jobs");
        }
    }

    #[test]
    fn versions_that_take_a_host_config_at_start_are_refused() {
        for version in ["v1.12", "v1.22", "v1.23", "v1.60", "v2.0", "v1.041", "v1"] {
            refused(
                "POST",
                &format!("/{version}/containers/x/start"),
                "API version",
            );
        }
    }

    #[test]
    fn dangerous_parameters_are_refused_by_name() {
        refused("POST", "/images/create?fromSrc=http://x/y.tar", "fromSrc");
        refused("POST", "/build?cgroupparent=/x", "cgroupparent");
        refused(
            "POST",
            "/build?securityopt=apparmor:unconfined",
            "securityopt",
        );
        refused("GET", "/containers/x/top?ps_args=-o%20pid=PID", "ps_args");
        refused("GET", "/info?anything=1", "anything");
    }
}
