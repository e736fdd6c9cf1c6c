//! `dockmaster enter`: the way into a job's sandbox, as a process of its own that root starts.
//!
//! Three processes: the outermost waits and dies with the driver; its child is the first process
//! of a new world (its end ends everything in there) and builds the sandbox; its child is the job,
//! with the job's uid. Errors go to standard error, which the job never has; the job's own output,
//! both kinds, goes to standard output.

use std::{
    collections::BTreeMap,
    ffi::OsStr,
    fs::{self, File},
    io,
    os::unix::process::{CommandExt, parent_id},
    path::{Path, PathBuf},
    process::Command,
};

use nix::{
    sys::stat::{Mode, umask},
    unistd::Pid,
};
use serde::{Deserialize, Serialize};

use super::stream;
use crate::{
    failure::Failure,
    sys::{
        mount,
        process::{self, Alive, Fork},
    },
};

/// What the exit code is when the sandbox could not be made; standard error says why.
const NO_SANDBOX: i32 = 70;

/// Everything `enter` is told, as JSON in its one argument. Holds no secret: argv is public.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Entry {
    /// Who started this; the job does not outlive it.
    pub(super) driver: u32,
    pub(super) uid: u32,
    pub(super) folder: PathBuf,
    /// The job's /tmp.
    pub(super) temporary: PathBuf,
    pub(super) lock: PathBuf,
    /// The folder of the broker's socket, in phases that have one.
    pub(super) sockets: Option<PathBuf>,
    /// Folders that the job finds empty.
    pub(super) hidden: Vec<PathBuf>,
    /// Files of the host that the job finds elsewhere: (host's, job's).
    pub(super) shown: Vec<(PathBuf, PathBuf)>,
    pub(super) environ: BTreeMap<String, String>,
    pub(super) directory: PathBuf,
    pub(super) command: Vec<String>,
}

/// Why there is no sandbox.
#[derive(Debug, thiserror::Error)]
enum EnterError {
    #[error("`enter` is dockmaster's own verb: its argument is not what it should be")]
    Argument(#[source] serde_json::Error),
    #[error("whoever asked for the sandbox is gone")]
    Orphaned,
    #[error("the job's folder {folder} is being removed")]
    Removed { folder: PathBuf },
    #[error("cannot {what}")]
    Kernel {
        what: String,
        #[source]
        source: io::Error,
    },
}

/// Says what could not be done.
trait Doing<T> {
    fn doing(self, what: impl Into<String>) -> Result<T, EnterError>;
}

impl<T> Doing<T> for io::Result<T> {
    fn doing(self, what: impl Into<String>) -> Result<T, EnterError> {
        self.map_err(|source| EnterError::Kernel {
            what: what.into(),
            source,
        })
    }
}

/// Runs the verb and returns the exit code: the job's own, or `NO_SANDBOX`.
pub(super) fn main(argument: &OsStr) -> i32 {
    match enter(argument) {
        Ok(code) => code,
        Err(error) => {
            stream::tell_driver(&Failure::system(error).to_string());
            NO_SANDBOX
        }
    }
}

fn enter(argument: &OsStr) -> Result<i32, EnterError> {
    let entry: Entry =
        serde_json::from_slice(argument.as_encoded_bytes()).map_err(EnterError::Argument)?;
    process::die_with_parent().doing("be told of the driver's end")?;
    if parent_id() != entry.driver {
        return Err(EnterError::Orphaned);
    }
    process::close_on_exec_beyond_standard_streams().doing("close inherited files")?;
    let _lock = lock(&entry)?;
    mount::leave_host().doing("make namespaces of the job's own")?;
    let (alive, writer) = process::liveness().doing("make a pipe")?;
    match process::fork().doing("fork")? {
        Fork::Parent { child } => {
            drop(alive);
            let end = process::wait_for(child).doing("wait for the sandbox")?;
            drop(writer);
            Ok(end.shell_code())
        }
        Fork::Child => {
            drop(writer);
            be_first(&entry, &alive)
        }
    }
}

/// Holds the folder for as long as a process of the job may be started: cleanup waits for the lock.
fn lock(entry: &Entry) -> Result<File, EnterError> {
    let removed = || EnterError::Removed {
        folder: entry.folder.clone(),
    };
    let file = File::open(&entry.lock).map_err(|_| removed())?;
    file.try_lock_shared().map_err(|_| removed())?;
    if entry.lock.exists() {
        Ok(file)
    } else {
        Err(removed())
    }
}

/// The first process of the job's world: builds the sandbox, starts the job, reaps children.
fn be_first(entry: &Entry, alive: &Alive) -> Result<i32, EnterError> {
    process::die_with_parent().doing("be told of the driver's end")?;
    if !alive.is_true() {
        return Err(EnterError::Orphaned);
    }
    process::leave_session().doing("leave the runner's session")?;
    build(entry)?;
    process::forbid_core_dumps().doing("forbid core dumps")?;
    process::forbid_new_privileges().doing("forbid new privileges")?;
    umask(Mode::from_bits_truncate(0o022));
    let child = start(entry)?;
    let end = process::wait_for(child).doing("wait for the job")?;
    Ok(end.shell_code())
}

/// The command becomes the job's user, without any other group, before it becomes the program.
fn start(entry: &Entry) -> Result<Pid, EnterError> {
    let [program, arguments @ ..] = entry.command.as_slice() else {
        return Err(io::Error::other("the command is empty")).doing("start the job");
    };
    let output = || stream::copy_of_log().doing("copy standard output");
    let child = Command::new(program)
        .args(arguments)
        .env_clear()
        .envs(&entry.environ)
        .current_dir(&entry.directory)
        .uid(entry.uid)
        .gid(entry.uid)
        .stdout(output()?)
        .stderr(output()?)
        .spawn()
        .doing(format!("start {program} as uid {}", entry.uid))?;
    Ok(Pid::from_raw(child.id().cast_signed()))
}

/// Mounts the sandbox over the host's files, in this process's own view of them.
fn build(entry: &Entry) -> Result<(), EnterError> {
    let open = |path: &Path| mount::handle(path).doing(format!("open {}", path.display()));
    // Opened before anything is covered.
    let real = |path: &Path| fs::canonicalize(path).doing(format!("find {}", path.display()));
    let mut own = vec![(open(&entry.folder)?, real(&entry.folder)?)];
    if let Some(path) = &entry.sockets {
        own.push((open(path)?, real(path)?));
    }
    let temporary = open(&entry.temporary)?;
    let shown = entry.shown.iter().map(|(from, to)| Ok((open(from)?, to)));
    let shown = shown.collect::<Result<Vec<_>, EnterError>>()?;
    mount::processes().doing("mount /proc")?;
    let covered = cover(entry, &temporary)?;
    for (folder, path) in own {
        uncover(&covered, &folder, &path)?;
    }
    for (file, path) in shown {
        show(&file, path)?;
    }
    Ok(())
}

/// Puts emptiness over what the job must not see, and its own folders over what it shares with
/// nobody. Returns the folders that are covered now.
fn cover(entry: &Entry, temporary: &File) -> Result<Vec<PathBuf>, EnterError> {
    let mut covered = Vec::new();
    for path in ["/tmp", "/var/tmp"] {
        mount::bind(temporary, Path::new(path)).doing(format!("mount the job's {path}"))?;
        covered.push(PathBuf::from(path));
    }
    for path in ["/dev/shm", "/run/lock"].map(Path::new) {
        if let Ok(path) = fs::canonicalize(path) {
            mount::scratch(&path).doing(format!("mount the job's {}", path.display()))?;
        }
    }
    let queues = Path::new("/dev/mqueue");
    if queues.is_dir() {
        mount::message_queues(queues).doing("mount the job's /dev/mqueue")?;
    }
    let mut hidden: Vec<PathBuf> = entry
        .hidden
        .iter()
        .filter_map(|path| fs::canonicalize(path).ok())
        .collect();
    hidden.sort();
    for path in hidden {
        if path.is_dir() && !covered.iter().any(|outer| path.starts_with(outer)) {
            mount::empty(&path).doing(format!("hide {}", path.display()))?;
            covered.push(path);
        }
    }
    Ok(covered)
}

/// Shows one folder at its own path again. The job may own what covers it, so links are not followed.
fn uncover(covered: &[PathBuf], folder: &File, path: &Path) -> Result<(), EnterError> {
    let what = || format!("show the job its {}", path.display());
    let Some(root) = covered.iter().find(|root| path.starts_with(root)) else {
        return Ok(());
    };
    let below = path
        .strip_prefix(root)
        .map_err(io::Error::other)
        .doing(what())?;
    let target = mount::open_beneath(root, below, true).doing(what())?;
    let target = mount::descriptor_path(&target);
    mount::bind(folder, Path::new(&target)).doing(what())
}

/// Shows a file of the host at another path, in a folder that root owns.
fn show(file: &File, path: &Path) -> Result<(), EnterError> {
    let what = || format!("show the job {}", path.display());
    if !path.exists() {
        File::create(path).doing(what())?;
    }
    mount::bind_read_only(file, path).doing(what())
}
