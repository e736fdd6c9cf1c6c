//! Serves one job: who connects is checked, what is asked is decided, and a rollout that was begun
//! ends in order whoever still listens.

use std::{cell::Cell, io, os::unix::net::UnixListener as StdListener, time::Duration};

use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{UnixListener, UnixStream},
    select,
    sync::{mpsc, watch},
    time,
};

use super::{
    commit,
    driver::HOST_FAULT,
    output::JobLines,
    protocol::{Answer, Asked, Ending, Handed, Request},
    stream,
};
use crate::{
    config::{Config, Lane},
    failure::{Failure, JobCode},
    job::Job,
    lang::both,
    policy::{self, Grant},
    rollout::port::{ComposeFile, Wish},
};

/// The longest request there is.
const REQUEST_LIMIT: u64 = 4096;
/// How long a job may take to say what it wants.
const REQUEST_TIME: Duration = Duration::from_secs(10);
/// How much a job may hand over, and how long that may take: a few files with the folders above them.
const HANDED_LIMIT: u64 = 64 << 20;
const HANDED_TIME: Duration = Duration::from_secs(30);
/// How long a job that does not read may hold up the rollout.
const PATIENCE: Duration = Duration::from_secs(5);

/// What was granted, with what comes with it.
pub(super) struct Wanted<'a> {
    pub(super) grant: &'a Grant,
    /// Compose files of the commit; none where the hosts' own are used.
    pub(super) files: Vec<ComposeFile>,
}

/// Who carries rollouts out.
pub(super) trait Rollouts {
    /// One rollout of the granted commit. Ends at the next step edge when the wish says so. A
    /// failure without words was told in the lines.
    async fn deploy(
        &self,
        wanted: Wanted<'_>,
        lines: &JobLines,
        wish: watch::Receiver<Wish>,
    ) -> Result<(), Failure>;
}

/// One job's broker.
pub(super) struct Service<'a> {
    pub(super) config: &'a Config,
    pub(super) lane: &'a str,
    pub(super) job: &'a Job,
    /// The uid of the job's processes: nobody else is heard.
    pub(super) uid: u32,
}

impl Service<'_> {
    /// Answers one request after the other until the wish says stop; the process's exit code.
    pub(super) async fn serve(
        &self,
        listener: StdListener,
        rollouts: &impl Rollouts,
        wish: watch::Receiver<Wish>,
    ) -> Result<i32, Failure> {
        listener.set_nonblocking(true).map_err(Failure::system)?;
        let listener = UnixListener::from_std(listener).map_err(Failure::system)?;
        let mut code = 0;
        loop {
            let stream = select! {
                () = stopped(wish.clone()) => return Ok(code),
                accepted = listener.accept() => match accepted {
                    Ok((stream, _)) => stream,
                    Err(error) => return Err(Failure::system(error)),
                },
            };
            if !stream.peer_cred().is_ok_and(|peer| peer.uid() == self.uid) {
                continue;
            }
            let ending = self.answer(stream, rollouts, wish.clone()).await;
            // A rollout that somebody stopped is no fault of this host.
            let is_stopped = *wish.borrow() != Wish::GoOn;
            code = if ending.is_host_fault && !is_stopped {
                HOST_FAULT
            } else {
                0
            };
        }
    }

    async fn answer(
        &self,
        stream: UnixStream,
        rollouts: &impl Rollouts,
        wish: watch::Receiver<Wish>,
    ) -> Ending {
        let mut stream = BufReader::new(stream);
        let request = select! {
            () = stopped(wish.clone()) => Err(Failure::system("the job is being stopped")),
            request = read_request(&mut stream) => request,
        };
        let grant = request.and_then(|Request::Deploy { environment }| self.decide(environment));
        let granted = match grant {
            Ok(grant) => select! {
                () = stopped(wish.clone()) => Err(Failure::system("the job is being stopped")),
                files = released_files(&mut stream, &grant) => files.map(|files| (grant, files)),
            },
            Err(failure) => Err(failure),
        };
        let listener = Listener {
            stream: stream.into_inner(),
            is_gone: Cell::new(false),
        };
        let result = match granted {
            Ok((grant, files)) => {
                let wanted = Wanted {
                    grant: &grant,
                    files,
                };
                listener.follow(rollouts, wanted, wish).await
            }
            Err(failure) => (listener, Err(failure)),
        };
        let (mut listener, result) = result;
        let ending = match result {
            Ok(()) => Ending::done(),
            Err(failure) => Ending::from(&failure),
        };
        listener.close(&ending).await;
        ending
    }

    /// The decision is made here again, not where the request comes from.
    fn decide(&self, environment: Option<String>) -> Result<Grant, Failure> {
        let Lane::Deploy(lane) = self.config.lane(self.lane)? else {
            return Err(Failure::system(format!(
                "`{}` is not a deploy lane",
                self.lane
            )));
        };
        let name = match (environment, lane.environments.as_slice()) {
            (Some(name), _) => name,
            (None, [only]) => only.clone(),
            (None, several) => {
                let text = both!(
                    "say which environment: {}",
                    "请写明环境：{}",
                    several.join(", ")
                );
                return Err(Failure::build(JobCode::Malformed, text));
            }
        };
        if !lane.environments.contains(&name) {
            let (name, known) = (policy::printable(&name), lane.environments.join(", "));
            let text = both!(
                "this lane has no environment called `{name}` (it has: {known})",
                "这个通道没有名为 `{name}` 的环境（有：{known}）"
            );
            return Err(Failure::build(JobCode::Malformed, text));
        }
        let environment = self.config.environment(&name)?;
        Ok(policy::decide(lane, &environment, self.job)?)
    }
}

/// Resolves when the wish is no longer to go on.
pub(super) async fn stopped(mut wish: watch::Receiver<Wish>) {
    if wish.wait_for(|wish| *wish != Wish::GoOn).await.is_err() {
        std::future::pending::<()>().await;
    }
}

/// The compose files of the granted commit. The job hands git objects over, and nothing that it says
/// chooses another content.
async fn released_files(
    stream: &mut BufReader<UnixStream>,
    grant: &Grant,
) -> Result<Vec<ComposeFile>, Failure> {
    let environment = grant.environment();
    let paths = &environment.compose.file;
    if paths.is_empty() {
        return Ok(Vec::new());
    }
    let asked = Answer::Asked(Asked {
        commit: grant.commit().to_owned(),
        paths: paths.clone(),
    });
    let mut line = serde_json::to_string(&asked).map_err(Failure::system)?;
    line.push('\n');
    let refused = |why: String| {
        let text = format!("the released compose files were not handed over: {why}");
        Failure::build(JobCode::Malformed, text)
    };
    let hand_over = async {
        stream.write_all(line.as_bytes()).await?;
        let mut handed = String::new();
        let mut limited = stream.take(HANDED_LIMIT);
        limited.read_line(&mut handed).await?;
        Ok::<_, io::Error>(handed)
    };
    let handed = match time::timeout(HANDED_TIME, hand_over).await {
        Ok(handed) => handed.map_err(|error| refused(error.to_string()))?,
        Err(_) => return Err(refused("nothing came".into())),
    };
    let handed: Handed =
        serde_json::from_str(&handed).map_err(|error| refused(error.to_string()))?;
    let wanted = commit::Wanted {
        commit: grant.commit(),
        environment: &environment.name,
        paths,
    };
    Ok(wanted.read(handed.objects)?)
}

async fn read_request(stream: &mut BufReader<UnixStream>) -> Result<Request, Failure> {
    let refused = |text: String| Failure::build(JobCode::Malformed, text);
    let mut line = String::new();
    let mut limited = stream.take(REQUEST_LIMIT);
    match time::timeout(REQUEST_TIME, limited.read_line(&mut line)).await {
        Ok(Ok(_)) => serde_json::from_str(&line)
            .map_err(|error| refused(format!("the request cannot be understood: {error}"))),
        Ok(Err(error)) => Err(refused(format!("the request cannot be read: {error}"))),
        Err(_) => Err(refused("no request was made".into())),
    }
}

/// The job, while it is connected; the driver's log afterwards.
struct Listener {
    stream: UnixStream,
    is_gone: Cell<bool>,
}

impl Listener {
    /// Runs the rollout and passes its lines on. The rollout is never dropped half-way.
    async fn follow(
        mut self,
        rollouts: &impl Rollouts,
        wanted: Wanted<'_>,
        wish: watch::Receiver<Wish>,
    ) -> (Self, Result<(), Failure>) {
        let (sender, mut lines) = mpsc::unbounded_channel();
        let job_lines = JobLines(sender);
        let work = rollouts.deploy(wanted, &job_lines, wish);
        tokio::pin!(work);
        let result = loop {
            select! {
                biased;
                Some(answer) = lines.recv() => self.tell(answer).await,
                result = &mut work => break result,
            }
        };
        while let Ok(answer) = lines.try_recv() {
            self.tell(answer).await;
        }
        (self, result)
    }

    async fn tell(&mut self, answer: Answer) {
        let is_sent = self.send(&answer).await;
        if let (false, Answer::Log { log }) = (is_sent, answer) {
            stream::tell_driver(&log);
        }
    }

    async fn close(&mut self, ending: &Ending) {
        let is_sent = self.send(&Answer::Ending(ending.clone())).await;
        if !is_sent && !ending.message.is_empty() {
            stream::tell_driver(&ending.message);
        }
    }

    /// True when the job has it. A job that does not read for a while is as good as gone.
    async fn send(&mut self, answer: &Answer) -> bool {
        if self.is_gone.get() {
            return false;
        }
        let sent = async {
            let mut line = serde_json::to_string(answer).map_err(io::Error::other)?;
            line.push('\n');
            self.stream.write_all(line.as_bytes()).await
        };
        let is_sent = matches!(time::timeout(PATIENCE, sent).await, Ok(Ok(())));
        self.is_gone.set(!is_sent);
        is_sent
    }
}

#[cfg(test)]
mod tests;
