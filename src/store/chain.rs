//! A file of lines in which each line holds its number and the hash of what stands before it, so that an
//! edited, missing or moved line shows. A second file keeps number and hash of the last line: a chain
//! alone does not show what was cut off at its end.
//!
//! Lines of format 1 are in no chain of their own; the first line after them holds the hash of them all.

use std::{
    fs,
    io::{self, Write},
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use sha2::{Digest, Sha256};

use super::{
    flaw::Flaw,
    lines::{Lines, StoreError, first, numbered, sync},
};
use crate::docker::tenant::hex;

/// The format of a line in a chain.
const FORMAT: u32 = 2;

/// A line as it is written.
#[derive(Serialize)]
struct Line<'a, T> {
    format: u32,
    number: u64,
    before: &'a str,
    #[serde(flatten)]
    content: &'a T,
}

/// What a line says of its place.
#[derive(Deserialize)]
struct Link {
    #[serde(default = "first")]
    format: u32,
    #[serde(default)]
    number: u64,
    #[serde(default)]
    before: String,
}

/// The last line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct End {
    number: u64,
    hash: String,
}

/// One file and the file of its end.
#[derive(Debug, Clone)]
pub(super) struct Chain {
    lines: Lines,
}

impl Chain {
    pub(super) fn new(lines: Lines) -> Self {
        Self { lines }
    }

    pub(super) fn path(&self) -> &Path {
        &self.lines.path
    }

    /// Adds a line and waits until it is on the disk. Two writers keep the chain.
    pub(super) fn append<T: Serialize>(&self, content: &T) -> Result<(), StoreError> {
        let mut number = 0;
        self.lines.append_with(
            |bytes| {
                let read = Reading::of(bytes, |line, text| self.lines.parse(line, text, FORMAT));
                let read = read.map_err(io::Error::other)?;
                number = read.next;
                let line = Line {
                    format: FORMAT,
                    number,
                    before: &read.stretch.hash(),
                    content,
                };
                Ok(serde_json::to_vec(&line)?)
            },
            |line| self.write_end(line),
        )
    }

    /// All lines, if the file is as it was written.
    pub(super) fn read<T: DeserializeOwned>(&self) -> Result<Vec<T>, StoreError> {
        let (bytes, flaws) = self.look()?;
        if let Some(flaw) = flaws.into_iter().next() {
            let path = self.lines.path.clone();
            return Err(StoreError::Altered { path, flaw });
        }
        numbered(&bytes)
            .map(|(line, text)| self.lines.parse(line, text, FORMAT))
            .collect()
    }

    /// Everything that is not as it was written, and how many lines there are.
    pub(super) fn verify(&self) -> Result<(usize, Vec<Flaw>), StoreError> {
        let (bytes, flaws) = self.look()?;
        Ok((numbered(&bytes).count(), flaws))
    }

    fn look(&self) -> Result<(Vec<u8>, Vec<Flaw>), StoreError> {
        // The end first: a line that is added meanwhile is no flaw.
        let end = self.end()?;
        let bytes = self.lines.bytes()?;
        let read = Reading::of(&bytes, |line, text| self.lines.parse(line, text, FORMAT))?;
        let mut flaws = read.flaws.clone();
        flaws.extend(read.end_flaw(end.as_ref(), &self.end_path()));
        Ok((bytes, flaws))
    }

    fn end(&self) -> Result<Option<End>, StoreError> {
        let path = self.end_path();
        match fs::read(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(StoreError::Read { path, source }),
            Ok(bytes) => match serde_json::from_slice(&bytes) {
                Ok(end) => Ok(Some(end)),
                Err(source) => Err(StoreError::Damaged {
                    path,
                    line: 1,
                    source,
                }),
            },
        }
    }

    fn write_end(&self, line: &[u8]) -> io::Result<()> {
        let place: Link = serde_json::from_slice(line)?;
        let end = End {
            number: place.number,
            hash: hash(line),
        };
        let path = self.end_path();
        let folder = path.parent().unwrap_or(Path::new("/"));
        let mut file = tempfile::Builder::new()
            .permissions(std::os::unix::fs::PermissionsExt::from_mode(
                self.lines.mode,
            ))
            .tempfile_in(folder)?;
        file.write_all(&serde_json::to_vec(&end)?)?;
        file.as_file().sync_all()?;
        file.persist(&path)?;
        sync(folder)
    }

    fn end_path(&self) -> PathBuf {
        self.lines.path.with_extension("end")
    }
}

/// What a walk over all lines found.
struct Reading {
    flaws: Vec<Flaw>,
    /// The number that the next line gets.
    next: u64,
    /// The last line of the chain: where it stands, its number and hash.
    last: Option<(usize, End)>,
    /// What the next line holds the hash of.
    stretch: Stretch,
}

/// The last line of the chain and what stands behind it.
#[derive(Default)]
struct Stretch {
    from: usize,
    hasher: Sha256,
}

impl Stretch {
    fn hash(&self) -> String {
        hex(&self.hasher.clone().finalize())
    }
}

impl Reading {
    fn of<E>(bytes: &[u8], parse: impl Fn(usize, &[u8]) -> Result<Link, E>) -> Result<Self, E> {
        let mut reading = Self {
            flaws: Vec::new(),
            next: 1,
            last: None,
            stretch: Stretch::default(),
        };
        for (at, text) in numbered(bytes) {
            let place = parse(at, text)?;
            reading.take(at, text, &place);
        }
        Ok(reading)
    }

    fn take(&mut self, at: usize, text: &[u8], place: &Link) {
        if place.format < FORMAT {
            self.next += 1;
        } else {
            self.flaws.extend(self.flaw(at, place));
            self.next = place.number.saturating_add(1);
            self.stretch = Stretch {
                from: at,
                ..Stretch::default()
            };
            let (number, hash) = (place.number, hash(text));
            self.last = Some((at, End { number, hash }));
        }
        self.stretch.hasher.update(text);
    }

    fn flaw(&self, at: usize, place: &Link) -> Option<Flaw> {
        if place.number < self.next {
            let (line, number) = (at, place.number);
            return Some(Flaw::Moved { line, number });
        }
        if place.number > self.next {
            return Some(Flaw::Missing {
                from: self.next,
                to: place.number - 1,
                before: at,
            });
        }
        let (from, to) = (self.stretch.from.max(1), at.saturating_sub(1).max(1));
        (place.before != self.stretch.hash()).then_some(Flaw::Changed { from, to })
    }

    fn end_flaw(&self, end: Option<&End>, path: &Path) -> Option<Flaw> {
        match (end, &self.last) {
            (None, None) => None,
            (None, Some(_)) => Some(Flaw::NoEnd {
                path: path.to_owned(),
            }),
            (Some(end), last) => {
                let known = last.as_ref().map_or(0, |(_, last)| last.number);
                if known < end.number {
                    let (from, to) = (known + 1, end.number);
                    return Some(Flaw::CutOff { from, to });
                }
                let (at, last) = last.as_ref()?;
                // A line that is newer than the end was cut off from its flush by a crash.
                let is_changed = last.number == end.number && last.hash != end.hash;
                is_changed.then_some(Flaw::Changed { from: *at, to: *at })
            }
        }
    }
}

fn hash(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}
