//! One job's gate in front of the real engine, and real clients that use it.

use std::cell::RefCell;
use std::fs;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, OnceLock};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use dockmaster::config::{Config, Lane};
use dockmaster::gate::{Gate, Layers, Scope, Trimmed, sweep};
use dockmaster::stage::job_scope;
use dockmaster::store::{host_secret, ledger::Record};

const PROJECT: i64 = 7;
const ENGINE: &str = "/var/run/docker.sock";
pub(crate) const CLIENT: &str = "/usr/bin/docker";

/// A gate with everything a job brings.
pub(crate) struct Job {
    pub(crate) label: (String, String),
    /// An image that was there before the job, and that the lane allows.
    pub(crate) base: String,
    prefix: String,
    folder: tempfile::TempDir,
    scope: Scope,
    state_dir: PathBuf,
    serving: RefCell<Option<(tokio::sync::oneshot::Sender<()>, JoinHandle<()>)>>,
}

/// Jobs of this machine, each with a number of its own.
#[derive(Default)]
pub(crate) struct Jobs {
    opened: AtomicUsize,
    /// What only this host knows, once the first job has made it.
    secret: Mutex<Option<Vec<u8>>>,
    /// Where all of them keep the names of the host that they use for a while.
    names: OnceLock<tempfile::TempDir>,
}

impl Jobs {
    /// A job of the docker lane, and its gate.
    pub(crate) fn open(&self, subject: &str) -> Job {
        self.open_as(subject, PROJECT, true)
    }

    /// A job of a project, on a protected ref or not.
    pub(crate) fn open_as(&self, subject: &str, project: i64, is_protected: bool) -> Job {
        self.open_in(subject, (project, is_protected), &self.secret)
    }

    /// A job whose gate finds a kernel without the calls of later releases.
    pub(crate) fn open_on_an_old_kernel(&self, subject: &str) -> Job {
        let job = self.open(subject);
        job.close();
        job.serve(testbed::kernel::pretend_old);
        job
    }

    /// A job of an installation of its own.
    pub(crate) fn open_apart(&self, subject: &str, project: i64) -> Job {
        self.open_in(subject, (project, false), &Mutex::default())
    }

    fn open_in(
        &self,
        subject: &str,
        (project, is_protected): (i64, bool),
        known: &Mutex<Option<Vec<u8>>>,
    ) -> Job {
        let number = self.opened.fetch_add(1, Ordering::SeqCst);
        let prefix = format!("dmgate-test-{}-{number}-{subject}", std::process::id());
        let folder = tempfile::Builder::new()
            .prefix("dmgate-test-")
            .tempdir()
            .unwrap();
        let config = config(folder.path());
        let id = std::process::id() as usize * 1000 + number;
        let job = serde_json::from_value(serde_json::json!({
            "id": id,
            "job_info": { "project_id": project, "pipeline_id": 1 },
            "git_info": { "sha": "0".repeat(40), "ref": "v1", "ref_type": "tag", "protected": is_protected },
        }));
        let Lane::Docker(lane) = config.lane("docker").unwrap() else {
            unreachable!()
        };
        let scope = {
            let mut known = known.lock().unwrap();
            let secret = config.state_dir.join("secret");
            if let Some(known) = known.as_ref() {
                fs::create_dir_all(&config.state_dir).unwrap();
                fs::write(&secret, known).unwrap();
                fs::set_permissions(&secret, fs::Permissions::from_mode(0o600)).unwrap();
            }
            let mut scope = job_scope(&config, lane, &job.unwrap(), &prefix).unwrap();
            let names = self.names.get_or_init(|| tempfile::tempdir().unwrap());
            names.path().clone_into(&mut scope.state_dir);
            *known = Some(fs::read(&secret).unwrap());
            scope
        };
        let base = import(folder.path(), "dmgate-test", &prefix);
        docker(&["network", "create", &scope.network]).good();
        docker(&["volume", "create", &scope.workspaces[0].volume]).good();
        let opened = Job {
            label: scope.label.clone(),
            base,
            prefix,
            folder,
            scope,
            state_dir: config.state_dir.clone(),
            serving: RefCell::new(None),
        };
        opened.serve(|| Ok(()));
        opened
    }
}

impl Job {
    /// Serves in a thread of its own, which begins with `begin`.
    fn serve(&self, begin: fn() -> anyhow::Result<()>) {
        let (socket, scope) = (self.socket(), self.scope.clone());
        let (stop, stopped) = tokio::sync::oneshot::channel();
        let (ready, is_ready) = std::sync::mpsc::channel();
        let thread = std::thread::spawn(move || {
            begin().unwrap();
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
            sweep(Path::new(ENGINE), &self.state_dir, label)
                .await
                .unwrap()
        });
        assert!(swept.left.is_empty(), "{swept:?}");
    }

    /// Tells the job's installation from others.
    pub(crate) fn mark(&self) -> String {
        host_secret(&self.state_dir).unwrap().mark()
    }

    /// What names of images of another job of the installation begin with.
    pub(crate) fn digits_of(&self, key: &str) -> String {
        host_secret(&self.state_dir).unwrap().of_job(key)
    }

    /// Runs `dockmaster gc` of the job's installation: of one that no other job shares.
    pub(crate) fn gc(&self) {
        let config = self.folder.path().join("config.toml");
        let mut program = Command::new(env!("CARGO_BIN_EXE_dockmaster"));
        let ran = program.arg("gc").arg("--config").arg(config).output();
        let ran = ran.unwrap();
        let text = String::from_utf8_lossy(&[ran.stdout, ran.stderr].concat()).into_owned();
        assert!(ran.status.success(), "{text}");
    }

    /// What the engine itself calls an image of the job's; nothing if there is none.
    pub(crate) fn private_names(&self) -> Vec<String> {
        let all = docker(&["image", "ls", "--format", "{{.Repository}}:{{.Tag}}"]).good();
        let prefix = self.scope.names.prefix().to_owned();
        let names = all.stdout.lines().filter(|name| name.starts_with(&prefix));
        names.map(str::to_owned).collect()
    }

    /// Gives up what builds left, beyond so many bytes.
    pub(crate) fn trim(&self, budget: u64) -> Trimmed {
        let host = host_secret(&self.state_dir).unwrap();
        let layers = Layers::new(Path::new(ENGINE), &self.scope.layers, host);
        runtime().block_on(layers.trim(budget)).unwrap()
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

    /// The network of the job's own container.
    pub(crate) fn network(&self) -> &str {
        &self.scope.network
    }

    /// The job's workspace on the host.
    pub(crate) fn workspace(&self) -> PathBuf {
        let inspected = docker(&[
            "volume",
            "inspect",
            "-f",
            "{{.Mountpoint}}",
            &self.scope.workspaces[0].volume,
        ])
        .good();
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
    pub(crate) fn use_plugin(&self, path: &Path) {
        let folder = self.folder.path().join("cli-plugins");
        fs::create_dir_all(&folder).unwrap();
        let name = path.file_name().unwrap();
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
        if !request.contains("Connection: close") {
            stream.shutdown(std::net::Shutdown::Write).unwrap();
        }
        stream
            .set_read_timeout(Some(Duration::from_secs(20)))
            .unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).ok();
        String::from_utf8_lossy(&answer).into_owned()
    }

    /// What the job made, whatever it is, but for its own name of the image that was there before it.
    pub(crate) fn labelled(&self) -> String {
        let things = format!("label={}={}", self.label.0, self.label.1);
        let found = ["ps -aq", "network ls -q", "volume ls -q"].map(|list| {
            let mut arguments: Vec<&str> = list.split(' ').collect();
            arguments.extend(["--filter", &things]);
            docker(&arguments).good().stdout
        });
        let mut images = self.private_names();
        images.retain(|name| !name.ends_with(&self.base));
        found.concat() + &images.concat()
    }

    /// What the ledger has.
    pub(crate) fn pushed(&self) -> Vec<Record> {
        let project = self.scope.labels.get("dockmaster.job").unwrap();
        let project = project.split('-').next().unwrap().trim_start_matches('p');
        let path = self.state_dir.join(format!("ledger/{project}.jsonl"));
        let text = fs::read_to_string(path).unwrap_or_default();
        let lines = text.lines().map(serde_json::from_str::<Record>);
        lines.map(Result::unwrap).collect()
    }

    /// Makes the ledger a file, so that nothing can be written to it.
    pub(crate) fn fail_pushes(&self) {
        fs::remove_dir_all(self.state_dir.join("ledger")).unwrap();
        fs::write(self.state_dir.join("ledger"), "").unwrap();
    }

    /// An image of the host that the lane does not allow.
    pub(crate) fn closed_image(&self) -> String {
        let folder = self.folder.path().join("closed");
        import(&folder, "dmgate-closed", &self.prefix)
    }

    /// A registry of the test's own.
    pub(crate) fn registry(&self) -> Registry {
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
        let child = Command::new("docker-registry")
            .arg("serve")
            .arg(&config)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        until("the registry answers", || {
            std::net::TcpStream::connect(("127.0.0.1", port)).is_ok()
        });
        Registry { port, child }
    }
}

impl Drop for Job {
    fn drop(&mut self) {
        self.close();
        if std::thread::panicking() {
            let label = (self.label.0.as_str(), self.label.1.as_str());
            runtime()
                .block_on(sweep(Path::new(ENGINE), &self.state_dir, label))
                .ok();
        } else {
            self.sweep();
        }
        docker(&["network", "rm", &self.scope.network]).run();
        docker(&["volume", "rm", &self.scope.workspaces[0].volume]).run();
        self.trim(0);
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
             Accept: application/vnd.docker.distribution.manifest.v2+json, \
             application/vnd.oci.image.index.v1+json, application/vnd.oci.image.manifest.v1+json, \
             application/vnd.docker.distribution.manifest.list.v2+json\r\n\r\n"
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

pub(crate) fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
}

/// The configuration of the code server.
fn config(folder: &Path) -> Config {
    // A script may bring a registry of its own.
    let registry = std::env::var("DOCKMASTER_TEST_REGISTRY");
    let registry = registry.as_deref().unwrap_or("registry.test");
    let text = format!(
        "state-dir = '{0}/state'\nrun-dir = '{0}/run'\n[registry]\nhost = '{registry}'\n\
         [lanes.docker]\nkind = 'docker'\ndocker-api = 'gate'\nimages = ['dmgate-test/*', 'dmgate-test-*', '**/test/*']\n\
         shared-images = ['dmgate-test/*']\npush-registries = ['127.0.0.1:*']\nregistries = ['*', '127.0.0.1:*']\nsubnets = ['10.213.0.0/16']\n",
        folder.display()
    );
    let path = folder.join("config.toml");
    fs::write(&path, text).unwrap();
    Config::load(&path).unwrap()
}

/// An image of busybox with a few folders.
fn import(folder: &Path, repository: &str, prefix: &str) -> String {
    let root = folder.join("root");
    for name in ["bin", "tmp", "etc"] {
        fs::create_dir_all(root.join(name)).unwrap();
    }
    // So that no two images have one id.
    fs::write(root.join("etc/name"), format!("{repository}/{prefix}")).unwrap();
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
    let name = format!("{repository}/{prefix}:1");
    docker(&["import", archive.to_str().unwrap(), &name]).good();
    name
}
