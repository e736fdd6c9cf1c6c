//! One call of the driver: a process in a group of its own, its pipes, and how it is ended.

use std::collections::BTreeMap;
use std::io::Read;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;

use super::control::Control;
use super::log::Log;

/// A driver call as the runner saw it.
#[derive(Clone, Debug)]
pub struct Call {
    /// `config`, `prepare`, `run` or `cleanup`.
    pub stage: &'static str,
    /// The last argument of a `run` call.
    pub phase: Option<String>,
    pub argv: Vec<String>,
    pub environ: BTreeMap<String, String>,
    pub exit: Exit,
    pub duration: Duration,
    /// What config and cleanup wrote to stdout; other output is in the job log.
    pub stdout: String,
    /// What cleanup wrote to stderr.
    pub stderr: String,
    /// Whether the runner had to end the call.
    pub is_killed: bool,
}

impl Call {
    /// The phase of a run call, else the stage.
    pub fn name(&self) -> &str {
        self.phase.as_deref().unwrap_or(self.stage)
    }
}

/// How a driver process ended.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Exit {
    Code(i32),
    Signal(i32),
    NotStarted(String),
    /// Alive in spite of everything; the process id.
    Dormant(i32),
}

/// What can happen while a driver runs.
#[derive(Debug)]
pub(crate) enum Event {
    Exited(ExitStatus),
    Closed,
    Control,
}

/// Where the output goes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Output {
    /// stdout is kept, stderr goes to the job log.
    Config,
    Log,
    /// Both are kept.
    Kept,
}

/// Why the runner ends a call.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Cause {
    Cancel,
    Abort,
    Crash,
    JobTimeout,
    StageTimeout,
}

/// What ends this call before its own end.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    pub(super) deadline: Option<(Instant, Cause)>,
    pub(super) is_cancelable: bool,
    pub(super) is_abortable: bool,
    pub(super) graceful: Duration,
    pub(super) force: Duration,
}

#[derive(Debug)]
pub(super) struct Order<'a> {
    pub(super) program: &'a str,
    pub(super) arguments: Vec<String>,
    pub(super) environ: BTreeMap<String, String>,
    pub(super) directory: &'a Path,
    pub(super) output: Output,
    pub(super) limits: Limits,
}

#[derive(Debug)]
pub(super) struct End {
    pub(super) exit: Exit,
    pub(super) cause: Option<Cause>,
    pub(super) duration: Duration,
    pub(super) stdout: String,
    pub(super) stderr: String,
}

/// Starts the driver and waits until it has ended and its pipes are closed.
pub(super) fn carry_out(order: &Order<'_>, control: &Control, log: &Log) -> End {
    let began = Instant::now();
    let mut command = Command::new(order.program);
    command
        .args(&order.arguments)
        .env_clear()
        .envs(&order.environ)
        .current_dir(order.directory)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0);
    let mut child = match command.spawn() {
        Ok(child) => child,
        Err(error) => {
            let program = PathBuf::from(order.program);
            let why = format!("fork/exec {}: {error}", program.display());
            return End {
                exit: Exit::NotStarted(why),
                cause: None,
                duration: began.elapsed(),
                stdout: String::new(),
                stderr: String::new(),
            };
        }
    };
    let (wake, events) = channel();
    let leader = Pid::from_raw(child.id().cast_signed());
    let readers = [
        read(child.stdout.take(), order.output != Output::Log, log, &wake),
        read(
            child.stderr.take(),
            order.output == Output::Kept,
            log,
            &wake,
        ),
    ];
    control.begin(leader, wake.clone());
    wait(child, wake);
    let mut watch = Watch {
        leader,
        order,
        control,
        log,
        cause: None,
        exit: None,
        open: 2,
    };
    let exit = watch.until_end(&events);
    control.end();
    let cause = watch.cause;
    // A reader whose pipe somebody still holds is left to itself, as the runner leaves it.
    let is_over = !matches!(exit, Exit::Dormant(_));
    let [stdout, stderr] = readers.map(|reader| {
        if is_over {
            reader.join().unwrap_or_default()
        } else {
            String::new()
        }
    });
    End {
        exit,
        cause,
        duration: began.elapsed(),
        stdout,
        stderr,
    }
}

fn wait(mut child: Child, wake: Sender<Event>) {
    std::thread::spawn(move || {
        if let Ok(status) = child.wait() {
            // Nobody listens once the call has been given up.
            let _ = wake.send(Event::Exited(status));
        }
    });
}

fn read(
    pipe: Option<impl Read + Send + 'static>,
    is_kept: bool,
    log: &Log,
    wake: &Sender<Event>,
) -> std::thread::JoinHandle<String> {
    let (log, wake) = (log.clone(), wake.clone());
    std::thread::spawn(move || {
        let mut stream = log.stream();
        let mut kept = Vec::new();
        let mut buffer = vec![0; 64 * 1024];
        if let Some(mut pipe) = pipe {
            while let Ok(read @ 1..) = pipe.read(&mut buffer) {
                if is_kept {
                    kept.extend_from_slice(&buffer[..read]);
                } else {
                    stream.write(&buffer[..read]);
                }
            }
        }
        stream.finish();
        let _ = wake.send(Event::Closed);
        String::from_utf8_lossy(&kept).into_owned()
    })
}

/// A call under way.
struct Watch<'a> {
    leader: Pid,
    order: &'a Order<'a>,
    control: &'a Control,
    log: &'a Log,
    cause: Option<Cause>,
    exit: Option<Exit>,
    open: usize,
}

impl Watch<'_> {
    fn until_end(&mut self, events: &Receiver<Event>) -> Exit {
        let limits = self.order.limits;
        let deadline = limits.deadline.map(|(deadline, _)| deadline);
        if let Some(exit) = self.until(events, deadline, true) {
            return exit;
        }
        if self.cause.is_none() {
            self.cause = limits.deadline.map(|(_, cause)| cause);
        }
        if self.cause == Some(Cause::Crash) {
            return self.after_crash(events);
        }
        if killpg(self.leader, Signal::SIGTERM).is_ok() {
            let graceful = Some(Instant::now() + limits.graceful);
            if let Some(exit) = self.until(events, graceful, false) {
                return exit;
            }
            if self.cause == Some(Cause::Crash) {
                return self.after_crash(events);
            }
        } else {
            self.log
                .warning("Failed to terminate process: no such process");
        }
        if killpg(self.leader, Signal::SIGKILL).is_err() {
            self.log.warning("Failed to force-kill: no such process");
        }
        let force = Some(Instant::now() + limits.force);
        self.until(events, force, false)
            .unwrap_or(Exit::Dormant(self.leader.as_raw()))
    }

    fn after_crash(&mut self, events: &Receiver<Event>) -> Exit {
        let soon = Some(Instant::now() + Duration::from_secs(5));
        self.until(events, soon, false)
            .unwrap_or(Exit::Dormant(self.leader.as_raw()))
    }

    /// Waits for the end; `None` when the deadline or, if that is `heeded`, a request came first.
    fn until(
        &mut self,
        events: &Receiver<Event>,
        deadline: Option<Instant>,
        heeded: bool,
    ) -> Option<Exit> {
        loop {
            if self.open == 0
                && let Some(exit) = self.exit.clone()
            {
                return Some(exit);
            }
            let event = match deadline {
                Some(deadline) => {
                    events.recv_timeout(deadline.saturating_duration_since(Instant::now()))
                }
                None => events.recv().map_err(|_| RecvTimeoutError::Disconnected),
            };
            match event {
                Ok(Event::Exited(status)) => self.exit = Some(exit_of(status)),
                Ok(Event::Closed) => self.open -= 1,
                Ok(Event::Control) => {
                    let was = self.cause;
                    self.look_at_control();
                    let is_new_crash = self.cause == Some(Cause::Crash) && was != self.cause;
                    if is_new_crash || (heeded && self.cause.is_some()) {
                        return None;
                    }
                }
                Err(_) => return None,
            }
        }
    }

    fn look_at_control(&mut self) {
        let state = self.control.state();
        let limits = &self.order.limits;
        if state.is_crashed {
            self.cause = Some(Cause::Crash);
        } else if state.is_aborted && limits.is_abortable {
            self.cause = Some(Cause::Abort);
        } else if state.is_canceled && limits.is_cancelable {
            self.cause.get_or_insert(Cause::Cancel);
        }
    }
}

fn exit_of(status: ExitStatus) -> Exit {
    match (status.code(), status.signal()) {
        (Some(code), _) => Exit::Code(code),
        (None, signal) => Exit::Signal(signal.unwrap_or_default()),
    }
}
