//! `policy.refs`: the refs that may deploy. Each must be protected, whatever is written: a pattern narrows and
//! never widens.

use std::fmt;

use serde::{Deserialize, Deserializer, de};

/// What a ref is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RefKind {
    Tag,
    Branch,
}

impl RefKind {
    /// Reads GitLab's `ref_type`.
    pub fn parse(ref_type: &str) -> Option<Self> {
        match ref_type {
            "tag" => Some(Self::Tag),
            "branch" => Some(Self::Branch),
            _ => None,
        }
    }
}

/// One line of the list: protected refs of a kind, all of them or those that match.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefRule {
    pub kind: RefKind,
    /// `*` stands for any characters, `/` too, as in GitLab's protected tags and branches.
    pattern: Option<String>,
}

impl RefRule {
    /// Whether a ref of this kind is meant.
    pub fn names(&self, reference: &str) -> bool {
        let Some(pattern) = &self.pattern else {
            return true;
        };
        matches(pattern, reference)
    }

    fn parse(text: &str) -> Option<Self> {
        let (kind, pattern) = match text.split_once(':') {
            None if text == "protected-tags" => (RefKind::Tag, None),
            None if text == "protected-branches" => (RefKind::Branch, None),
            Some(("tags", pattern)) => (RefKind::Tag, Some(pattern)),
            Some(("branches", pattern)) => (RefKind::Branch, Some(pattern)),
            _ => return None,
        };
        let is_plain = |text: &str| {
            !text.is_empty() && text.trim() == text && !text.contains(char::is_control)
        };
        if !pattern.is_none_or(is_plain) {
            return None;
        }
        let pattern = pattern.map(str::to_owned);
        Some(Self { kind, pattern })
    }
}

impl fmt::Display for RefRule {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.kind {
            RefKind::Tag => "tags",
            RefKind::Branch => "branches",
        };
        match &self.pattern {
            None => write!(out, "protected {kind}"),
            Some(pattern) => write!(out, "protected {kind} `{pattern}`"),
        }
    }
}

/// All that may deploy: one rule of the list is enough.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refs(Vec<RefRule>);

impl Refs {
    pub fn rules(&self) -> &[RefRule] {
        &self.0
    }
}

impl Default for Refs {
    fn default() -> Self {
        Self(vec![RefRule {
            kind: RefKind::Tag,
            pattern: None,
        }])
    }
}

impl fmt::Display for Refs {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rules: Vec<_> = self.0.iter().map(ToString::to_string).collect();
        out.write_str(&rules.join(" or "))
    }
}

impl<'de> Deserialize<'de> for Refs {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Written)
    }
}

/// A rule, or a list of them.
struct Written;

impl<'de> de::Visitor<'de> for Written {
    type Value = Refs;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("\"protected-tags\", \"protected-branches\", \"tags:PATTERN\", \"branches:PATTERN\", or a list of them")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Refs, E> {
        rule(text).map(|rule| Refs(vec![rule]))
    }

    fn visit_seq<A: de::SeqAccess<'de>>(self, mut list: A) -> Result<Refs, A::Error> {
        let mut rules = Vec::new();
        while let Some(text) = list.next_element::<String>()? {
            rules.push(rule(&text)?);
        }
        if rules.is_empty() {
            return Err(de::Error::custom(
                "a list of refs needs one: nobody could deploy",
            ));
        }
        Ok(Refs(rules))
    }
}

fn rule<E: de::Error>(text: &str) -> Result<RefRule, E> {
    RefRule::parse(text).ok_or_else(|| {
        E::custom(format!(
            "`{text}` names no refs: \"protected-tags\", \"protected-branches\", \"tags:v*\" and \"branches:release/*\" do"
        ))
    })
}

/// GitLab's own way: `*` is any number of any characters, and nothing else stands for anything but itself.
fn matches(pattern: &str, name: &str) -> bool {
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = name.strip_prefix(first) else {
        return false;
    };
    let Some(last) = parts.next_back() else {
        return rest.is_empty();
    };
    for part in parts {
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(written: &str) -> Result<Refs, String> {
        #[derive(Deserialize)]
        struct File {
            refs: Refs,
        }
        let file: Result<File, _> = toml::from_str(&format!("refs = {written}"));
        file.map(|file| file.refs)
            .map_err(|error| error.to_string())
    }

    #[test]
    fn a_word_or_a_list_of_them_is_read() {
        assert_eq!(read("\"protected-tags\"").unwrap(), Refs::default());
        let refs = read(r#"["protected-branches", "tags:v*"]"#).unwrap();
        assert_eq!(
            refs.to_string(),
            "protected branches or protected tags `v*`"
        );
    }

    #[test]
    fn anything_else_is_named_with_what_there_is() {
        for written in [
            r#""protected""#,
            r#""tags""#,
            r#""tags:""#,
            r#""tags: v*""#,
            r#""branch:main""#,
            r#"["tags:v*", "*"]"#,
        ] {
            let text = read(written).unwrap_err();
            assert!(text.contains("names no refs"), "{written}: {text}");
        }
        assert!(read("[]").unwrap_err().contains("nobody could deploy"));
        assert!(read("true").unwrap_err().contains("or a list of them"));
    }

    #[track_caller]
    fn check(pattern: &str, yes: &[&str], no: &[&str]) {
        for (names, expect) in [(yes, true), (no, false)] {
            for name in names {
                assert_eq!(matches(pattern, name), expect, "{pattern} and {name}");
            }
        }
    }

    #[test]
    fn patterns_are_those_of_gitlab_s_protected_refs() {
        check("main", &["main"], &["main2", "a/main", "Main", "mai", ""]);
        check(
            "release/*",
            &["release/1", "release/a/b", "release/"],
            &["release", "my-release/1"],
        );
        check("*-stable", &["14-stable", "-stable"], &["14-stable-2"]);
        check("v*.*", &["v1.0", "v.", "v1.2.3"], &["v1", "1.0"]);
        check("*", &["anything/at all", ""], &[]);
        check("a*ab", &["aab", "axab"], &["ab", "aabb"]);
        check("v?.[0]+", &["v?.[0]+"], &["v1.0", "v1.00"]);
        check("发布/*", &["发布/一"], &["发/一"]);
    }
}
