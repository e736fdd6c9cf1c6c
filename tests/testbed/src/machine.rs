//! The machine under the testbed: its packages, its Docker Engine, one temp root, and the promise that nothing
//! of the testbed stays behind. Knows no part that runs on it.

pub mod background;
pub mod command;
pub mod kernel;
pub mod network;
pub mod serve;

mod engine;
mod sweep;

use std::fmt::{self, Write as _};
use std::fs;
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, PoisonError};

use anyhow::{Context, Result, bail};

use crate::background::Background;
pub use sweep::{reap, sweep};

/// Every container, network, volume and image of a testbed carries this label with its process id.
pub const LABEL: &str = "dockmaster.testbed";

/// What must be there, and the Debian package that brings it.
const PROGRAMS: [(&str, &str); 11] = [
    ("/usr/bin/docker", "docker.io"),
    ("/usr/sbin/dockerd", "docker.io"),
    ("/usr/bin/docker-registry", "docker-registry"),
    ("/usr/sbin/haproxy", "haproxy"),
    ("/usr/sbin/debootstrap", "debootstrap"),
    ("/usr/bin/openssl", "openssl"),
    ("/usr/bin/ssh", "openssh-client"),
    ("/usr/bin/ssh-keygen", "openssh-client"),
    ("/usr/bin/busybox", "busybox-static"),
    ("/usr/bin/curl", "curl"),
    ("/usr/bin/setpriv", "util-linux"),
];

/// `dockmaster.testbed=<pid>`, as Docker's `--label` and `--filter label=` take it.
pub fn label() -> String {
    format!("{LABEL}={}", std::process::id())
}

/// A name for a container or network of this process.
pub fn name(part: &str) -> String {
    format!("{}{part}", sweep::prefix(std::process::id()))
}

/// Holds the temp root and the background thread; dropping it leaves the machine as it was found.
pub struct Machine {
    root: PathBuf,
    background: Background,
    before_signal_sweep: Arc<Mutex<Vec<sweep::Task>>>,
    // Last: another testbed of this process waits until all else is gone.
    _turn: Turn,
}

impl Machine {
    pub fn start() -> Result<Self> {
        let turn = Turn::take();
        check_programs()?;
        engine::join()?;
        reap();
        let root = sweep::root(std::process::id());
        fs::create_dir_all(&root).with_context(|| format!("cannot create {}", root.display()))?;
        let background = Background::start()?;
        let before_signal_sweep = Arc::default();
        background
            .handle()
            .spawn(sweep::on_signal(Arc::clone(&before_signal_sweep)));
        Ok(Self {
            root,
            background,
            before_signal_sweep,
            _turn: turn,
        })
    }

    /// At SIGINT or SIGTERM the testbed sweeps and ends the program; this is done before that.
    pub fn before_signal_sweep(&self, task: impl FnOnce() + Send + 'static) {
        let mut tasks = self
            .before_signal_sweep
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        tasks.push(Box::new(task));
    }

    /// A new folder under the temp root.
    pub fn directory(&self, name: &str) -> Result<PathBuf> {
        let path = self.root.join(name);
        fs::create_dir_all(&path).with_context(|| format!("cannot create {}", path.display()))?;
        Ok(path)
    }

    pub fn root(&self) -> &Path {
        &self.root
    }

    pub fn background(&self) -> &Background {
        &self.background
    }

    /// Makes the machine's engine trust a registry until the testbed ends.
    pub fn trust_registry(&self, registry: &str, certificate: &str) -> Result<()> {
        let directory = Path::new("/etc/docker/certs.d").join(registry);
        self.outside(&directory)?;
        fs::create_dir_all(&directory)
            .with_context(|| format!("cannot create {}", directory.display()))?;
        fs::write(directory.join("ca.crt"), certificate)
            .with_context(|| format!("cannot write into {}", directory.display()))
    }

    /// Notes a folder outside the temp root before it is made, so that whoever cleans up finds it.
    fn outside(&self, path: &Path) -> Result<()> {
        let list = self.root.join(sweep::OUTSIDE);
        let mut file = fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(&list)?;
        writeln!(file, "{}", path.display())?;
        file.sync_all()?;
        Ok(())
    }
}

impl fmt::Debug for Machine {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Machine")
            .field("root", &self.root)
            .finish_non_exhaustive()
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        sweep(std::process::id());
        engine::leave();
    }
}

/// What the testbed misses on this machine, as an error.
pub fn check_programs() -> Result<()> {
    if !nix::unistd::geteuid().is_root() {
        bail!("the testbed starts containers and daemons: run it as root");
    }
    let missing = PROGRAMS
        .into_iter()
        .filter(|(program, _)| !Path::new(program).exists());
    let mut packages: Vec<&str> = missing.map(|(_, package)| package).collect();
    packages.dedup();
    if packages.is_empty() {
        return Ok(());
    }
    bail!(
        "packages are missing: apt-get install --no-install-recommends {}",
        packages.join(" ")
    );
}

/// One testbed at a time in a process: what belongs to it is told by the process id.
#[derive(Debug)]
struct Turn;

static TAKEN: Mutex<bool> = Mutex::new(false);
static FREE: Condvar = Condvar::new();

impl Turn {
    fn take() -> Self {
        let mut taken = TAKEN.lock().unwrap_or_else(PoisonError::into_inner);
        while *taken {
            taken = FREE.wait(taken).unwrap_or_else(PoisonError::into_inner);
        }
        *taken = true;
        Self
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        *TAKEN.lock().unwrap_or_else(PoisonError::into_inner) = false;
        FREE.notify_one();
    }
}

/// Random hexadecimal digits for passwords and request ids.
pub fn random(bytes: usize) -> Result<String> {
    let mut buffer = vec![0_u8; bytes];
    fs::File::open("/dev/urandom")?.read_exact(&mut buffer)?;
    Ok(hexadecimal(&buffer))
}

pub fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// A program of this crate, built if it is missing or older than its source.
pub fn program(name: &str) -> Result<PathBuf> {
    let own = std::env::current_exe()?;
    let profile = own
        .ancestors()
        .find(|path| path.ends_with("debug") || path.ends_with("release"))
        .context("this program does not lie in a target folder")?;
    let path = profile.join(name);
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    let source = package.join("src/bin").join(format!("{name}.rs"));
    if is_older(&path, &source) {
        build_program(name, package, profile)?;
    }
    Ok(path)
}

fn is_older(path: &Path, source: &Path) -> bool {
    let modified = |path: &Path| {
        fs::metadata(path)
            .and_then(|metadata| metadata.modified())
            .ok()
    };
    match (modified(path), modified(source)) {
        (Some(built), Some(written)) => built < written,
        (None, _) => true,
        (Some(_), None) => false,
    }
}

fn build_program(name: &str, package: &Path, profile: &Path) -> Result<()> {
    let manifest = package.join("Cargo.toml");
    let target = profile.parent().context("a target folder has a parent")?;
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".into());
    let (manifest, target) = (manifest.to_string_lossy(), target.to_string_lossy());
    let mut arguments = vec![
        "build",
        "--quiet",
        "--manifest-path",
        &manifest,
        "--bin",
        name,
    ];
    arguments.extend(["--target-dir", &target]);
    if profile.ends_with("release") {
        arguments.push("--release");
    }
    crate::command::run(&cargo, &arguments)?;
    // A build that found nothing to do leaves the old time, and the next caller would ask again.
    fs::File::open(profile.join(name))?.set_modified(std::time::SystemTime::now())?;
    Ok(())
}
