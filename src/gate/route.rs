//! Finds the row of a request, or refuses it by name.
//!
//! Pure. What comes out is decoded once, with known parameters only, ready to be written anew.

use hyper::Method;

use super::query::Query;
use super::refusal::Denied;
use super::table::{Kind, Row, TABLE};

/// Older versions take a `HostConfig` when a container starts; none of today's clients needs them.
pub(crate) const OLDEST_VERSION: u32 = 24;

/// A request that exists.
#[derive(Debug)]
pub(crate) struct Route {
    pub row: &'static Row,
    /// The minor number of `/v1.N`, if the client gave one.
    pub version: Option<u32>,
    /// The container, exec, image, network or volume that the path names.
    pub name: String,
    pub query: Query,
}

/// Finds the route of a request, from its method and its path with query.
pub(crate) fn find(method: &Method, target: &str) -> Result<Route, Denied> {
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let whole = decode(path)?;
    let (version, path) = split_version(&whole)?;
    let found = TABLE.iter().find_map(|row| {
        let name = row.name(path)?;
        (row.method == method.as_str()).then_some((row, name))
    });
    let (row, name) = found.ok_or_else(|| unknown(method, path, &whole))?;
    Ok(Route {
        row,
        version,
        name: name.to_owned(),
        query: known(row, &Query::parse(query))?,
    })
}

impl Route {
    /// The path for the engine, under the client's own version, with an id or a checked name in
    /// the place of the name that the client wrote.
    pub(crate) fn path_of(&self, subject: &str) -> String {
        let version = self.version.map(|minor| format!("/v1.{minor}"));
        format!(
            "{}{}",
            version.unwrap_or_default(),
            self.row.path_of(subject)
        )
    }
}

fn known(row: &Row, given: &Query) -> Result<Query, Denied> {
    let mut query = Query::default();
    for (name, value) in given.pairs() {
        let kind = row
            .parameters
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

/// `path` is without the version, `whole` with it.
fn unknown(method: &Method, path: &str, whole: &str) -> Denied {
    // `docker inspect` looks for a container of every name, also of one that only an image can have.
    let name = path.strip_prefix("/containers/");
    let name = name.and_then(|rest| rest.strip_suffix("/json"));
    let is_sound = |name: &&str| !name.split('/').any(|part| matches!(part, "" | "." | ".."));
    if let Some(name) = name.filter(is_sound)
        && method == Method::GET
    {
        return Denied::missing(format!("No such container: {name}"));
    }
    let shown: String = whole
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
    ("/images/search", "search in the registry's own pages"),
    ("/swarm", "swarm mode is the operator's"),
    ("/plugins", "plugins are the operator's"),
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

/// The version that a path begins with, and the rest of the path.
fn split_version(path: &str) -> Result<(Option<u32>, &str), Denied> {
    let first = path.strip_prefix("/v").unwrap_or_default();
    if !first.starts_with(|letter: char| letter.is_ascii_digit()) {
        return Ok((None, path));
    }
    let end = path[1..].find('/').map_or(path.len(), |at| at + 1);
    Ok((Some(version(&path[1..end])?), &path[end..]))
}

fn version(segment: &str) -> Result<u32, Denied> {
    let minor = segment
        .strip_prefix("v1.")
        .and_then(|minor| minor.parse().ok());
    // There is no newest one: the engine knows its own, and what is new in a request is judged anyway.
    minor.filter(|minor| *minor >= OLDEST_VERSION && segment == format!("v1.{minor}")).ok_or_else(|| {
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
