//! The broker: a process of one job's, under an identity of its own that alone can read the keys.
//! A job asks it for a rollout and is told what happens; it never gets a key.
//!
//! It decides itself, from facts that root hands it, and serves until its control pipe closes.

pub(crate) mod client;
mod clock;
mod commit;
pub(crate) mod driver;
mod history;
mod image;
mod kept;
mod objects;
mod open;
mod output;
mod precedence;
mod protocol;
mod report;
mod rollback;
mod serve;
mod status;
mod stream;
mod task;
pub(crate) mod temporary;

use std::{
    io::{self, BufRead},
    os::fd::AsFd,
    time::Duration,
};

use nix::unistd::{Gid, Uid};
use tokio::{
    io::AsyncReadExt,
    net::unix::pipe,
    select,
    signal::unix::{SignalKind, signal},
    sync::watch,
};

use crate::{
    config::Config,
    failure::{Class, Failure, JobCode},
    lang::{self, both, word},
    rollout::port::Wish,
    sys::process,
};
use output::Output;
use task::{Start, Task};

/// How long killed connections may take to be gone.
const CHILDREN: Duration = Duration::from_secs(5);

/// Runs `dockmaster broker`: the task is the first line of standard input, and what follows is the
/// control pipe, whose end means "stop". Returns the exit code.
pub(crate) fn main() -> i32 {
    match run() {
        Ok(code) => code,
        Err(failure) => {
            stream::tell_driver(&format!("dockmaster broker: {failure}"));
            driver::HOST_FAULT
        }
    }
}

fn run() -> Result<i32, Failure> {
    // Signals for the driver's group are not for this process: it ends in order, later.
    process::leave_session().map_err(failed("leave the session"))?;
    process::close_on_exec_beyond_standard_streams().map_err(failed("close inherited files"))?;
    let start = read_start()?;
    process::become_user(Uid::from_raw(start.uid), Gid::from_raw(start.gid))
        .map_err(failed("become the broker's user"))?;
    process::hide_memory().map_err(failed("hide the own memory"))?;
    process::forbid_core_dumps().map_err(failed("forbid core dumps"))?;
    process::forbid_new_privileges().map_err(failed("forbid new privileges"))?;
    let config = Config::load(&start.config)?;
    lang::speak(config.lang);
    let _temporary = temporary::Temporary::make(&config.run_dir)
        .map_err(failed("make a folder for temporary files"))?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let runtime = runtime.map_err(failed("start"))?;
    let code = runtime.block_on(work(start.task, config));
    runtime.shutdown_background();
    // The connections were told to end; nothing of the broker's outlives it.
    process::wait_for_children(CHILDREN);
    code
}

async fn work(task: Task, config: Config) -> Result<i32, Failure> {
    let wish = listen().map_err(failed("listen to the driver"))?;
    match task {
        Task::Serve { lane, job, uid } => {
            let listener = stream::socket().map_err(failed("listen"))?;
            let service = serve::Service {
                config: &config,
                lane: &lane,
                job: &job,
                uid,
            };
            let rollouts = open::Rollouts { config: &config };
            service.serve(listener, &rollouts, wish).await
        }
        Task::Recover {
            environment,
            is_quiet,
        } => {
            let recovery = open::Recovery {
                environment: &environment,
                is_unasked: is_quiet,
            };
            let recovered = recovery.carry_out(&config, Output::Admin, wish).await;
            Ok(recovered_code(recovered, is_quiet))
        }
        Task::Rollback {
            environment,
            version,
            by,
        } => {
            let rollback = rollback::Rollback {
                environment: &environment,
                version: version.as_deref(),
                by,
            };
            Ok(rolled_back_code(rollback.carry_out(&config, wish).await))
        }
        Task::History {
            environment,
            is_json,
        } => {
            let is_whole = history::history(&config, &environment, is_json)?;
            Ok(i32::from(!is_whole))
        }
        Task::Report { environment, run } => {
            let run = run.as_deref();
            let pages = report::pages(&config, &environment, run)?.ok_or_else(|| {
                let text = match run {
                    Some(run) => both!(
                        "{environment} has no run {run}",
                        "{environment} 没有运行 {run}"
                    ),
                    None => both!(
                        "nothing was brought to {environment} yet",
                        "{environment} 还没有发布过任何版本"
                    ),
                };
                Failure::system(text).hint(both!(
                    "try: dockmaster rollout history {environment}",
                    "请看：dockmaster rollout history {environment}"
                ))
            })?;
            stream::tell_admin(&serde_json::to_string(&pages).map_err(Failure::system)?);
            Ok(0)
        }
        Task::Status { environment } => {
            let is_well = status::status(&config, &environment).await?;
            Ok(i32::from(!is_well))
        }
    }
}

/// 0 when all is well now, 1 when a person is needed or somebody else is at it, 3 when it could
/// not even be looked.
fn recovered_code(recovered: Result<bool, Failure>, is_quiet: bool) -> i32 {
    let (code, line) = match recovered {
        Ok(true) => return 0,
        Ok(false) => (
            0,
            word!(
                "nothing to recover: no rollout was left open",
                "无需恢复：没有未结束的发布"
            )
            .to_owned(),
        ),
        // Who holds the lease puts things right itself.
        Err(failure) if is_quiet && failure.code() == Some(JobCode::Leased) => return 0,
        Err(failure) if failure.class() == Class::Build => (1, failure.to_string()),
        Err(failure) => (3, failure.to_string()),
    };
    if !is_quiet || code != 0 {
        stream::tell_admin(&line);
    }
    code
}

/// 0 when it is done, 1 when it came to another end, 3 when it could not even begin.
fn rolled_back_code(result: Result<(), Failure>) -> i32 {
    let Err(failure) = result else { return 0 };
    if failure.is_silent() {
        return 1;
    }
    stream::tell_admin(&failure.to_string());
    match failure.class() {
        Class::Build => 1,
        Class::System => 3,
    }
}

/// The task's line. Nothing ever follows it: the end of the pipe is the message.
fn read_start() -> Result<Start<Task>, Failure> {
    let mut line = Vec::new();
    io::stdin()
        .lock()
        .read_until(b'\n', &mut line)
        .map_err(failed("read the task"))?;
    serde_json::from_slice(&line)
        .map_err(|error| Failure::system(error).during("`broker` is dockmaster's own verb"))
}

/// The wish to end: the driver closed the control pipe, or is gone; or SIGTERM came.
fn listen() -> io::Result<watch::Receiver<Wish>> {
    let mut control = pipe::Receiver::from_owned_fd(io::stdin().as_fd().try_clone_to_owned()?)?;
    let mut terminate = signal(SignalKind::terminate())?;
    let (sender, receiver) = watch::channel(Wish::GoOn);
    tokio::spawn(async move {
        let mut is_open = true;
        let mut byte = [0];
        loop {
            select! {
                read = control.read(&mut byte), if is_open => {
                    is_open = matches!(read, Ok(1));
                    if is_open { continue }
                }
                _ = terminate.recv() => {}
            }
            sender.send_modify(|wish| {
                *wish = if *wish == Wish::GoOn {
                    Wish::Stop
                } else {
                    Wish::StopNow
                };
            });
        }
    });
    Ok(receiver)
}

fn failed(what: &'static str) -> impl Fn(io::Error) -> Failure {
    move |error| Failure::system(error).during(&format!("cannot {what}"))
}
