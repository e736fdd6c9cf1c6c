//! The right to change an environment: `environments/NAME/lease`, locked while a process holds it.
//!
//! The kernel gives the lock back when its holder dies, however it dies, so nobody has to judge
//! whether a lease is stale. What the holder left half-done is the journal's to tell.

use std::{
    fs::{self, DirBuilder, File, OpenOptions, TryLockError},
    io::{self, Seek, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
    time::Duration,
};

use serde::{Deserialize, Serialize};

use super::lines::FORMAT;
use crate::lang::{both, word};
use crate::{
    failure::{Failure, JobCode},
    rollout::{
        journal::Owner,
        narrate,
        port::{Clock, Narrator},
    },
};

/// One who waits hears this often for whom.
const PROGRESS: Duration = Duration::from_secs(5);
const LOOK: Duration = Duration::from_millis(500);
/// How long one who only looks has the lock, about.
const GLANCE: Duration = Duration::from_millis(1);

/// Who holds it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holder {
    /// A newer format is read too: whoever holds the lease holds it, and its words are for people.
    #[serde(default)]
    format: u32,
    #[serde(flatten)]
    pub owner: Owner,
    pub pid: u32,
    pub run: String,
}

impl Holder {
    /// This process, for that run.
    pub fn new(owner: Owner, run: &str) -> Self {
        Self {
            format: FORMAT,
            owner,
            pid: std::process::id(),
            run: run.into(),
        }
    }
}

impl std::fmt::Display for Holder {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Owner { pipeline, job, .. } = self.owner;
        let (run, pid) = (&self.run, self.pid);
        out.write_str(&match job {
            0 => both!(
                "an operator (run {run}, pid {pid})",
                "运维人员（运行 {run}，进程 {pid}）"
            ),
            job => both!(
                "job {job} of pipeline {pipeline} (run {run}, pid {pid})",
                "任务 {job}（流水线 {pipeline}，运行 {run}，进程 {pid}）"
            ),
        })
    }
}

/// Why there is no lease.
#[derive(Debug, thiserror::Error)]
pub enum LeaseError {
    #[error("{}", both!("`{environment}` is being changed by {holder}", "{holder} 正在更新 `{environment}`"))]
    Held { environment: String, holder: String },
    #[error("cannot use {}", .path.display())]
    Unusable {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
}

impl From<LeaseError> for Failure {
    fn from(error: LeaseError) -> Self {
        match error {
            LeaseError::Held { .. } => Self::build(JobCode::Leased, error),
            LeaseError::Unusable { .. } => Self::system(error),
        }
    }
}

/// The right to change one environment; given back when dropped.
#[derive(Debug)]
pub struct Lease {
    _locked: File,
}

impl Lease {
    /// Takes the lease, or says who has it.
    pub fn try_take(
        state_dir: &Path,
        environment: &str,
        holder: &Holder,
    ) -> Result<Self, LeaseError> {
        let path = path(state_dir, environment);
        let unusable = |source| LeaseError::Unusable {
            path: path.clone(),
            source,
        };
        let mut file = open(&path).map_err(unusable)?;
        match lock(&file) {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let holder = read(&path)
                    .map_or(word!("another rollout", "另一次发布").into(), |h| {
                        h.to_string()
                    });
                let environment = environment.into();
                return Err(LeaseError::Held {
                    environment,
                    holder,
                });
            }
            Err(TryLockError::Error(source)) => return Err(unusable(source)),
        }
        let text = serde_json::to_vec(holder).map_err(|error| unusable(error.into()))?;
        let written = file
            .set_len(0)
            .and_then(|()| file.rewind())
            .and_then(|()| file.write_all(&text));
        written.map_err(unusable)?;
        Ok(Self { _locked: file })
    }

    /// Who holds it now, for people.
    pub fn holder(state_dir: &Path, environment: &str) -> Option<Holder> {
        let path = path(state_dir, environment);
        let file = File::open(&path).ok()?;
        match file.try_lock_shared() {
            Err(TryLockError::WouldBlock) => read(&path),
            Ok(()) | Err(TryLockError::Error(_)) => None,
        }
    }
}

/// One who is ready to wait for a lease.
#[derive(Debug, Clone, Copy)]
pub struct Patience<'a, C, N> {
    pub wait: Duration,
    pub clock: &'a C,
    pub narrator: &'a N,
}

impl<C: Clock, N: Narrator> Patience<'_, C, N> {
    /// Takes the lease, waiting where somebody has it. Dropped, it waits no longer.
    pub async fn take(
        &self,
        state_dir: &Path,
        environment: &str,
        holder: &Holder,
    ) -> Result<Lease, LeaseError> {
        let began = self.clock.now();
        let mut told = None;
        loop {
            let error = match Lease::try_take(state_dir, environment, holder) {
                Err(error @ LeaseError::Held { .. }) => error,
                result => return result,
            };
            let now = self.clock.now();
            let waited = now.saturating_sub(began);
            if waited >= self.wait {
                return Err(error);
            }
            if told.is_none_or(|at| now.saturating_sub(at) >= PROGRESS) {
                told = Some(now);
                let waited = narrate::duration(waited);
                self.narrator.say(&both!(
                    "waiting: {error} ({waited})",
                    "等待中：{error}（{waited}）"
                ));
            }
            self.clock.sleep(LOOK).await;
        }
    }
}

/// Locks the file for its holder. One who only looks whether it is locked is no holder: a shared lock
/// is to be had beside those.
fn lock(file: &File) -> Result<(), TryLockError> {
    loop {
        match file.try_lock() {
            Err(TryLockError::WouldBlock) => {}
            result => return result,
        }
        file.try_lock_shared()?;
        file.unlock().map_err(TryLockError::Error)?;
        std::thread::sleep(GLANCE);
    }
}

fn path(state_dir: &Path, environment: &str) -> PathBuf {
    state_dir
        .join("environments")
        .join(environment)
        .join("lease")
}

fn open(path: &Path) -> io::Result<File> {
    if let Some(folder) = path.parent() {
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(folder)?;
    }
    OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path)
}

fn read(path: &Path) -> Option<Holder> {
    serde_json::from_slice(&fs::read(path).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use std::cell::{Cell, RefCell};

    use super::*;

    #[derive(Default)]
    struct Fake {
        now: Cell<Duration>,
        lines: RefCell<Vec<String>>,
    }

    impl Clock for Fake {
        fn now(&self) -> Duration {
            self.now.get()
        }

        async fn sleep(&self, duration: Duration) {
            self.now.set(self.now.get() + duration);
        }
    }

    impl Narrator for Fake {
        fn say(&self, line: &str) {
            self.lines.borrow_mut().push(line.into());
        }
    }

    fn holder(job: i64) -> Holder {
        let owner = Owner {
            project: 42,
            pipeline: 77,
            job,
        };
        Holder {
            pid: 7,
            ..Holder::new(owner, "r1")
        }
    }

    #[test]
    fn a_lease_is_for_one_and_free_again_when_dropped() {
        let folder = tempfile::tempdir().unwrap();
        let lease = Lease::try_take(folder.path(), "production", &holder(1)).unwrap();
        let error = Lease::try_take(folder.path(), "production", &holder(2)).unwrap_err();
        assert_eq!(
            error.to_string(),
            "`production` is being changed by job 1 of pipeline 77 (run r1, pid 7)"
        );
        assert_eq!(Failure::from(error).code(), Some(JobCode::Leased));
        assert_eq!(Lease::holder(folder.path(), "production"), Some(holder(1)));
        Lease::try_take(folder.path(), "staging", &holder(2)).unwrap();
        drop(lease);
        assert_eq!(Lease::holder(folder.path(), "production"), None);
        Lease::try_take(folder.path(), "production", &holder(2)).unwrap();
    }

    #[test]
    fn a_lease_of_the_first_release_names_its_holder() {
        let state = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/store/format-1");
        let holder = read(&path(&state, "production")).unwrap();
        let expect = "job 1001 of pipeline 77 (run 20261122T200000000Z-1001, pid 4711)";
        assert_eq!(holder.to_string(), expect);
    }

    #[test]
    fn one_who_looks_at_the_lease_does_not_hold_it() {
        let folder = tempfile::tempdir().unwrap();
        drop(Lease::try_take(folder.path(), "production", &holder(1)).unwrap());
        let file = File::open(path(folder.path(), "production")).unwrap();
        file.try_lock_shared().unwrap();
        let (sender, receiver) = std::sync::mpsc::channel::<()>();
        let looking = std::thread::spawn(move || {
            // Until the other one has had time to try.
            let _ = receiver.recv_timeout(Duration::from_millis(50));
            drop(file);
        });
        let taken = Lease::try_take(folder.path(), "production", &holder(2));
        assert!(taken.is_ok(), "{taken:?}");
        drop(sender);
        looking.join().unwrap();
    }

    #[test]
    fn one_who_waits_hears_for_whom_and_not_for_ever() {
        let folder = tempfile::tempdir().unwrap();
        let _lease = Lease::try_take(folder.path(), "production", &holder(1)).unwrap();
        let fake = Fake::default();
        let patience = Patience {
            wait: Duration::from_secs(12),
            clock: &fake,
            narrator: &fake,
        };
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap();
        let taken = runtime.block_on(patience.take(folder.path(), "production", &holder(2)));
        assert!(matches!(taken, Err(LeaseError::Held { .. })));
        assert_eq!(fake.lines.borrow().len(), 3);
        assert_eq!(fake.now(), Duration::from_secs(12));
    }
}
