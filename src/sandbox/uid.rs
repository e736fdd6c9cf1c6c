//! Which job has which uid: one small file per live job, named after the uid, holding the job's key
//! and the runner process that drives it.
//!
//! A uid is never given out while any process of this host has it, whoever left that process behind. What a
//! container calls its users is no matter: they are in other namespaces and other control groups.

use std::{
    fs, io,
    ops::Range,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use nix::unistd::{Uid, User};

use crate::{
    failure::Failure,
    runner,
    sys::{membership, tree},
};

/// Why there is no uid for a job.
#[derive(Debug, thiserror::Error)]
pub(super) enum UidError {
    #[error("all {count} uids from {first} on are taken by live jobs")]
    Exhausted { first: u32, count: usize },
    #[error("cannot keep the list of uids in {path}")]
    List {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("{path} is written by a newer dockmaster: update it on this host")]
    Newer { path: PathBuf },
    #[error("cannot see whose processes are running")]
    Processes(#[source] io::Error),
}

impl From<UidError> for Failure {
    fn from(error: UidError) -> Self {
        match error {
            UidError::Exhausted { .. }
            | UidError::List { .. }
            | UidError::Newer { .. }
            | UidError::Processes(_) => Self::system(error),
        }
    }
}

/// What such a file says, a line each; a newer format has more lines.
struct Holder {
    uid: u32,
    key: String,
    /// The runner process, as `runner` names it.
    runner: String,
}

/// The uid that `key` has, if it has one.
pub(super) fn find(folder: &Path, key: &str) -> Result<Option<u32>, UidError> {
    let holders = holders(folder)?;
    Ok(holders
        .into_iter()
        .find(|holder| holder.key == key)
        .map(|holder| holder.uid))
}

/// The keys of jobs whose runner is gone: nobody will ever clean up after them.
pub(super) fn orphans(folder: &Path) -> Result<Vec<String>, UidError> {
    let is_orphan = |holder: &Holder| !runner::is_alive(&holder.runner);
    Ok(holders(folder)?
        .into_iter()
        .filter(is_orphan)
        .map(|holder| holder.key)
        .collect())
}

fn holders(folder: &Path) -> Result<Vec<Holder>, UidError> {
    let failed = |source| UidError::List {
        path: folder.to_owned(),
        source,
    };
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(failed(error)),
    };
    let mut holders = Vec::new();
    for entry in entries {
        let entry = entry.map_err(failed)?;
        let name = entry.file_name();
        let Some(uid) = name.to_str().and_then(|name| name.parse().ok()) else {
            continue;
        };
        // Another job may release its own at this very moment.
        let Ok(text) = fs::read_to_string(entry.path()) else {
            continue;
        };
        let (key, runner) = text.split_once('\n').unwrap_or((&text, ""));
        if runner.contains('\n') {
            let path = entry.path();
            return Err(UidError::Newer { path });
        }
        let (key, runner) = (key.to_owned(), runner.to_owned());
        holders.push(Holder { uid, key, runner });
    }
    Ok(holders)
}

/// Gives `key` a uid out of `range`; the one it has, if it has one.
pub(super) fn take(folder: &Path, key: &str, range: Range<u32>) -> Result<u32, UidError> {
    if let Some(uid) = find(folder, key)? {
        return Ok(uid);
    }
    let failed = |source| UidError::List {
        path: folder.to_owned(),
        source,
    };
    tree::make(folder, tree::PRIVATE).map_err(failed)?;
    let busy = membership::uids_in_use().map_err(UidError::Processes)?;
    // Written whole under another name first: nobody reads half of it.
    let draft = folder.join(format!(".{key}"));
    write(&draft, key).map_err(failed)?;
    let free = range
        .clone()
        .filter(|uid| !busy.contains(uid) && !has_account(*uid));
    let taken = free
        .map(|uid| (uid, fs::hard_link(&draft, folder.join(uid.to_string()))))
        .find(|(_, linked)| {
            let is_taken = |error: &io::Error| error.kind() == io::ErrorKind::AlreadyExists;
            !linked.as_ref().is_err_and(is_taken)
        });
    fs::remove_file(&draft).map_err(failed)?;
    match taken {
        Some((uid, Ok(()))) => Ok(uid),
        Some((_, Err(error))) => Err(failed(error)),
        None => Err(UidError::Exhausted {
            first: range.start,
            count: range.len(),
        }),
    }
}

/// Gives the uid back. The caller has seen that no process has it any more.
pub(super) fn release(folder: &Path, uid: u32) -> Result<(), UidError> {
    let path = folder.join(uid.to_string());
    match fs::remove_file(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(UidError::List {
            path,
            source: error,
        }),
        _ => Ok(()),
    }
}

fn write(path: &Path, key: &str) -> io::Result<()> {
    let mut options = fs::OpenOptions::new();
    let mut file = options
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path)?;
    let text = format!("{key}\n{}", runner::of_caller());
    io::Write::write_all(&mut file, text.as_bytes())
}

/// True for a uid that belongs to somebody on this host.
fn has_account(uid: u32) -> bool {
    matches!(User::from_uid(Uid::from_raw(uid)), Ok(Some(_)))
}

#[cfg(test)]
mod tests {
    use super::*;

    // Far from the lane's own range, and from any account.
    const RANGE: Range<u32> = 3_900_000..3_900_002;

    #[test]
    fn each_job_has_a_uid_of_its_own_until_it_is_released() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path().join("uids");
        assert_eq!(find(&folder, "a").unwrap(), None);
        assert_eq!(take(&folder, "a", RANGE).unwrap(), 3_900_000);
        assert_eq!(take(&folder, "b", RANGE).unwrap(), 3_900_001);
        assert_eq!(take(&folder, "a", RANGE).unwrap(), 3_900_000);
        let text = take(&folder, "c", RANGE).unwrap_err().to_string();
        assert_eq!(text, "all 2 uids from 3900000 on are taken by live jobs");
        release(&folder, 3_900_000).unwrap();
        release(&folder, 3_900_000).unwrap();
        assert_eq!(take(&folder, "c", RANGE).unwrap(), 3_900_000);
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 2);
    }

    #[test]
    fn a_job_is_an_orphan_when_its_runner_is_gone() {
        let folder = tempfile::tempdir().unwrap();
        take(folder.path(), "alive", RANGE).unwrap();
        fs::write(folder.path().join("3900001"), "dead\n1-1").unwrap();
        assert_eq!(orphans(folder.path()).unwrap(), ["dead"]);
    }

    #[test]
    fn a_newer_file_is_refused_with_what_to_do() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("3900001"), "key\n1-1\nformat 2").unwrap();
        let text = orphans(folder.path()).unwrap_err().to_string();
        assert!(text.ends_with("3900001 is written by a newer dockmaster: update it on this host"));
    }

    #[test]
    fn an_account_s_uid_is_never_given_out() {
        let folder = tempfile::tempdir().unwrap();
        let busy = membership::uids_in_use().unwrap();
        let accounts = fs::read_to_string("/etc/passwd").unwrap();
        let uids = accounts
            .lines()
            .filter_map(|line| line.split(':').nth(2)?.parse().ok());
        // An idle account's, for that of a running process is refused anyway.
        let uid: u32 = uids.into_iter().find(|uid| !busy.contains(uid)).unwrap();
        assert!(take(folder.path(), "a", uid..uid + 1).is_err());
    }
}
