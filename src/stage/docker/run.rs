//! One phase in a container: the helper's by `exec`, the user's by starting their container.

use std::{collections::BTreeMap, fs, path::Path, time::Duration};

use futures_util::StreamExt;
use tokio::{select, time};

use super::{super::context::Context, accounts, job::DockerJob};
use crate::{
    config::{DockerApi, DockerLane},
    docker::{
        engine::Object,
        name::{self, Role},
        process::{self, Session},
        spec::{self, Container, Network},
        volume::Slot,
    },
    failure::Failure,
    job::Phase,
};

/// How long the job's processes have between SIGTERM and SIGKILL.
const GRACE: Duration = Duration::from_secs(10);

/// To an author whose `entrypoint:` is not the lane's wish.
pub(super) const ENTRYPOINT_COUNTS_NOT: &str = "`entrypoint:` counts for nothing on this lane (disable-entrypoint-overwrite): the image's own is started";

/// How the output of a phase ended.
#[derive(Debug, PartialEq, Eq)]
enum End {
    /// Every process that held it is gone, or closed it.
    Closed,
    /// Somebody wants to stop.
    Cancelled,
}

pub(in crate::stage) async fn run(
    context: &Context<'_>,
    lane: &DockerLane,
    script: &Path,
    phase: Phase,
) -> Result<(), Failure> {
    let script = fs::read(script).map_err(|error| {
        Failure::system(error).during(&format!("reading the script {}", script.display()))
    })?;
    let job = DockerJob::open(context, lane).await?;
    let work = Box::pin(async {
        if phase.is_author_s() {
            job.run_in_build(script).await
        } else {
            job.run_in_helper(phase, script).await
        }
    });
    Box::pin(job.beside_services(&job.speakers(), work)).await
}

impl DockerJob<'_> {
    async fn run_in_helper(&self, phase: Phase, script: Vec<u8>) -> Result<(), Failure> {
        let helper = &self.helper()?.id;
        let command = spec::helper_command(phase.needs_gitlab_runner());
        let (exec, mut session) = self.engine.exec(helper, command).await?;
        if self.stream(&mut session, script).await? == End::Cancelled {
            // Nothing else runs in the helper, and the next phase finds it alive.
            let kill = spec::signal_command("KILL");
            self.engine.exec_silently(helper, kill).await?;
            return Err(Failure::system("cancelled"));
        }
        match self.engine.exec_code(&exec).await? {
            0 => Ok(()),
            spec::NO_GITLAB_RUNNER => Err(Failure::system(
                "the helper image has no gitlab-runner: caches and artifacts would be lost",
            )
            .hint("try: set helper-image to one that has it")),
            code => Err(Failure::script(code)),
        }
    }

    async fn run_in_build(&self, script: Vec<u8>) -> Result<(), Failure> {
        let gate = self.open_gate(self.helper()?).await?;
        let container = match self.container(Role::Build) {
            Some(found) => found.id.clone(),
            None => self.create_build().await?,
        };
        let result = self.run_container(&container, script).await;
        let closed = match gate {
            Some((gate, _builds)) => gate.close().await.map_err(Failure::from),
            None => Ok(()),
        };
        // What the script ended with comes first.
        result.and(closed)
    }

    async fn run_container(&self, container: &str, script: Vec<u8>) -> Result<(), Failure> {
        let kills = self.memory_kills();
        // Attached before the start: nothing of the output is lost, and the engine need not keep it.
        let mut session = self.engine.attach(container).await?;
        self.engine.start(container).await?;
        if self.stream(&mut session, script).await? == End::Cancelled {
            self.stop_build(container, session).await?;
            return Err(Failure::system("cancelled"));
        }
        match self.exit_code(container).await? {
            0 => Ok(()),
            code => {
                self.explain_memory(container, kills).await;
                Err(Failure::script(code))
            }
        }
    }

    /// Ends the user's processes: sends each a signal, because shells do not pass it on, then stops
    /// the container. Its root file system stays, for `after_script`.
    async fn stop_build(&self, container: &str, mut session: Session) -> Result<(), Failure> {
        let terminate = async {
            let command = spec::signal_command("TERM");
            // A container whose processes are ending takes no new one, and has none to signal.
            let _ = self.engine.exec_silently(container, command).await;
            while let Some(Ok(bytes)) = session.output.next().await {
                self.context.log.write(&bytes).await;
            }
        };
        let _ = time::timeout(GRACE, terminate).await;
        Ok(self.engine.stop(container, Duration::from_secs(1)).await?)
    }

    /// Creates the user's container, in the helper's network and with the slot's volumes.
    async fn create_build(&self) -> Result<String, Failure> {
        let helper = self.helper()?;
        let (job, call) = (&self.context.job, &self.context.call);
        let slot = Slot::new(self.lane, helper.label(name::SLOT), &call.job_environ)?;
        let mut mounts = slot.mounts(self.lane);
        mounts.extend(self.gate_mounts());
        let build = spec::build(&self.names, self.lane, job, call);
        if job.image.entrypoint.is_some() && build.entrypoint.is_none() {
            self.context.log.warn(ENTRYPOINT_COUNTS_NOT).await;
        }
        let mut environ = build.environ;
        if self.lane.docker_api == DockerApi::Gate {
            let given = &call.job_environ;
            environ.extend(accounts::variables(&self.context.config, job, given)?);
            environ.extend(direct(given));
        }
        let container = Container {
            environ,
            image: helper.label(name::IMAGE).to_owned(),
            mounts,
            network: Network::Of(helper.id.clone()),
            held: spec::held(self.lane, helper.label(name::GROUP)),
            ..build
        };
        let marker = self.marker();
        marker.set()?;
        let created = self.engine.create(container).await;
        let removed = marker.remove();
        let id = created?;
        removed.map(|()| id)
    }

    fn helper(&self) -> Result<&Object, Failure> {
        self.container(Role::Helper).ok_or_else(|| {
            Failure::system("the job's helper container is gone")
                .hint("something on this host removed it; the job can be run again")
        })
    }

    /// Feeds the script and copies the output to the log until it ends.
    async fn stream(&self, session: &mut Session, script: Vec<u8>) -> Result<End, Failure> {
        let input = std::mem::replace(&mut session.input, Box::pin(tokio::io::sink()));
        // In a task of its own: a script larger than the pipe must not wait for output that nobody
        // reads.
        let feed = tokio::spawn(async move { process::feed(input, &script).await });
        let end = loop {
            select! {
                chunk = session.output.next() => match chunk {
                    Some(Ok(bytes)) => self.context.log.write(&bytes).await,
                    Some(Err(error)) => break Err(error.into()),
                    None => break Ok(End::Closed),
                },
                () = self.context.cancel.requested() => break Ok(End::Cancelled),
            }
        };
        feed.abort();
        end
    }

    /// Waits for the container's end after its output has ended. Stops one that only closed its
    /// output, because the phase is over.
    async fn exit_code(&self, container: &str) -> Result<i64, Failure> {
        if let Ok(code) = time::timeout(GRACE, self.engine.wait(container)).await {
            return Ok(code?);
        }
        self.engine.stop(container, GRACE).await?;
        Ok(self.engine.wait(container).await?)
    }
}

/// Testcontainers for Python then connects to the address of a container itself: no port of the host is a job's.
fn direct(given: &BTreeMap<String, String>) -> Option<String> {
    let name = "TESTCONTAINERS_CONNECTION_MODE";
    (!given.contains_key(name)).then(|| format!("{name}=bridge_ip"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_author_says_of_testcontainers_counts() {
        let told = Some("TESTCONTAINERS_CONNECTION_MODE=bridge_ip".to_owned());
        assert_eq!(direct(&BTreeMap::new()), told);
        let given = ("TESTCONTAINERS_CONNECTION_MODE", "docker_host");
        let given = [given].map(|(name, value)| (name.to_owned(), value.to_owned()));
        assert_eq!(direct(&given.into()), None);
    }
}
