//! One job from pick-up to verdict: attempts, phases, what follows a failure, cleanup.

use std::collections::BTreeMap;
use std::fs::{self, DirBuilder, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::call::{Call, Cause, End, Limits, Order, Output, carry_out};
use super::control::Control;
use super::environ::{Ingredients, expand, services, variables};
use super::log::{GREEN, Log, RESET};
use super::prepare::unique;
use super::verdict::{Failure, Verdict, judge};
use super::{Entry, Outcome, Pace, REVISION, Runner, Slot, VERSION};
use crate::script::{
    Directories, Hooks, Phase, Scene, generate, has_artifact_content, has_cache_content, is_due,
};
use crate::spec::{Job, Variable};

/// A job and all that the runner knows of it while it runs.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) runner: Runner,
    pub(super) entry: Entry,
    pub(super) job: Job,
    pub(super) log: Log,
    pub(super) control: Control,
    pub(super) slot: Slot,
    pub(super) calls: Vec<Call>,
    /// The runner's directory of this attempt; the driver's working directory.
    pub(super) place: PathBuf,
    pub(super) directories: Directories,
    pub(super) job_env: BTreeMap<String, String>,
    pub(super) hostname: Option<String>,
    pub(super) shell: String,
    status: &'static str,
    deadline: Instant,
    correlation: String,
}

/// Which requests end a phase.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Heed {
    /// Cancel and abort both: nothing of the user's has run yet.
    All,
    Script,
    /// A cancel has no effect any more.
    Abort,
}

impl Session {
    pub(super) fn new(runner: &Runner, entry: Entry, job: Job, ends: (Log, Control)) -> Self {
        let slot = runner.take_slot(&entry.settings.token, job.job_info.project_id);
        let shell = entry
            .settings
            .shell
            .clone()
            .unwrap_or_else(|| "bash".to_owned());
        let (log, control) = ends;
        runner.watch_slot(&slot, &control);
        Self {
            runner: runner.clone(),
            log,
            control,
            slot,
            calls: Vec::new(),
            place: PathBuf::new(),
            directories: Directories::default(),
            job_env: BTreeMap::new(),
            hostname: None,
            shell,
            status: "running",
            deadline: Instant::now() + Duration::from_secs(timeout(&job)),
            correlation: format!("{:032x}", unique()),
            entry,
            job,
        }
    }

    /// Image and service names and aliases, expanded before anything else sees them.
    fn expand_images(&mut self) {
        let variables = self.variables();
        self.job.image.name = expand(&self.job.image.name, &variables);
        for service in &mut self.job.services {
            service.name = expand(&service.name, &variables);
            service.alias = expand(&service.alias, &variables);
        }
    }

    pub(super) fn run(mut self) -> Outcome {
        self.expand_images();
        let secrets = self
            .variables()
            .into_iter()
            .filter(|one| one.masked)
            .map(|one| one.value);
        self.log
            .hide(secrets.collect(), self.entry.settings.log_limit());
        let (name, token) = (&self.entry.settings.name, self.entry.settings.short_token());
        self.log.line(&format!(
            "Running with gitlab-runner {VERSION} ({REVISION})"
        ));
        self.log
            .line(&format!("  on {name} {token}, system ID: s_testbed"));
        let result = self.prepare().and_then(|()| {
            let result = self.phases();
            match result {
                Err(Failure::Gone) => {}
                _ => self.clean_up(),
            }
            result
        });
        let verdict = match &result {
            Ok(()) => {
                self.log.line(&format!("{GREEN}Job succeeded{RESET}"));
                Verdict::Success
            }
            Err(failure) => {
                if *failure != Failure::Gone {
                    self.log.error(&failure.line());
                }
                failure.verdict()
            }
        };
        if result != Err(Failure::Gone) {
            // The runner says nothing about a directory it cannot remove.
            let _ = fs::remove_dir_all(&self.place);
        }
        self.runner.give_slot_back(&self.slot);
        self.log.close();
        let exit_code = match &verdict {
            Verdict::Success => Some(0),
            Verdict::Failed { exit_code, .. } => *exit_code,
        };
        let (log, directory) = (self.log.raw(), self.place);
        Outcome {
            verdict,
            exit_code,
            log,
            calls: self.calls,
            directory,
        }
    }

    pub(super) fn pace(&self) -> Pace {
        self.runner.pace
    }

    /// The list of variables as it is now.
    pub(super) fn variables(&self) -> Vec<Variable> {
        variables(&Ingredients {
            settings: &self.entry.settings,
            job: &self.job,
            directories: &self.directories,
            status: self.status,
            slot: &self.slot,
            timeout: timeout(&self.job),
        })
    }

    /// The environment of a driver call, later groups over earlier ones.
    fn environ(&self, stage: &str) -> BTreeMap<String, String> {
        let mut environ = self.runner.environ.clone();
        let place = self.place.display();
        for (key, value) in [
            ("PWD", place.to_string()),
            ("TMPDIR", place.to_string()),
            ("BUILD_FAILURE_EXIT_CODE", "1".to_owned()),
            ("SYSTEM_FAILURE_EXIT_CODE", "2".to_owned()),
            ("BUILD_EXIT_CODE_FILE", format!("{place}/build_exit_code")),
            ("JOB_RESPONSE_FILE", format!("{place}/response.json")),
        ] {
            environ.insert(key.to_owned(), value);
        }
        if stage != "config" {
            environ.extend(self.job_env.clone());
        }
        let variables = self.variables();
        let last = Variable::new("CI_JOB_SERVICES", services(&self.job, &variables));
        for variable in variables.into_iter().chain([last]) {
            let (key, value) = match variable.key.split_once('=') {
                Some((key, rest)) => (key.to_owned(), format!("{rest}={}", variable.value)),
                None => (variable.key, variable.value),
            };
            environ.insert(format!("CUSTOM_ENV_{key}"), value);
        }
        environ
    }

    /// Calls the driver once and judges how it ended.
    pub(super) fn call(
        &mut self,
        stage: &'static str,
        phase: Option<&str>,
        limits: Limits,
        script: Option<PathBuf>,
    ) -> (Result<(), Failure>, End) {
        let custom = self.entry.settings.custom.clone();
        let (program, mut arguments, output) = match stage {
            "config" => (custom.config_exec, custom.config_args, Output::Config),
            "prepare" => (custom.prepare_exec, custom.prepare_args, Output::Log),
            "run" => (custom.run_exec, custom.run_args, Output::Log),
            _ => (custom.cleanup_exec, custom.cleanup_args, Output::Kept),
        };
        arguments.extend(script.map(|path| path.to_string_lossy().into_owned()));
        arguments.extend(phase.map(str::to_owned));
        let order = Order {
            program: &program,
            arguments,
            environ: self.environ(stage),
            directory: &self.place,
            output,
            limits,
        };
        let end = carry_out(&order, &self.control, &self.log);
        self.calls.push(Call {
            stage,
            phase: phase.map(str::to_owned),
            argv: std::iter::once(program.clone())
                .chain(order.arguments)
                .collect(),
            environ: order.environ,
            exit: end.exit.clone(),
            duration: end.duration,
            stdout: end.stdout.clone(),
            stderr: end.stderr.clone(),
            is_killed: end.cause.is_some(),
        });
        let judged = judge(&end.exit, &self.place.join("build_exit_code"));
        (judged, end)
    }

    pub(super) fn limits(&self, deadline: (Instant, Cause)) -> Limits {
        let custom = &self.entry.settings.custom;
        let job = (self.deadline, Cause::JobTimeout);
        Limits {
            deadline: Some(if deadline.0 < job.0 { deadline } else { job }),
            is_cancelable: true,
            is_abortable: true,
            graceful: custom.graceful(),
            force: custom.force(),
        }
    }

    /// What the end of the whole job's context makes of it, if it has ended.
    pub(super) fn over(&self, cause: Option<Cause>) -> Option<Failure> {
        match cause? {
            Cause::Crash => Some(Failure::Gone),
            Cause::Abort | Cause::Cancel => Some(Failure::Canceled),
            Cause::JobTimeout => {
                let minutes = timeout(&self.job) / 60;
                let seconds = timeout(&self.job) % 60;
                Some(Failure::Timeout(format!(
                    "execution took longer than {minutes}m{seconds}s seconds"
                )))
            }
            Cause::StageTimeout => None,
        }
    }

    /// Whether a request that nobody has seen yet has ended the job between two calls.
    pub(super) fn ended_between(&self, is_cancelable: bool) -> Option<Cause> {
        let state = self.control.state();
        match () {
            () if state.is_crashed => Some(Cause::Crash),
            () if state.is_aborted => Some(Cause::Abort),
            () if state.is_canceled && is_cancelable => Some(Cause::Cancel),
            () if Instant::now() >= self.deadline => Some(Cause::JobTimeout),
            () => None,
        }
    }

    fn phases(&mut self) -> Result<(), Failure> {
        let help = "Check https://docs.gitlab.com/runner/shells/#shell-profile-loading for more \
                    information";
        self.phase(&Phase::Prepare, Heed::All)
            .map_err(|one| one.with_text(|text| format!("prepare environment: {text}. {help}")))?;
        let mut result = self.predefined();
        if let Err(failure @ (Failure::Canceled | Failure::Timeout(_) | Failure::Gone)) = result {
            return Err(failure);
        }
        let mut is_canceled = false;
        if result.is_ok() {
            result = self.steps();
            is_canceled = result == Err(Failure::Canceled);
            self.status = match &result {
                Ok(()) => "success",
                Err(Failure::Canceled) => "canceled",
                Err(_) => "failed",
            };
            let is_over = self.control.state().is_aborted;
            if let Err(failure @ (Failure::Timeout(_) | Failure::Gone)) = result {
                self.status = "failed";
                return Err(failure);
            }
            if is_over {
                self.status = "failed";
                return Err(Failure::Canceled);
            }
            self.after_script(&mut result)?;
        }
        self.afterwards(&mut result)?;
        if is_canceled {
            Err(Failure::Canceled)
        } else {
            result
        }
    }

    /// Sources, cache and artifacts, each with its own number of tries.
    fn predefined(&mut self) -> Result<(), Failure> {
        self.tries(&Phase::GetSources, "GET_SOURCES_ATTEMPTS")?;
        if self.job.cache.iter().any(has_cache_content) {
            self.tries(&Phase::RestoreCache, "RESTORE_CACHE_ATTEMPTS")?;
        }
        if self
            .job
            .dependencies
            .iter()
            .any(|one| !one.artifacts_file.filename.is_empty())
        {
            self.tries(&Phase::DownloadArtifacts, "ARTIFACT_DOWNLOAD_ATTEMPTS")?;
        }
        Ok(())
    }

    fn tries(&mut self, phase: &Phase, variable: &str) -> Result<(), Failure> {
        let tries = self
            .variables()
            .into_iter()
            .rev()
            .find(|one| one.key == variable);
        let tries = tries
            .and_then(|one| one.value.parse().ok())
            .unwrap_or(1)
            .clamp(1, 10);
        let mut result = Ok(());
        for number in 0..tries {
            if number > 0 {
                std::thread::sleep(self.pace().phase * 2_u32.pow(number - 1).min(60));
                if let Some(failure) = self.over(self.ended_between(true)) {
                    return Err(failure);
                }
            }
            let is_second_source = *phase == Phase::GetSources && number == 1;
            if is_second_source {
                result = self.phase(&Phase::ClearWorktree, Heed::All);
                if result.is_err() {
                    continue;
                }
            }
            result = self.phase(phase, Heed::All);
            if matches!(
                result,
                Ok(()) | Err(Failure::Canceled | Failure::Timeout(_) | Failure::Gone)
            ) {
                break;
            }
        }
        result
    }

    fn steps(&mut self) -> Result<(), Failure> {
        let names = self.job.steps.iter().map(|step| step.name.clone());
        let names: Vec<String> = names.filter(|name| name != "after_script").collect();
        names
            .into_iter()
            .try_for_each(|name| self.phase(&Phase::Step(name), Heed::Script))
    }

    fn after_script(&mut self, result: &mut Result<(), Failure>) -> Result<(), Failure> {
        let step = self
            .job
            .steps
            .iter()
            .find(|step| step.name == "after_script");
        if step.is_none_or(|step| step.script.is_empty()) {
            return Ok(());
        }
        match self.phase(&Phase::AfterScript, Heed::Abort) {
            Err(failure @ (Failure::Timeout(_) | Failure::Gone | Failure::Canceled)) => {
                return Err(failure);
            }
            Err(failure) => {
                let all = self.variables();
                let heeded = all
                    .iter()
                    .rev()
                    .find(|one| one.key == "AFTER_SCRIPT_IGNORE_ERRORS");
                if heeded.is_some_and(|one| one.value == "false") && result.is_ok() {
                    *result = Err(failure);
                } else {
                    let text = failure.text();
                    self.log.warning(&format!(
                        "after_script failed, but job will continue unaffected: {text}"
                    ));
                }
            }
            Ok(()) => {}
        }
        Ok(())
    }

    /// Saving, uploading and the end of the checkout. An end of the job's context is the error.
    fn afterwards(&mut self, result: &mut Result<(), Failure>) -> Result<(), Failure> {
        let success = result.is_ok();
        let caches = self
            .job
            .cache
            .iter()
            .filter(|cache| has_cache_content(cache));
        if caches.into_iter().any(|cache| is_due(&cache.when, success)) {
            self.late(&Phase::ArchiveCache { success }, result)?;
        }
        let artifacts = self
            .job
            .artifacts
            .iter()
            .filter(|one| has_artifact_content(one));
        if artifacts.into_iter().any(|one| is_due(&one.when, success)) {
            self.late(&Phase::UploadArtifacts { success }, result)?;
        }
        let mut ignored = Ok(());
        self.late(&Phase::CleanupFileVariables, &mut ignored)
    }

    fn late(&mut self, phase: &Phase, result: &mut Result<(), Failure>) -> Result<(), Failure> {
        match self.phase(phase, Heed::Abort) {
            Err(failure @ (Failure::Timeout(_) | Failure::Gone | Failure::Canceled)) => {
                Err(failure)
            }
            Err(failure) => {
                if result.is_ok() {
                    *result = Err(failure);
                }
                Ok(())
            }
            Ok(()) => Ok(()),
        }
    }

    fn phase(&mut self, phase: &Phase, heed: Heed) -> Result<(), Failure> {
        if let Some(failure) = self.over(self.ended_between(heed != Heed::Abort)) {
            return Err(failure);
        }
        let (section, argument) = (phase.section(), phase.argument());
        self.log.open_section(&section, &phase.heading());
        if argument == "build_script" {
            self.log.warning(
                "Starting with version 17.0 the 'build_script' stage will be replaced with \
                 'step_script': https://gitlab.com/groups/gitlab-org/-/epics/6112",
            );
        }
        let result = self
            .script(phase)
            .map_err(Failure::System)
            .and_then(|script| {
                let mut limits = self.limits((self.deadline, Cause::JobTimeout));
                limits.is_cancelable = heed != Heed::Abort;
                if *phase == Phase::AfterScript {
                    limits = Limits {
                        is_cancelable: false,
                        ..self.limits(Self::after_script_limit())
                    };
                }
                let (result, end) = self.call("run", Some(&argument), limits, Some(script));
                match self.over(end.cause) {
                    Some(failure) => Err(failure),
                    None => result,
                }
            });
        self.log.close_section(&section);
        result
    }

    fn after_script_limit() -> (Instant, Cause) {
        (Instant::now() + Duration::from_mins(5), Cause::StageTimeout)
    }

    /// Writes the script of a phase to a directory of its own.
    fn script(&self, phase: &Phase) -> Result<PathBuf, String> {
        let settings = &self.entry.settings;
        let hooks = Hooks {
            pre_get_sources: settings.pre_get_sources_script.clone(),
            post_get_sources: settings.post_get_sources_script.clone(),
            pre_build: settings.pre_build_script.clone(),
            post_build: settings.post_build_script.clone(),
        };
        let text = generate(
            phase,
            &Scene {
                job: &self.job,
                variables: &self.variables(),
                directories: &self.directories,
                hostname: self.hostname.as_deref(),
                shell: &self.shell,
                hooks: &hooks,
                correlation: &self.correlation,
            },
        );
        let directory = self
            .place
            .join(format!("script{}", unique() % 10_000_000_000));
        let wrong = |error: std::io::Error| format!("mkdir {}: {error}", directory.display());
        DirBuilder::new()
            .mode(0o700)
            .create(&directory)
            .map_err(wrong)?;
        let path = directory.join("script");
        let mut options = OpenOptions::new();
        let file = options.write(true).create_new(true).mode(0o700).open(&path);
        file.and_then(|mut file| file.write_all(text.as_bytes()))
            .map_err(wrong)?;
        Ok(path)
    }

    /// Calls cleanup, whatever happened before; only its own time-out can end it.
    pub(super) fn clean_up(&mut self) {
        let custom = &self.entry.settings.custom;
        if custom.cleanup_exec.is_empty() {
            return;
        }
        let limits = Limits {
            deadline: Some((Instant::now() + custom.cleanup_limit(), Cause::StageTimeout)),
            is_cancelable: false,
            is_abortable: false,
            graceful: custom.graceful(),
            force: custom.force(),
        };
        let (result, _) = self.call("cleanup", None, limits, None);
        if let Err(failure) = result {
            self.log
                .warning(&format!("Cleanup script failed: {}", failure.text()));
        }
    }
}

fn timeout(job: &Job) -> u64 {
    match job.runner_info.timeout {
        0 => 7200,
        seconds => seconds,
    }
}
