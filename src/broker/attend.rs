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
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    process::{Child, ChildStdin, Command},
    select,
    sync::mpsc,
};

use super::duty::{self, Letter};
use crate::{cancel::Cancel, config::Config, failure::Failure, job::Job, log::Log, sys::tree};

/// What a broker exits with when this host, not the job, is to blame for its last answer.
pub(super) const BROKEN: i32 = 70;

/// What a broker is started for.
pub struct Beside<'a> {
    /// The dockmaster executable.
    pub program: &'a Path,
    pub config: &'a Config,
    pub lane_name: &'a str,
    pub job: &'a Job,
    /// The uid of the job's processes.
    pub uid: u32,
    /// Where they find the broker.
    pub socket: &'a Path,
}

/// A broker at work.
pub struct Attendant {
    child: Child,
    /// Closing it asks the broker to end.
    control: ChildStdin,
    /// What the broker says when the job no longer listens.
    asides: mpsc::UnboundedReceiver<String>,
    socket: PathBuf,
}

/// How the broker ended.
#[derive(Debug, Default)]
pub struct Report {
    /// Set when this host, not the job, is to blame for the broker's last answer.
    pub trouble: Option<String>,
}

impl Attendant {
    /// Makes the socket and starts the broker behind it.
    pub async fn start(beside: Beside<'_>) -> Result<Self, Failure> {
        let listener = listen(beside.socket, beside.uid).map_err(failed(format!(
            "cannot listen at {}",
            beside.socket.display()
        )))?;
        let task = duty::serve(beside.lane_name, beside.job, beside.uid);
        let output = Stdio::from(OwnedFd::from(listener));
        let mut child = spawn(beside.program, output)?;
        let control = order(&mut child, beside.config, task).await?;
        let asides = collect(&mut child);
        Ok(Self {
            child,
            control,
            asides,
            socket: beside.socket.to_owned(),
        })
    }

    /// Does `work`; a wish to stop reaches the broker at the same time. Then waits until the broker
    /// has ended in order, with its last lines in the log.
    pub async fn beside<T>(
        self,
        work: impl Future<Output = T>,
        log: &Log,
        cancel: &Cancel,
    ) -> (T, Report) {
        let Self {
            mut child,
            control,
            mut asides,
            socket,
        } = self;
        let mut control = Some(control);
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
        let _ = fs::remove_file(&socket);
        while let Some(line) = asides.recv().await {
            log.say(&line).await;
        }
        let trouble = match child.wait().await {
            Ok(status) if status.success() => None,
            Ok(status) if status.code() == Some(BROKEN) => {
                Some("the rollout could not be carried out on this host".to_owned())
            }
            Ok(status) => Some(format!("the broker ended unexpectedly ({status})")),
            Err(error) => Some(format!("the broker was lost: {error}")),
        };
        (done, Report { trouble })
    }
}

/// Puts right what an interrupted rollout left, if one did and nobody is at it. Quiet when all is well.
pub async fn recover(program: &Path, config: &Config, environment: &str) -> Result<(), Failure> {
    let (code, text) = run(program, config, duty::recover(environment, true)).await?;
    if code == 0 {
        Ok(())
    } else {
        Err(Failure::system(text))
    }
}

/// For a person: recovers, and says what was done. The exit code and the text.
pub async fn recover_aloud(
    program: &Path,
    config: &Config,
    environment: &str,
) -> Result<i32, Failure> {
    aloud(program, config, duty::recover(environment, false)).await
}

/// For a person: how the environment is.
pub async fn status_aloud(
    program: &Path,
    config: &Config,
    environment: &str,
) -> Result<i32, Failure> {
    aloud(program, config, duty::status(environment)).await
}

/// The broker's lines go where this process's go.
async fn aloud(program: &Path, config: &Config, task: serde_json::Value) -> Result<i32, Failure> {
    let mut child = command(program)
        .stdout(Stdio::inherit())
        .stderr(Stdio::inherit())
        .spawn()
        .map_err(failed(format!("cannot start {}", program.display())))?;
    let control = order(&mut child, config, task).await?;
    let status = child
        .wait()
        .await
        .map_err(failed("the broker was lost".into()))?;
    drop(control);
    Ok(match status.code() {
        // A broker that could not begin could not look.
        Some(BROKEN) | None => 3,
        Some(code) => code,
    })
}

/// Runs a broker that serves nobody; its code and all it said.
async fn run(
    program: &Path,
    config: &Config,
    task: serde_json::Value,
) -> Result<(i32, String), Failure> {
    let lost = || failed("the broker was lost".into());
    let mut child = spawn(program, Stdio::piped())?;
    let control = order(&mut child, config, task).await?;
    let (mut said, mut complained) = (String::new(), String::new());
    if let (Some(out), Some(trouble)) = (&mut child.stdout, &mut child.stderr) {
        let (one, other) = tokio::join!(
            out.read_to_string(&mut said),
            trouble.read_to_string(&mut complained)
        );
        one.and(other).map_err(lost())?;
    }
    let status = child.wait().await.map_err(lost())?;
    drop(control);
    said.push_str(&complained);
    Ok((status.code().unwrap_or(BROKEN), said.trim_end().to_owned()))
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

fn spawn(program: &Path, output: Stdio) -> Result<Child, Failure> {
    command(program)
        .stdout(output)
        .stderr(Stdio::piped())
        .spawn()
        .map_err(failed(format!("cannot start {}", program.display())))
}

/// Tells the broker who it is and what it is for.
async fn order(
    child: &mut Child,
    config: &Config,
    task: serde_json::Value,
) -> Result<ChildStdin, Failure> {
    let name = &config.broker_user;
    let account = User::from_name(name)
        .map_err(|error| Failure::system(error).during("cannot look accounts up"))?
        .ok_or_else(|| {
            Failure::system(format!("the user {name} (broker-user) does not exist"))
                .hint(format!("try: useradd --system --no-create-home {name}"))
        })?;
    if account.uid.is_root() {
        return Err(Failure::system("broker-user cannot be root"));
    }
    let (uid, gid) = (account.uid.as_raw(), account.gid.as_raw());
    let folder = config.state_dir.join("environments");
    own_folder(&folder, uid, gid).map_err(failed(format!("cannot make {}", folder.display())))?;
    let letter = Letter {
        uid,
        gid,
        config: &config.path,
        task,
    };
    let mut line = serde_json::to_string(&letter).map_err(Failure::system)?;
    line.push('\n');
    let lost = || failed("the broker was lost".into());
    let mut control = child
        .stdin
        .take()
        .ok_or_else(|| Failure::system("the broker has no control pipe"))?;
    control.write_all(line.as_bytes()).await.map_err(lost())?;
    Ok(control)
}

/// Where the broker keeps journals and leases: nobody else has a business there.
fn own_folder(folder: &Path, uid: u32, gid: u32) -> io::Result<()> {
    tree::make(folder, tree::PRIVATE)?;
    chown(folder, Some(uid), Some(gid))
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
    if let Some(trouble) = child.stderr.take() {
        tokio::spawn(async move {
            let mut lines = BufReader::new(trouble).lines();
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
