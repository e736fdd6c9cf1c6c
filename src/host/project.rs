//! Which files a compose project is made of and what it is called, as the labels of what runs say:
//! Compose writes there what it was started with. Pure.

use std::{collections::HashMap, fmt::Write};

const NAME: &str = "com.docker.compose.project";
pub(super) const DIRECTORY: &str = "com.docker.compose.project.working_dir";
pub(super) const FILES: &str = "com.docker.compose.project.config_files";
pub(super) const ENV_FILES: &str = "com.docker.compose.project.environment_file";
pub(super) const HASH: &str = "com.docker.compose.config-hash";

/// What Compose looks for by itself, each generation in its own order.
const BASES: [[&str; 4]; 2] = [
    [
        "docker-compose.yml",
        "docker-compose.yaml",
        "compose.yml",
        "compose.yaml",
    ],
    [
        "compose.yaml",
        "compose.yml",
        "docker-compose.yml",
        "docker-compose.yaml",
    ],
];
const OVERRIDES: [[&str; 4]; 2] = [
    [
        "docker-compose.override.yml",
        "docker-compose.override.yaml",
        "compose.override.yml",
        "compose.override.yaml",
    ],
    [
        "compose.override.yml",
        "compose.override.yaml",
        "docker-compose.override.yml",
        "docker-compose.override.yaml",
    ],
];

/// A compose project on a host.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Project {
    pub name: String,
    /// What paths in the files are relative to.
    pub directory: String,
    /// Absolute, in the order in which they are merged.
    pub files: Vec<String>,
    /// Where another than the directory's `.env` was given.
    pub env_files: Vec<String>,
    /// Of the files, those that nothing runs from: Compose would take them by itself.
    pub unnamed: Vec<String>,
}

impl Project {
    /// As text to be kept on the host, for when nothing runs there.
    pub(super) fn memory(&self) -> String {
        let mut text = format!("name {}\ndirectory {}\n", self.name, self.directory);
        for (word, paths) in [("file", &self.files), ("env", &self.env_files)] {
            for path in paths {
                let _ = writeln!(text, "{word} {path}");
            }
        }
        text
    }

    /// Reads what `memory` wrote; `None` when it is not whole.
    pub(super) fn remembered<'a>(lines: impl IntoIterator<Item = &'a str>) -> Option<Self> {
        let mut project = Self::default();
        for (word, rest) in lines.into_iter().filter_map(|line| line.split_once(' ')) {
            let rest = rest.to_owned();
            match word {
                "name" => project.name = rest,
                "directory" => project.directory = rest,
                "file" => project.files.push(rest),
                "env" => project.env_files.push(rest),
                _ => {}
            }
        }
        let is_whole = ![&project.name, &project.directory].contains(&&String::new());
        (is_whole && !project.files.is_empty()).then_some(project)
    }
}

/// Why a project cannot be told from what runs.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Unclear {
    #[error("the compose file of what runs came from standard input, so nobody has it any more")]
    Stdin,
    #[error("what runs was started with {file}, and nothing says which folder that is relative to")]
    Relative { file: String },
    #[error("what runs was started with {file}, which is not there any more")]
    Gone { file: String },
    #[error("what runs was started with {file}, and that may be {these}")]
    Ambiguous { file: String, these: String },
    #[error("two compose projects in one folder have that service: {names}")]
    Projects { names: String },
}

impl Unclear {
    pub(super) fn advice(&self) -> &'static str {
        match self {
            Self::Stdin | Self::Relative { .. } | Self::Ambiguous { .. } => {
                "start the service there once more by hand, with -f and the absolute paths of its files"
            }
            Self::Gone { .. } => {
                "put it back, or start the service there once more by hand with the files that hold now"
            }
            Self::Projects { .. } => "name the one that is meant in compose.project",
        }
    }
}

/// A container's labels.
pub(super) type Labels = HashMap<String, String>;

pub(super) fn project_of(labels: &Labels) -> &str {
    labels.get(NAME).map_or("", String::as_str)
}

/// What Compose compares a container's definition by.
pub(super) fn hash_of(labels: &Labels) -> &str {
    labels.get(HASH).map_or("", String::as_str)
}

/// The folder that the project is relative to, as Compose wrote it.
pub(super) fn directory_of(labels: &Labels) -> &str {
    labels
        .get(DIRECTORY)
        .map_or("", |path| path.trim_end_matches('/'))
}

/// The project whose service this is, if that can be told from what runs. `folders` are the names of
/// one folder.
pub(super) fn name<'a>(
    found: impl Iterator<Item = &'a Labels> + Clone,
    folders: &[&str],
) -> Result<Option<String>, Unclear> {
    let is_here = |labels: &&Labels| {
        let directory = directory_of(labels);
        let mut folders = folders.iter().map(|it| it.trim_end_matches('/'));
        !directory.is_empty() && folders.any(|folder| folder == directory)
    };
    let mut names: Vec<_> = found.clone().filter(is_here).map(project_of).collect();
    names.sort_unstable();
    names.dedup();
    let usual = folders.first().map(|folder| normal(folder));
    let usual = usual.unwrap_or_default();
    if names.contains(&usual.as_str()) {
        return Ok(Some(usual));
    }
    match names[..] {
        [one] => Ok(Some(one.to_owned())),
        // Compose before 1.25 does not say where it was.
        [] if found.map(project_of).any(|name| name == usual) => Ok(Some(usual)),
        [] => Ok(None),
        _ => Err(Unclear::Projects {
            names: names.join(", "),
        }),
    }
}

/// The name that every generation makes of a folder's, or of a variable's.
pub(super) fn normal(text: &str) -> String {
    let last = text.trim_end_matches('/').rsplit('/').next();
    let last = last.unwrap_or_default().to_lowercase();
    let is_kept = |c: &char| c.is_ascii_lowercase() || c.is_ascii_digit() || "-_".contains(*c);
    last.chars().filter(is_kept).collect()
}

/// Where the files are that a container was made from, as far as its labels tell: each may be one of
/// several.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Origin {
    pub directory: String,
    pub files: Vec<Vec<String>>,
    pub env_files: Vec<Vec<String>>,
}

/// Reads a container's labels; `None` where Compose did not write any (before 1.25).
pub(super) fn origin(labels: &Labels) -> Result<Option<Origin>, Unclear> {
    let directory = directory_of(labels);
    let list = |label: &str| -> Vec<&str> {
        let text = labels.get(label).map_or("", String::as_str);
        text.split(',').filter(|it| !it.is_empty()).collect()
    };
    let files = list(FILES);
    if files.contains(&"-") || (files.is_empty() && !directory.is_empty()) {
        return Err(Unclear::Stdin);
    }
    let Some(first) = files.first() else {
        return Ok(None);
    };
    let all = list(ENV_FILES);
    let is_relative = |path: &&&str| !path.starts_with('/');
    if let Some(file) = files.iter().chain(&all).find(is_relative)
        && directory.is_empty()
    {
        let file = (*file).to_owned();
        return Err(Unclear::Relative { file });
    }
    let directory = match directory {
        "" => parent(first),
        directory => directory,
    };
    let places = |paths: &[&str]| {
        paths
            .iter()
            .map(|it| places(directory, first, it))
            .collect()
    };
    Ok(Some(Origin {
        directory: directory.to_owned(),
        files: places(&files),
        env_files: places(&all),
    }))
}

fn parent(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(parent, _)| parent)
}

/// What a path of the first generation may be: it was relative to a folder that no label names. The
/// project's folder is that of its first file, or was given.
fn places(directory: &str, first: &str, path: &str) -> Vec<String> {
    if path.starts_with('/') {
        return vec![path.to_owned()];
    }
    let mut places = Vec::new();
    let mut add = |folder: &str, path: &str| {
        let place = format!("{folder}/{path}");
        if !places.contains(&place) {
            places.push(place);
        }
    };
    let there = parent(first);
    if parent(path) == there {
        let name = path.rsplit('/').next().unwrap_or(path);
        add(directory, name);
    }
    let above = directory.strip_suffix(there);
    if let Some(above) = above.and_then(|it| it.strip_suffix('/')) {
        add(above, path);
    }
    add(directory, path);
    places
}

/// The one of these that is there.
pub(super) fn one_of(places: &[String], there: &[String]) -> Result<String, Unclear> {
    let found: Vec<_> = places.iter().filter(|it| there.contains(it)).collect();
    let file = || places.last().cloned().unwrap_or_default();
    match found[..] {
        [one] => Ok(one.clone()),
        [] => Err(Unclear::Gone { file: file() }),
        [one, other, ..] => Err(Unclear::Ambiguous {
            file: file(),
            these: format!("{one} or {other}"),
        }),
    }
}

/// True when somebody started it in its folder without naming files, as far as these tell.
pub(super) fn is_plain(directory: &str, files: &[String]) -> bool {
    let known = [BASES[0], OVERRIDES[0]].concat();
    let directory = directory.trim_end_matches('/');
    files.iter().all(|file| {
        let (folder, name) = file.rsplit_once('/').unwrap_or(("", file));
        folder == directory && known.contains(&name)
    })
}

/// The files that Compose takes by itself of those that are there.
pub(super) fn plain(directory: &str, there: &[String], is_first_generation: bool) -> Vec<String> {
    let directory = directory.trim_end_matches('/');
    let generation = usize::from(!is_first_generation);
    let pick = |names: [&str; 4]| {
        let mut paths = names.iter().map(|name| format!("{directory}/{name}"));
        paths.find(|path| there.contains(path))
    };
    let base = pick(BASES[generation]);
    let other = base.as_ref().and_then(|_| pick(OVERRIDES[generation]));
    base.into_iter().chain(other).collect()
}

#[cfg(test)]
mod tests;
