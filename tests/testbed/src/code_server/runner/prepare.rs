//! Up to three attempts of config and prepare, with cleanup between them.

use std::fs::{DirBuilder, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use super::call::Cause;
use super::flow::Session;
use super::output::{ConfigOutput, parse};
use super::verdict::Failure;

const ATTEMPTS: u32 = 3;

impl Session {
    pub(super) fn prepare(&mut self) -> Result<(), Failure> {
        if self.entry.settings.custom.run_exec.is_empty() {
            let text = "missing RunExec in [runners.custom]".to_owned();
            return Err(Failure::Configuration(text));
        }
        self.log
            .open_section("prepare_executor", "Preparing the \"custom\" executor");
        let mut result = Ok(());
        for _ in 0..ATTEMPTS {
            result = self.attempt();
            match &result {
                Ok(()) | Err(Failure::Gone) => break,
                Err(failure) => {
                    let (is_retried, text) = (failure.is_retried(), failure.text());
                    self.clean_up();
                    // The runner says nothing about a directory it cannot remove.
                    let _ = std::fs::remove_dir_all(&self.place);
                    if let Some(over) = self.over(self.ended_between(true)) {
                        result = Err(over);
                        break;
                    }
                    if !is_retried {
                        break;
                    }
                    let pause = self.pace().attempt;
                    self.log
                        .error(&format!("ERROR: Preparation failed: {text}"));
                    self.log.line(&format!("Will be retried in {pause:?} ..."));
                    if let Some(over) = self.pause(pause) {
                        result = Err(over);
                        break;
                    }
                }
            }
        }
        self.log.close_section("prepare_executor");
        result
    }

    /// Sleeps, but not through a cancel.
    fn pause(&self, pause: std::time::Duration) -> Option<Failure> {
        let end = Instant::now() + pause;
        while Instant::now() < end {
            if let Some(over) = self.over(self.ended_between(true)) {
                return Some(over);
            }
            let left = end.saturating_duration_since(Instant::now());
            std::thread::sleep(left.min(std::time::Duration::from_millis(20)));
        }
        None
    }

    fn attempt(&mut self) -> Result<(), Failure> {
        self.job_env.clear();
        self.hostname = None;
        self.place = self.make_place()?;
        let custom = self.entry.settings.custom.clone();
        let mut output = ConfigOutput::default();
        if !custom.config_exec.is_empty() {
            let limit = (Instant::now() + custom.config_limit(), Cause::StageTimeout);
            output = self
                .setup_call("config", limit)
                .and_then(|stdout| parse(&stdout).map_err(Failure::System))?;
        }
        self.log.line(&match output.driver.as_str() {
            "" => "Using Custom executor...".to_owned(),
            driver => format!("Using Custom executor with driver {driver}..."),
        });
        self.apply(output)?;
        if !custom.prepare_exec.is_empty() {
            let limit = (Instant::now() + custom.prepare_limit(), Cause::StageTimeout);
            self.setup_call("prepare", limit)?;
        }
        Ok(())
    }

    fn setup_call(
        &mut self,
        stage: &'static str,
        limit: (Instant, Cause),
    ) -> Result<String, Failure> {
        let (result, end) = self.call(stage, None, self.limits(limit), None);
        match (self.over(end.cause), result) {
            // The runner's own rule: a driver that answers a signal with 1 blames the job.
            (Some(over), Err(failure @ Failure::Build { .. })) if over != Failure::Gone => {
                Err(failure)
            }
            (Some(failure), _) | (None, Err(failure)) => Err(failure),
            (None, Ok(())) => Ok(end.stdout),
        }
    }

    fn make_place(&self) -> Result<PathBuf, Failure> {
        let place = self
            .runner
            .temporary
            .join(format!("custom-executor{}", unique() % 10_000_000_000));
        let wrong =
            |error: std::io::Error| Failure::System(format!("{}: {error}", place.display()));
        DirBuilder::new()
            .mode(0o700)
            .create(&place)
            .map_err(wrong)?;
        let response = self
            .job
            .to_response()
            .map_err(|error| wrong(error.into()))?;
        let mut options = OpenOptions::new();
        let file = options
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(place.join("response.json"));
        file.and_then(|mut file| file.write_all(response.as_bytes()))
            .map_err(wrong)?;
        Ok(place)
    }

    /// Takes over what config answered and lays out the directories.
    fn apply(&mut self, output: ConfigOutput) -> Result<(), Failure> {
        let settings = &self.entry.settings;
        let builds = output
            .builds_dir
            .unwrap_or_else(|| settings.builds_dir.clone());
        let cache = output
            .cache_dir
            .unwrap_or_else(|| settings.cache_dir.clone());
        if let Some(shell) = output.shell {
            if !["bash", "sh", "pwsh", "powershell"].contains(&shell.as_str()) {
                return Err(Failure::System(format!("shell {shell} not found")));
            }
            self.shell = shell;
        }
        for (what, value) in [("builds_dir", &builds), ("cache_dir", &cache)] {
            if value.is_empty() {
                return Err(Failure::Configuration(format!("{what} is not configured")));
            }
        }
        let project = self.project_path();
        self.directories.build = if output.builds_dir_is_shared {
            let (token, slot) = (settings.short_token(), self.slot.in_project);
            format!("{builds}/{token}/{slot}/{project}")
        } else {
            format!("{builds}/{project}")
        };
        self.directories.builds = builds;
        self.directories.cache = format!("{cache}/{project}");
        self.job_env = output.job_env;
        self.hostname = output.hostname.filter(|name| !name.is_empty());
        Ok(())
    }

    /// The path of the repository's address, without `.git`.
    fn project_path(&self) -> String {
        let address = &self.job.git_info.repo_url;
        let path = address
            .split_once("://")
            .and_then(|(_, rest)| rest.split_once('/'));
        match path.map(|(_, path)| path.trim_matches('/').trim_end_matches(".git")) {
            Some(path) if !path.is_empty() => path.to_owned(),
            _ => format!("project-{}", self.job.job_info.project_id),
        }
    }
}

/// A number this process has not used before and others hardly will.
pub(super) fn unique() -> u128 {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_nanos());
    let count = u128::from(COUNT.fetch_add(1, Ordering::Relaxed));
    since
        .wrapping_mul(1_000_003)
        .wrapping_add(u128::from(std::process::id()))
        .wrapping_add(count << 20)
}
