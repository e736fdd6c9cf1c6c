//! Compose files that come with a release: where each goes on a host, and what they become there. Pure.

use std::fmt::Write;

use sha2::{Digest, Sha256};

use super::{
    pin::{self, Line},
    project::Project,
    refers,
};
use crate::rollout::port::{ComposeFile, Release};

/// The files of one release.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Composed {
    pub(super) reference: String,
    /// The repository that its service may name, without tag.
    pub(super) image: String,
    pub(super) files: Vec<ComposeFile>,
}

impl Composed {
    /// `None` without any: the hosts' own are used.
    pub fn new(release: &Release, files: Vec<ComposeFile>) -> Option<Self> {
        (!files.is_empty()).then(|| Self {
            reference: release.reference(),
            image: release.image.clone(),
            files,
        })
    }

    pub(super) fn texts(&self) -> Vec<&str> {
        self.files.iter().map(|file| file.text.as_str()).collect()
    }

    /// As people call them.
    pub(super) fn names(&self) -> String {
        let names: Vec<_> = self.files.iter().map(|file| file.path.as_str()).collect();
        names.join(" and ")
    }

    /// The compose files that these take in and that do not come with the release: the host's would be read.
    pub(super) fn taken_in(&self) -> Vec<String> {
        let comes = |path: &String| self.files.iter().any(|file| file.name() == name_of(path));
        let texts = self.files.iter();
        let all = texts.flat_map(|file| refers::taken_in(&file.text));
        all.filter(|path| !comes(path)).collect()
    }

    pub(super) fn env_files(&self) -> Vec<String> {
        let texts = self.files.iter();
        texts
            .flat_map(|file| refers::env_files(&file.text))
            .collect()
    }

    /// The texts with the release in its line.
    pub(super) fn pinned(&self, at: usize, line: &Line) -> Vec<String> {
        let texts = self.texts().into_iter().enumerate();
        texts
            .map(|(index, text)| {
                if index == at {
                    pin::with_line(text, line)
                } else {
                    text.to_owned()
                }
            })
            .collect()
    }

    /// Where each file goes: in the place of its namesake, or of the one that is as far along the list, so
    /// that whoever names the files as before gets the release; else beside the first one.
    pub(super) fn places(&self, project: &Project) -> Vec<String> {
        let old = &project.files;
        let named = |name: &str| old.iter().position(|path| name_of(path) == name);
        let taken: Vec<_> = self.files.iter().map(|file| named(file.name())).collect();
        let folder = old.first().and_then(|path| path.rsplit_once('/'));
        let folder = folder.map_or(project.directory.trim_end_matches('/'), |(it, _)| it);
        let place = |(index, file): (usize, &ComposeFile)| {
            let free = (index < old.len() && !taken.contains(&Some(index))).then_some(index);
            match taken[index].or(free) {
                Some(at) => old[at].clone(),
                None => format!("{folder}/{}", file.name()),
            }
        };
        self.files.iter().enumerate().map(place).collect()
    }
}

fn name_of(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

/// As the script on the host says it.
pub(super) fn sum(text: &str) -> String {
    let hash = Sha256::digest(text.as_bytes());
    hash.iter().fold(String::new(), |mut sum, byte| {
        let _ = write!(sum, "{byte:02x}");
        sum
    })
}

/// True where an `image:` line may name the repository, whatever its variables hold.
pub(super) fn may_name(line: &str, repository: &str) -> bool {
    let pattern = without_variables(line);
    let last = pattern.rfind('/').map_or(0, |at| at + 1);
    let end = pattern[last..].find([':', '@']);
    let pattern = end.map_or(pattern.as_str(), |end| &pattern[..last + end]);
    let mut parts = pattern.split('\0');
    let first = parts.next();
    let Some(mut rest) = first.and_then(|first| repository.strip_prefix(first)) else {
        return false;
    };
    let parts: Vec<_> = parts.collect();
    let Some((last, middle)) = parts.split_last() else {
        return rest.is_empty();
    };
    for part in middle {
        match rest.split_once(part) {
            Some((_, after)) => rest = after,
            None => return false,
        }
    }
    rest.ends_with(last)
}

/// Each variable as one character that no name has.
fn without_variables(line: &str) -> String {
    let mut text = String::new();
    let mut rest = line;
    while let Some(at) = rest.find('$') {
        text.push_str(&rest[..at]);
        let after = &rest[at + 1..];
        let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
        let end = if after.starts_with('$') {
            text.push('$');
            1
        } else if after.starts_with('{') {
            text.push('\0');
            closing(after)
        } else {
            text.push('\0');
            after.find(|c| !is_name(c)).unwrap_or(after.len())
        };
        rest = &after[end..];
    }
    text.push_str(rest);
    text
}

/// Behind the brace that closes the first one.
fn closing(text: &str) -> usize {
    let mut depth = 0;
    for (at, c) in text.char_indices() {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return at + 1;
        }
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn composed(paths: &[&str]) -> Composed {
        let file = |path: &&str| ComposeFile {
            path: (*path).to_owned(),
            text: String::new(),
        };
        Composed {
            reference: String::new(),
            image: String::new(),
            files: paths.iter().map(file).collect(),
        }
    }

    #[track_caller]
    fn check_places(old: &[&str], new: &[&str], expect: &[&str]) {
        let project = Project {
            directory: "/srv/".into(),
            files: old.iter().map(|path| (*path).to_owned()).collect(),
            ..Project::default()
        };
        assert_eq!(composed(new).places(&project), expect);
    }

    #[test]
    fn files_go_where_whoever_names_the_old_ones_finds_them() {
        check_places(&["/srv/a.yml"], &["deploy/a.yml"], &["/srv/a.yml"]);
        check_places(&["/srv/compose.yaml"], &["d/a.yml"], &["/srv/compose.yaml"]);
        check_places(
            &["/etc/x/a.yml"],
            &["a.yml", "p/b.yml"],
            &["/etc/x/a.yml", "/etc/x/b.yml"],
        );
        check_places(&["/srv/a.yml", "/srv/b.yml"], &["b.yml"], &["/srv/b.yml"]);
        check_places(
            &["/srv/a.yml", "/srv/b.yml"],
            &["b.yml", "c.yml"],
            &["/srv/b.yml", "/srv/c.yml"],
        );
        check_places(
            &["/srv/a.yml", "/srv/a.override.yml"],
            &["a.yml", "prod.yml"],
            &["/srv/a.yml", "/srv/a.override.yml"],
        );
        check_places(&[], &["d/a.yml"], &["/srv/a.yml"]);
    }

    #[test]
    fn an_image_line_of_another_repository_is_told() {
        let ours = "h.example.com:8443/test/app";
        for line in [
            "h.example.com:8443/test/app",
            "h.example.com:8443/test/app:v1",
            "h.example.com:8443/test/app@sha256:01",
            "h.example.com:8443/test/app:${TAG:-a/b:c}",
            "${REGISTRY}/test/app:$TAG",
            "${REGISTRY:-h:1/${X}}/test/app",
            "$IMAGE",
            "h.example.com:8443/${GROUP}/app:1",
        ] {
            assert!(may_name(line, ours), "{line}");
        }
        for line in [
            "nginx",
            "h.example.com:8443/test/app2:v1",
            "h.example.com:8443/other/app",
            "${REGISTRY}/test/worker:v1",
            "test/app",
            "$$IMAGE",
            "${X}/test/app/${Y}x",
        ] {
            assert!(!may_name(line, ours), "{line}");
        }
    }

    #[test]
    fn the_release_stands_in_its_line() {
        let mut composed = composed(&["a.yml"]);
        composed.files[0].text = "services:\r\n  app:\r\n    restart: always".into();
        let (at, line) = pin::pin(&composed.texts(), "app", "h/app@sha256:1").unwrap();
        let texts = composed.pinned(at, &line);
        assert!(
            texts[0].starts_with("services:\r\n  app:\r\n    image: \"h/app@sha256:1\"")
                && texts[0].ends_with("\n    restart: always"),
            "{texts:?}"
        );
    }
}
