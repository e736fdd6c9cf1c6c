//! Files of a commit, out of git objects that a job hands over. GitLab names the commit, and each object is
//! believed for its own hash alone: so a job can hand over what the commit's id says, or nothing. Pure.

use std::collections::HashMap;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::{
    failure::{Failure, JobCode},
    rollout::port::ComposeFile,
};

/// The largest file that is taken: what a host's script reads, too.
pub(super) const FILE_LIMIT: usize = 1 << 20;

/// A git object as it is sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Object {
    /// `commit`, `tree` or `blob`.
    pub(super) kind: String,
    /// Its content, in base64.
    pub(super) body: String,
}

/// Why a file of the commit cannot be had.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum CommitError {
    #[error(
        "the job did not hand over {what} of commit {commit}; try: run `dockmaster deploy` in the checkout, and leave its .git as it is"
    )]
    NotHanded { what: String, commit: String },
    #[error("{path} (compose.file of environments/{environment}.toml) is not in commit {commit}")]
    NotThere {
        path: String,
        environment: String,
        commit: String,
    },
    #[error("{path} of commit {commit} is {what}, and compose.file has to name a regular file")]
    NotAFile {
        path: String,
        commit: String,
        what: &'static str,
    },
    #[error("{path} of commit {commit} is no text in UTF-8 of at most a megabyte")]
    NotText { path: String, commit: String },
    #[error("an object of commit {commit} was made to have another one's hash")]
    Collision { commit: String },
}

impl From<CommitError> for Failure {
    fn from(error: CommitError) -> Self {
        match error {
            CommitError::NotHanded { .. }
            | CommitError::NotThere { .. }
            | CommitError::NotAFile { .. }
            | CommitError::NotText { .. } => Self::build(JobCode::Malformed, error),
            CommitError::Collision { .. } => Self::build(JobCode::Refused, error),
        }
    }
}

/// What is wanted of which commit.
pub(super) struct Wanted<'a> {
    /// In hexadecimal digits: 40 of SHA-1, or 64 of SHA-256.
    pub(super) commit: &'a str,
    pub(super) environment: &'a str,
    pub(super) paths: &'a [String],
}

/// An entry of a folder.
struct Entry<'a> {
    mode: &'a [u8],
    id: String,
}

impl Wanted<'_> {
    /// The wanted files, as the commit has them.
    pub(super) fn read(&self, objects: Vec<Object>) -> Result<Vec<ComposeFile>, CommitError> {
        let objects = self.hashed(objects)?;
        let get = |kind: &str, id: &str, what: &str| {
            let body = objects.get(&(kind.to_owned(), id.to_owned()));
            body.ok_or_else(|| CommitError::NotHanded {
                what: what.to_owned(),
                commit: self.short(),
            })
        };
        let commit = get("commit", &self.commit.to_ascii_lowercase(), "the object")?;
        let root = tree_of(commit).ok_or_else(|| CommitError::NotHanded {
            what: "the tree".into(),
            commit: self.short(),
        })?;
        let read = |path: &String| {
            let mut tree = root.clone();
            let (folders, name) = path.rsplit_once('/').unwrap_or(("", path));
            for folder in folders.split('/').filter(|it| !it.is_empty()) {
                let entry = self.entry(get("tree", &tree, "a folder")?, folder, path)?;
                if entry.mode != b"40000" {
                    return Err(self.not_there(path));
                }
                tree = entry.id;
            }
            let entry = self.entry(get("tree", &tree, "a folder")?, name, path)?;
            self.is_file(&entry, path)?;
            self.text(get("blob", &entry.id, path)?, path)
        };
        self.paths.iter().map(read).collect()
    }

    fn short(&self) -> String {
        self.commit.get(..8).unwrap_or(self.commit).to_owned()
    }

    fn not_there(&self, path: &str) -> CommitError {
        CommitError::NotThere {
            path: path.to_owned(),
            environment: self.environment.to_owned(),
            commit: self.short(),
        }
    }

    /// Each object under the id that its content has.
    fn hashed(
        &self,
        objects: Vec<Object>,
    ) -> Result<HashMap<(String, String), Vec<u8>>, CommitError> {
        let mut hashed = HashMap::new();
        for Object { kind, body } in objects {
            let Ok(body) = STANDARD.decode(body) else {
                continue;
            };
            let head = format!("{kind} {}\0", body.len());
            let id = if self.commit.len() == 64 {
                let hash = Sha256::new_with_prefix(head).chain_update(&body).finalize();
                hex(&hash)
            } else {
                // As git does: two contents of one SHA-1 can be made, and be told by how they are made.
                let mut sha1 = sha1_checked::Sha1::new();
                sha1_checked::Digest::update(&mut sha1, head);
                sha1_checked::Digest::update(&mut sha1, &body);
                let hash = sha1.try_finalize();
                if hash.has_collision() {
                    return Err(CommitError::Collision {
                        commit: self.short(),
                    });
                }
                hex(hash.hash())
            };
            hashed.insert((kind, id), body);
        }
        Ok(hashed)
    }

    fn entry<'t>(&self, tree: &'t [u8], name: &str, path: &str) -> Result<Entry<'t>, CommitError> {
        let size = self.commit.len() / 2;
        entries(tree, size)
            .find(|(entry, _)| *entry == name.as_bytes())
            .map(|(_, entry)| entry)
            .ok_or_else(|| self.not_there(path))
    }

    fn is_file(&self, entry: &Entry<'_>, path: &str) -> Result<(), CommitError> {
        let what = match entry.mode {
            b"100644" | b"100755" | b"100664" => return Ok(()),
            b"120000" => "a symbolic link",
            b"160000" => "a submodule",
            b"40000" => "a folder",
            _ => "something else",
        };
        Err(CommitError::NotAFile {
            path: path.to_owned(),
            commit: self.short(),
            what,
        })
    }

    fn text(&self, blob: &[u8], path: &str) -> Result<ComposeFile, CommitError> {
        let text = str::from_utf8(blob).ok();
        let text = text.filter(|it| it.len() <= FILE_LIMIT && !it.contains('\0'));
        let text = text.ok_or_else(|| CommitError::NotText {
            path: path.to_owned(),
            commit: self.short(),
        })?;
        Ok(ComposeFile {
            path: path.to_owned(),
            text: text.to_owned(),
        })
    }
}

/// The tree that a commit names in its first line.
fn tree_of(commit: &[u8]) -> Option<String> {
    let line = commit.split(|byte| *byte == b'\n').next()?;
    let id = str::from_utf8(line.strip_prefix(b"tree ")?).ok()?;
    Some(id.to_owned())
}

/// `MODE NAME\0ID`, one after the other.
fn entries(tree: &[u8], size: usize) -> impl Iterator<Item = (&[u8], Entry<'_>)> {
    let mut rest = tree;
    std::iter::from_fn(move || {
        let end = rest.iter().position(|byte| *byte == 0)?;
        let head = &rest[..end];
        let id = rest.get(end + 1..end + 1 + size)?;
        rest = &rest[end + 1 + size..];
        let space = head.iter().position(|byte| *byte == b' ')?;
        let entry = Entry {
            mode: &head[..space],
            id: hex(id),
        };
        Some((&head[space + 1..], entry))
    })
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests;
