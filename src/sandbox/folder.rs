//! A job's folders: making them, and removing them after its processes.

use std::{
    fs::{self, File, Permissions},
    io,
    os::unix::fs::{PermissionsExt, chown},
    path::{Path, PathBuf},
    time::Duration,
};

use tokio::time::{Instant, sleep};

use super::{environ, plan::Plan, spawn::SpawnError};
use crate::{
    failure::Failure,
    sys::{membership, tree},
};

/// How long killed processes may take to be gone.
const PATIENCE: Duration = Duration::from_secs(10);
const GLANCE: Duration = Duration::from_millis(20);

/// Why folders could not be made or removed.
#[derive(Debug, thiserror::Error)]
pub(super) enum FolderError {
    #[error("cannot make {path} for the job")]
    Make {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("cannot remove {path}, which a job left")]
    Remove {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("processes of uid {uid}, which a job left, cannot be ended")]
    Processes { uid: u32 },
    #[error("cannot see whose processes are running")]
    Look(#[source] io::Error),
    #[error("cannot end the processes of uid {uid}")]
    Kill {
        uid: u32,
        #[source]
        source: SpawnError,
    },
}

impl From<FolderError> for Failure {
    fn from(error: FolderError) -> Self {
        match error {
            FolderError::Make { .. }
            | FolderError::Remove { .. }
            | FolderError::Processes { .. }
            | FolderError::Look(_)
            | FolderError::Kill { .. } => Self::system(error),
        }
    }
}

/// The sandbox's /etc/passwd.
pub(super) fn accounts(plan: &Plan) -> PathBuf {
    plan.folder.join("passwd")
}

/// The sandbox's /etc/group.
pub(super) fn groups(plan: &Plan) -> PathBuf {
    plan.folder.join("group")
}

/// Makes the folders anew, empty, whatever an earlier attempt left.
pub(super) fn make(plan: &Plan, uid: u32) -> Result<(), FolderError> {
    remove(plan)?;
    folder_of_root(&plan.folder)?;
    folder_of_root(&plan.programs)?;
    for folder in [&plan.builds, &plan.home, &plan.temporary] {
        folder_of(folder, uid)?;
    }
    write(
        &accounts(plan),
        &with_line("/etc/passwd", &environ::account_line(plan, uid)),
        0o644,
    )?;
    write(
        &groups(plan),
        &with_line("/etc/group", &environ::group_line(uid)),
        0o644,
    )?;
    // Last: it says that all folders are there.
    write(&plan.lock, "", 0o600)
}

/// Kills until nothing of the uid runs and nobody can start anything any more.
pub(super) async fn empty_of_processes<K>(plan: &Plan, uid: u32, kill: K) -> Result<(), FolderError>
where
    K: AsyncFn() -> Result<(), SpawnError>,
{
    let deadline = Instant::now() + PATIENCE;
    let failed = |source| FolderError::Remove {
        path: plan.lock.clone(),
        source,
    };
    loop {
        let is_idle = !membership::uids_in_use()
            .map_err(FolderError::Look)?
            .contains(&uid);
        if is_idle && is_deserted(&plan.lock).map_err(failed)? {
            return Ok(());
        }
        if Instant::now() > deadline {
            return Err(FolderError::Processes { uid });
        }
        kill()
            .await
            .map_err(|source| FolderError::Kill { uid, source })?;
        sleep(GLANCE).await;
    }
}

/// True when no sandbox of the job stands, and from then on none can be entered: the lock's file is
/// removed while the lock is held.
fn is_deserted(lock: &Path) -> io::Result<bool> {
    let file = match File::open(lock) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(true),
        Err(error) => return Err(error),
    };
    match file.try_lock() {
        Ok(()) => fs::remove_file(lock).map(|()| true),
        Err(fs::TryLockError::WouldBlock) => Ok(false),
        Err(fs::TryLockError::Error(error)) => Err(error),
    }
}

/// Removes the folders. Those that are not there count as removed.
pub(super) fn remove(plan: &Plan) -> Result<(), FolderError> {
    for folder in [&plan.sockets, &plan.folder] {
        tree::remove(folder).map_err(|source| FolderError::Remove {
            path: folder.clone(),
            source,
        })?;
    }
    Ok(())
}

fn folder_of_root(path: &Path) -> Result<(), FolderError> {
    tree::make(path, tree::PASSABLE).map_err(|source| FolderError::Make {
        path: path.to_owned(),
        source,
    })
}

fn folder_of(path: &Path, uid: u32) -> Result<(), FolderError> {
    let failed = |source| FolderError::Make {
        path: path.to_owned(),
        source,
    };
    tree::make(path, tree::PRIVATE).map_err(failed)?;
    chown(path, Some(uid), Some(uid)).map_err(failed)
}

fn write(path: &Path, text: &str, mode: u32) -> Result<(), FolderError> {
    let failed = |source| FolderError::Make {
        path: path.to_owned(),
        source,
    };
    fs::write(path, text).map_err(failed)?;
    fs::set_permissions(path, Permissions::from_mode(mode)).map_err(failed)
}

/// The host's file with one line more. A host without the file has nobody to name.
fn with_line(path: &str, line: &str) -> String {
    let mut text = fs::read_to_string(path).unwrap_or_default();
    if !text.is_empty() && !text.ends_with('\n') {
        text.push('\n');
    }
    text + line
}
