//! Names of images: what may be written, and which names mean the same image. Pure.
//!
//! `alpine` is `docker.io/library/alpine:latest`. Names and globs are compared in that full form.

use crate::failure::{Failure, JobCode};

/// The name of an image, as Docker's own grammar accepts it: `[registry/]path[:tag][@digest]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Reference {
    pub(crate) written: String,
    /// With its registry: `docker.io/library/alpine`, `harbor.example.com/test/app`.
    pub(crate) repository: String,
    pub(crate) tag: Option<String>,
    pub(crate) digest: Option<String>,
}

/// Why a text is not the name of an image.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not the name of an image: {why}")]
pub struct BadReference {
    text: String,
    why: &'static str,
}

/// For a name that a job gives. The lane's own names are the host's: the recipe says so.
impl From<BadReference> for Failure {
    fn from(error: BadReference) -> Self {
        Self::build(JobCode::Malformed, error)
    }
}

impl Reference {
    /// Reads a name as authors and clients write it.
    pub(crate) fn parse(text: &str) -> Result<Self, BadReference> {
        let (name, tag, digest) = split(text);
        let why = if is_id(text) && text.contains(':') {
            "it is the id of one"
        } else if let Some(why) = fault_of_name(name) {
            why
        } else if !tag.is_none_or(is_tag) {
            "the tag is malformed"
        } else if !digest.is_none_or(is_digest) {
            "the digest is malformed"
        } else {
            return Ok(Self {
                written: text.to_owned(),
                repository: complete(name),
                tag: tag.map(str::to_owned),
                digest: digest.map(str::to_owned),
            });
        };
        let text = crate::policy::printable(text);
        Err(BadReference { text, why })
    }

    /// Reads what an author may write behind `image:`: the id of a local image too.
    pub(crate) fn parse_or_id(text: &str) -> Result<Self, BadReference> {
        if !is_id(text) || !text.contains(':') {
            return Self::parse(text);
        }
        Ok(Self {
            written: text.to_owned(),
            repository: text.to_owned(),
            tag: None,
            digest: Some(text.to_owned()),
        })
    }

    /// The name as it was written, with the tag that it means.
    pub(crate) fn text(&self) -> String {
        match (&self.tag, &self.digest) {
            (None, None) => format!("{}:latest", self.written),
            _ => self.written.clone(),
        }
    }

    /// Registry, path and tag, with `latest` where none was given.
    pub(crate) fn tagged(&self) -> String {
        let tag = self.tag.as_deref().unwrap_or("latest");
        format!("{}:{tag}", self.repository)
    }

    /// Registry, path, and the digest or the tag: what the name means to an engine.
    pub(crate) fn exact(&self) -> String {
        match &self.digest {
            Some(digest) => format!("{}@{digest}", self.repository),
            None => self.tagged(),
        }
    }

    /// The name as people write it: without the registry and folder that everyone leaves out.
    pub(crate) fn familiar(&self) -> &str {
        let full = self.repository.as_str();
        let short = full.strip_prefix(HUB).unwrap_or(full);
        short.strip_prefix(OFFICIAL).unwrap_or(short)
    }

    /// The registry as it was written; `None` means Docker Hub.
    pub(crate) fn registry(&self) -> Option<&str> {
        let (first, _) = self.written.split_once('/')?;
        is_registry(first).then_some(first)
    }

    /// The names of a service of this image, from the name as it was written: `/` is `__` or `-`.
    pub(crate) fn aliases(&self) -> Vec<String> {
        let (name, _, _) = split(&self.written);
        let path = match name.split_once('/') {
            Some((host, rest)) => format!("{}/{rest}", host.split(':').next().unwrap_or_default()),
            None => name.to_owned(),
        };
        let mut names = vec![path.replace('/', "__"), path.replace('/', "-")];
        names.dedup();
        names
    }
}

const HUB: &str = "docker.io/";
const OFFICIAL: &str = "library/";

/// True when the text can only be an image id, or the beginning of one.
pub(crate) fn is_id(text: &str) -> bool {
    let hex = text.strip_prefix("sha256:").unwrap_or(text);
    !hex.is_empty() && hex.len() <= 64 && hex.bytes().all(is_hex)
}

/// Name, tag, digest.
fn split(text: &str) -> (&str, Option<&str>, Option<&str>) {
    let (rest, digest) = match text.split_once('@') {
        Some((rest, digest)) => (rest, Some(digest)),
        None => (text, None),
    };
    match rest.rsplit_once(':') {
        // A colon before the last slash belongs to the registry's port.
        Some((name, tag)) if !tag.contains('/') => (name, Some(tag), digest),
        _ => (rest, None, digest),
    }
}

/// A name or a glob with the registry and the folder that it means.
pub(super) fn complete(name: &str) -> String {
    let (registry, path) = match name.split_once('/') {
        Some((first, path)) if is_registry(first) => (first, path),
        _ if name.starts_with("**") => return name.to_owned(),
        _ => ("docker.io", name),
    };
    match registry {
        "docker.io" | "index.docker.io" if path.contains('/') || path.starts_with("**") => {
            format!("{HUB}{path}")
        }
        "docker.io" | "index.docker.io" => format!("{HUB}{OFFICIAL}{path}"),
        _ => format!("{registry}/{path}"),
    }
}

/// True for the first part of a name that is a registry, and not a folder on Docker Hub.
fn is_registry(text: &str) -> bool {
    text.contains(['.', ':']) || text == "localhost"
}

fn fault_of_name(name: &str) -> Option<&'static str> {
    let (registry, path) = match name.split_once('/') {
        Some((first, path)) if is_registry(first) => (Some(first), path),
        _ => (None, name),
    };
    if name.is_empty() {
        Some("it is empty")
    } else if name.len() > 255 {
        Some("it is too long")
    } else if !registry.is_none_or(is_host) {
        Some("the registry is malformed")
    } else if path.bytes().any(|byte| byte.is_ascii_uppercase()) {
        Some("a repository is in lower case")
    } else if path.split('/').all(is_component) {
        None
    } else {
        Some("a repository is made of letters, digits and . _ - between slashes")
    }
}

fn is_host(text: &str) -> bool {
    let (host, port) = text.rsplit_once(':').unwrap_or((text, "0"));
    let is_label = |label: &str| {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
        label.bytes().all(plain) && !label.is_empty() && !label.starts_with('-')
    };
    host.split('.').all(is_label) && port.bytes().all(|byte| byte.is_ascii_digit())
}

fn is_component(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let edges = [text.bytes().next(), text.bytes().next_back()];
    edges.iter().all(|edge| edge.is_some_and(plain))
        && text
            .bytes()
            .all(|byte| plain(byte) || b"._-".contains(&byte))
        && !text.contains("..")
}

fn is_tag(text: &str) -> bool {
    let word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    text.len() <= 128
        && text.bytes().next().is_some_and(word)
        && text.bytes().all(|byte| word(byte) || b".-".contains(&byte))
}

pub(crate) fn is_digest(text: &str) -> bool {
    text.strip_prefix("sha256:")
        .is_some_and(|hex| hex.len() == 64 && hex.bytes().all(is_hex))
}

fn is_hex(byte: u8) -> bool {
    byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, full: &str) {
        assert_eq!(Reference::parse(text).unwrap().tagged(), full);
    }

    #[test]
    fn names_that_mean_the_same_image_are_equal() {
        let alpine = "docker.io/library/alpine:latest";
        for text in [
            "alpine",
            "library/alpine:latest",
            "docker.io/alpine",
            "index.docker.io/library/alpine",
        ] {
            check(text, alpine);
        }
        check("team/app:v1", "docker.io/team/app:v1");
        check("127.0.0.1:5000/app", "127.0.0.1:5000/app:latest");
        check("h.example.com/a/b:v1", "h.example.com/a/b:v1");
    }

    #[test]
    fn the_engine_is_given_the_name_as_written_and_a_tag() {
        let text = |text: &str| Reference::parse_or_id(text).unwrap().text();
        assert_eq!(text("alpine"), "alpine:latest");
        assert_eq!(text("h.example.com:5000/a"), "h.example.com:5000/a:latest");
        for whole in [
            "alpine:3".to_owned(),
            format!("a/b@sha256:{}", "0".repeat(64)),
            format!("sha256:{}", "0".repeat(64)),
        ] {
            assert_eq!(text(&whole), whole);
        }
    }

    #[test]
    fn names_that_an_engine_would_take_for_something_else_are_refused() {
        for text in [
            "",
            "-v/:/h",
            "a b",
            "a\nb",
            "/etc",
            "../x",
            "a/../b",
            "Alpine",
            "A/b",
            "h.com/Up/x",
            "a?tag=b",
            "a$(x)",
            "a:b:c d",
            "a//b",
            "a@sha256:1",
            "sha256:abc",
        ] {
            assert!(Reference::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_service_is_found_under_both_names_that_derive_from_what_is_written() {
        let aliases = |text: &str| Reference::parse(text).unwrap().aliases();
        assert_eq!(aliases("postgres:16"), ["postgres"]);
        assert_eq!(
            aliases("registry.example.com:4999/valkey/valkey:8"),
            [
                "registry.example.com__valkey__valkey",
                "registry.example.com-valkey-valkey"
            ]
        );
    }
}
