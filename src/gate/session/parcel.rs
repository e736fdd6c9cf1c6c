//! A context that comes as an archive: read once, kept on the disk without a name, and sent to the engine as a folder is.
//!
//! So nobody but this module reads it as an archive, its Dockerfile is judged as that of a folder, and the files of the
//! context are a cache for the next build if they are the same.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use sha2::{Digest, Sha256};
use tar::{Archive, Entry, EntryType};
use tokio::sync::{OnceCell, watch};

use super::folder::{PART, Source};
use super::packet::{DIRECTORY, SYMLINK, Stat};
use crate::gate::refusal::Denied;
use crate::gate::unpack;

/// The most that the files of a context may be together, and how many.
pub(in crate::gate) const MOST: u64 = 4 << 30;
const MOST_FILES: usize = 300_000;
/// What a Dockerfile is never larger than.
const MOST_TEXT: u64 = 16 * 1024 * 1024;

const PIECE: usize = 256 * 1024;
const SECOND: u64 = 1_000_000_000;

/// The files of an archive.
#[derive(Debug)]
pub(in crate::gate) struct Parcel {
    file: File,
    items: Vec<Item>,
}

/// Something in the archive, and where its content begins in the file.
#[derive(Debug, Clone)]
struct Item {
    stat: Stat,
    at: u64,
}

/// An archive that somebody takes, once.
pub(in crate::gate) type Coming = Arc<Arrival>;

#[derive(Debug)]
pub(in crate::gate) struct Arrival {
    pub(super) cell: OnceCell<Result<Arc<Parcel>, Denied>>,
    /// Told when a request has brought it.
    pub(super) came: watch::Sender<bool>,
}

impl Default for Arrival {
    fn default() -> Self {
        Self {
            cell: OnceCell::new(),
            came: watch::Sender::new(false),
        }
    }
}

impl Parcel {
    /// Reads an archive; its files are kept in a folder of the host's.
    pub(in crate::gate) fn read(from: impl Read, folder: &Path, most: u64) -> Result<Self, Denied> {
        let mut filling = Filling {
            file: tempfile::tempfile_in(folder).map_err(|error| unkept(&error))?,
            end: 0,
            most,
            items: BTreeMap::new(),
        };
        let mut archive = Archive::new(unpack::plain(from, most)?);
        for entry in archive.entries().map_err(|error| unreadable(&error))? {
            filling.take(entry.map_err(|error| unreadable(&error))?)?;
        }
        Ok(Self {
            file: filling.file,
            items: filling.items.into_values().collect(),
        })
    }

    /// The content of a file; nothing if there is none at this path.
    pub(super) fn text(&self, path: &str) -> Result<Option<Vec<u8>>, Denied> {
        let is_it = |item: &&Item| item.stat.is_file() && item.stat.path == path;
        let Some(item) = self.items.iter().find(is_it) else {
            return Ok(None);
        };
        if item.stat.size > MOST_TEXT {
            return Err(Denied::malformed(format!("the file {path:?} is too large")));
        }
        let mut text = vec![0; usize::try_from(item.stat.size).unwrap_or_default()];
        let read = self.file.read_exact_at(&mut text, item.at);
        read.map_err(|error| unkept(&error))?;
        Ok(Some(text))
    }
}

impl Source for Parcel {
    fn stats(&self) -> impl Iterator<Item = &Stat> + Send {
        self.items.iter().map(|item| &item.stat)
    }

    fn part(&self, file: usize, from: u64) -> io::Result<Bytes> {
        let item = self.items.get(file).ok_or(io::ErrorKind::InvalidInput)?;
        let left = item.stat.size.saturating_sub(from).min(PART as u64);
        let mut part = vec![0; usize::try_from(left).unwrap_or_default()];
        self.file.read_exact_at(&mut part, item.at + from)?;
        Ok(part.into())
    }
}

/// An archive, as far as it was read. By the parts of paths, which is the order of folders on the way to the engine.
struct Filling {
    file: File,
    end: u64,
    most: u64,
    items: BTreeMap<Vec<String>, Item>,
}

impl Filling {
    fn take(&mut self, mut entry: Entry<'_, impl Read>) -> Result<(), Denied> {
        let bytes = entry.path_bytes().into_owned();
        let kind = match entry.header().entry_type() {
            // As archives of the first format write folders.
            EntryType::Regular if bytes.ends_with(b"/") => EntryType::Directory,
            kind => kind,
        };
        let path = parts(&bytes)?;
        if path.is_empty() || kind == EntryType::XGlobalHeader {
            return Ok(());
        }
        let mut stat = Stat {
            path: path.join("/"),
            mode: mode(entry.header().mode().unwrap_or(0o644)),
            modified: entry.header().mtime().unwrap_or_default().min(1 << 33) * SECOND,
            ..Stat::default()
        };
        let mut at = self.end;
        match kind {
            EntryType::Directory => stat.mode |= DIRECTORY,
            EntryType::Symlink => {
                stat.mode = SYMLINK | 0o777;
                stat.link = target(&entry)?;
            }
            EntryType::Link => {
                let first = self.items.get(&parts(target(&entry)?.as_bytes())?);
                let first = first.filter(|item| item.stat.is_file());
                let first = first
                    .ok_or_else(|| odd("has a link to a file that does not come before it"))?;
                (stat.size, stat.modified, at) = (first.stat.size, first.stat.modified, first.at);
            }
            EntryType::Regular | EntryType::Continuous | EntryType::GNUSparse => {
                stat.modified += self.keep(&mut entry)?;
                stat.size = self.end - at;
            }
            // Devices and pipes: no folder of a client's sends them, either.
            _ => return Ok(()),
        }
        self.put(path, Item { stat, at })
    }

    /// Keeps a content. A number below a second for it: the engine asks for a file again if its size or time is another.
    fn keep(&mut self, from: &mut impl Read) -> Result<u64, Denied> {
        let (mut buffer, mut hash) = (vec![0; PIECE], Sha256::new());
        loop {
            let length = from.read(&mut buffer).map_err(|error| unreadable(&error))?;
            if length == 0 {
                let start = hash.finalize();
                let number = start[..8]
                    .iter()
                    .fold(0, |number, byte| number << 8 | u64::from(*byte));
                return Ok(number % SECOND);
            }
            self.end += length as u64;
            if self.end > self.most {
                return Err(Denied::malformed(format!(
                    "an archive with more than {} GiB is not built from: unpack it and build the folder",
                    self.most >> 30
                )));
            }
            hash.update(&buffer[..length]);
            let kept = self.file.write_all(&buffer[..length]);
            kept.map_err(|error| unkept(&error))?;
        }
    }

    fn put(&mut self, path: Vec<String>, item: Item) -> Result<(), Denied> {
        for depth in 1..path.len() {
            let parent = &path[..depth];
            match self.items.get(parent) {
                Some(found) if found.stat.mode & DIRECTORY != 0 => {}
                Some(_) => return Err(odd("puts a file below what is no folder")),
                None => {
                    let stat = Stat {
                        path: parent.join("/"),
                        mode: DIRECTORY | 0o755,
                        ..Stat::default()
                    };
                    self.items.insert(parent.to_vec(), Item { stat, at: 0 });
                }
            }
        }
        if item.stat.mode & DIRECTORY == 0
            && let Some(old) = self.items.get(&path)
            && old.stat.mode & DIRECTORY != 0
        {
            self.items.retain(|other, _| !other.starts_with(&path));
        }
        self.items.insert(path, item);
        if self.items.len() > MOST_FILES {
            return Err(odd("has too many files: unpack it and build the folder"));
        }
        Ok(())
    }
}

fn target(entry: &Entry<'_, impl Read>) -> Result<String, Denied> {
    let target = entry.link_name_bytes().unwrap_or_default();
    String::from_utf8(target.into_owned()).map_err(|_| odd("has a link that is no text"))
}

/// The parts of a path. One that leads out is none.
fn parts(path: &[u8]) -> Result<Vec<String>, Denied> {
    let path = std::str::from_utf8(path).map_err(|_| odd("has a name that is no text"))?;
    let parts = path.split('/').filter(|part| !matches!(*part, "" | "."));
    let parts: Vec<String> = parts.map(str::to_owned).collect();
    if parts.iter().any(|part| part == "..") || path.contains('\0') {
        return Err(odd("has a path that leads out of it"));
    }
    Ok(parts)
}

/// A mode as the packets have it.
fn mode(unix: u32) -> u64 {
    let bit = |from: u32, to: u64| if unix & from == 0 { 0 } else { to };
    u64::from(unix & 0o777) | bit(0o4000, 1 << 23) | bit(0o2000, 1 << 22) | bit(0o1000, 1 << 20)
}

fn odd(why: &str) -> Denied {
    Denied::malformed(format!("the archive of the build context {why}"))
}

fn unreadable(error: &io::Error) -> Denied {
    Denied::malformed(format!(
        "the archive of the build context cannot be read: {error}"
    ))
}

fn unkept(error: &io::Error) -> Denied {
    Denied::broken(format!(
        "the build context cannot be kept on the host: {error}"
    ))
}

#[cfg(test)]
#[path = "parcel_tests.rs"]
mod tests;
