//! What the script is told to change, and what it said of the files, put together. Pure.

use std::{
    fmt::Write,
    hash::{BuildHasher, Hasher, RandomState},
};

use super::{
    pin::Line,
    project::Project,
    script::{Answer, Before, File},
};

/// Changes of files, for the script: a line each.
#[derive(Debug, Clone)]
pub(super) struct Edits {
    lines: String,
    /// In the names of their copies on the host, and in nobody else's.
    mark: String,
}

impl Default for Edits {
    fn default() -> Self {
        Self {
            lines: String::new(),
            mark: mark(),
        }
    }
}

/// Another one each time, whichever process asks on whichever machine.
fn mark() -> String {
    format!("{:016x}", RandomState::new().build_hasher().finish())
}

impl Edits {
    pub(super) fn add(&mut self, sum: &str, way: &str, path: &str, number: usize, text: &str) {
        let mark = &self.mark;
        let _ = writeln!(self.lines, "{sum}\t{way}\t{number}\t{mark}\t{path}\t{text}");
    }

    pub(super) fn line(&mut self, file: &File, line: &Line) {
        let way = if line.is_new { "insert" } else { "line" };
        self.add(&file.sum, way, &file.path, line.number, &line.text);
    }

    pub(super) fn remove(&mut self, sum: &str, path: &str) {
        self.add(sum, "remove", path, 0, "");
    }

    /// A release's file, which lies on the host under its sum; where it is new, it gets the mode of `like`.
    pub(super) fn place(&mut self, now: &str, path: &str, (sum, like): (&str, &str)) {
        self.add(now, "place", path, 0, &format!("{sum} {like}"));
    }

    pub(super) fn restore(&mut self, sum: &str, path: &str, kept: &str) {
        self.add(sum, "restore", path, 0, kept);
    }

    fn paths(&self) -> impl Iterator<Item = &str> {
        self.lines
            .lines()
            .filter_map(|line| line.split('\t').nth(4))
    }

    fn copy(&self, name: &str) -> String {
        format!(".{name}.{}.dockmaster", self.mark)
    }

    /// The project as Compose can read it before the changes are made.
    pub(super) fn tried(&self, project: &Project) -> Project {
        let copy = |path: &String| match path.rsplit_once('/') {
            Some((folder, name)) if self.paths().any(|it| it == path) => {
                format!("{folder}/{}", self.copy(name))
            }
            _ => path.clone(),
        };
        Project {
            files: project.files.iter().map(copy).collect(),
            ..project.clone()
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    /// What Compose says of a copy, said of the file.
    pub(super) fn named_as_placed(&self, text: &str) -> String {
        self.paths().fold(text.to_owned(), |text, path| {
            let name = path.rsplit_once('/').map_or(path, |(_, name)| name);
            text.replace(&self.copy(name), name)
        })
    }

    pub(super) fn packed(&self) -> String {
        packed(&self.lines)
    }
}

/// Text that comes through every login shell.
pub(super) fn packed(text: &str) -> String {
    use base64::{Engine, engine::general_purpose::STANDARD};
    STANDARD.encode(text)
}

/// The files of a project, and what a run has changed.
#[derive(Debug, Default)]
pub(super) struct Shown {
    pub files: Vec<File>,
    pub was: Option<Was>,
    pub gone: Vec<String>,
    /// Of the files, those whose content came with a release.
    pub written: Vec<String>,
    pub refusal: Option<(String, String)>,
}

/// What was there before a run.
#[derive(Debug, Default)]
pub(super) struct Was {
    pub image: String,
    pub hash: String,
    pub project: Project,
    /// Each changed file with its sums before and after, and where it was kept.
    pub files: Vec<(String, String, String, String)>,
    /// The definition of what ran, as it was kept.
    pub definition: Option<String>,
}

impl Shown {
    pub(super) fn read(answers: Vec<Answer>) -> Self {
        let mut shown = Self::default();
        let (mut was, mut place) = (Was::default(), Vec::new());
        for answer in answers {
            match answer {
                Answer::File(file) => shown.files.push(file),
                Answer::Gone(path) => shown.gone.push(path),
                Answer::Written(path) => shown.written.push(path),
                Answer::Refuse { why, file } => shown.refusal = Some((why, file)),
                Answer::Kept(path) => was.definition = Some(path),
                Answer::Before(Before::Place(line)) => place.push(line),
                Answer::Before(Before::Fact(fact)) => match fact.split_once(' ') {
                    Some(("image", image)) => was.image = image.into(),
                    Some(("hash", hash)) => was.hash = hash.into(),
                    _ => {}
                },
                Answer::Before(Before::File {
                    was: sum,
                    is,
                    kept,
                    path,
                }) => was.files.push((sum, is, kept, path)),
                _ => {}
            }
        }
        if let Some(project) = Project::remembered(place.iter().map(String::as_str)) {
            was.project = project;
            shown.was = Some(was);
        }
        shown
    }

    pub(super) fn file(&self, path: &str) -> Option<&File> {
        self.files.iter().find(|file| file.path == path)
    }

    /// `-` for a file that is not there, as the script says it.
    pub(super) fn sum(&self, path: &str) -> &str {
        self.file(path).map_or("-", |file| &file.sum)
    }
}

/// What Compose makes of files.
#[derive(Debug, Default)]
pub(super) struct Tried {
    pub image: String,
    pub hash: Option<String>,
    pub is_unreadable: bool,
    pub log: Vec<String>,
    pub unset: Vec<String>,
    pub health_check: Option<bool>,
    pub scale: Option<u32>,
    pub replicas: Option<u32>,
    pub lacks_service: bool,
    pub has_other_changes: bool,
    pub refusal: Option<(String, String)>,
}

impl Tried {
    pub(super) fn read(answers: Vec<Answer>, service: &str) -> Self {
        let mut tried = Self::default();
        for answer in answers {
            match answer {
                Answer::Image(image) => tried.image = image,
                Answer::Hash { service: of, hash } if of == service => tried.hash = Some(hash),
                Answer::Unreadable => tried.is_unreadable = true,
                Answer::Log(line) => tried.log.push(line),
                Answer::Unset(name) => tried.unset.push(name),
                Answer::HealthCheck(is_there) => tried.health_check = Some(is_there),
                Answer::Scale(count) => tried.scale = Some(count),
                Answer::Replicas(count) => tried.replicas = Some(count),
                Answer::NoService => tried.lacks_service = true,
                Answer::OtherChanges => tried.has_other_changes = true,
                Answer::Refuse { why, file } => tried.refusal = Some((why, file)),
                _ => {}
            }
        }
        tried
    }
}
