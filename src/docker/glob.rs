//! Which images the admin's globs cover. Pure.

use super::reference::{Reference, complete};

impl Reference {
    /// True when one of the admin's globs covers the image.
    ///
    /// A glob is completed as a name is: `alpine` covers `docker.io/library/alpine`, with every tag.
    /// `*` stays within one part of a name and `**` crosses `/`; `*` alone covers everything, and a
    /// glob that begins with `**` covers every registry. A tag beside a digest counts for nothing.
    pub(crate) fn is_allowed(&self, globs: &[String]) -> bool {
        let exact = self.exact();
        globs.iter().any(|glob| {
            let full = complete(glob);
            glob == "*"
                || glob == &self.written
                || matches(&full, &self.repository)
                || matches(&full, &exact)
        })
    }
}

pub(crate) fn matches(glob: &str, text: &str) -> bool {
    let Some((before, after)) = glob.split_once('*') else {
        return glob == text;
    };
    let Some(rest) = text.strip_prefix(before) else {
        return false;
    };
    let tail = after.trim_start_matches('*');
    let reach = match (after.starts_with('*'), rest.find('/')) {
        (false, Some(slash)) => slash,
        _ => rest.len(),
    };
    (0..=reach).any(|end| rest.is_char_boundary(end) && matches(tail, &rest[end..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allows(glob: &str, text: &str) -> bool {
        Reference::parse_or_id(text)
            .unwrap()
            .is_allowed(&[glob.to_owned()])
    }

    #[test]
    fn a_glob_covers_an_image_under_each_of_its_names() {
        for glob in ["alpine", "library/alpine", "docker.io/alpine", "alpin*"] {
            for text in ["alpine:3", "docker.io/library/alpine", "docker.io/alpine:3"] {
                assert!(allows(glob, text), "{glob} {text}");
            }
            for text in ["evil/alpine", "h.example.com/alpine", "alpine2/x"] {
                assert!(!allows(glob, text), "{glob} {text}");
            }
        }
        assert!(allows("team/*", "docker.io/team/app"));
        assert!(!allows("team/*", "h.example.com/team/app"));
        assert!(!allows("*/app", "h.example.com/app"));
        assert!(allows("docker.io/**", "alpine"));
        assert!(!allows("docker.io/**", "h.example.com/alpine"));
    }

    #[test]
    fn stars_cover_one_part_or_many() {
        assert!(allows("*", "h.example.com/a/b:1"));
        assert!(allows("**", "h.example.com/a/b:1"));
        assert!(allows("**/alpine", "h.example.com/a/alpine"));
        assert!(allows("h.example.com/*/b", "h.example.com/a/b:1"));
        assert!(!allows("h.example.com/*", "h.example.com/a/b:1"));
        assert!(allows("h.example.com/**", "h.example.com/a/b:1"));
        assert!(allows("h.example.com:5000/*:*", "h.example.com:5000/a:1"));
    }

    #[test]
    fn a_tag_in_a_glob_counts_and_a_digest_overrules_the_tag_beside_it() {
        assert!(allows("alpine:3*", "alpine:3.20"));
        assert!(!allows("alpine:3*", "alpine"));
        assert!(allows("alpine:latest", "alpine"));
        let digest = format!("sha256:{}", "0".repeat(64));
        assert!(!allows("alpine:3", &format!("alpine:3@{digest}")));
        assert!(allows("alpine", &format!("alpine:3@{digest}")));
        assert!(allows(
            &format!("alpine@{digest}"),
            &format!("alpine:3@{digest}")
        ));
    }

    #[test]
    fn an_id_is_covered_by_itself_and_by_everything_only() {
        let id = format!("sha256:{}", "0".repeat(64));
        assert!(allows("*", &id));
        assert!(allows(&id, &id));
        for glob in ["library/*", "docker.io/**", "sha256", "sha256:*"] {
            assert!(!allows(glob, &id), "{glob}");
        }
    }
}
