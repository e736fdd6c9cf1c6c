//! Which files of the checkout belong into an archive.

use std::collections::BTreeSet;
use std::path::{Component, Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};
use glob::{MatchOptions, Pattern};

use super::options::Options;
use super::say;

const STRICT: MatchOptions = MatchOptions {
    case_sensitive: true,
    require_literal_separator: true,
    require_literal_leading_dot: false,
};

/// Paths below the working directory, folders before what is in them.
#[derive(Debug, Default)]
pub(super) struct Selection {
    pub(super) paths: BTreeSet<PathBuf>,
}

impl Selection {
    pub(super) fn gather(options: &Options, base: &Path) -> Result<Self> {
        let excluded: Vec<Pattern> = options
            .all("exclude")
            .filter_map(|one| Pattern::new(&expand(one)).ok())
            .collect();
        let mut selection = Self::default();
        for pattern in options.all("path") {
            let pattern = expand(pattern);
            let found = matching(&pattern, base)?;
            let before = selection.paths.len();
            for path in &found {
                selection.add(path, base, &excluded);
            }
            let count = selection.paths.len() - before;
            if count == 0 {
                let here = std::env::current_dir().unwrap_or_default();
                say(&format!(
                    "\x1b[0;33mWARNING: {pattern}: no matching files. Ensure that the artifact path \
                     is relative to the working directory ({})\x1b[0;m ",
                    here.display()
                ));
            } else {
                say(&format!(
                    "{pattern}: found {count} matching artifact files and directories "
                ));
            }
        }
        if options.is_on("untracked") {
            let found = untracked(base)?;
            say(&format!("untracked: found {} files", found.len()));
            for path in &found {
                selection.add(path, base, &excluded);
            }
        }
        Ok(selection)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.paths.is_empty()
    }

    /// Adds a path and, if it is a folder, all below it.
    fn add(&mut self, path: &Path, base: &Path, excluded: &[Pattern]) {
        let path: PathBuf = path
            .components()
            .filter(|one| *one != Component::CurDir)
            .collect();
        let is_inside = path
            .components()
            .all(|one| matches!(one, Component::Normal(_)));
        if !is_inside
            || excluded
                .iter()
                .any(|one| one.matches_path_with(&path, STRICT))
        {
            return;
        }
        let place = base.join(&path);
        if place
            .symlink_metadata()
            .is_ok_and(|metadata| metadata.is_dir())
        {
            for entry in std::fs::read_dir(place).into_iter().flatten().flatten() {
                let below = path.join(entry.file_name());
                if below != Path::new(".git") {
                    self.add(&below, base, excluded);
                }
            }
        }
        if path != Path::new("") {
            self.paths.insert(path);
        }
    }
}

/// The files a pattern names; a pattern with an absolute path below the checkout counts, too.
fn matching(pattern: &str, base: &Path) -> Result<Vec<PathBuf>> {
    let base = base.canonicalize().context("the working directory")?;
    let below = Path::new(pattern).strip_prefix(&base).ok();
    let pattern = below.and_then(Path::to_str).unwrap_or(pattern);
    if base.join(pattern).symlink_metadata().is_ok() {
        return Ok(vec![PathBuf::from(pattern)]);
    }
    let whole = format!("{}/{pattern}", Pattern::escape(&base.to_string_lossy()));
    let found = glob::glob_with(&whole, STRICT).with_context(|| format!("pattern {pattern}"))?;
    Ok(found
        .flatten()
        .filter_map(|path| Some(path.strip_prefix(&base).ok()?.to_owned()))
        .collect())
}

fn untracked(base: &Path) -> Result<Vec<PathBuf>> {
    let output = Command::new("git")
        .args(["ls-files", "-o", "-z"])
        .current_dir(base)
        .output()
        .context("git")?;
    let names = output
        .stdout
        .split(|&byte| byte == 0)
        .filter(|name| !name.is_empty());
    Ok(names
        .map(|name| PathBuf::from(String::from_utf8_lossy(name).into_owned()))
        .collect())
}

/// Replaces `$NAME` and `${NAME}` by the environment's values.
pub(super) fn expand(text: &str) -> String {
    let mut expanded = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('$') {
        expanded.push_str(before);
        let is_braced = after.starts_with('{');
        let name = after.trim_start_matches('{');
        let end = name
            .find(|c: char| !c.is_ascii_alphanumeric() && c != '_')
            .unwrap_or(name.len());
        expanded.push_str(&std::env::var(&name[..end]).unwrap_or_default());
        rest = &name[end..];
        if is_braced {
            rest = rest.strip_prefix('}').unwrap_or(rest);
        }
    }
    expanded.push_str(rest);
    expanded
}
