//! A project: its repository, its settings, and the commits that a test pushes to it.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context as _, Result, bail};
use glob::Pattern;

use crate::command::run;
use crate::spec::{JobBuilder, Variable};

/// A handle; clones are the same project.
#[derive(Clone, Debug)]
pub struct Project {
    pub id: i64,
    /// `group/name`.
    pub path: String,
    bare: PathBuf,
    work_tree: PathBuf,
    settings: Arc<Mutex<Settings>>,
}

#[derive(Debug, Default)]
struct Settings {
    variables: Vec<(Variable, Access)>,
    protected_tags: Vec<String>,
    protected_branches: Vec<String>,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Access {
    All,
    Protected,
}

/// A tag or branch and what it points to.
#[derive(Clone, Debug)]
pub(super) struct Reference {
    pub(super) name: String,
    pub(super) is_tag: bool,
    pub(super) is_protected: bool,
    sha: String,
    message: String,
}

impl Project {
    pub(super) fn create(directory: &Path, id: i64, path: &str) -> Result<Self> {
        let bare = directory.join("repositories").join(format!("{path}.git"));
        let work_tree = directory.join("checkouts").join(path);
        let (bare_text, tree_text) = (bare.to_string_lossy(), work_tree.to_string_lossy());
        run(
            "git",
            &[
                "init",
                "--quiet",
                "--bare",
                "--initial-branch=master",
                &bare_text,
            ],
        )?;
        run("git", &["clone", "--quiet", &bare_text, &tree_text])?;
        for (key, value) in [("user.name", "Zhang"), ("user.email", "zhang@example.com")] {
            run("git", &["-C", &tree_text, "config", key, value])?;
        }
        let settings = Settings {
            protected_branches: vec!["master".to_owned()],
            ..Settings::default()
        };
        Ok(Self {
            id,
            path: path.to_owned(),
            settings: Arc::new(Mutex::new(settings)),
            work_tree,
            bare,
        })
    }

    fn change(&self, change: impl FnOnce(&mut Settings)) {
        change(&mut self.settings.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// Where to `git push` to.
    pub fn repository(&self) -> &Path {
        &self.bare
    }

    /// A checkout of master, for tests to change.
    pub fn work_tree(&self) -> &Path {
        &self.work_tree
    }

    /// Tags that match the pattern are protected from now on.
    pub fn protect_tags(&self, pattern: &str) {
        self.change(|settings| settings.protected_tags.push(pattern.to_owned()));
    }

    /// A CI/CD variable for every pipeline.
    pub fn variable(&self, variable: Variable) {
        self.change(|settings| settings.variables.push((variable, Access::All)));
    }

    /// A CI/CD variable for pipelines of protected tags and branches only.
    pub fn protected_variable(&self, variable: Variable) {
        self.change(|settings| settings.variables.push((variable, Access::Protected)));
    }

    /// Changes files in the checkout, commits and pushes them. Answers the commit's id.
    pub fn commit(
        &self,
        message: &str,
        change: impl FnOnce(&Path) -> Result<()>,
    ) -> Result<String> {
        change(&self.work_tree)?;
        self.git(&["add", "--all"])?;
        self.git(&["commit", "--quiet", "--allow-empty", "-m", message])?;
        self.git(&["push", "--quiet", "origin", "HEAD"])?;
        self.git(&["rev-parse", "HEAD"])
    }

    /// Tags the last commit and pushes the tag.
    pub fn tag(&self, name: &str) -> Result<()> {
        self.git(&["tag", name])?;
        self.git(&["push", "--quiet", "origin", &format!("refs/tags/{name}")])
            .map(drop)
    }

    /// Begins a branch at the last commit, pushes it and stays on it.
    pub fn branch(&self, name: &str) -> Result<()> {
        self.git(&["checkout", "--quiet", "-b", name])?;
        self.git(&["push", "--quiet", "origin", name]).map(drop)
    }

    /// All tags that were pushed.
    pub fn tags(&self) -> Result<BTreeSet<String>> {
        Ok(self
            .bare_git(&["tag"])?
            .lines()
            .map(str::to_owned)
            .collect())
    }

    fn git(&self, arguments: &[&str]) -> Result<String> {
        let tree = self.work_tree.to_string_lossy();
        run("git", &[&["-C", &tree], arguments].concat())
    }

    fn bare_git(&self, arguments: &[&str]) -> Result<String> {
        let bare = self.bare.to_string_lossy();
        run("git", &[&["-C", &bare], arguments].concat())
    }

    /// The text of a file at a tag or branch.
    pub(super) fn file(&self, reference: &str, path: &str) -> Result<String> {
        let text = self.bare_git(&["show", &format!("{reference}:{path}")]);
        text.with_context(|| format!("{path} at {reference} of {}", self.path))
    }

    pub(super) fn at(&self, name: &str) -> Result<Reference> {
        let find = |kind: &str| {
            let full = format!("refs/{kind}/{name}^{{commit}}");
            self.bare_git(&["rev-parse", "--verify", "--quiet", &full])
                .ok()
        };
        let (is_tag, sha) = match (find("tags"), find("heads")) {
            (Some(sha), _) => (true, sha),
            (None, Some(sha)) => (false, sha),
            (None, None) => bail!("{} has neither a tag nor a branch {name}", self.path),
        };
        let settings = self.settings.lock().unwrap_or_else(PoisonError::into_inner);
        let patterns = if is_tag {
            &settings.protected_tags
        } else {
            &settings.protected_branches
        };
        let is_protected = patterns
            .iter()
            .any(|one| Pattern::new(one).is_ok_and(|one| one.matches(name)));
        let message = self.bare_git(&["log", "-1", "--format=%B", &sha])?;
        Ok(Reference {
            name: name.to_owned(),
            is_tag,
            is_protected,
            sha,
            message,
        })
    }

    /// The CI/CD variables that a pipeline of such a reference gets.
    pub(super) fn variables(&self, is_protected: bool) -> Vec<Variable> {
        let settings = self.settings.lock().unwrap_or_else(PoisonError::into_inner);
        let seen = |access: Access| access == Access::All || is_protected;
        let list = settings
            .variables
            .iter()
            .filter(|(_, access)| seen(*access));
        list.map(|(variable, _)| variable.clone()).collect()
    }

    /// Deletes everything in the checkout but git's own, before another set of files is written.
    pub fn clear(&self) -> Result<()> {
        for entry in fs::read_dir(&self.work_tree)? {
            let path = entry?.path();
            if path.ends_with(".git") {
                continue;
            }
            if path.is_dir() {
                fs::remove_dir_all(&path)?;
            } else {
                fs::remove_file(&path)?;
            }
        }
        Ok(())
    }
}

impl Reference {
    /// Gives a job in the making the facts of this reference and its project.
    pub(super) fn dress(&self, job: JobBuilder, project: &Project) -> JobBuilder {
        let job = job
            .project(project.id, &*project.path)
            .protected(self.is_protected);
        let job = if self.is_tag {
            job.tag(&*self.name)
        } else {
            job.branch(&*self.name)
        };
        let job = job.commit(&*self.sha, self.message.trim_end());
        let variables = project.variables(self.is_protected);
        variables.into_iter().fold(job, JobBuilder::with)
    }
}
