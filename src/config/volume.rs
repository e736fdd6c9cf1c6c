//! `volumes` of a docker lane: what containers see of this host, and what a slot keeps for its next job.
//!
//! Only the place in the container may name variables of the job: what a job says never chooses what it sees.

use std::path::{Component, Path, PathBuf};

use serde::Deserialize;

use super::word::from_text;

/// One entry, as GitLab writes it: `/host:/container[:ro]`, `name:/container[:ro]`, `/container`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Volume {
    pub source: Source,
    pub target: Target,
    /// As the engine reads them: `ro`, `z` and their like.
    pub options: Vec<String>,
}

impl Volume {
    /// Whether no job writes in it.
    pub(crate) fn is_read_only(&self) -> bool {
        self.options.iter().any(|option| option == "ro")
    }
}

/// What is mounted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// A folder or file of this host.
    Path(PathBuf),
    /// A volume of the engine's.
    Named(String),
    /// A volume of the slot's own.
    Slot,
}

/// An absolute path in a container; variables of the job may stand in it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(try_from = "String")]
pub struct Target(pub String);

from_text! {
    Volume: volume;
    Target: target;
}

fn volume(text: &str) -> Result<Volume, String> {
    let refuse = |why: &str| {
        format!(
            "`{text}` is no volume such as \"/srv/cache:/srv/cache:ro\", \"name:/data\" or \"/data\": {why}"
        )
    };
    let parts: Vec<&str> = text.split(':').collect();
    let (source, place, options) = match parts.as_slice() {
        [place] => (Source::Slot, *place, ""),
        [from, place] => (source(from).map_err(|why| refuse(&why))?, *place, ""),
        [from, place, options] => (source(from).map_err(|why| refuse(&why))?, *place, *options),
        _ => return Err(refuse("it has too many `:`")),
    };
    let options: Vec<String> = options
        .split(',')
        .filter(|it| !it.is_empty())
        .map(str::to_owned)
        .collect();
    if let Some(odd) = options
        .iter()
        .find(|it| !["ro", "rw", "z", "Z", "nocopy"].contains(&it.as_str()))
    {
        return Err(refuse(&format!(
            "the option `{odd}` is none of ro, rw, z, Z, nocopy"
        )));
    }
    let target = target(place).map_err(|why| refuse(&why))?;
    Ok(Volume {
        source,
        target,
        options,
    })
}

fn source(text: &str) -> Result<Source, String> {
    if text.contains('$') {
        return Err(
            "what is mounted names no variable, because the job would choose it".to_owned(),
        );
    }
    if text.starts_with('/') {
        let path = Path::new(text);
        let turns = path.components().any(|part| part == Component::ParentDir);
        return if turns {
            Err("its path turns back with `..`".to_owned())
        } else {
            Ok(Source::Path(path.components().collect()))
        };
    }
    let is_sign = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte);
    let is_name = text.len() > 1
        && text.bytes().all(is_sign)
        && text.starts_with(|first: char| first.is_ascii_alphanumeric());
    if !is_name {
        return Err("what is mounted is an absolute path or the name of a volume".to_owned());
    }
    if text.starts_with("dockmaster") {
        return Err("volumes of that name are slots of jobs".to_owned());
    }
    Ok(Source::Named(text.to_owned()))
}

/// Where no job's text decides: variables are put in later, and then it is judged again.
fn target(text: &str) -> Result<Target, String> {
    if !text.starts_with('/') {
        return Err(format!(
            "the place `{text}` in the container is no absolute path"
        ));
    }
    if text.contains('$') {
        return Ok(Target(text.to_owned()));
    }
    sound_target(text).map(Target)
}

/// The path without empty parts, if containers may have something there.
pub(crate) fn sound_target(text: &str) -> Result<String, String> {
    let parts: Vec<&str> = text
        .split('/')
        .filter(|part| !matches!(*part, "" | "."))
        .collect();
    let is_sound = !parts.contains(&"..") && !text.contains([':', '\0', '\n', ',']);
    if !text.starts_with('/') || !is_sound {
        return Err(format!("`{text}` is no place in a container"));
    }
    let path = format!("/{}", parts.join("/"));
    let is_closed = [
        "/proc",
        "/sys",
        "/dev",
        "/run/docker.sock",
        "/var/run/docker.sock",
        "/run",
        "/var/run",
        "/var",
    ];
    match path.as_str() {
        "/" => Err("the root of a container is its image's".to_owned()),
        "/dev/shm" => Ok(path),
        closed if is_closed.contains(&closed) => Err(format!(
            "`{closed}` of a container is the engine's or the gate's"
        )),
        inside
            if ["/proc/", "/sys/", "/dev/"]
                .iter()
                .any(|closed| inside.starts_with(closed)) =>
        {
            Err(format!("`{inside}` is the kernel's"))
        }
        _ => Ok(path),
    }
}
