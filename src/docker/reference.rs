//! Image references: what an author may write, and which globs an admin allows. Pure.

/// An image reference that Docker's own grammar accepts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reference(String);

/// Why a text is not an image reference.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not the name of an image: {why}")]
pub struct BadReference {
    text: String,
    why: &'static str,
}

impl Reference {
    /// Reads `[host[:port]/]path[:tag][@digest]`; a name without tag means `:latest`.
    pub fn parse(text: &str) -> Result<Self, BadReference> {
        let refuse = |why| {
            Err(BadReference {
                text: crate::policy::printable(text),
                why,
            })
        };
        if text.is_empty() {
            return refuse("it is empty");
        }
        if text.len() > 512 {
            return refuse("it is too long");
        }
        let is_allowed = |c: char| c.is_ascii_alphanumeric() || "._-:/@+".contains(c);
        if !text.chars().all(is_allowed) {
            return refuse("only letters, digits and . _ - : / @ may be in it");
        }
        if !text.starts_with(|c: char| c.is_ascii_alphanumeric()) {
            return refuse("it begins with neither a letter nor a digit");
        }
        let path = path(text);
        let repository = path.split('/').skip(usize::from(has_host(path)));
        if repository
            .flat_map(str::chars)
            .any(|c| c.is_ascii_uppercase())
        {
            return refuse("a repository is in lower case");
        }
        let is_bare_id = text.starts_with("sha256:");
        let has_tag = text.len() > path.len() || is_bare_id;
        Ok(Self(if has_tag {
            text.to_owned()
        } else {
            format!("{text}:latest")
        }))
    }

    /// The full name, with tag or digest.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The names under which a service of this image is found: with `/` as `__` and as `-`.
    pub fn aliases(&self) -> Vec<String> {
        let path = path(&self.0);
        let path = match path.split_once('/') {
            Some((host, rest)) => {
                format!("{}/{rest}", host.split(':').next().unwrap_or_default())
            }
            None => path.to_owned(),
        };
        let mut names = vec![path.replace('/', "__"), path.replace('/', "-")];
        names.dedup();
        names
    }
}

/// The reference without tag and digest.
fn path(text: &str) -> &str {
    let name = text.split('@').next().unwrap_or_default();
    match name.rsplit_once(':') {
        // A colon before the last slash belongs to the registry's port.
        Some((path, tag)) if !tag.contains('/') => path,
        _ => name,
    }
}

fn has_host(path: &str) -> bool {
    path.split_once('/')
        .is_some_and(|(host, _)| host.contains(['.', ':']) || host == "localhost")
}

/// True when one of the admin's globs covers the image. `*` matches within a name, `**` across `/`,
/// and a lone `*` everything; a glob without a tag covers all tags.
pub fn is_allowed(globs: &[String], image: &Reference) -> bool {
    let full = image.as_str();
    globs
        .iter()
        .any(|glob| glob == "*" || matches(glob, full) || matches(glob, path(full)))
}

fn matches(glob: &str, text: &str) -> bool {
    match glob.find('*') {
        None => glob == text,
        Some(at) => {
            let Some(rest) = text.strip_prefix(&glob[..at]) else {
                return false;
            };
            let crosses = glob[at..].starts_with("**");
            let tail = glob[at..].trim_start_matches('*');
            let reach = if crosses {
                rest.len()
            } else {
                rest.find('/').unwrap_or(rest.len())
            };
            (0..=reach).any(|end| rest.is_char_boundary(end) && matches(tail, &rest[end..]))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, full: &str) {
        assert_eq!(Reference::parse(text).unwrap().as_str(), full);
    }

    #[test]
    fn a_name_without_a_tag_means_latest() {
        check("alpine", "alpine:latest");
        check("h.example.com:5000/a/b", "h.example.com:5000/a/b:latest");
        check("alpine:3", "alpine:3");
        let digest = format!("a/b@sha256:{}", "0".repeat(64));
        check(&digest, &digest);
    }

    #[test]
    fn names_that_an_engine_would_take_for_something_else_are_refused() {
        for text in [
            "",
            "-v/:/h",
            "a b",
            "a\nb",
            "../x",
            "Alpine",
            "h.com/Up/x",
            "a?tag=b",
            "a$(x)",
        ] {
            assert!(Reference::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_service_is_found_under_both_derived_names() {
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

    #[test]
    fn globs_cover_tags_and_one_level_of_names() {
        let allowed = |glob: &str, text: &str| {
            is_allowed(&[glob.to_owned()], &Reference::parse(text).unwrap())
        };
        assert!(allowed("*", "h.example.com/a/b:1"));
        assert!(allowed("alpine", "alpine:3"));
        assert!(allowed("h.example.com/*/b", "h.example.com/a/b:1"));
        assert!(!allowed("h.example.com/*", "h.example.com/a/b:1"));
        assert!(allowed("h.example.com/**", "h.example.com/a/b:1"));
        assert!(!allowed("alpine", "evil/alpine"));
    }
}
