//! The journals of one environment: `environments/NAME/runs/RUN.jsonl`, a line an event.
//!
//! A line counts once it is whole: what a power cut tore off at the end never happened.

use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, Read, Seek, SeekFrom, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{
    failure::Class,
    rollout::{
        engine::Earlier,
        journal::{Event, Run},
        port::{Journal, Release},
    },
};

/// How many ended runs are kept, for people and for the names of old releases.
const KEEP: usize = 50;

/// Why a journal cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum RunsError {
    #[error("cannot read {}", .path.display())]
    Read {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("cannot write {}", .path.display())]
    Write {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("{} is damaged in line {line}", .path.display())]
    Damaged {
        path: PathBuf,
        line: usize,
        #[source]
        source: serde_json::Error,
    },
}

impl RunsError {
    pub fn class(&self) -> Class {
        match self {
            Self::Read { .. } | Self::Write { .. } | Self::Damaged { .. } => Class::System,
        }
    }
}

/// One line.
#[derive(Serialize, Deserialize)]
struct Record {
    at: Timestamp,
    #[serde(flatten)]
    event: Event,
}

/// All journals of one environment.
#[derive(Debug, Clone)]
pub struct Runs {
    folder: PathBuf,
}

impl Runs {
    /// `environment` was checked to be a plain name when its file was found.
    pub fn new(state_dir: &Path, environment: &str) -> Self {
        Self {
            folder: state_dir
                .join("environments")
                .join(environment)
                .join("runs"),
        }
    }

    /// An id for a run that begins now: ids sort by time.
    pub fn id(now: Timestamp, job: i64) -> String {
        format!("{}-{job}", now.strftime("%Y%m%dT%H%M%S%3fZ"))
    }

    /// The journal of a run; its file is made by the first event.
    pub fn journal(&self, run: &str) -> RunFile {
        RunFile {
            path: self.folder.join(format!("{run}.jsonl")),
        }
    }

    /// The runs that were left open, newest first.
    pub fn open(&self) -> Result<Vec<Earlier<RunFile>>, RunsError> {
        let mut open = Vec::new();
        for journal in self.files()? {
            if let Some(run) = Run::fold(&journal.read()?)
                && run.is_open()
            {
                open.push(Earlier { run, journal });
            }
        }
        Ok(open)
    }

    /// The newest run, for people.
    pub fn newest(&self) -> Result<Option<Run>, RunsError> {
        for journal in self.files()? {
            if let Some(run) = Run::fold(&journal.read()?) {
                return Ok(Some(run));
            }
        }
        Ok(None)
    }

    /// The releases of all runs that are kept, newest first, so that a digest has a name.
    pub fn versions(&self) -> Result<Vec<Release>, RunsError> {
        let mut versions: Vec<Release> = Vec::new();
        for journal in self.files()? {
            if let Some(run) = Run::fold(&journal.read()?)
                && !versions.contains(&run.release)
            {
                versions.push(run.release);
            }
        }
        Ok(versions)
    }

    /// Removes the oldest runs; one that is open is never removed.
    pub fn prune(&self) -> Result<(), RunsError> {
        for journal in self.files()?.into_iter().skip(KEEP) {
            let is_open = Run::fold(&journal.read()?).is_some_and(|run| run.is_open());
            if !is_open {
                let path = journal.path;
                fs::remove_file(&path).map_err(|source| RunsError::Write { path, source })?;
            }
        }
        Ok(())
    }

    /// Newest first.
    fn files(&self) -> Result<Vec<RunFile>, RunsError> {
        let refuse = |source| RunsError::Read {
            path: self.folder.clone(),
            source,
        };
        let entries = match fs::read_dir(&self.folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries.map_err(refuse)?,
        };
        let mut paths = Vec::new();
        for entry in entries {
            let path = entry.map_err(refuse)?.path();
            if path
                .extension()
                .is_some_and(|extension| extension == "jsonl")
            {
                paths.push(path);
            }
        }
        paths.sort_unstable_by(|one, other| other.cmp(one));
        Ok(paths.into_iter().map(|path| RunFile { path }).collect())
    }
}

/// The journal of one run.
#[derive(Debug, Clone)]
pub struct RunFile {
    path: PathBuf,
}

impl RunFile {
    /// All whole events.
    pub fn read(&self) -> Result<Vec<Event>, RunsError> {
        let read = |source| RunsError::Read {
            path: self.path.clone(),
            source,
        };
        let bytes = fs::read(&self.path).map_err(read)?;
        let whole = bytes.get(..whole(&bytes)).unwrap_or_default();
        let mut events = Vec::new();
        for (number, line) in (1..).zip(whole.split_inclusive(|byte| *byte == b'\n')) {
            let record: Record =
                serde_json::from_slice(line).map_err(|source| RunsError::Damaged {
                    path: self.path.clone(),
                    line: number,
                    source,
                })?;
            events.push(record.event);
        }
        Ok(events)
    }

    fn write(&self, event: &Event) -> io::Result<()> {
        let record = Record {
            at: Timestamp::now(),
            event: event.clone(),
        };
        let mut line = serde_json::to_vec(&record)?;
        line.push(b'\n');
        let is_new = !self.path.exists();
        if is_new {
            self.make_folder()?;
        }
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&self.path)?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        // A torn line is cut off, or it would spoil the one that follows.
        let end = whole(&bytes) as u64;
        file.set_len(end)?;
        file.seek(SeekFrom::Start(end))?;
        let written = file.write_all(&line).and_then(|()| file.sync_all());
        if written.is_err() {
            // Best effort: a reader drops a torn line anyway.
            let _ = file.set_len(end);
            return written;
        }
        if is_new && let Some(folder) = self.path.parent() {
            File::open(folder)?.sync_all()?;
        }
        Ok(())
    }

    /// Makes the folders, each durable in the one above.
    fn make_folder(&self) -> io::Result<()> {
        let Some(folder) = self.path.parent() else {
            return Ok(());
        };
        let missing: Vec<&Path> = folder
            .ancestors()
            .take_while(|path| !path.exists())
            .collect();
        for path in missing.into_iter().rev() {
            DirBuilder::new().mode(0o700).create(path)?;
            if let Some(above) = path.parent() {
                File::open(above)?.sync_all()?;
            }
        }
        Ok(())
    }
}

/// How many bytes are whole lines.
fn whole(bytes: &[u8]) -> usize {
    let end = bytes.iter().rposition(|byte| *byte == b'\n');
    end.map_or(0, |end| end + 1)
}

impl Journal for RunFile {
    type Error = RunsError;

    async fn append(&self, event: &Event) -> Result<(), RunsError> {
        self.write(event).map_err(|source| RunsError::Write {
            path: self.path.clone(),
            source,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rollout::journal::{Outcome, Owner};

    fn opened(run: &str) -> Event {
        Event::Opened {
            run: run.into(),
            release: Release {
                image: "harbor/app".into(),
                digest: format!("sha256:{run}"),
                version: run.into(),
            },
            owner: Owner::default(),
            hosts: vec!["app-1".into()],
        }
    }

    fn closed() -> Event {
        Event::Closed {
            outcome: Outcome::Done,
            summary: "well".into(),
        }
    }

    fn undoing() -> Event {
        Event::Undoing { why: "x".into() }
    }

    #[track_caller]
    fn write(runs: &Runs, run: &str, events: &[Event]) -> RunFile {
        let journal = runs.journal(run);
        for event in events {
            journal.write(event).unwrap();
        }
        journal
    }

    #[test]
    fn what_was_written_is_read_and_only_open_runs_are_open() {
        let folder = tempfile::tempdir().unwrap();
        let runs = Runs::new(folder.path(), "production");
        assert!(runs.open().unwrap().is_empty());
        write(&runs, "1", &[opened("1"), closed()]);
        write(&runs, "2", &[opened("2"), undoing()]);
        write(&runs, "3", &[opened("3")]);
        let open = runs.open().unwrap();
        let ids: Vec<_> = open.iter().map(|earlier| earlier.run.id.as_str()).collect();
        assert_eq!(ids, ["3", "2"]);
        assert_eq!(runs.versions().unwrap().len(), 3);
        assert_eq!(runs.newest().unwrap().unwrap().id, "3");
    }

    #[test]
    fn a_torn_last_line_never_happened_and_spoils_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let runs = Runs::new(folder.path(), "production");
        let journal = write(&runs, "1", &[opened("1"), undoing()]);
        let text = fs::read(&journal.path).unwrap();
        let first = whole(&text[..text.len() - 1]);
        for end in first..text.len() {
            fs::write(&journal.path, &text[..end]).unwrap();
            assert_eq!(journal.read().unwrap(), [opened("1")]);
            journal.write(&closed()).unwrap();
            assert_eq!(journal.read().unwrap(), [opened("1"), closed()]);
        }
    }

    #[test]
    fn a_damaged_line_in_the_middle_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let runs = Runs::new(folder.path(), "production");
        let journal = write(&runs, "1", &[opened("1"), undoing()]);
        let text = fs::read_to_string(&journal.path).unwrap();
        fs::write(&journal.path, text.replacen("opened", "ope", 1)).unwrap();
        let message = runs.open().err().unwrap().to_string();
        assert!(
            message.ends_with("1.jsonl is damaged in line 1"),
            "{message}"
        );
    }

    #[test]
    fn pruning_keeps_fifty_and_every_open_run() {
        let folder = tempfile::tempdir().unwrap();
        let runs = Runs::new(folder.path(), "production");
        write(&runs, "000", &[opened("000")]);
        for number in 1..=KEEP + 5 {
            let id = format!("{number:03}");
            write(&runs, &id, &[opened(&id), closed()]);
        }
        runs.prune().unwrap();
        assert_eq!(runs.files().unwrap().len(), KEEP + 1);
        assert_eq!(runs.open().unwrap().len(), 1);
    }

    #[test]
    fn ids_sort_by_time() {
        let at = |second| Runs::id(Timestamp::new(second, 5_000_000).unwrap(), 1001);
        assert_eq!(at(1_700_000_000), "20231114T221320005Z-1001");
        assert!(at(1_700_000_000) < at(1_700_000_001));
    }
}
