//! The driver's side of the broker: starts it beside a phase, and sees it end in order.
//! Runs as root; hands over facts and a socket, never a secret.

use std::{
    fs, io,
    os::{
        fd::OwnedFd,
        unix::{
            fs::{PermissionsExt, chown},
            net::UnixListener,
        },
    },
    path::{Path, PathBuf},
    process::Stdio,
};

use nix::unistd::User;
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    process::{Child, ChildStdin, Command},
    select,
    sync::mpsc,
};

use super::{
    protocol::Pages,
    task::{self, Start},
    temporary,
};
use crate::{cancel::Cancel, config::Config, failure::Failure, job::Job, log::Log, sys::tree};

/// What a broker exits with when this host, not the job, is to blame for its last answer.
pub(super) const HOST_FAULT: i32 = 70;

/// The exit code of an admin's verb that could not even look.
const CANNOT_LOOK: i32 = 3;

/// What a job's broker is started with.
pub(crate) struct Serve<'a> {
    /// The dockmaster executable.
    pub(crate) program: &'a Path,
    pub(crate) config: &'a Config,
    pub(crate) lane_name: &'a str,
    pub(crate) job: &'a Job,
    /// The uid of the job's processes.
    pub(crate) uid: u32,
    /// Where they find the broker.
    pub(crate) socket: &'a Path,
}

/// A job's broker at work.
pub(crate) struct Broker {
    child: Child,
    /// Closing it asks the broker to end.
    control: ChildStdin,
    /// What the broker says when the job no longer listens.
    late_lines: mpsc::UnboundedReceiver<String>,
    socket: PathBuf,
}

impl Broker {
    /// Makes the socket and starts the broker behind it.
    pub(crate) async fn start(serve: Serve<'_>) -> Result<Self, Failure> {
        let account = account(serve.config)?;
        let listener = listen(serve.socket, serve.uid).map_err(failed(format!(
            "cannot listen at {}",
            serve.socket.display()
        )))?;
        let task = task::serve(serve.lane_name, serve.job, serve.uid);
        let mut command = command(serve.program);
        command
            .stdout(Stdio::from(OwnedFd::from(listener)))
            .stderr(Stdio::piped());
        let (mut child, control) = spawn(command, serve.config, &account, task).await?;
        let late_lines = collect(&mut child);
        Ok(Self {
            child,
            control,
            late_lines,
            socket: serve.socket.to_owned(),
        })
    }

    /// Does `work`; a wish to stop reaches the broker at the same time. Then waits until the broker
    /// has ended in order, with its last lines in the log. The text says what was wrong with this host.
    pub(crate) async fn serve<T>(
        mut self,
        work: impl Future<Output = T>,
        log: &Log,
        cancel: &Cancel,
    ) -> (T, Option<String>) {
        let mut control = Some(self.control);
        tokio::pin!(work);
        let done = select! {
            done = &mut work => done,
            () = cancel.requested() => {
                control.take();
                work.await
            }
        };
        drop(control);
        // No new request: whoever still has the path finds nobody there.
        let _ = fs::remove_file(&self.socket);
        while let Some(line) = self.late_lines.recv().await {
            log.say(&line).await;
        }
        let problem = match self.child.wait().await {
            Ok(status) if status.success() => None,
            Ok(status) if status.code() == Some(HOST_FAULT) => {
                Some("the rollout could not be carried out on this host".to_owned())
            }
            Ok(status) => Some(format!("the broker ended unexpectedly ({status})")),
            Err(error) => Some(format!("the broker was lost: {error}")),
        };
        (done, problem)
    }
}

/// Puts right what an interrupted rollout left in each environment, if one did and nobody else works on
/// it; what could not be put right.
pub(crate) async fn recover_quietly(
    program: &Path,
    config: &Config,
    environments: &[String],
) -> Vec<Failure> {
    if environments.is_empty() {
        return Vec::new();
    }
    // Looked up once, so that a missing account is told once.
    let account = match account(config) {
        Ok(account) => account,
        Err(failure) => return vec![failure],
    };
    let mut failures = Vec::new();
    for environment in environments {
        failures.extend(
            recover_one(program, config, &account, environment)
                .await
                .err(),
        );
    }
    failures
}

async fn recover_one(
    program: &Path,
    config: &Config,
    account: &User,
    environment: &str,
) -> Result<(), Failure> {
    let task = task::recover(environment, true);
    let mut command = command(program);
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let (child, control) = spawn(command, config, account, task).await?;
    let output = child.wait_with_output().await;
    drop(control);
    let output = output.map_err(failed("the broker was lost".into()))?;
    if output.status.success() {
        return Ok(());
    }
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8_lossy(&text);
    Err(Failure::system(text.trim_end().to_owned()))
}

/// Recovers, and tells a person what was done, or a timer's log only what matters; the exit code.
pub(crate) async fn recover(
    program: &Path,
    config: &Config,
    environment: &str,
    is_quiet: bool,
) -> Result<i32, Failure> {
    tell_person(program, config, task::recover(environment, is_quiet)).await
}

/// Goes back to a release, and tells a person what happens; the exit code.
pub(crate) async fn roll_back(
    program: &Path,
    config: &Config,
    environment: &str,
    (version, by): (Option<&str>, Option<&str>),
) -> Result<i32, Failure> {
    tell_person(program, config, task::rollback(environment, version, by)).await
}

/// Tells a person what was brought out; the exit code.
pub(crate) async fn history(
    program: &Path,
    config: &Config,
    environment: &str,
    is_json: bool,
) -> Result<i32, Failure> {
    tell_person(program, config, task::history(environment, is_json)).await
}

/// Tells a person how the environment is; the exit code.
pub(crate) async fn status(
    program: &Path,
    config: &Config,
    environment: &str,
) -> Result<i32, Failure> {
    tell_person(program, config, task::status(environment)).await
}

/// The page of a run and its JSON, or `None` where there is no such run, which the broker has told;
/// and the exit code.
pub(crate) async fn report(
    program: &Path,
    config: &Config,
    environment: &str,
    run: Option<&str>,
) -> Result<(i32, Option<(String, String)>), Failure> {
    let account = account(config)?;
    let mut command = command(program);
    command.stdout(Stdio::piped());
    let task = task::report(environment, run);
    let (child, control) = spawn(command, config, &account, task).await?;
    let output = child.wait_with_output().await;
    drop(control);
    let output = output.map_err(failed("the broker was lost".into()))?;
    if !output.status.success() {
        return Ok((CANNOT_LOOK, None));
    }
    let pages: Pages = serde_json::from_slice(&output.stdout).map_err(Failure::system)?;
    Ok((0, Some((pages.report_html, pages.report_json))))
}

/// The broker's lines go where this process's go.
async fn tell_person(
    program: &Path,
    config: &Config,
    task: serde_json::Value,
) -> Result<i32, Failure> {
    let account = account(config)?;
    let cancel = Cancel::listen().map_err(failed("cannot listen to signals".into()))?;
    let (mut child, control) = spawn(command(program), config, &account, task).await?;
    let status = select! {
        status = child.wait() => status,
        () = cancel.requested() => {
            // What was begun comes to an end in order, and its last word is waited for.
            drop(control);
            child.wait().await
        }
    };
    let status = status.map_err(failed("the broker was lost".into()))?;
    Ok(match status.code() {
        // A broker that could not begin could not look.
        Some(HOST_FAULT) | None => CANNOT_LOOK,
        Some(code) => code,
    })
}

fn command(program: &Path) -> Command {
    let mut command = Command::new(program);
    command
        .arg("broker")
        .env_clear()
        .env(
            "PATH",
            "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        )
        .env("LANG", "C.UTF-8")
        .current_dir("/")
        .stdin(Stdio::piped());
    command
}

/// Starts a broker, and tells it who it is and what it is for. The pipe keeps it at work.
async fn spawn(
    mut command: Command,
    config: &Config,
    account: &User,
    task: serde_json::Value,
) -> Result<(Child, ChildStdin), Failure> {
    let start = Start {
        uid: account.uid.as_raw(),
        gid: account.gid.as_raw(),
        config: config.path.clone(),
        task,
    };
    let mut line = serde_json::to_string(&start).map_err(Failure::system)?;
    line.push('\n');
    let mut child = command
        .spawn()
        .map_err(failed("cannot start the broker".into()))?;
    let mut control = child
        .stdin
        .take()
        .ok_or_else(|| Failure::system("the broker has no control pipe"))?;
    let written = control.write_all(line.as_bytes()).await;
    written.map_err(failed("the broker was lost".into()))?;
    Ok((child, control))
}

/// The broker's user, who owns the folders of journals and leases, and of brokers' temporary files:
/// nobody else may enter them.
fn account(config: &Config) -> Result<User, Failure> {
    let name = &config.broker_user;
    let account = User::from_name(name)
        .map_err(|error| Failure::system(error).during("cannot look accounts up"))?
        .ok_or_else(|| {
            Failure::system(format!("the user {name} (broker-user) does not exist"))
                .hint(format!(
                    "try: useradd --system --home-dir /var/lib/dockmaster/broker --shell /usr/sbin/nologin {name}"
                ))
        })?;
    if account.uid.is_root() {
        return Err(Failure::system("broker-user cannot be root"));
    }
    let (uid, gid) = (account.uid.as_raw(), account.gid.as_raw());
    for folder in [
        config.state_dir.join("environments"),
        temporary::folder(&config.run_dir),
    ] {
        tree::make(&folder, tree::PRIVATE)
            .and_then(|()| chown(&folder, Some(uid), Some(gid)))
            .map_err(failed(format!("cannot make {}", folder.display())))?;
    }
    Ok(account)
}

/// Only the job's uid can connect.
fn listen(socket: &Path, uid: u32) -> io::Result<UnixListener> {
    if let Some(folder) = socket.parent() {
        tree::make(folder, tree::PASSABLE)?;
    }
    match fs::remove_file(socket) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let listener = UnixListener::bind(socket)?;
    fs::set_permissions(socket, fs::Permissions::from_mode(0o600))?;
    chown(socket, Some(uid), Some(uid))?;
    Ok(listener)
}

/// Reads along all the time: a broker that nobody reads would stand still.
fn collect(child: &mut Child) -> mpsc::UnboundedReceiver<String> {
    let (sender, receiver) = mpsc::unbounded_channel();
    if let Some(output) = child.stderr.take() {
        tokio::spawn(async move {
            let mut lines = BufReader::new(output).lines();
            while let Ok(Some(line)) = lines.next_line().await {
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
    }
    receiver
}

fn failed(what: String) -> impl Fn(io::Error) -> Failure {
    move |error| Failure::system(error).during(&what)
}
