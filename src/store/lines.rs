//! A file of lines, one JSON object each, that is only ever appended to and outlives a power cut.
//!
//! A line counts once it is whole: what a crash cut off at the end never happened. Each line names
//! its format, so that an older program refuses what a newer one wrote.

use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, Read, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::flaw::Flaw;
use crate::failure::Failure;

/// The format of what this program writes. A line without a number is of format 1.
pub(super) const FORMAT: u32 = 1;

/// Why a file of the state directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
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
    #[error(
        "{} is written in format {format} in line {line}, by a newer dockmaster; this one knows formats up to {known}: update it on this host",
        .path.display()
    )]
    Newer {
        path: PathBuf,
        line: usize,
        format: u32,
        known: u32,
    },
    #[error(
        "{} is not as it was written: {flaw}; try: dockmaster ledger verify",
        .path.display()
    )]
    Altered { path: PathBuf, flaw: Flaw },
}

impl From<StoreError> for Failure {
    /// Always the operator's: a job cannot write there.
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Read { .. }
            | StoreError::Write { .. }
            | StoreError::Damaged { .. }
            | StoreError::Newer { .. }
            | StoreError::Altered { .. } => Self::system(error),
        }
    }
}

/// The format alone.
#[derive(Deserialize)]
struct Format {
    #[serde(default = "first")]
    format: u32,
}

pub(super) fn first() -> u32 {
    1
}

/// One line as it is written.
#[derive(Serialize)]
struct Line<'a, T> {
    format: u32,
    #[serde(flatten)]
    content: &'a T,
}

/// One file.
#[derive(Debug, Clone)]
pub struct Lines {
    pub path: PathBuf,
    /// The mode of a new file. Its folder can be entered by whoever may read it.
    pub mode: u32,
}

impl Lines {
    /// All whole lines; none when there is no file.
    pub fn read<T: DeserializeOwned>(&self) -> Result<Vec<T>, StoreError> {
        let bytes = self.bytes()?;
        let parsed = numbered(&bytes);
        parsed
            .map(|(number, line)| self.parse(number, line, FORMAT))
            .collect()
    }

    /// The last whole line, whatever the others hold; `None` when it cannot be understood.
    pub(super) fn last<T: DeserializeOwned>(&self) -> Option<T> {
        let bytes = self.bytes().ok()?;
        let line = whole(&bytes)
            .split_inclusive(|byte| *byte == b'\n')
            .next_back()?;
        self.parse(0, line, FORMAT).ok()
    }

    /// The first whole line, whatever it holds besides; `None` when it cannot be understood.
    pub(super) fn first<T: DeserializeOwned>(&self) -> Option<T> {
        let bytes = self.bytes().ok()?;
        let (number, line) = numbered(&bytes).next()?;
        self.parse(number, line, FORMAT).ok()
    }

    pub(super) fn bytes(&self) -> Result<Vec<u8>, StoreError> {
        match fs::read(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
            bytes => bytes.map_err(|source| StoreError::Read {
                path: self.path.clone(),
                source,
            }),
        }
    }

    /// Reads one line of a format up to `known`.
    pub(super) fn parse<T: DeserializeOwned>(
        &self,
        line: usize,
        text: &[u8],
        known: u32,
    ) -> Result<T, StoreError> {
        let damaged = |source| StoreError::Damaged {
            path: self.path.clone(),
            line,
            source,
        };
        let Format { format } = serde_json::from_slice(text).map_err(damaged)?;
        if format > known {
            return Err(StoreError::Newer {
                path: self.path.clone(),
                line,
                format,
                known,
            });
        }
        serde_json::from_slice(text).map_err(damaged)
    }

    /// Adds a line; when it returns, the line survives a power cut. Two writers do not mix theirs.
    pub fn append<T: Serialize>(&self, content: &T) -> Result<(), StoreError> {
        let format = FORMAT;
        self.append_with(
            |_| Ok(serde_json::to_vec(&Line { format, content })?),
            |_| Ok(()),
        )
    }

    /// Adds the line that `make` makes of all whole lines before it, then calls `then` with that
    /// line, its end included. Nobody else writes meanwhile.
    pub(super) fn append_with(
        &self,
        make: impl FnOnce(&[u8]) -> io::Result<Vec<u8>>,
        then: impl FnOnce(&[u8]) -> io::Result<()>,
    ) -> Result<(), StoreError> {
        self.write(make, then).map_err(|source| StoreError::Write {
            path: self.path.clone(),
            source,
        })
    }

    fn write(
        &self,
        make: impl FnOnce(&[u8]) -> io::Result<Vec<u8>>,
        then: impl FnOnce(&[u8]) -> io::Result<()>,
    ) -> io::Result<()> {
        let is_new = !self.path.exists();
        let folder = self.path.parent().unwrap_or(Path::new("/"));
        if is_new {
            self.make_folder(folder)?;
        }
        let mut file = OpenOptions::new()
            .read(true)
            .append(true)
            .create(true)
            .mode(self.mode)
            .open(&self.path)?;
        file.lock()?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        // A torn line is cut off, or it would spoil the one that follows.
        let end = whole(&bytes).len();
        if end < bytes.len() {
            file.set_len(end as u64)?;
        }
        let mut line = make(whole(&bytes))?;
        line.push(b'\n');
        let written = file.write_all(&line).and_then(|()| file.sync_all());
        if written.is_err() {
            // Best effort: a reader drops a torn line anyway.
            let _ = file.set_len(end as u64);
            return written;
        }
        // A new name is on the disk only when its folder is.
        if is_new {
            sync(folder)?;
        }
        then(&line)
    }

    /// Makes the folders, each durable in the one above.
    fn make_folder(&self, folder: &Path) -> io::Result<()> {
        let missing: Vec<&Path> = folder
            .ancestors()
            .take_while(|path| !path.exists())
            .collect();
        // Who may read the file may enter the folder.
        let mode = self.mode | (self.mode & 0o444) >> 2;
        for path in missing.into_iter().rev() {
            DirBuilder::new().recursive(true).mode(mode).create(path)?;
            path.parent().map_or(Ok(()), sync)?;
        }
        Ok(())
    }
}

pub(super) fn sync(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

/// Removes the files of a folder that are called by none of these runs.
pub(super) fn prune(folder: &Path, runs: &[&str]) -> Result<(), StoreError> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries.and_then(Iterator::collect::<io::Result<Vec<_>>>),
    };
    let unreadable = |source| StoreError::Read {
        path: folder.to_owned(),
        source,
    };
    for path in entries.map_err(unreadable)?.into_iter().map(|it| it.path()) {
        let run = path.file_stem().and_then(|name| name.to_str());
        if !run.is_some_and(|run| runs.contains(&run)) {
            fs::remove_file(&path).map_err(|source| StoreError::Write { path, source })?;
        }
    }
    Ok(())
}

/// The whole lines that say something, each with its number and its end.
pub(super) fn numbered(bytes: &[u8]) -> impl Iterator<Item = (usize, &[u8])> {
    let lines = whole(bytes).split_inclusive(|byte| *byte == b'\n');
    (1..).zip(lines).filter(|(_, line)| *line != b"\n")
}

/// What is whole lines.
fn whole(bytes: &[u8]) -> &[u8] {
    let end = bytes.iter().rposition(|byte| *byte == b'\n');
    bytes
        .get(..end.map_or(0, |end| end + 1))
        .unwrap_or_default()
}

#[cfg(test)]
mod tests;
