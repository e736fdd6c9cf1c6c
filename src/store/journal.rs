//! The journals of one environment: `environments/NAME/runs/RUN.jsonl`, a line an event.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use jiff::Timestamp;
use serde::{Deserialize, Serialize, de::Error as _};

use super::lines::{Lines, StoreError};
use crate::rollout::{
    engine::Earlier,
    journal::{Event, Run},
    port::{Journal, Release},
};

/// How many ended runs are kept, for people and for the names of old releases.
const KEEP: usize = 50;

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

/// One run that is kept.
#[derive(Debug, Clone)]
pub struct Past {
    pub run: Run,
    pub began: Timestamp,
    /// When its last event was written: the end of one that has ended.
    pub last: Timestamp,
    /// How it ended in words, or why a person is needed; empty where it was cut off.
    pub summary: String,
    pub events: Vec<(Timestamp, Event)>,
}

impl Past {
    fn new(run: Run, records: &[Record]) -> Self {
        let at = |record: Option<&Record>| record.map_or(Timestamp::UNIX_EPOCH, |it| it.at);
        let told = records.iter().rev().find_map(|record| match &record.event {
            Event::Closed { summary, .. } => Some(summary.clone()),
            Event::Stuck { why } => Some(why.clone()),
            _ => None,
        });
        Self {
            run,
            began: at(records.first()),
            last: at(records.last()),
            summary: told.unwrap_or_default(),
            events: records.iter().map(|it| (it.at, it.event.clone())).collect(),
        }
    }
}

/// What the journals of an environment say. One that cannot be read hides no other.
#[derive(Default)]
pub struct History {
    /// The runs that were left open, newest first.
    pub open: Vec<Earlier<RunFile>>,
    /// The run to speak of: one that is open before one that has ended, then the newest.
    pub newest: Option<Run>,
    /// Every run that is kept and can be read, newest first.
    pub past: Vec<Past>,
    /// The releases of all runs that are kept, newest first, so that a digest has a name.
    pub versions: Vec<Release>,
    /// The journals of runs that have ended, or that a later run found ended.
    pub damaged: Vec<StoreError>,
    /// The journal of a run that may be open: a person has to look before anything is changed.
    pub unknown: Option<StoreError>,
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

    /// True when a rollout was ever begun here.
    pub fn are_there(&self) -> bool {
        self.folder.exists()
    }

    /// An id for a run that begins now: ids sort by time.
    pub fn id(now: Timestamp, job: i64) -> String {
        format!("{}-{job}", now.strftime("%Y%m%dT%H%M%S%3fZ"))
    }

    /// The journal of a run; its file is made by the first event.
    pub fn journal(&self, run: &str) -> RunFile {
        RunFile::at(self.folder.join(format!("{run}.jsonl")))
    }

    /// Reads everything that is kept.
    pub fn history(&self) -> Result<History, StoreError> {
        let mut history = History::default();
        for journal in self.files()? {
            match journal.past() {
                Ok(None) => {}
                Ok(Some(past)) => history.add(past, journal),
                // A run begins only when those before it have ended or are taken over.
                Err(error) if history.newest.is_some() || journal.has_ended() => {
                    history.damaged.push(error);
                }
                Err(error) => history.unknown = Some(error),
            }
        }
        if let Some(open) = history.open.first() {
            history.newest = Some(open.run.clone());
        }
        Ok(history)
    }

    /// Removes the oldest runs; one that is open, or may be, is never removed.
    pub fn prune(&self) -> Result<(), StoreError> {
        for journal in self.files()?.into_iter().skip(KEEP) {
            if journal.has_ended() {
                let path = journal.0.path;
                fs::remove_file(&path).map_err(|source| StoreError::Write { path, source })?;
            }
        }
        Ok(())
    }

    /// Newest first, by what the journals say: a run's name is made before it waits for the lease.
    fn files(&self) -> Result<Vec<RunFile>, StoreError> {
        let refuse = |source| StoreError::Read {
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
        let files = paths.into_iter().map(RunFile::at);
        let mut files: Vec<_> = files.map(|file| (file.opened(), file)).collect();
        files.sort_unstable_by(|(at, one), (other_at, other)| {
            (other_at, &other.0.path).cmp(&(at, &one.0.path))
        });
        Ok(files.into_iter().map(|(_, file)| file).collect())
    }
}

impl History {
    fn add(&mut self, past: Past, journal: RunFile) {
        let run = past.run.clone();
        self.past.push(past);
        if !self.versions.contains(&run.release) {
            self.versions.push(run.release.clone());
        }
        self.newest.get_or_insert_with(|| run.clone());
        if run.is_open() {
            self.open.push(Earlier {
                run,
                journal,
                files: Vec::new(),
            });
        }
    }
}

/// The journal of one run.
#[derive(Debug, Clone)]
pub struct RunFile(Lines);

impl RunFile {
    fn at(path: PathBuf) -> Self {
        let mode = 0o600;
        Self(Lines { path, mode })
    }

    /// `None` when nothing was written.
    fn past(&self) -> Result<Option<Past>, StoreError> {
        let records: Vec<Record> = self.0.read()?;
        let run = Run::fold(records.iter().map(|record| &record.event));
        if run.is_none() && !records.is_empty() {
            return Err(StoreError::Damaged {
                path: self.0.path.clone(),
                line: 1,
                source: serde_json::Error::custom("it does not begin with `opened`"),
            });
        }
        Ok(run.map(|run| Past::new(run, &records)))
    }

    /// When it was opened. One that cannot be read counts as the newest, for it may be.
    fn opened(&self) -> Timestamp {
        #[derive(Deserialize)]
        struct Line {
            at: Timestamp,
        }
        let first: Option<Line> = self.0.first();
        first.map_or(Timestamp::MAX, |line| line.at)
    }

    /// When it was found last that a person is needed, and how many times it was; `None` once anything
    /// else was written.
    pub(crate) fn stuck(&self) -> Option<(Timestamp, i32)> {
        let records: Vec<Record> = self.0.read().ok()?;
        let is_stuck = |record: &&Record| matches!(record.event, Event::Stuck { .. });
        let last = records.last().filter(is_stuck)?;
        let times = records.iter().filter(is_stuck).count();
        Some((last.at, times.try_into().unwrap_or(i32::MAX)))
    }

    /// True when the last line says so, whatever the others hold.
    fn has_ended(&self) -> bool {
        let last: Option<Record> = self.0.last();
        last.is_some_and(|record| matches!(record.event, Event::Closed { .. }))
    }
}

impl Journal for RunFile {
    type Error = StoreError;

    async fn append(&self, event: &Event) -> Result<(), StoreError> {
        self.0.append(&Record {
            at: Timestamp::now(),
            event: event.clone(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rollout::journal::{Cause, Direction, Outcome, Owner, Step};

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
            cause: Cause::Deploy,
        }
    }

    fn closed() -> Event {
        Event::Closed {
            outcome: Outcome::Done,
            summary: "well".into(),
        }
    }

    fn captured() -> Event {
        Event::Captured {
            host: "app-1".into(),
            weight: None,
            found: None,
            member: None,
            previous: None,
            is_outdated: false,
        }
    }

    fn undoing() -> Event {
        Event::Undoing { why: "x".into() }
    }

    #[track_caller]
    fn write(runs: &Runs, run: &str, events: &[Event]) -> RunFile {
        let journal = runs.journal(run);
        for event in events {
            journal
                .0
                .append(&Record {
                    at: Timestamp::UNIX_EPOCH,
                    event: event.clone(),
                })
                .unwrap();
        }
        journal
    }

    fn proven(history: &History) -> Option<&Run> {
        let mut runs = history.past.iter().map(|past| &past.run);
        runs.find(|run| run.is_proven())
    }

    fn ids(history: &History) -> Vec<&str> {
        let open = history.open.iter();
        open.map(|earlier| earlier.run.id.as_str()).collect()
    }

    #[test]
    fn what_was_written_is_read_and_only_open_runs_are_open() {
        let folder = tempfile::tempdir().unwrap();
        let runs = Runs::new(folder.path(), "production");
        assert!(runs.history().unwrap().newest.is_none());
        write(&runs, "1", &[opened("1"), closed()]);
        write(&runs, "2", &[opened("2"), undoing()]);
        write(&runs, "3", &[opened("3")]);
        let history = runs.history().unwrap();
        assert_eq!(ids(&history), ["3", "2"]);
        assert_eq!(history.versions.len(), 3);
        assert_eq!(history.newest.unwrap().id, "3");
    }

    /// Spoils a line of a journal.
    fn damage(journal: &RunFile, line: usize) {
        let text = fs::read_to_string(&journal.0.path).unwrap();
        let mut lines: Vec<&str> = text.lines().collect();
        lines[line - 1] = "{\"at\":";
        fs::write(&journal.0.path, lines.join("\n") + "\n").unwrap();
    }

    #[test]
    fn a_damaged_line_in_a_kept_journal_hides_no_other_run() {
        let folder = tempfile::tempdir().unwrap();
        let runs = Runs::new(folder.path(), "production");
        // The end itself is damaged, but a later run was begun.
        damage(&write(&runs, "1", &[opened("1"), closed()]), 2);
        write(&runs, "2", &[opened("2"), undoing()]);
        damage(&write(&runs, "3", &[opened("3"), undoing(), closed()]), 2);
        let history = runs.history().unwrap();
        assert_eq!(ids(&history), ["2"]);
        let damaged: Vec<_> = history.damaged.iter().map(ToString::to_string).collect();
        assert!(
            damaged[0].ends_with("3.jsonl is damaged in line 2"),
            "{damaged:?}"
        );
        assert!(
            damaged[1].ends_with("1.jsonl is damaged in line 2"),
            "{damaged:?}"
        );
        assert!(history.unknown.is_none());
    }

    #[test]
    fn a_damaged_run_that_may_be_open_is_never_taken_for_ended() {
        for line in [1, 2, 3] {
            let folder = tempfile::tempdir().unwrap();
            let runs = Runs::new(folder.path(), "production");
            write(&runs, "1", &[opened("1"), undoing()]);
            damage(
                &write(&runs, "2", &[opened("2"), undoing(), undoing()]),
                line,
            );
            let history = runs.history().unwrap();
            assert_eq!(ids(&history), ["1"], "the other goes on");
            let unknown = history.unknown.unwrap().to_string();
            let expect = format!("2.jsonl is damaged in line {line}");
            assert!(unknown.ends_with(&expect), "{unknown}");
            runs.prune().unwrap();
            assert!(runs.history().unwrap().unknown.is_some());
        }
    }

    #[test]
    fn a_journal_without_its_opening_may_be_open() {
        let folder = tempfile::tempdir().unwrap();
        let runs = Runs::new(folder.path(), "production");
        write(&runs, "1", &[undoing()]);
        assert!(runs.history().unwrap().unknown.is_some());
    }

    #[test]
    fn journals_of_the_first_release_are_read() {
        let state = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/store/format-1");
        let history = Runs::new(&state, "production").history().unwrap();
        assert_eq!(
            ids(&history),
            ["20261122T230000000Z-1004", "20261122T220000000Z-1003"]
        );
        assert!(history.damaged.is_empty() && history.unknown.is_none());
        assert_eq!(
            history.newest.as_ref().unwrap().id,
            "20261122T230000000Z-1004"
        );
        assert_eq!(proven(&history).unwrap().outcome, Some(Outcome::Done));
        let captured = &history.open[0].run.captured["app-1"];
        assert_eq!(
            captured.weight.map(crate::rollout::port::Weight::value),
            Some(100)
        );
        assert_eq!(captured.found, captured.weight);
        assert!(captured.mark.is_some() && captured.previous.is_some());
        assert!(history.open[1].run.stuck.is_some() && history.open[1].run.undoing.is_some());
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
        assert_eq!(ids(&runs.history().unwrap()), ["000"]);
    }

    fn at(second: i64, run: &str) -> Record {
        Record {
            at: Timestamp::new(second, 0).unwrap(),
            event: opened(run),
        }
    }

    #[test]
    fn runs_are_ordered_by_what_they_say_and_not_by_their_names() {
        let folder = tempfile::tempdir().unwrap();
        let runs = Runs::new(folder.path(), "production");
        // Run 3 was named last and waited; run 2 was opened after it.
        for (second, run) in [(10, "1"), (20, "3"), (30, "2")] {
            let journal = runs.journal(run);
            journal.0.append(&at(second, run)).unwrap();
            journal
                .0
                .append(&Record {
                    at: Timestamp::UNIX_EPOCH,
                    event: closed(),
                })
                .unwrap();
        }
        assert_eq!(runs.history().unwrap().newest.unwrap().id, "2");
        assert_eq!(proven(&runs.history().unwrap()).unwrap().id, "2");
        // One that is open is the one to speak of, whichever is newer.
        runs.journal("0").0.append(&at(5, "0")).unwrap();
        assert_eq!(runs.history().unwrap().newest.unwrap().id, "0");
    }

    #[test]
    fn a_release_that_was_stopped_half_way_may_be_taken_back() {
        let folder = tempfile::tempdir().unwrap();
        let runs = Runs::new(folder.path(), "production");
        write(&runs, "1", &[opened("1"), closed()]);
        let stopped = Event::Closed {
            outcome: Outcome::Stopped,
            summary: String::new(),
        };
        let admitted = Event::Done {
            host: "app-1".into(),
            step: Step::Admit,
            direction: Direction::Do,
        };
        write(&runs, "2", &[opened("2"), captured(), admitted, stopped]);
        let history = runs.history().unwrap();
        assert_eq!(history.newest.as_ref().unwrap().id, "2");
        assert_eq!(proven(&history).unwrap().id, "1");
    }

    #[test]
    fn how_often_it_was_stuck_is_told_until_anything_else_is_written() {
        let folder = tempfile::tempdir().unwrap();
        let runs = Runs::new(folder.path(), "production");
        let stuck = || Event::Stuck { why: String::new() };
        write(&runs, "1", &[opened("1"), stuck(), stuck()]);
        let times = || runs.journal("1").stuck().map(|(_, times)| times);
        assert_eq!(times(), Some(2));
        write(&runs, "1", &[undoing()]);
        assert_eq!(times(), None);
    }

    #[test]
    fn ids_sort_by_time() {
        let at = |second| Runs::id(Timestamp::new(second, 5_000_000).unwrap(), 1001);
        assert_eq!(at(1_700_000_000), "20231114T221320005Z-1001");
        assert!(at(1_700_000_000) < at(1_700_000_001));
    }
}
