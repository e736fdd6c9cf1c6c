//! The company that all real tests share.

use std::{
    collections::BTreeSet,
    path::Path,
    process::Command,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use anyhow::Result;
use testbed::{
    company::Company,
    gitlab::Project,
    infrastructure::Infrastructure,
    runner::{Outcome, Verdict},
    spec::JobBuilder,
};

/// A tag that every job test may run at.
pub(crate) const TAG: &str = "v0.0.1";

pub(crate) struct Fixture {
    company: Arc<Company>,
    fleet: Mutex<()>,
}

impl Fixture {
    pub(crate) fn make() -> Result<Self> {
        let infrastructure = Arc::new(Infrastructure::boot()?);
        let program = Path::new(env!("CARGO_BIN_EXE_dockmaster"));
        let company = Company::found(program, infrastructure)?;
        begin(&company.project)?;
        Ok(Self {
            company: Arc::new(company),
            fleet: Mutex::default(),
        })
    }

    pub(crate) fn company(&self) -> Arc<Company> {
        Arc::clone(&self.company)
    }

    /// A project of a test's own.
    pub(crate) fn project(&self, id: i64) -> Result<Project> {
        let path = format!("somebody/project{id}");
        let project = self.company.gitlab.project(id, &path)?;
        project.protect_tags("v*");
        begin(&project)?;
        Ok(project)
    }

    /// The company, with the fleet and the registry to oneself.
    pub(crate) fn fleet(&self) -> (Arc<Company>, MutexGuard<'_, ()>) {
        let guard = self.fleet.lock().unwrap_or_else(PoisonError::into_inner);
        (self.company(), guard)
    }
}

/// A first commit, and the tag that jobs run at.
fn begin(project: &Project) -> Result<()> {
    project.commit("Start", |directory| {
        std::fs::write(directory.join("README"), "a project\n")?;
        Ok(())
    })?;
    project.tag(TAG)
}

/// A job of the docker lane.
pub(crate) fn job(name: &str) -> JobBuilder {
    JobBuilder::new(name)
        .tags(["devops_test_docker"])
        .image("alpine:latest")
}

/// A job that must pass.
#[track_caller]
pub(crate) fn passed(outcome: &Outcome) {
    assert_eq!(outcome.verdict, Verdict::Success, "{}", outcome.text());
}

/// All of a job's log must be there.
#[track_caller]
pub(crate) fn says(outcome: &Outcome, parts: &[&str]) {
    let text = outcome.text();
    for part in parts {
        assert!(text.contains(part), "`{part}` is missing in:\n{text}");
    }
}

/// Containers, networks and mounts that dockmaster made for a job.
pub(crate) fn left(job: i64) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for kind in [&["ps", "-a"][..], &["network", "ls"]] {
        for label in ["dockmaster.job", "dockmaster.made-by"] {
            let format = format!("{{{{.ID}}}} {{{{.Label \"{label}\"}}}}");
            let filter = format!("label={label}");
            let arguments = [kind, &["--filter", &filter, "--format", &format]].concat();
            let output = Command::new("/usr/bin/docker")
                .args(arguments)
                .output()
                .unwrap();
            let text = String::from_utf8(output.stdout).unwrap();
            let mark = format!("-j{job}-");
            found.extend(
                text.lines()
                    .filter(|line| line.contains(&mark))
                    .map(str::to_owned),
            );
        }
    }
    found
}
