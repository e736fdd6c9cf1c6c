//! Runs one command in a job's sandbox: its output goes to the log as it comes, its end is awaited,
//! and a wish to stop reaches all of its processes. Does not know what the command is.

use std::{
    fs::File,
    io,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use tokio::{
    io::{AsyncRead, AsyncReadExt},
    process::{Child, Command},
    select, time,
};

use super::enter::Entry;
use crate::{cancel::Cancel, failure::Failure, log::Log};

/// How long a job has between SIGTERM and the end.
const GRACE: Duration = Duration::from_secs(5);

/// Enough for the kernel's pipe to be emptied in one go.
const CHUNK: usize = 64 * 1024;

/// Why a command could not be run.
#[derive(Debug, thiserror::Error)]
pub(super) enum SpawnError {
    #[error("cannot start {program}")]
    Start {
        program: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("the sandbox is unavailable: {reason}")]
    NoSandbox { reason: String },
    #[error("cannot follow the job's processes")]
    Lost(#[source] io::Error),
    #[error("something outside killed the job's sandbox (signal {signal})")]
    Killed { signal: i32 },
}

impl From<SpawnError> for Failure {
    fn from(error: SpawnError) -> Self {
        match error {
            SpawnError::Start { .. }
            | SpawnError::NoSandbox { .. }
            | SpawnError::Lost(_)
            | SpawnError::Killed { .. } => Self::system(error),
        }
    }
}

/// How a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// Its own exit code; 128 and the signal where one ended it.
    Code(i32),
    /// It was stopped, because somebody wanted so.
    Cancelled,
}

/// Runs the entry's command with `stdin`, until none of its processes is left.
pub(super) async fn run(
    program: &Path,
    (entry, stdin): (&Entry, File),
    log: &Log,
    cancel: &Cancel,
) -> Result<End, SpawnError> {
    let mut child = start(program, entry, stdin)?;
    let pid = child.id().map(|id| Pid::from_raw(id.cast_signed()));
    let follow = follow(&mut child, log);
    tokio::pin!(follow);
    select! {
        end = &mut follow => return end,
        () = cancel.requested() => {}
    }
    // All at once: a shell that waits for a child hears of SIGTERM only when that has ended.
    signal_all(program, entry.uid, Signal::SIGTERM).await?;
    if time::timeout(GRACE, &mut follow).await.is_err() {
        if let Some(pid) = pid {
            // Its child, the first process of the job's world, dies with it, and all others then.
            let _ = kill(pid, Signal::SIGKILL);
        }
        let _ = follow.await;
    }
    Ok(End::Cancelled)
}

/// Signals every process of `uid` that is in no container. A process that becomes that uid does it: the
/// kernel then cannot reach anybody else's, whatever ends or starts meanwhile.
pub(super) async fn signal_all(program: &Path, uid: u32, signal: Signal) -> Result<(), SpawnError> {
    let start = |source| SpawnError::Start {
        program: program.to_owned(),
        source,
    };
    Command::new(program)
        .args(["signal", &uid.to_string(), &(signal as i32).to_string()])
        .env_clear()
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .await
        .map_err(start)?;
    Ok(())
}

fn start(program: &Path, entry: &Entry, stdin: File) -> Result<Child, SpawnError> {
    let failed = |source| SpawnError::Start {
        program: program.to_owned(),
        source,
    };
    let argument = serde_json::to_string(entry).map_err(|error| failed(error.into()))?;
    Command::new(program)
        .args(["enter", &argument])
        .env_clear()
        .current_dir("/")
        // The runner signals the driver's group; what reaches the job is decided here.
        .process_group(0)
        .stdin(stdin)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(failed)
}

/// Copies the output until the last process that could write has ended, then asks how it ended.
async fn follow(child: &mut Child, log: &Log) -> Result<End, SpawnError> {
    let (Some(mut output), Some(mut problem)) = (child.stdout.take(), child.stderr.take()) else {
        return Err(SpawnError::Lost(io::Error::other("the job has no output")));
    };
    let mut reason = String::new();
    let (copied, read) = tokio::join!(copy(&mut output, log), problem.read_to_string(&mut reason));
    let status = child.wait().await.map_err(SpawnError::Lost)?;
    copied.and(read.map(drop)).map_err(SpawnError::Lost)?;
    if !reason.is_empty() {
        return Err(SpawnError::NoSandbox { reason });
    }
    match status.code() {
        Some(code) => Ok(End::Code(code)),
        None => Err(SpawnError::Killed {
            signal: std::os::unix::process::ExitStatusExt::signal(&status).unwrap_or_default(),
        }),
    }
}

async fn copy(output: &mut (impl AsyncRead + Unpin), log: &Log) -> io::Result<()> {
    let mut chunk = vec![0; CHUNK];
    loop {
        match output.read(&mut chunk).await? {
            0 => return Ok(()),
            length => log.write(&chunk[..length]).await,
        }
    }
}
