//! The box that a deploy job runs in: a uid and folders of its own, in namespaces that show it
//! neither other jobs nor any key. Knows no lane, no phase and no rollout.

mod checkout;
mod enter;
mod environ;
mod folder;
mod plan;
mod spawn;
mod stream;
mod uid;
mod verb;

use std::{
    fs::File,
    ops::Range,
    path::{Path, PathBuf},
};

use nix::sys::signal::Signal;

pub(crate) use plan::Plan;
pub(crate) use spawn::End;
pub(crate) use verb::own_verb;

use crate::{
    cancel::Cancel,
    config::Config,
    failure::Failure,
    job::{GitInfo, Job},
    log::Log,
    sys::memory,
};
use enter::Entry;

/// A shell that reads no file of anybody's.
const SHELL: [&str; 3] = ["/bin/bash", "--noprofile", "--norc"];

/// One job's box.
pub(crate) struct Sandbox {
    /// The dockmaster executable: its hidden verbs are the box's other processes.
    program: PathBuf,
    plan: Plan,
}

/// A script for the job's shell.
pub(crate) struct Script<'a> {
    pub(crate) text: &'a [u8],
    /// The runner's program, where the script calls it.
    pub(crate) gitlab_runner: Option<PathBuf>,
    /// True when the job can reach its broker meanwhile.
    pub(crate) has_broker: bool,
}

impl Sandbox {
    /// The box of `job`, whether or not it is made.
    pub(crate) fn new(program: &Path, config: &Config, job: &Job) -> Self {
        Self {
            program: program.to_owned(),
            plan: Plan::new(config, job),
        }
    }

    /// The boxes of jobs whose runner process is gone: nobody else will ever clean up after them.
    pub(crate) fn orphans(program: &Path, config: &Config) -> Result<Vec<Self>, Failure> {
        let keys = uid::orphans(&Plan::of(config, String::new(), "").uids)?;
        let orphan = |key| Self {
            program: program.to_owned(),
            plan: Plan::of(config, key, ""),
        };
        Ok(keys.into_iter().map(orphan).collect())
    }

    /// Names all that is made for the job.
    pub(crate) fn key(&self) -> &str {
        &self.plan.key
    }

    /// Where the job reaches its broker.
    pub(crate) fn socket(&self) -> &Path {
        &self.plan.socket
    }

    /// Gives the job a uid out of `uids` and empty folders; the uid.
    pub(crate) fn make(&self, uids: Range<u32>) -> Result<u32, Failure> {
        let uid = uid::take(&self.plan.uids, &self.plan.key, uids)?;
        folder::make(&self.plan, uid)?;
        Ok(uid)
    }

    /// The uid of the job's processes.
    pub(crate) fn uid(&self) -> Result<u32, Failure> {
        let text = "the job has no folders on this host: it was not prepared, or is cleaned up";
        uid::find(&self.plan.uids, &self.plan.key)?.ok_or_else(|| Failure::system(text))
    }

    /// Runs `script` until none of its processes is left.
    pub(crate) async fn run(
        &self,
        script: Script<'_>,
        log: &Log,
        cancel: &Cancel,
    ) -> Result<End, Failure> {
        let mut entry = self.entry(SHELL.map(str::to_owned).into())?;
        entry.sockets = script.has_broker.then(|| self.plan.sockets.clone());
        if let Some(path) = script.gitlab_runner {
            let shown = self.plan.programs.join("gitlab-runner");
            entry.shown.push((path, shown));
        }
        let end = spawn::run(&self.program, (&entry, sealed(script.text)?), log, cancel);
        Ok(end.await?)
    }

    /// Checks the commit out that GitLab names.
    pub(crate) async fn check_out(
        &self,
        git: &GitInfo,
        log: &Log,
        cancel: &Cancel,
    ) -> Result<End, Failure> {
        let wanted = checkout::Checkout::new(git, &self.plan.project)?;
        let bytes = serde_json::to_vec(&wanted).map_err(Failure::system)?;
        let dockmaster = self.plan.programs.join("dockmaster");
        let dockmaster = dockmaster.to_string_lossy().into_owned();
        let entry = self.entry(vec![dockmaster, "checkout".to_owned()])?;
        let end = spawn::run(&self.program, (&entry, sealed(&bytes)?), log, cancel);
        Ok(end.await?)
    }

    /// Kills what still runs as the job, then removes its folders and gives its uid back. A box that
    /// is not there counts as removed.
    pub(crate) async fn remove(&self) -> Result<(), Failure> {
        let plan = &self.plan;
        let uid = uid::find(&plan.uids, &plan.key)?;
        if let Some(uid) = uid {
            let kill = || spawn::signal_all(&self.program, uid, Signal::SIGKILL);
            folder::empty_of_processes(plan, uid, kill).await?;
        }
        folder::remove(plan)?;
        if let Some(uid) = uid {
            uid::release(&plan.uids, uid)?;
        }
        Ok(())
    }

    fn entry(&self, command: Vec<String>) -> Result<Entry, Failure> {
        let plan = &self.plan;
        Ok(Entry {
            driver: std::process::id(),
            uid: self.uid()?,
            folder: plan.folder.clone(),
            temporary: plan.temporary.clone(),
            lock: plan.lock.clone(),
            sockets: None,
            hidden: plan.hidden.clone(),
            shown: vec![
                (self.program.clone(), plan.programs.join("dockmaster")),
                (folder::accounts(plan), "/etc/passwd".into()),
                (folder::groups(plan), "/etc/group".into()),
            ],
            environ: environ::environ(plan),
            directory: plan.builds.clone(),
            command,
        })
    }
}

fn sealed(bytes: &[u8]) -> Result<File, Failure> {
    memory::sealed("dockmaster", bytes)
        .map_err(|error| Failure::system(error).during("cannot hand the script to the sandbox"))
}
