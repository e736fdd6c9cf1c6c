//! One host over SSH, by the system's own `ssh`: one connection, many commands, reopened when lost.
//! Knows nothing of Docker or rollouts.
//!
//! The connection's first session is a `cat` on the host that reads from us. When this process ends,
//! however it ends, that pipe closes, `cat` ends, and with it the connection: a master with
//! `ControlPersist` would outlive a kill -9 with the key's rights still open. Commands on the host
//! that must outlive us are detached there, not here.
//!
//! Nothing of the user's or the system's ssh configuration is read for the connection, no agent is
//! asked or forwarded, and only the host key that the environment names is accepted.

mod error;

use std::{
    cell::RefCell,
    fs,
    path::{Path, PathBuf},
    process::{self, Output},
    rc::Rc,
    time::Duration,
};

use openssh::{ForwardType, Session as Mux, Stdio};
use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    process::{Child, ChildStdout, Command},
    sync::{Mutex, OnceCell},
    time::timeout,
};

use crate::{
    config::{self, HostKey, SshTarget},
    secret,
};
pub use error::SshError;

/// How long the host may take to let us in; ssh itself gives up a second earlier, with its own words.
const CONNECT_LIMIT: Duration = Duration::from_secs(10);
/// How long ssh may take to end once its output has ended.
const END_LIMIT: Duration = Duration::from_secs(1);
/// What the host says once we are in; whatever a login script prints before it is ignored.
const READY: &str = "dockmaster-ready";
/// What the file of the private key must hold.
const KEY: &str = "the private half of a key whose public half is in the hosts' authorized_keys";
/// The name under which the host's key stands in the `known_hosts` file.
const ALIAS: &str = "host";

/// A host that is entered when there is something to do there.
pub struct Session {
    name: String,
    target: SshTarget,
    host_key: HostKey,
    key: PathBuf,
    live: RefCell<Option<Rc<Connection>>>,
    opening: Mutex<()>,
}

impl Session {
    /// Does not connect yet.
    pub fn new(host: &config::HostEntry, key: &Path) -> Self {
        Self {
            name: host.name.clone(),
            target: host.ssh.clone(),
            host_key: host.host_key.clone(),
            key: key.to_owned(),
            live: RefCell::default(),
            opening: Mutex::default(),
        }
    }

    /// Who we are on the host.
    pub(crate) fn user(&self) -> &str {
        &self.target.user
    }

    /// The connection, opened when there is none or it was lost.
    pub async fn connection(&self) -> Result<Rc<Connection>, SshError> {
        let _alone = self.opening.lock().await;
        let live = self.live.borrow().clone();
        if let Some(live) = live
            && !live.is_lost()
        {
            return Ok(live);
        }
        let opened = Rc::new(Connection::open(self).await?);
        *self.live.borrow_mut() = Some(Rc::clone(&opened));
        Ok(opened)
    }

    /// Runs a shell script on the host and gives what it printed.
    pub(crate) async fn script(&self, script: &Script<'_>) -> Result<String, SshError> {
        self.connection().await?.script(script).await
    }
}

/// A shell script with its arguments, which are quoted on their way.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Script<'a> {
    /// For messages: "look at the host".
    pub(crate) what: &'a str,
    pub(crate) text: &'a str,
    pub(crate) arguments: &'a [&'a str],
    pub(crate) limit: Duration,
}

/// An open connection, closed when dropped.
pub struct Connection {
    host: String,
    mux: Mux,
    master: RefCell<Child>,
    _stdout: BufReader<ChildStdout>,
    forwarded: OnceCell<PathBuf>,
    folder: TempDir,
}

impl Connection {
    async fn open(session: &Session) -> Result<Self, SshError> {
        let local = |what: String| move |source| SshError::Local { what, source };
        secret::open(&session.key, KEY)?;
        // A short name: the path of a socket has at most 108 bytes.
        let folder = tempfile::Builder::new()
            .prefix("dm-")
            .tempdir()
            .map_err(local("make a private folder".into()))?;
        let known_hosts = format!("{ALIAS} {}\n", session.host_key.as_str());
        let path = folder.path().join("known_hosts");
        fs::write(&path, known_hosts).map_err(local(format!("write {}", path.display())))?;
        let mut master = master(session, folder.path())
            .spawn()
            .map_err(local("start ssh".into()))?;
        let explain = || {
            let log = fs::read_to_string(folder.path().join("log")).unwrap_or_default();
            error::explain(&log, &session.name, &session.target, &session.key)
        };
        let Some(stdout) = master.stdout.take() else {
            return Err(explain());
        };
        let mut stdout = BufReader::new(stdout);
        match timeout(CONNECT_LIMIT, is_ready(&mut stdout)).await {
            Ok(true) => {}
            Ok(false) => {
                // The log is complete once ssh has ended.
                let _ = timeout(END_LIMIT, master.wait()).await;
                return Err(explain());
            }
            Err(_) => {
                return Err(SshError::Slow {
                    host: session.name.clone(),
                    what: "let us in".into(),
                    limit: CONNECT_LIMIT,
                });
            }
        }
        let socket = folder.path().join("master").into_boxed_path();
        let log = folder.path().join("log").into_boxed_path();
        Ok(Self {
            host: session.name.clone(),
            mux: Mux::resume(socket, Some(log)),
            master: RefCell::new(master),
            _stdout: stdout,
            forwarded: OnceCell::new(),
            folder,
        })
    }

    /// True when the connection has ended.
    fn is_lost(&self) -> bool {
        // An error means that nothing is known of the child any more.
        !matches!(self.master.borrow_mut().try_wait(), Ok(None))
    }

    /// Why a call over this connection has failed, when the connection itself has ended. Waits a
    /// moment: the other end of a forwarded socket may see it before ssh has ended.
    pub(crate) async fn lost(&self) -> Option<SshError> {
        let step = Duration::from_millis(50);
        let mut waited = Duration::ZERO;
        while !self.is_lost() {
            if waited >= END_LIMIT {
                return None;
            }
            tokio::time::sleep(step).await;
            waited += step;
        }
        let log = fs::read_to_string(self.folder.path().join("log")).unwrap_or_default();
        Some(SshError::Lost {
            host: self.host.clone(),
            why: error::last_line(&log),
        })
    }

    /// A socket here whose other end is the socket at `path` on the host.
    pub(crate) async fn forward(&self, path: &Path) -> Result<&Path, SshError> {
        let forward = async || {
            let socket = self.folder.path().join("forward");
            let request = self
                .mux
                .request_port_forward(ForwardType::Local, socket.as_path(), path);
            match request.await {
                Ok(()) => Ok(socket),
                Err(error) => Err(self
                    .broken(&format!("forward {}", path.display()), error)
                    .await),
            }
        };
        let socket = self.forwarded.get_or_try_init(forward).await?;
        Ok(socket)
    }

    /// Runs a shell script, read by `sh` from its standard input.
    async fn script(&self, script: &Script<'_>) -> Result<String, SshError> {
        match timeout(script.limit, self.run(script)).await {
            Ok(result) => result,
            Err(_) => Err(SshError::Slow {
                host: self.host.clone(),
                what: script.what.to_owned(),
                limit: script.limit,
            }),
        }
    }

    async fn run(&self, script: &Script<'_>) -> Result<String, SshError> {
        let output = match self.output(script).await {
            Ok(output) => output,
            Err(error) => return Err(self.broken(script.what, error).await),
        };
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        if output.status.success() {
            return Ok(text(&output.stdout));
        }
        Err(SshError::Command {
            host: self.host.clone(),
            what: script.what.to_owned(),
            code: output.status.code().unwrap_or(-1),
            stderr: text(&output.stderr).trim().to_owned(),
        })
    }

    async fn output(&self, script: &Script<'_>) -> Result<Output, openssh::Error> {
        let mut command = self.mux.command("sh");
        command.args(["-s", "--"]).args(script.arguments);
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command.spawn().await?;
        let stdin = child.stdin().take();
        let feed = async {
            if let Some(mut stdin) = stdin {
                // A script that ends early does not read itself to the end.
                let _ = stdin.write_all(script.text.as_bytes()).await;
            }
        };
        let ((), output) = tokio::join!(feed, child.wait_with_output());
        output
    }

    /// Tells a lost connection from a command that could not be run.
    async fn broken(&self, what: &str, source: openssh::Error) -> SshError {
        if let Some(lost) = self.lost().await {
            return lost;
        }
        SshError::Broken {
            host: self.host.clone(),
            what: what.to_owned(),
            source,
        }
    }
}

/// The ssh process that holds the connection. It stands in a process group of its own, so that a
/// signal meant for a job's processes does not cut it in the middle of a step.
fn master(session: &Session, folder: &Path) -> Command {
    let mut command = Command::new("ssh");
    command
        .args(["-F", "none", "-T", "-M", "-S"])
        .arg(folder.join("master"))
        .arg("-E")
        .arg(folder.join("log"));
    let option = |name: &str, path: &Path| format!("{name}={}", path.display());
    let own = [
        option("UserKnownHostsFile", &folder.join("known_hosts")),
        option("IdentityFile", &session.key),
        format!("HostKeyAlias={ALIAS}"),
    ];
    let fixed = [
        "GlobalKnownHostsFile=none",
        "StrictHostKeyChecking=yes",
        "CheckHostIP=no",
        "UpdateHostKeys=no",
        "IdentitiesOnly=yes",
        "IdentityAgent=none",
        "ForwardAgent=no",
        "ForwardX11=no",
        "PreferredAuthentications=publickey",
        "BatchMode=yes",
        "ControlPersist=no",
        "ConnectTimeout=9",
        "ServerAliveInterval=3",
        "ServerAliveCountMax=3",
        "LogLevel=ERROR",
    ];
    for setting in own.iter().map(String::as_str).chain(fixed) {
        command.args(["-o", setting]);
    }
    let SshTarget { user, host, port } = &session.target;
    command
        .args(["-l", user, "-p", &port.to_string(), "--", host])
        .arg(format!("echo {READY}; exec cat"))
        .stdin(process::Stdio::piped())
        .stdout(process::Stdio::piped())
        .stderr(process::Stdio::null())
        .process_group(0)
        .kill_on_drop(true);
    command
}

/// True when the host has said its word; false when the connection ended before.
async fn is_ready(stdout: &mut BufReader<ChildStdout>) -> bool {
    let mut line = String::new();
    while let Ok(1..) = stdout.read_line(&mut line).await {
        if line.trim_end() == READY {
            return true;
        }
        line.clear();
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::failure::Failure;

    #[track_caller]
    fn check(key: &str, expect: &[&str]) {
        let host = config::HostEntry {
            name: "app-1".into(),
            ssh: "deploy@127.0.0.1".parse().unwrap(),
            host_key: "ssh-ed25519 AAAA".parse().unwrap(),
            server_id: String::new(),
        };
        let session = Session::new(&host, Path::new(key));
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = runtime.enable_all().build().unwrap();
        let error = runtime.block_on(session.connection()).err().unwrap();
        let text = Failure::system(error).to_string();
        for part in expect {
            assert!(text.contains(part), "no `{part}` in: {text}");
        }
    }

    #[test]
    fn a_missing_key_is_named_with_what_it_must_hold_and_whose_it_must_be() {
        check(
            "/nowhere/id",
            &[
                "/nowhere/id does not exist: it must hold the private half",
                "belong to",
                "0600",
            ],
        );
    }

    #[test]
    fn a_key_that_cannot_be_read_comes_with_the_command_that_gives_it_to_its_reader() {
        // No file lies below a device, whoever asks.
        check(
            "/dev/null/id",
            &["cannot read /dev/null/id; try: chown ", "chmod 600"],
        );
    }
}
