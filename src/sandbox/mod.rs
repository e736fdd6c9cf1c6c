//! The deploy lane: jobs as processes of this host, each with a uid and a folder of its own, in a
//! sandbox that shows it neither other jobs nor any key. Knows nothing of rollouts: a job reaches
//! those through the broker's socket.

mod checkout;
mod enter;
mod environ;
mod lease;
mod place;
pub mod plan;
mod spawn;
pub mod verb;

use std::{
    fs,
    io::{self, Read},
    path::{Path, PathBuf},
};

use nix::sys::signal::Signal;

use crate::{
    balancer,
    broker::attend::{self, Attendant, Beside},
    cancel::Cancel,
    config::{Config, DeployLane, Lane},
    failure::{Class, Failure, JobCode},
    job::{Job, Phase},
    log::Log,
    policy::{self, Refusal},
    sys::memory,
};
use enter::Entry;
use plan::Plan;
use spawn::End;

/// What the lane is told of the process it works for: it reads no environment itself.
#[derive(Debug, Clone)]
pub struct Host {
    /// The dockmaster executable: its hidden verbs are the lane's other processes.
    pub program: PathBuf,
    /// Where `gitlab-runner` is looked for: the driver's own PATH.
    pub search_path: String,
}

impl Host {
    /// This very process's executable.
    pub fn here(search_path: String) -> Result<Self, Failure> {
        let program = std::env::current_exe()
            .map_err(|error| Failure::system(error).during("cannot find the own executable"))?;
        Ok(Self {
            program,
            search_path,
        })
    }
}

/// One job in one deploy lane.
pub struct Engine<'a> {
    host: Host,
    config: &'a Config,
    lane_name: &'a str,
    lane: &'a DeployLane,
    job: &'a Job,
    plan: Plan,
}

impl<'a> Engine<'a> {
    /// The lane called `lane_name`, for `job`.
    pub fn new(
        host: Host,
        config: &'a Config,
        lane_name: &'a str,
        job: &'a Job,
    ) -> Result<Self, Failure> {
        let Lane::Deploy(lane) = config.lane(lane_name).map_err(Failure::system)? else {
            return Err(Failure::system(format!(
                "`{lane_name}` is not a deploy lane"
            )));
        };
        let plan = Plan::new(config, job);
        Ok(Self {
            host,
            config,
            lane_name,
            lane,
            job,
            plan,
        })
    }

    /// Decides first; then makes the job's place and gives it a uid.
    pub fn prepare(&self) -> Result<(), Failure> {
        let granted = self.granted()?;
        let uids = self.lane.first_uid..self.lane.first_uid.saturating_add(self.lane.uid_count);
        let uid = lease::take(&self.plan.uids, &self.plan.key, uids).map_err(Failure::system)?;
        place::make(&self.plan, uid).map_err(Failure::system)?;
        tracing::info!(
            key = self.plan.key,
            uid,
            ?granted,
            "a deploy job has its place"
        );
        Ok(())
    }

    /// Runs one phase. `script` is the file that the runner generated for it.
    pub async fn run(
        &self,
        phase: Phase,
        script: &Path,
        log: &Log,
        cancel: &Cancel,
    ) -> Result<(), Failure> {
        match phase {
            Phase::RestoreCache | Phase::ArchiveCache => {
                log.say("Caches are not used in a deploy lane: other jobs can write them.")
                    .await;
                return Ok(());
            }
            Phase::GetSources => {
                let order = checkout::Order::new(&self.job.git_info, &self.plan.project);
                let order = order.map_err(|error| Failure::build(JobCode::Malformed, error))?;
                let bytes = serde_json::to_vec(&order).map_err(Failure::system)?;
                let dockmaster = self.plan.programs.join("dockmaster");
                let command = vec![
                    dockmaster.to_string_lossy().into_owned(),
                    "checkout".to_owned(),
                ];
                let end = self.enter(command, &bytes, None, (log, cancel)).await?;
                return checked_out(end);
            }
            Phase::Step | Phase::AfterScript => {
                self.granted()?;
                return self.attended(&read(script)?, log, cancel).await;
            }
            Phase::PrepareScript
            | Phase::ClearWorktree
            | Phase::DownloadArtifacts
            | Phase::UploadArtifacts
            | Phase::CleanupFileVariables
            | Phase::Unknown => {}
        }
        let runner = phase
            .needs_gitlab_runner()
            .then(|| self.gitlab_runner())
            .transpose()?;
        let end = self
            .enter(shell(), &read(script)?, runner, (log, cancel))
            .await?;
        ended(end)
    }

    /// Ends what is left of the job and removes all that was made for it; then puts right what an
    /// interrupted rollout of it left. Quiet when there is nothing to say.
    pub async fn cleanup(&self) -> Result<(), Failure> {
        let mut left = Vec::new();
        if let Err(error) = self.remove().await {
            left.push(error.to_string());
        }
        let granted = match self.granted() {
            // Refused: nothing was begun.
            Err(failure) if failure.class() == Class::Build => Vec::new(),
            Err(failure) => {
                left.push(failure.to_string());
                Vec::new()
            }
            Ok(granted) => granted,
        };
        for environment in granted {
            if let Err(error) = attend::recover(&self.host.program, self.config, &environment).await
            {
                left.push(error.to_string());
            }
        }
        if left.is_empty() {
            Ok(())
        } else {
            Err(Failure::system(left.join("\n")))
        }
    }

    /// The environments that this job may deploy to: at least one, or a refusal.
    fn granted(&self) -> Result<Vec<String>, Failure> {
        let mut granted = Vec::new();
        let mut refused: Option<Refusal> = None;
        for name in &self.lane.environments {
            let environment = self.config.environment(name).map_err(Failure::system)?;
            balancer::open(&environment)?;
            match policy::decide(self.lane, &environment, self.job) {
                Ok(_) => granted.push(name.clone()),
                Err(refusal) => refused = refused.or(Some(refusal)),
            }
        }
        match refused {
            Some(refusal) if granted.is_empty() => Err(Failure::build(JobCode::Refused, refusal)),
            None if granted.is_empty() => {
                Err(Failure::system("this lane deploys to no environment"))
            }
            _ => Ok(granted),
        }
    }

    /// Runs the author's script with a broker at its side.
    async fn attended(&self, script: &[u8], log: &Log, cancel: &Cancel) -> Result<(), Failure> {
        let uid = self.uid()?;
        let attendant = Attendant::start(Beside {
            program: &self.host.program,
            config: self.config,
            lane_name: self.lane_name,
            job: self.job,
            uid,
            socket: &self.plan.socket,
        })
        .await?;
        let sockets = Some(self.plan.sockets.clone());
        let entry = self.entry(uid, shell(), sockets, Vec::new());
        let stdin = sealed(script)?;
        let work = spawn::run(&self.host.program, (&entry, stdin), log, cancel);
        let (end, report) = attendant.beside(work, log, cancel).await;
        let end = end.map_err(Failure::system)?;
        match report.trouble {
            // The host's turn, not the author's: the script failed because the broker could not work.
            Some(trouble) if !matches!(end, End::Code(0) | End::Cancelled) => {
                Err(Failure::system(trouble))
            }
            Some(trouble) => {
                // The author chose to go on without it; whoever reads the log must know.
                log.warn(&trouble).await;
                ended(end)
            }
            None => ended(end),
        }
    }

    async fn enter(
        &self,
        command: Vec<String>,
        stdin: &[u8],
        runner: Option<PathBuf>,
        (log, cancel): (&Log, &Cancel),
    ) -> Result<End, Failure> {
        let runner = runner.map(|path| (path, self.plan.programs.join("gitlab-runner")));
        let entry = self.entry(self.uid()?, command, None, runner.into_iter().collect());
        let stdin = sealed(stdin)?;
        let end = spawn::run(&self.host.program, (&entry, stdin), log, cancel).await;
        end.map_err(Failure::system)
    }

    fn entry(
        &self,
        uid: u32,
        command: Vec<String>,
        sockets: Option<PathBuf>,
        mut shown: Vec<(PathBuf, PathBuf)>,
    ) -> Entry {
        let plan = &self.plan;
        shown.push((self.host.program.clone(), plan.programs.join("dockmaster")));
        shown.push((place::accounts(plan), "/etc/passwd".into()));
        shown.push((place::groups(plan), "/etc/group".into()));
        Entry {
            driver: std::process::id(),
            uid,
            place: plan.place.clone(),
            temporary: plan.temporary.clone(),
            lock: plan.lock.clone(),
            sockets,
            hidden: plan.hidden.clone(),
            shown,
            environ: environ::environ(plan),
            directory: plan.builds.clone(),
            command,
        }
    }

    fn uid(&self) -> Result<u32, Failure> {
        lease::find(&self.plan.uids, &self.plan.key)
            .map_err(Failure::system)?
            .ok_or_else(|| {
                Failure::system(
                    "the job has no place on this host: it was not prepared, or is cleaned up",
                )
            })
    }

    async fn remove(&self) -> Result<(), Failure> {
        remove(&self.host.program, &self.plan).await
    }

    /// The scripts of artifact phases succeed and do nothing where that program is missing.
    fn gitlab_runner(&self) -> Result<PathBuf, Failure> {
        std::env::split_paths(&self.host.search_path)
            .map(|folder| folder.join("gitlab-runner"))
            .find_map(|path| fs::canonicalize(path).ok().filter(|path| path.is_file()))
            .ok_or_else(|| {
                Failure::system("artifacts need the program gitlab-runner, and it is not on PATH")
                    .hint("try: install the gitlab-runner package, or add its folder to PATH")
            })
    }
}

/// Removes the places of jobs whose runner is gone; their keys.
pub async fn gc(host: &Host, config: &Config) -> Result<Vec<String>, Failure> {
    let uids = Plan::of(config, String::new(), "").uids;
    let orphans = lease::orphans(&uids).map_err(Failure::system)?;
    for key in &orphans {
        remove(&host.program, &Plan::of(config, key.clone(), "")).await?;
    }
    Ok(orphans)
}

/// Kills what still runs as the job, then removes its folders and gives its uid back.
async fn remove(program: &Path, plan: &Plan) -> Result<(), Failure> {
    let uid = lease::find(&plan.uids, &plan.key).map_err(Failure::system)?;
    if let Some(uid) = uid {
        let kill = || spawn::signal_all(program, uid, Signal::SIGKILL);
        let emptied = place::empty_of_processes(plan, uid, kill).await;
        emptied.map_err(Failure::system)?;
    }
    place::remove(plan).map_err(Failure::system)?;
    match uid {
        Some(uid) => lease::release(&plan.uids, uid).map_err(Failure::system),
        None => Ok(()),
    }
}

/// The first arguments of a shell that reads no file of anybody's.
fn shell() -> Vec<String> {
    ["/bin/bash", "--noprofile", "--norc"]
        .map(str::to_owned)
        .into()
}

/// Opened once, by root: what is checked is what is run.
fn read(script: &Path) -> Result<Vec<u8>, Failure> {
    let failed = |error: io::Error| {
        Failure::system(error).during(&format!("cannot read the script {}", script.display()))
    };
    let mut file = fs::File::open(script).map_err(failed)?;
    if !file.metadata().map_err(failed)?.is_file() {
        return Err(failed(io::Error::other("it is not a file")));
    }
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes).map_err(failed)?;
    Ok(bytes)
}

fn sealed(bytes: &[u8]) -> Result<fs::File, Failure> {
    memory::sealed("dockmaster", bytes)
        .map_err(|error| Failure::system(error).during("cannot hand the script to the sandbox"))
}

/// The author's script, as the runner wants to hear of it.
fn ended(end: End) -> Result<(), Failure> {
    match end {
        End::Code(0) => Ok(()),
        End::Code(code) => Err(Failure::script(code.into())),
        End::Cancelled => Err(Failure::system("the job was stopped")),
    }
}

/// The checkout has said in the log what went wrong; the runner may try again.
fn checked_out(end: End) -> Result<(), Failure> {
    match end {
        End::Code(0) => Ok(()),
        End::Code(_) => Err(Failure::system("the repository could not be checked out")),
        End::Cancelled => ended(end),
    }
}
