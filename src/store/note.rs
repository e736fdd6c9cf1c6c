//! One small file per live job in the run directory: who drives it, and what lies outside of our own
//! folders. With it `gc` can clean up after a runner that was killed.

use std::{
    ffi::OsStr,
    fs, io,
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use super::lines::StoreError;
use crate::{runner, sys::tree};

/// What the names of the runner's temporary folders begin with (`os.MkdirTemp` in its custom executor).
const RUNNERS_FOLDER: &str = "custom-executor";
const FORMAT: u32 = 1;

/// What is known of a live job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Note {
    format: u32,
    /// The runner process that drives the job, as `runner` names it.
    pub(crate) runner: String,
    /// The runner's temporary folder: it holds the job's variables and its token.
    pub(crate) temporary: Option<PathBuf>,
}

/// The notes of a host's live jobs.
#[derive(Debug, Clone)]
pub(crate) struct Notes {
    folder: PathBuf,
}

impl Note {
    /// A note of a job that `runner` drives, whose payload is at `response`.
    pub(crate) fn new(runner: String, response: Option<&Path>) -> Self {
        let temporary = response.and_then(Path::parent).filter(|it| is_runners(it));
        Self {
            format: FORMAT,
            runner,
            temporary: temporary.map(Path::to_owned),
        }
    }

    /// Removes the runner's temporary folder, if it still is one of ours.
    pub(crate) fn remove_temporary(&self) -> io::Result<()> {
        match &self.temporary {
            Some(folder) if is_runners(folder) => tree::remove(folder),
            Some(_) | None => Ok(()),
        }
    }
}

/// A folder that the runner makes and this user owns; never a link.
fn is_runners(folder: &Path) -> bool {
    let name = folder.file_name().and_then(OsStr::to_str);
    let is_named = name.is_some_and(|name| name.starts_with(RUNNERS_FOLDER));
    let own = nix::unistd::geteuid().as_raw();
    is_named && fs::symlink_metadata(folder).is_ok_and(|found| found.is_dir() && found.uid() == own)
}

impl Notes {
    pub(crate) fn new(run_dir: &Path) -> Self {
        let folder = run_dir.join("notes");
        Self { folder }
    }

    /// Writes a job's note, in the place of an earlier attempt's.
    pub(crate) fn write(&self, key: &str, note: &Note) -> Result<(), StoreError> {
        let path = self.folder.join(key);
        let draft = self.folder.join(format!(".{key}"));
        let write = || {
            tree::make(&self.folder, tree::PRIVATE)?;
            let mut options = fs::OpenOptions::new();
            options.write(true).create(true).truncate(true).mode(0o600);
            serde_json::to_writer(options.open(&draft)?, note)?;
            fs::rename(&draft, &path)
        };
        write().map_err(|source: io::Error| StoreError::Write { path, source })
    }

    /// A file that goes with a job's note: how far the lines of its services were shown.
    pub(crate) fn shown(&self, key: &str) -> PathBuf {
        self.folder.join(format!(".{key}.shown"))
    }

    /// Removes a job's note, with the draft of a driver that was killed while it wrote. No note is fine.
    pub(crate) fn remove(&self, key: &str) -> Result<(), StoreError> {
        let draft = self.folder.join(format!(".{key}"));
        for path in [self.shown(key), self.folder.join(key), draft] {
            match fs::remove_file(&path) {
                Err(source) if source.kind() != io::ErrorKind::NotFound => {
                    return Err(StoreError::Write { path, source });
                }
                Err(_) | Ok(()) => {}
            }
        }
        Ok(())
    }

    /// The keys and notes of jobs whose runner process is gone.
    pub(crate) fn orphans(&self) -> Result<Vec<(String, Note)>, StoreError> {
        let mut orphans = Vec::new();
        for key in self.keys()? {
            if let Some(note) = self.read(&key)?
                && !runner::is_alive(&note.runner)
            {
                orphans.push((key, note));
            }
        }
        Ok(orphans)
    }

    /// The keys of all jobs that have a note.
    pub(crate) fn keys(&self) -> Result<Vec<String>, StoreError> {
        let failed = |source| StoreError::Read {
            path: self.folder.clone(),
            source,
        };
        let entries = match fs::read_dir(&self.folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries.map_err(failed)?,
        };
        let key = |entry: io::Result<fs::DirEntry>| {
            let name = entry.map_err(failed)?.file_name();
            Ok(name.to_string_lossy().into_owned())
        };
        entries.map(key).collect()
    }

    /// The note of that name; none where it is a draft, or was removed meanwhile.
    fn read(&self, key: &str) -> Result<Option<Note>, StoreError> {
        let path = self.folder.join(key);
        if key.starts_with('.') {
            return Ok(None);
        }
        let bytes = match fs::read(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            bytes => bytes.map_err(|source| StoreError::Read {
                path: path.clone(),
                source,
            })?,
        };
        let line = 1;
        let note: Note = serde_json::from_slice(&bytes).map_err(|source| StoreError::Damaged {
            path: path.clone(),
            line,
            source,
        })?;
        let format = note.format;
        if format > FORMAT {
            return Err(StoreError::Newer {
                path,
                line,
                format,
                known: FORMAT,
            });
        }
        Ok(Some(note))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_jobs_of_a_runner_that_is_gone_are_found_and_those_of_a_live_one_are_not() {
        let run_dir = tempfile::tempdir().unwrap();
        let notes = Notes::new(run_dir.path());
        assert_eq!(notes.orphans().unwrap(), []);
        let dead = Note::new("1-1".into(), None);
        notes.write("a", &dead).unwrap();
        notes
            .write("b", &Note::new(runner::of_caller(), None))
            .unwrap();
        assert_eq!(notes.orphans().unwrap(), [("a".to_owned(), dead)]);
        notes.remove("a").unwrap();
        notes.remove("a").unwrap();
        assert_eq!(notes.orphans().unwrap(), []);
    }

    #[test]
    fn only_a_folder_of_the_runner_s_is_removed() {
        let folder = tempfile::tempdir().unwrap();
        let own = folder.path().join("custom-executor123");
        let foreign = folder.path().join("home");
        for folder in [&own, &foreign] {
            fs::create_dir(folder).unwrap();
            let note = Note::new("1-1".into(), Some(&folder.join("response.json")));
            note.remove_temporary().unwrap();
        }
        assert!(!own.exists());
        assert!(foreign.exists());
        std::os::unix::fs::symlink(&foreign, &own).unwrap();
        let note = Note::new("1-1".into(), Some(&own.join("response.json")));
        note.remove_temporary().unwrap();
        assert!(foreign.exists());
    }

    #[test]
    fn a_note_of_a_newer_dockmaster_is_left_alone() {
        let run_dir = tempfile::tempdir().unwrap();
        let notes = Notes::new(run_dir.path());
        notes.write("a", &Note::new("1-1".into(), None)).unwrap();
        let text = "{\"format\":2,\"runner\":\"1-1\",\"temporary\":null}";
        fs::write(run_dir.path().join("notes/a"), text).unwrap();
        assert!(notes.orphans().unwrap_err().to_string().contains("newer"));
    }
}
