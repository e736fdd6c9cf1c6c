//! Names of images, in the one form that compares: what a client writes as `alpine` is
//! `docker.io/library/alpine:latest`.
//!
//! Knows no daemon and no policy.

/// A parsed image name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Reference {
    /// With its registry: `docker.io/library/alpine`, `harbor.example.com/test/app`.
    pub repository: String,
    pub tag: Option<String>,
    pub digest: Option<String>,
}

impl Reference {
    /// Reads a name as clients write it; `None` if the engine would not take it either.
    pub fn parse(text: &str) -> Option<Self> {
        let (rest, digest) = match text.split_once('@') {
            Some((rest, digest)) => (rest, Some(digest)),
            None => (text, None),
        };
        let (name, tag) = match rest.rsplit_once(':') {
            Some((name, tag)) if !tag.contains('/') => (name, Some(tag)),
            Some(_) | None => (rest, None),
        };
        if !tag.is_none_or(is_tag) || !digest.is_none_or(is_digest) {
            return None;
        }
        Some(Self {
            repository: repository(name)?,
            tag: tag.map(str::to_owned),
            digest: digest.map(str::to_owned),
        })
    }

    /// Registry, path and tag, with `latest` where none was given.
    pub fn tagged(&self) -> String {
        format!(
            "{}:{}",
            self.repository,
            self.tag.as_deref().unwrap_or("latest")
        )
    }

    /// The name as people write it: without the registry and folder that everyone leaves out.
    pub fn familiar(&self) -> &str {
        let short = self
            .repository
            .strip_prefix("docker.io/")
            .unwrap_or(&self.repository);
        short.strip_prefix("library/").unwrap_or(short)
    }
}

/// Whether the text can only be an image id, or the beginning of one.
pub fn is_id(text: &str) -> bool {
    let hex = text.strip_prefix("sha256:").unwrap_or(text);
    !hex.is_empty() && hex.len() <= 64 && hex.bytes().all(is_hex)
}

fn repository(name: &str) -> Option<String> {
    let (registry, path) = match name.split_once('/') {
        Some((first, path)) if is_registry(first) => (first, path.to_owned()),
        Some(_) => ("docker.io", name.to_owned()),
        None => ("docker.io", format!("library/{name}")),
    };
    let registry = if registry == "index.docker.io" {
        "docker.io"
    } else {
        registry
    };
    let path = match path.split_once('/') {
        None if registry == "docker.io" => format!("library/{path}"),
        Some(_) | None => path,
    };
    let whole = path.split('/').all(is_component) && name.len() <= 255;
    whole.then(|| format!("{registry}/{path}"))
}

fn is_registry(text: &str) -> bool {
    let marked = text.contains('.') || text.contains(':') || text == "localhost";
    let (host, port) = text.rsplit_once(':').unwrap_or((text, "0"));
    let sound = host.split('.').all(|label| {
        let letters = label
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
        letters && !label.is_empty() && !label.starts_with('-')
    });
    marked && sound && port.bytes().all(|byte| byte.is_ascii_digit())
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

fn is_digest(text: &str) -> bool {
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
    fn check(input: &str, expect: Option<&str>) {
        assert_eq!(
            Reference::parse(input).map(|name| name.tagged()).as_deref(),
            expect,
            "{input}"
        );
    }

    #[test]
    fn names_that_mean_the_same_image_are_equal() {
        check("alpine", Some("docker.io/library/alpine:latest"));
        check(
            "library/alpine:latest",
            Some("docker.io/library/alpine:latest"),
        );
        check("docker.io/alpine", Some("docker.io/library/alpine:latest"));
        check(
            "index.docker.io/library/alpine",
            Some("docker.io/library/alpine:latest"),
        );
        check("team/app:v1", Some("docker.io/team/app:v1"));
        check("127.0.0.1:5000/app", Some("127.0.0.1:5000/app:latest"));
        check(
            "harbor.example.com/test/app:v1",
            Some("harbor.example.com/test/app:v1"),
        );
    }

    #[test]
    fn names_that_are_paths_or_options_are_refused() {
        for text in [
            "",
            "/etc",
            "../x",
            "a/../b",
            "A/b",
            "-v/:/h",
            "a:b:c d",
            "a//b",
            "a@sha256:1",
        ] {
            check(text, None);
        }
    }
}
