//! What runs saw and said, for reports: `environments/NAME/stories/RUN.jsonl`, a line a fact. Nothing is
//! decided by it, so it is not flushed, and a line that cannot be understood is left out.

use std::{
    fs::{self, DirBuilder, OpenOptions},
    io::{self, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::lines::{FORMAT, StoreError, prune};
use crate::rollout::fact::Fact;

#[derive(Serialize, Deserialize)]
struct Line {
    format: u32,
    at: Timestamp,
    #[serde(flatten)]
    fact: Fact,
}

/// The stories of one environment.
#[derive(Debug, Clone)]
pub(crate) struct Stories {
    folder: PathBuf,
}

impl Stories {
    pub(crate) fn new(state_dir: &Path, environment: &str) -> Self {
        let folder = state_dir.join("environments").join(environment);
        Self {
            folder: folder.join("stories"),
        }
    }

    fn path(&self, run: &str) -> PathBuf {
        self.folder.join(format!("{run}.jsonl"))
    }

    /// Adds a fact.
    pub(crate) fn add(&self, run: &str, at: Timestamp, fact: &Fact) -> io::Result<()> {
        let line = Line {
            format: FORMAT,
            at,
            fact: fact.clone(),
        };
        let mut text = serde_json::to_vec(&line)?;
        text.push(b'\n');
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&self.folder)?;
        let mut options = OpenOptions::new();
        let file = options.append(true).create(true).mode(0o600);
        file.open(self.path(run))?.write_all(&text)
    }

    /// All that is kept of a run.
    pub(crate) fn read(&self, run: &str) -> Result<Vec<(Timestamp, Fact)>, StoreError> {
        let path = self.path(run);
        let bytes = match fs::read(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            bytes => bytes.map_err(|source| StoreError::Read { path, source })?,
        };
        let lines = bytes.split(|byte| *byte == b'\n');
        let lines = lines.filter_map(|line| serde_json::from_slice::<Line>(line).ok());
        Ok(lines.map(|line| (line.at, line.fact)).collect())
    }

    /// Removes what belongs to none of these runs.
    pub(crate) fn prune(&self, runs: &[&str]) -> Result<(), StoreError> {
        prune(&self.folder, runs)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_story_is_read_as_it_was_told_without_what_nobody_understands() {
        let folder = tempfile::tempdir().unwrap();
        let stories = Stories::new(folder.path(), "production");
        assert_eq!(stories.read("r1").unwrap(), []);
        let at = Timestamp::UNIX_EPOCH;
        let said = Fact::Said {
            host: Some("app-1".into()),
            text: "a\nb".into(),
        };
        stories.add("r1", at, &said).unwrap();
        let mut file = OpenOptions::new()
            .append(true)
            .open(stories.path("r1"))
            .unwrap();
        file.write_all(b"{\"format\":1,\"fact\":\"of tomorrow\"}\n{\"torn")
            .unwrap();
        assert_eq!(stories.read("r1").unwrap(), [(at, said.clone())]);
        stories.add("r2", at, &said).unwrap();
        stories.prune(&["r2"]).unwrap();
        assert_eq!(stories.read("r1").unwrap(), []);
        assert_eq!(stories.read("r2").unwrap().len(), 1);
    }
}
