//! Plays gitlab-runner 19.4.0 with `executor = "custom"`: everything a driver gets to see of it.
//!
//! It reads a real `config.toml` of the runner, takes jobs, calls the driver in the runner's
//! order with the runner's environment, files, scripts and signals, and judges the result as the
//! runner does. It knows nothing of what the driver is or does.

mod call;
mod config;
mod control;
mod environ;
mod flow;
mod log;
mod mask;
mod output;
mod prepare;
#[cfg(test)]
mod tests;
mod verdict;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

pub use call::{Call, Exit};
pub use config::{Custom, RunnerConfig, Settings};
pub(crate) use environ::expand;
pub use log::{Log, plain};
pub use verdict::{Reason, Verdict};

use crate::spec::QueuedJob;
use control::Control;

/// The version this stand-in plays.
pub const VERSION: &str = "19.4.0";
pub(crate) const REVISION: &str = "d79f3e7b";

/// One `[[runners]]` entry with what GitLab keeps about it.
#[derive(Clone, Debug)]
pub struct Entry {
    pub settings: Settings,
    pub tags: Vec<String>,
    pub run_untagged: bool,
}

/// How long the runner waits where it waits for nothing but time.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// After a failed attempt of config and prepare.
    pub attempt: Duration,
    /// The first pause between tries of a phase; it doubles, up to sixty times itself.
    pub phase: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            attempt: Duration::from_secs(3),
            phase: Duration::from_secs(1),
        }
    }
}

/// The runner process.
#[derive(Clone, Debug)]
#[must_use]
pub struct Runner {
    entries: Vec<Entry>,
    pace: Pace,
    environ: BTreeMap<String, String>,
    temporary: PathBuf,
    slots: Arc<Mutex<Slots>>,
}

/// Which concurrency numbers are taken, by token, and what ends the jobs that have them.
#[derive(Debug, Default)]
struct Slots {
    taken: Vec<Slot>,
    live: Vec<(Slot, Control)>,
}

#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Slot {
    token: String,
    project: i64,
    pub(crate) number: usize,
    pub(crate) in_project: usize,
}

impl Runner {
    /// Reads a `config.toml`. Entries take no job until `register` has given them tags.
    pub fn load(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path)
            .with_context(|| format!("runner configuration {}", path.display()))?;
        Self::parse(&text).with_context(|| format!("runner configuration {}", path.display()))
    }

    pub fn parse(text: &str) -> Result<Self> {
        let config: RunnerConfig = toml::from_str(text)?;
        let entry = |settings| Entry {
            settings,
            tags: Vec::new(),
            run_untagged: false,
        };
        let environ = [
            ("HOME", "/root"),
            ("LANG", "C.UTF-8"),
            (
                "PATH",
                "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            ),
        ];
        Ok(Self {
            entries: config.runners.into_iter().map(entry).collect(),
            pace: Pace::default(),
            environ: environ
                .map(|(key, value)| (key.to_owned(), value.to_owned()))
                .into(),
            temporary: std::env::temp_dir(),
            slots: Arc::default(),
        })
    }

    /// What GitLab knows of an entry, found by a part of its name.
    pub fn register(mut self, name: &str, tags: &[&str]) -> Self {
        for entry in self
            .entries
            .iter_mut()
            .filter(|one| one.settings.name.contains(name))
        {
            entry.tags = tags.iter().map(|&tag| tag.to_owned()).collect();
        }
        self
    }

    /// Lets the entries of this name take jobs that have no tags.
    pub fn run_untagged(mut self, name: &str) -> Self {
        for entry in self
            .entries
            .iter_mut()
            .filter(|one| one.settings.name.contains(name))
        {
            entry.run_untagged = true;
        }
        self
    }

    pub fn pace(mut self, pace: Pace) -> Self {
        self.pace = pace;
        self
    }

    /// A variable of the runner process itself, which its drivers inherit.
    pub fn environ(mut self, key: &str, value: &str) -> Self {
        self.environ.insert(key.to_owned(), value.to_owned());
        self
    }

    /// The runner's own TMPDIR.
    pub fn temporary(mut self, directory: &Path) -> Self {
        directory.clone_into(&mut self.temporary);
        self
    }

    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// The entry that would take a job with these tags.
    pub fn entry_for(&self, tags: &[String]) -> Option<&Entry> {
        self.entries.iter().find(|entry| match tags {
            [] => entry.run_untagged,
            tags => tags.iter().all(|tag| entry.tags.contains(tag)),
        })
    }

    /// Takes a job and starts it. Dropping the run does not end the job.
    pub fn start(&self, queued: QueuedJob) -> Result<Run> {
        self.start_watched(queued, |_| {})
    }

    /// As `start`, with every line of the job log as it comes.
    pub fn start_watched(
        &self,
        mut queued: QueuedJob,
        watch: impl FnMut(&str) + Send + 'static,
    ) -> Result<Run> {
        let Some(entry) = self.entry_for(&queued.tags).cloned() else {
            bail!("no runner takes a job with tags {:?}", queued.tags);
        };
        // GitLab names the tags of the runner that asks, not those that the job wants.
        let tags = format!("{:?}", entry.tags);
        let told = queued
            .job
            .variables
            .iter_mut()
            .find(|one| one.key == "CI_RUNNER_TAGS");
        if let Some(variable) = told {
            variable.value = tags;
        }
        let (log, control) = (Log::new(watch), Control::default());
        let session = flow::Session::new(self, entry, queued.job, (log.clone(), control.clone()));
        let thread = std::thread::Builder::new().name("job".to_owned());
        let thread = thread
            .spawn(move || session.run())
            .context("a thread for the job")?;
        Ok(Run {
            log,
            control,
            thread,
        })
    }

    /// Runs a job to its end.
    pub fn run(&self, queued: QueuedJob) -> Result<Outcome> {
        self.start(queued)?.wait()
    }

    /// Ends every job as a runner that is told to stop does: what runs is stopped, cleanup follows.
    /// Says whether all have ended in time.
    pub fn shut_down(&self, limit: Duration) -> bool {
        let slots = || self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        for (_, control) in &slots().live {
            control.abort();
        }
        let deadline = Instant::now() + limit;
        while !slots().taken.is_empty() && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(20));
        }
        slots().taken.is_empty()
    }

    fn watch_slot(&self, slot: &Slot, control: &Control) {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        slots.live.push((slot.clone(), control.clone()));
    }

    fn take_slot(&self, token: &str, project: i64) -> Slot {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        let of_token = || slots.taken.iter().filter(|slot| slot.token == token);
        let free = |taken: Vec<usize>| {
            (0..=taken.len())
                .find(|number| !taken.contains(number))
                .unwrap_or(0)
        };
        let number = free(of_token().map(|slot| slot.number).collect());
        let in_project = free(
            of_token()
                .filter(|one| one.project == project)
                .map(|one| one.in_project)
                .collect(),
        );
        let slot = Slot {
            token: token.to_owned(),
            project,
            number,
            in_project,
        };
        slots.taken.push(slot.clone());
        slot
    }

    fn give_slot_back(&self, slot: &Slot) {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(place) = slots.taken.iter().position(|taken| taken == slot) {
            slots.taken.swap_remove(place);
        }
        slots.live.retain(|(live, _)| live != slot);
    }
}

/// A job that runs.
#[derive(Debug)]
pub struct Run {
    log: Log,
    control: Control,
    thread: JoinHandle<Outcome>,
}

impl Run {
    pub fn log(&self) -> &Log {
        &self.log
    }

    /// What can end the job early; clone it to another thread.
    pub fn handle(&self) -> Handle {
        Handle(self.control.clone())
    }

    /// Waits until a log line contains the text. An error if the job ends, or a minute passes,
    /// without one; it carries the log.
    pub fn wait_for(&self, text: &str) -> Result<String> {
        self.log.wait_for(text, Duration::from_mins(1))
    }

    /// A user's cancel: the script is stopped, `after_script` still runs.
    pub fn cancel(&self) {
        self.control.cancel();
    }

    /// A forced cancel: what runs is stopped and nothing follows but cleanup.
    pub fn abort(&self) {
        self.control.abort();
    }

    pub fn is_finished(&self) -> bool {
        self.thread.is_finished()
    }

    pub fn wait(self) -> Result<Outcome> {
        self.thread
            .join()
            .map_err(|_| anyhow::anyhow!("the runner stand-in panicked"))
    }
}

/// Ends a running job from anywhere.
#[derive(Clone, Debug)]
pub struct Handle(Control);

impl Handle {
    pub fn cancel(&self) {
        self.0.cancel();
    }

    pub fn abort(&self) {
        self.0.abort();
    }

    /// SIGKILL to the process group of the driver call in progress; the runner goes on as it
    /// does when a driver dies. Says whether there was one.
    pub fn kill_driver(&self) -> bool {
        self.0.kill_group()
    }

    /// SIGKILL to the driver in progress and to everything that descends from it, and the end
    /// of the runner itself: no further call, no cleanup, the temporary directory stays.
    pub fn crash(&self) -> bool {
        self.0.crash()
    }
}

/// How a job went, as GitLab and its log tell, and every call the driver got.
#[derive(Clone, Debug)]
pub struct Outcome {
    pub verdict: Verdict,
    /// What GitLab would take as the job's exit code.
    pub exit_code: Option<i64>,
    pub log: String,
    pub calls: Vec<Call>,
    /// The directory of the last attempt; gone unless the runner crashed.
    pub directory: PathBuf,
}

impl Outcome {
    pub fn is_success(&self) -> bool {
        self.verdict == Verdict::Success
    }

    /// The calls as a short list: `config`, `prepare`, `build_script`, `cleanup`.
    pub fn order(&self) -> Vec<&str> {
        self.calls.iter().map(Call::name).collect()
    }

    /// The first call of this name.
    pub fn call(&self, name: &str) -> Option<&Call> {
        self.calls.iter().find(|call| call.name() == name)
    }

    /// The log as a person reads it: no colours, no section marks.
    pub fn text(&self) -> String {
        log::plain(&self.log)
    }
}
