//! One job's gate in front of the real engine, and real clients that use it.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use dockmaster::gate::{Gate, Pushed, Scope, Workspace, sweep};

const ENGINE: &str = "/var/run/docker.sock";
pub(crate) const CLIENT: &str = "/usr/bin/docker";

/// A gate with everything a job brings.
pub(crate) struct Bench {
    pub(crate) label: (String, String),
    /// An image that was there before the job.
    pub(crate) base: String,
    prefix: String,
    folder: tempfile::TempDir,
    network: String,
    volume: String,
    pushed: Arc<Mutex<Vec<Pushed>>>,
    is_failing: Arc<AtomicBool>,
    serving: RefCell<Option<(tokio::sync::oneshot::Sender<()>, JoinHandle<()>)>>,
}

impl Bench {
    /// Opens one, or says why this machine cannot.
    pub(crate) fn open(subject: &str) -> Option<Self> {
        if !docker(&["version"]).run().is_good {
            skip("no Docker Engine answers");
            return None;
        }
        let prefix = format!("dmgate-test-{}-{subject}", std::process::id());
        let folder = tempfile::Builder::new()
            .prefix("dmgate-test-")
            .tempdir()
            .unwrap();
        let base = import(folder.path(), &prefix);
        let network = format!("{prefix}-job");
        docker(&["network", "create", &network]).good();
        let volume = format!("{prefix}-builds");
        docker(&["volume", "create", &volume]).good();
        let bench = Self {
            label: ("dockmaster.gate".to_owned(), prefix.clone()),
            base,
            prefix,
            folder,
            network,
            volume,
            pushed: Arc::default(),
            is_failing: Arc::default(),
            serving: RefCell::new(None),
        };
        bench.serve();
        Some(bench)
    }

    fn scope(&self) -> Scope {
        let (pushed, is_failing) = (Arc::clone(&self.pushed), Arc::clone(&self.is_failing));
        Scope {
            label: self.label.clone(),
            labels: BTreeMap::from([("dockmaster.test".to_owned(), "gate".to_owned())]),
            network: self.network.clone(),
            cgroup_parent: None,
            workspaces: vec![Workspace {
                path: "/builds".to_owned(),
                volume: self.volume.clone(),
            }],
            binds_dir: self.folder.path().join("binds"),
            record: self.record(),
            images: Arc::new(|_| true),
            may_move: Arc::new(|name| name.contains("movable")),
            on_push: Arc::new(move |push| {
                if is_failing.load(Ordering::SeqCst) {
                    return Err("the disk is full".to_owned());
                }
                pushed.lock().unwrap().push(push.clone());
                Ok(())
            }),
        }
    }

    fn serve(&self) {
        let (socket, scope) = (self.socket(), self.scope());
        let (stop, stopped) = tokio::sync::oneshot::channel();
        let (ready, is_ready) = std::sync::mpsc::channel();
        let thread = std::thread::spawn(move || {
            runtime().block_on(async {
                let gate = Gate::bind(socket, scope, ENGINE).unwrap();
                ready.send(()).unwrap();
                stopped.await.ok();
                gate.close().await.unwrap();
            });
        });
        is_ready.recv().unwrap();
        *self.serving.borrow_mut() = Some((stop, thread));
    }

    pub(crate) fn close(&self) {
        if let Some((stop, thread)) = self.serving.borrow_mut().take() {
            stop.send(()).ok();
            thread.join().unwrap();
        }
    }

    pub(crate) fn sweep(&self) {
        let swept = runtime().block_on(async {
            let label = (self.label.0.as_str(), self.label.1.as_str());
            sweep(Path::new(ENGINE), label, &self.record())
                .await
                .unwrap()
        });
        assert!(swept.left.is_empty(), "{swept:?}");
    }

    /// A name that no other test uses.
    pub(crate) fn name(&self, name: &str) -> String {
        format!("{}-{name}", self.prefix)
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.folder.path().join("docker.sock")
    }

    fn record(&self) -> PathBuf {
        self.folder.path().join("names")
    }

    /// The job's workspace on the host.
    pub(crate) fn workspace(&self) -> PathBuf {
        let inspected =
            docker(&["volume", "inspect", "-f", "{{.Mountpoint}}", &self.volume]).good();
        PathBuf::from(inspected.stdout.trim())
    }

    /// A folder with this Dockerfile and a file `hello`.
    pub(crate) fn context(&self, dockerfile: &str) -> String {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let folder = self
            .folder
            .path()
            .join(format!("context{}", NEXT.fetch_add(1, Ordering::SeqCst)));
        fs::create_dir(&folder).unwrap();
        fs::write(folder.join("Dockerfile"), dockerfile).unwrap();
        fs::write(folder.join("hello"), "hello\n").unwrap();
        folder.display().to_string()
    }

    /// The usual client in the job.
    pub(crate) fn client(&self, arguments: &[&str]) -> Client {
        self.program(CLIENT, arguments)
    }

    /// The usual client in the job, its arguments parted by spaces.
    pub(crate) fn line(&self, line: &str) -> Client {
        self.client(&line.split(' ').collect::<Vec<_>>())
    }

    /// Gives the job's client a plugin of this machine's.
    pub(crate) fn use_plugin(&self, path: &str) {
        let folder = self.folder.path().join("cli-plugins");
        fs::create_dir_all(&folder).unwrap();
        let name = Path::new(path).file_name().unwrap();
        std::os::unix::fs::symlink(path, folder.join(name)).unwrap();
    }

    /// Any program in the job.
    pub(crate) fn program(&self, program: &str, arguments: &[&str]) -> Client {
        let host = format!("unix://{}", self.socket().display());
        Client::new(program, arguments)
            .env("DOCKER_HOST", &host)
            .env("DOCKER_CONFIG", &self.folder.path().display().to_string())
    }

    /// Bytes sent as they are, and what came back until the gate was silent for a while.
    pub(crate) fn raw(&self, request: &str) -> String {
        let mut stream = UnixStream::connect(self.socket()).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        stream.shutdown(std::net::Shutdown::Write).unwrap();
        stream
            .set_read_timeout(Some(Duration::from_secs(20)))
            .unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).ok();
        String::from_utf8_lossy(&answer).into_owned()
    }

    /// What carries the job's label, whatever it is.
    pub(crate) fn labelled(&self) -> String {
        let things = format!("label={}={}", self.label.0, self.label.1);
        let images = format!("label={}-image={}", self.label.0, self.label.1);
        ["ps -aq", "network ls -q", "volume ls -q", "images -aq"]
            .map(|list| {
                let mut arguments: Vec<&str> = list.split(' ').collect();
                let filter = if list.starts_with("images") {
                    &images
                } else {
                    &things
                };
                arguments.extend(["--filter", filter]);
                docker(&arguments).good().stdout
            })
            .concat()
    }

    pub(crate) fn pushed(&self) -> Vec<Pushed> {
        self.pushed.lock().unwrap().clone()
    }

    pub(crate) fn fail_pushes(&self) {
        self.is_failing.store(true, Ordering::SeqCst);
    }

    /// A registry of the test's own.
    pub(crate) fn registry(&self) -> Option<Registry> {
        let port = TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap()
            .port();
        let data = self.folder.path().join("registry");
        let config = self.folder.path().join("registry.yml");
        let text = format!(
            "version: 0.1\nlog: {{level: error}}\nstorage: {{filesystem: {{rootdirectory: {}}}}}\nhttp: {{addr: '127.0.0.1:{port}'}}\n",
            data.display()
        );
        fs::write(&config, text).unwrap();
        let started = Command::new("docker-registry")
            .arg("serve")
            .arg(&config)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        let Ok(child) = started else {
            skip("no docker-registry on this machine");
            return None;
        };
        until("the registry answers", || {
            std::net::TcpStream::connect(("127.0.0.1", port)).is_ok()
        });
        Some(Registry { port, child })
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        self.close();
        if std::thread::panicking() {
            let label = (self.label.0.as_str(), self.label.1.as_str());
            runtime()
                .block_on(sweep(Path::new(ENGINE), label, &self.record()))
                .ok();
        } else {
            self.sweep();
        }
        docker(&["network", "rm", &self.network]).run();
        docker(&["volume", "rm", &self.volume]).run();
        docker(&["rmi", &self.base]).run();
    }
}

/// A running registry.
pub(crate) struct Registry {
    pub(crate) port: u16,
    child: Child,
}

impl Registry {
    /// The digest that the registry itself has for a tag.
    pub(crate) fn digest(&self, repository: &str, tag: &str) -> String {
        let mut stream = std::net::TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        let request = format!(
            "HEAD /v2/{repository}/manifests/{tag} HTTP/1.1\r\nHost: registry\r\nConnection: close\r\n\
             Accept: application/vnd.docker.distribution.manifest.v2+json\r\n\r\n"
        );
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let line = answer
            .lines()
            .find_map(|line| line.strip_prefix("Docker-Content-Digest: "));
        line.unwrap_or_else(|| panic!("no digest in {answer}"))
            .to_owned()
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// A client to run.
pub(crate) struct Client {
    command: Command,
    stdin: Option<Vec<u8>>,
    name: String,
}

/// What a client did.
#[derive(Debug, Default)]
pub(crate) struct Ran {
    pub(crate) stdout: String,
    pub(crate) stderr: String,
    pub(crate) code: Option<i32>,
    pub(crate) is_good: bool,
}

impl Client {
    fn new(program: &str, arguments: &[&str]) -> Self {
        let mut command = Command::new(program);
        command.args(arguments);
        Self {
            command,
            stdin: None,
            name: arguments.join(" "),
        }
    }

    pub(crate) fn env(mut self, name: &str, value: &str) -> Self {
        self.command.env(name, value);
        self
    }

    pub(crate) fn stdin(mut self, text: &str) -> Self {
        self.stdin = Some(text.as_bytes().to_owned());
        self
    }

    pub(crate) fn start(mut self) -> Child {
        self.command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        self.command.spawn().unwrap()
    }

    /// Starts it with its input and output in our hands.
    pub(crate) fn talk(mut self) -> Child {
        self.command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null());
        self.command.spawn().unwrap()
    }

    pub(crate) fn run(mut self) -> Ran {
        let stdin = if self.stdin.is_some() {
            Stdio::piped()
        } else {
            Stdio::null()
        };
        self.command
            .stdin(stdin)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = match self.command.spawn() {
            Ok(child) => child,
            Err(error) => {
                return Ran {
                    stderr: error.to_string(),
                    ..Ran::default()
                };
            }
        };
        let feeding = child
            .stdin
            .take()
            .zip(self.stdin)
            .map(|(mut pipe, bytes)| std::thread::spawn(move || pipe.write_all(&bytes)));
        let output = child.wait_with_output().unwrap();
        if let Some(feeding) = feeding {
            feeding.join().unwrap().ok();
        }
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        Ran {
            stdout: text(output.stdout),
            stderr: text(output.stderr),
            code: output.status.code(),
            is_good: output.status.success(),
        }
    }

    #[track_caller]
    pub(crate) fn good(self) -> Ran {
        let name = self.name.clone();
        let ran = self.run();
        assert!(ran.is_good, "docker {name}: {}", ran.text());
        ran
    }
}

impl Ran {
    pub(crate) fn text(&self) -> String {
        format!("exit {:?}\n{}{}", self.code, self.stdout, self.stderr)
    }
}

/// Says why a test cannot run here.
pub(crate) fn skip(reason: &str) {
    eprintln!("skipped: {reason}");
}

/// A client that goes past the gate.
pub(crate) fn docker(arguments: &[&str]) -> Client {
    Client::new(CLIENT, arguments).env("DOCKER_HOST", &format!("unix://{ENGINE}"))
}

/// The containers whose command has this word, past the gate.
pub(crate) fn unlabelled(word: &str) -> String {
    let all = docker(&[
        "ps",
        "-a",
        "--no-trunc",
        "--format",
        "{{.Command}} {{.Status}}",
    ])
    .good()
    .stdout;
    all.lines()
        .filter(|line| line.contains(word))
        .collect::<Vec<_>>()
        .join("\n")
}

/// Where this machine has a plugin of the Docker client.
pub(crate) fn plugin(name: &str) -> Option<String> {
    // Another folder to look in, where the machine's own client shall not find it.
    let more = std::env::var("DOCKMASTER_TEST_PLUGINS").unwrap_or_default();
    let folders = [
        more.as_str(),
        "/usr/libexec/docker/cli-plugins",
        "/usr/local/lib/docker/cli-plugins",
    ];
    let paths = folders.iter().map(|folder| Path::new(folder).join(name));
    let found = paths
        .into_iter()
        .find(|path| path.is_absolute() && path.exists());
    found.map(|path| path.display().to_string())
}

/// Whether any process of this machine has this word in its command.
pub(crate) fn is_running(word: &str) -> bool {
    let processes = fs::read_dir("/proc").unwrap().flatten();
    let mut commands = processes.filter_map(|entry| fs::read(entry.path().join("cmdline")).ok());
    commands.any(|command| String::from_utf8_lossy(&command).contains(word))
}

/// Waits for something to become true.
#[track_caller]
pub(crate) fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_mins(1);
    while !is_so() {
        assert!(Instant::now() < deadline, "waited in vain until {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
}

/// An image of busybox with a few folders.
fn import(folder: &Path, prefix: &str) -> String {
    let root = folder.join("root");
    for name in ["bin", "tmp", "etc"] {
        fs::create_dir_all(root.join(name)).unwrap();
    }
    fs::copy("/usr/bin/busybox", root.join("bin/busybox")).unwrap();
    for name in ["sh", "cat", "sleep", "true", "ls", "mkdir", "echo", "test"] {
        std::os::unix::fs::symlink("busybox", root.join("bin").join(name)).unwrap();
    }
    let archive = folder.join("root.tar");
    let packed = Command::new("tar")
        .arg("-C")
        .arg(&root)
        .arg("-cf")
        .arg(&archive)
        .arg(".")
        .status();
    assert!(packed.unwrap().success());
    let name = format!("dmgate-test/{prefix}:1");
    docker(&["import", archive.to_str().unwrap(), &name]).good();
    name
}
