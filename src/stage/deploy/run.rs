//! One phase in the job's sandbox: the checkout is our own, the author's script has a broker beside it.

use std::{
    fs,
    io::{self, Read},
    path::{Path, PathBuf},
};

use super::Recipe;
use crate::{
    broker::driver::{Broker, Serve},
    failure::Failure,
    job::Phase,
    sandbox::{End, Script},
};

impl Recipe<'_> {
    /// `script` is the file that the runner generated for the phase.
    pub(in crate::stage) async fn run(&self, script: &Path, phase: Phase) -> Result<(), Failure> {
        match phase {
            Phase::RestoreCache | Phase::ArchiveCache => {
                let line = "Caches are not used in a deploy lane: other jobs can write them.";
                self.context.log.say(line).await;
                Ok(())
            }
            Phase::GetSources => self.check_out().await,
            Phase::Step | Phase::AfterScript => self.run_with_broker(&read(script)?).await,
            Phase::PrepareScript
            | Phase::ClearWorktree
            | Phase::DownloadArtifacts
            | Phase::UploadArtifacts
            | Phase::CleanupFileVariables
            | Phase::Unknown => self.run_of_runner(&read(script)?, phase).await,
        }
    }

    /// The checkout says in the log what went wrong; the runner may try again.
    async fn check_out(&self) -> Result<(), Failure> {
        let context = self.context;
        let git = &context.job.git_info;
        let checked_out = self.sandbox.check_out(git, context.log, &context.cancel);
        match checked_out.await? {
            End::Code(code) if code != 0 => {
                Err(Failure::system("the repository could not be checked out"))
            }
            end => ended(end),
        }
    }

    /// A script of the runner's own: artifacts, file variables.
    async fn run_of_runner(&self, text: &[u8], phase: Phase) -> Result<(), Failure> {
        let gitlab_runner = phase.needs_gitlab_runner().then(|| self.gitlab_runner());

        let script = Script {
            text,
            gitlab_runner: gitlab_runner.transpose()?,
            has_broker: false,
        };
        let context = self.context;
        let run = self.sandbox.run(script, context.log, &context.cancel);
        ended(run.await?)
    }

    /// Policy decides again: nothing of an earlier stage is remembered.
    async fn run_with_broker(&self, text: &[u8]) -> Result<(), Failure> {
        self.granted()?;
        let context = self.context;
        let broker = Broker::start(Serve {
            program: &context.program,
            config: &context.config,
            lane_name: &context.lane_name,
            job: &context.job,
            uid: self.sandbox.uid()?,
            socket: self.sandbox.socket(),
        })
        .await?;
        let script = Script {
            text,
            gitlab_runner: None,
            has_broker: true,
        };
        let work = self.sandbox.run(script, context.log, &context.cancel);
        let (end, problem) = broker.serve(work, context.log, &context.cancel).await;
        match (end?, problem) {
            // The host's turn, not the author's: the script failed because the broker could not work.
            (End::Code(1..), Some(problem)) => Err(Failure::system(problem)),
            (end, Some(problem)) => {
                // The author chose to go on without it; whoever reads the log must know.
                context.log.warn(&problem).await;
                ended(end)
            }
            (end, None) => ended(end),
        }
    }

    /// The scripts of artifact phases succeed and do nothing where that program is missing.
    fn gitlab_runner(&self) -> Result<PathBuf, Failure> {
        std::env::split_paths(&self.context.path)
            .map(|folder| folder.join("gitlab-runner"))
            .find_map(|path| fs::canonicalize(path).ok().filter(|path| path.is_file()))
            .ok_or_else(|| {
                Failure::system("artifacts need the program gitlab-runner, and it is not on PATH")
                    .hint("try: install the gitlab-runner package, or add its folder to PATH")
            })
    }
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

/// The script's end, as the runner wants to hear of it.
fn ended(end: End) -> Result<(), Failure> {
    match end {
        End::Code(0) => Ok(()),
        End::Code(code) => Err(Failure::script(code.into())),
        End::Cancelled => Err(Failure::system("the job was stopped")),
    }
}
