//! A build context on its way to the engine: a tar archive that is passed on piece by piece.
//!
//! The author's Dockerfile and `.dockerignore` are held back until the end. Then the engine gets a
//! Dockerfile of ours under a name that no job can guess, as the last file, and is told to read
//! that: so it does not matter whether it reads the archive just as this module does. A line in
//! `.dockerignore` makes the engine take our file out of the context again, and nothing else changes.
//! Pure.

use bytes::Bytes;
use tar::{EntryType, Header};

use super::ignore;

const BLOCK: usize = 512;
/// Files that are held back, and headers that belong to another one, are no larger.
const LARGEST: u64 = 1024 * 1024;
const IGNORE: &str = ".dockerignore";
/// What the names of our own files begin with.
pub(super) const OURS: &str = ".dockmaster-";

/// An archive, as far as it came.
#[derive(Debug)]
pub(super) struct Context {
    /// The names under which the author's Dockerfile may come; the first that is there counts.
    wanted: Vec<String>,
    state: State,
    /// A header that is not complete.
    block: Vec<u8>,
    /// Headers that belong to the next file, as they are, and what they say of it.
    before: Vec<u8>,
    path: Option<Vec<u8>>,
    size: Option<u64>,
    held: Vec<Held>,
}

#[derive(Debug)]
enum State {
    Header,
    Data { left: u64, padding: u64, to: To },
    End,
}

#[derive(Debug, Clone, Copy)]
enum To {
    Out,
    Before(u8),
    Held,
    Nowhere,
}

/// A file that is held back.
#[derive(Debug)]
struct Held {
    path: String,
    head: Vec<u8>,
    content: Vec<u8>,
    is_file: bool,
}

/// The author's Dockerfile and the end of the archive.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) path: String,
    pub(super) content: Vec<u8>,
}

impl Context {
    /// `dockerfile` as the client names it.
    pub(super) fn new(dockerfile: &str) -> Self {
        let path = clean(dockerfile);
        let wanted = if path.is_empty() || path == "Dockerfile" {
            vec!["Dockerfile".to_owned(), "dockerfile".to_owned()]
        } else {
            vec![path]
        };
        Self {
            wanted,
            state: State::Header,
            block: Vec::new(),
            before: Vec::new(),
            path: None,
            size: None,
            held: Vec::new(),
        }
    }

    /// Takes the next bytes; hands out those for the engine.
    pub(super) fn take(&mut self, mut bytes: Bytes) -> Result<Vec<Bytes>, String> {
        let mut out = Vec::new();
        while !bytes.is_empty() {
            match self.state {
                State::End => break,
                State::Header => {
                    let missing = BLOCK - self.block.len();
                    let part = bytes.split_to(missing.min(bytes.len()));
                    self.block.extend_from_slice(&part);
                    if self.block.len() == BLOCK {
                        let block = std::mem::take(&mut self.block);
                        out.extend(self.header(&block)?);
                    }
                }
                State::Data { left, padding, to } => {
                    let whole = left + padding;
                    let length = usize::try_from(whole).unwrap_or(usize::MAX);
                    let part = bytes.split_to(length.min(bytes.len()));
                    let taken = part.len() as u64;
                    self.state = State::Data {
                        left: left.saturating_sub(taken),
                        padding: whole - taken - left.saturating_sub(taken),
                        to,
                    };
                    out.extend(self.data(part, left, to));
                    if taken == whole {
                        self.ended(to)?;
                        self.state = State::Header;
                    }
                }
            }
        }
        Ok(out)
    }

    /// The author's Dockerfile, once the archive is complete.
    pub(super) fn found(&self) -> Result<Found, String> {
        let is_complete = match self.state {
            State::End => true,
            State::Header => self.block.is_empty() && self.before.is_empty(),
            // `docker build -f -` leaves out what would fill up its last file.
            State::Data { left, to, .. } => left == 0 && !matches!(to, To::Before(_)),
        };
        if !is_complete {
            return Err("the build context is cut off: send it again".to_owned());
        }
        let held = self.wanted.iter().find_map(|path| self.held(path));
        let Some(held) = held else {
            let name = self.wanted.first().map(String::as_str).unwrap_or_default();
            return Err(format!("Cannot locate specified Dockerfile: {name}"));
        };
        if !held.is_file {
            return Err(format!(
                "{} is a link: name the file itself with -f",
                held.path
            ));
        }
        Ok(Found {
            path: held.path.clone(),
            content: held.content.clone(),
        })
    }

    /// The end of the archive, with our Dockerfile under this name.
    pub(super) fn end(
        &self,
        found: &Found,
        name: &str,
        dockerfile: &[u8],
    ) -> Result<Bytes, String> {
        let author = self.held(IGNORE);
        if author.is_some_and(|held| !held.is_file) {
            return Err("the .dockerignore is a link: make it a file".to_owned());
        }
        let patterns = author
            .map(|held| held.content.as_slice())
            .unwrap_or_default();
        let is_left_out = ignore::excludes(&String::from_utf8_lossy(patterns), &found.path);
        let mut out = Vec::new();
        for held in self.held.iter().filter(|held| held.path != IGNORE) {
            if !(is_left_out && held.path == found.path) {
                held.write(&mut out);
            }
        }
        let mut ignored = patterns.to_vec();
        if author.is_none() {
            ignored.extend_from_slice(IGNORE.as_bytes());
        }
        ignored.extend_from_slice(format!("\n{OURS}*\n").as_bytes());
        let head = author.map_or_else(|| Ok(header()), Held::header)?;
        write(&mut out, head, IGNORE, &ignored)?;
        write(&mut out, header(), name, dockerfile)?;
        out.extend_from_slice(&[0; 2 * BLOCK]);
        Ok([vec![0; self.unfilled()], out].concat().into())
    }

    /// What the last file that was passed on still lacks.
    fn unfilled(&self) -> usize {
        match self.state {
            State::Data {
                padding,
                to: To::Out,
                ..
            } => usize::try_from(padding).unwrap_or_default(),
            State::Data { .. } | State::Header | State::End => 0,
        }
    }

    fn held(&self, path: &str) -> Option<&Held> {
        self.held.iter().find(|held| held.path == path)
    }

    /// Judges a header; hands it out if its file is passed on.
    fn header(&mut self, block: &[u8]) -> Result<Option<Bytes>, String> {
        if block.iter().all(|byte| *byte == 0) {
            self.state = State::End;
            return Ok(None);
        }
        let header = read(block)?;
        let kind = header.entry_type();
        let size = if is_empty(kind) {
            0
        } else {
            match self.size.take() {
                Some(size) => size,
                None => header.entry_size().map_err(|_| malformed())?,
            }
        };
        let padding = size.next_multiple_of(BLOCK as u64) - size;
        let data = |to| State::Data {
            left: size,
            padding,
            to,
        };
        if kind.is_pax_global_extensions() {
            self.state = data(To::Nowhere);
            return self.skip_empty();
        }
        if kind.is_gnu_longname() || kind.is_gnu_longlink() || kind.is_pax_local_extensions() {
            if size > LARGEST || self.before.len() as u64 > LARGEST {
                return Err(malformed());
            }
            self.state = data(To::Before(kind.as_byte()));
            self.before.extend_from_slice(block);
            return self.skip_empty();
        }
        if kind.is_gnu_sparse() {
            return Err("the build context has a sparse file: send it in full".to_owned());
        }
        let path = self
            .path
            .take()
            .unwrap_or_else(|| header.path_bytes().into_owned());
        let path = clean(&String::from_utf8_lossy(&path));
        let mut head = std::mem::take(&mut self.before);
        head.extend_from_slice(block);
        self.held.retain(|held| held.path != path);
        if (path != IGNORE && !self.wanted.contains(&path)) || kind.is_dir() {
            self.state = data(To::Out);
            self.skip_empty()?;
            return Ok(Some(head.into()));
        }
        if size > LARGEST {
            return Err(format!("{path} is larger than 1 MiB: make it smaller"));
        }
        self.state = data(To::Held);
        self.held.push(Held {
            path,
            head,
            content: Vec::new(),
            is_file: kind.is_file(),
        });
        self.skip_empty()
    }

    /// A file without content has no data that would end it.
    fn skip_empty(&mut self) -> Result<Option<Bytes>, String> {
        if let State::Data { left: 0, to, .. } = self.state {
            self.ended(to)?;
            self.state = State::Header;
        }
        Ok(None)
    }

    fn data(&mut self, part: Bytes, left: u64, to: To) -> Option<Bytes> {
        let length = usize::try_from(left).unwrap_or(usize::MAX).min(part.len());
        match to {
            To::Out => return Some(part),
            To::Before(_) => self.before.extend_from_slice(&part),
            To::Held => {
                if let Some(held) = self.held.last_mut() {
                    held.content.extend_from_slice(&part[..length]);
                }
            }
            To::Nowhere => {}
        }
        None
    }

    /// What a header that belongs to the next one says of it.
    fn ended(&mut self, to: To) -> Result<(), String> {
        let To::Before(kind) = to else {
            return Ok(());
        };
        let start = self.before.len().saturating_sub(BLOCK);
        // The header of this one is the last but its content.
        let content = last_content(&self.before).unwrap_or(&self.before[start..]);
        if kind == EntryType::GNULongName.as_byte() {
            let end = content.iter().position(|byte| *byte == 0);
            self.path = Some(content[..end.unwrap_or(content.len())].to_vec());
        } else if kind == EntryType::XHeader.as_byte() {
            for record in tar::PaxExtensions::new(content) {
                let record = record.map_err(|_| malformed())?;
                match record.key_bytes() {
                    b"path" => self.path = Some(record.value_bytes().to_vec()),
                    b"size" => {
                        let size = record.value().ok().and_then(|text| text.parse().ok());
                        self.size = Some(size.ok_or_else(malformed)?);
                    }
                    _ => {}
                }
            }
        }
        Ok(())
    }
}

impl Held {
    fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.head);
        out.extend_from_slice(&self.content);
        pad(out);
    }

    /// The author's own header: the owner and the mode stay.
    fn header(&self) -> Result<Header, String> {
        let start = self.head.len().saturating_sub(BLOCK);
        read(&self.head[start..])
    }
}

/// The content of the last header and file in these bytes.
fn last_content(mut bytes: &[u8]) -> Option<&[u8]> {
    loop {
        let (block, rest) = bytes.split_at_checked(BLOCK)?;
        let size = usize::try_from(read(block).ok()?.entry_size().ok()?).ok()?;
        let (content, rest) = rest.split_at_checked(size.next_multiple_of(BLOCK))?;
        if rest.is_empty() {
            return content.get(..size);
        }
        bytes = rest;
    }
}

fn read(block: &[u8]) -> Result<Header, String> {
    let mut header = Header::new_old();
    header.as_mut_bytes().copy_from_slice(block);
    let mut summed = header.clone();
    summed.set_cksum();
    match (summed.cksum(), header.cksum()) {
        (Ok(own), Ok(told)) if own == told => Ok(header),
        _ => Err(malformed()),
    }
}

fn header() -> Header {
    let mut header = Header::new_ustar();
    header.set_mode(0o600);
    header
}

fn write(out: &mut Vec<u8>, mut header: Header, path: &str, content: &[u8]) -> Result<(), String> {
    header.set_path(path).map_err(|error| error.to_string())?;
    header.set_entry_type(EntryType::Regular);
    header.set_size(content.len() as u64);
    header.set_cksum();
    out.extend_from_slice(header.as_bytes());
    out.extend_from_slice(content);
    pad(out);
    Ok(())
}

fn pad(out: &mut Vec<u8>) {
    out.resize(out.len().next_multiple_of(BLOCK), 0);
}

fn is_empty(kind: EntryType) -> bool {
    kind.is_dir()
        || kind.is_hard_link()
        || kind.is_symlink()
        || kind.is_character_special()
        || kind.is_block_special()
        || kind.is_fifo()
}

/// A path of the context without what means nothing in it.
fn clean(path: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    parts.join("/")
}

fn malformed() -> String {
    "the build context is not a tar archive: send a folder, or `tar c . | docker build -`"
        .to_owned()
}

#[cfg(test)]
#[path = "context_tests.rs"]
mod tests;
