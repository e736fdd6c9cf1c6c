//! The packets by which a folder is sent, as `fsutil` has them: what there is, what is wanted, what is in it.
//!
//! Pure.

use crate::gate::build::wire::{Field, Value, fields, push_bytes, push_number};

/// A packet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Packet {
    /// Something in the folder; numbered in the order of these, from 0.
    Stat(Stat),
    /// There is nothing more in the folder.
    LastStat,
    /// The content of a file is wanted.
    Request(u32),
    /// A part of a file; an empty one ends it.
    Data(u32, Vec<u8>),
    /// The receiver has all that it wanted, and the sender heard it.
    Finished,
    /// What went wrong at the other end.
    Failed(String),
}

const STAT: u64 = 0;
const REQUEST: u64 = 1;
const DATA: u64 = 2;
const FINISHED: u64 = 3;
const FAILED: u64 = 4;

/// The bits of a mode that tell a kind; none of them is set for a file.
const KINDS: u64 = DIRECTORY | SYMLINK | 1 << 26 | 1 << 25 | 1 << 24 | 1 << 21 | 1 << 19;
pub(super) const DIRECTORY: u64 = 1 << 31;
pub(super) const SYMLINK: u64 = 1 << 27;

impl Packet {
    /// Reads a packet; `None` if it is none.
    pub(super) fn read(message: &[u8]) -> Option<Self> {
        let (mut kind, mut stat, mut id, mut data) = (STAT, None, 0, Vec::new());
        for field in fields(message)? {
            match (field.number, field.value) {
                (1, Value::Number(number)) => kind = number,
                (2, Value::Bytes(bytes)) => stat = Some(Stat::read(bytes)?),
                (3, Value::Number(number)) => id = u32::try_from(number).ok()?,
                (4, Value::Bytes(bytes)) => data = bytes.to_vec(),
                _ => return None,
            }
        }
        Some(match kind {
            STAT => stat.map_or(Self::LastStat, Self::Stat),
            REQUEST => Self::Request(id),
            DATA => Self::Data(id, data),
            FINISHED => Self::Finished,
            FAILED => Self::Failed(String::from_utf8_lossy(&data).into_owned()),
            _ => return None,
        })
    }

    /// The packet as bytes. What is zero is not written, as the engine does.
    pub(super) fn write(&self) -> Vec<u8> {
        let mut out = Vec::new();
        let mut head = |kind, id: u32| {
            push_set(&mut out, 1, kind);
            push_set(&mut out, 3, u64::from(id));
        };
        match self {
            Self::Stat(stat) => push_bytes(&mut out, 2, &stat.write()),
            Self::LastStat => {}
            Self::Request(id) => head(REQUEST, *id),
            Self::Data(id, data) => {
                head(DATA, *id);
                if !data.is_empty() {
                    push_bytes(&mut out, 4, data);
                }
            }
            Self::Finished => head(FINISHED, 0),
            Self::Failed(text) => {
                head(FAILED, 0);
                push_bytes(&mut out, 4, text.as_bytes());
            }
        }
        out
    }
}

fn push_set(out: &mut Vec<u8>, number: u64, value: u64) {
    if value != 0 {
        push_number(out, number, value);
    }
}

/// Something in a folder. Owners and attributes are left out: nobody asks who owns a Dockerfile.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Stat {
    pub(super) path: String,
    pub(super) mode: u64,
    pub(super) size: u64,
    /// In nanoseconds.
    pub(super) modified: u64,
    /// Where a symbolic link leads; of a file, the first name of the same file.
    pub(super) link: String,
}

impl Stat {
    fn read(message: &[u8]) -> Option<Self> {
        let mut stat = Self::default();
        let owned = |field: &Field<'_>| field.text().map(str::to_owned);
        for field in fields(message)? {
            match (field.number, field.value) {
                (1, _) => stat.path = owned(&field)?,
                (2, Value::Number(mode)) => stat.mode = mode,
                (5, Value::Number(size)) => stat.size = size,
                (6, Value::Number(time)) => stat.modified = time,
                (7, _) => stat.link = owned(&field)?,
                _ => {}
            }
        }
        Some(stat)
    }

    fn write(&self) -> Vec<u8> {
        let mut out = Vec::new();
        push_bytes(&mut out, 1, self.path.as_bytes());
        push_set(&mut out, 2, self.mode);
        push_set(&mut out, 5, self.size);
        push_set(&mut out, 6, self.modified);
        if !self.link.is_empty() {
            push_bytes(&mut out, 7, self.link.as_bytes());
        }
        out
    }

    pub(super) fn is_file(&self) -> bool {
        self.mode & KINDS == 0
    }

    /// Whether it is of a kind that a folder with a Dockerfile has.
    pub(super) fn is_usual(&self) -> bool {
        matches!(self.mode & KINDS, 0 | DIRECTORY | SYMLINK)
    }
}

/// Whether a file of this name is the list of what a context leaves out.
pub(super) fn is_list(path: &str) -> bool {
    path.to_ascii_lowercase().ends_with(".dockerignore")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        for packet in [
            Packet::Stat(Stat {
                path: "a/Dockerfile".to_owned(),
                mode: 0o644,
                size: 5,
                modified: 7,
                link: String::new(),
            }),
            Packet::LastStat,
            Packet::Request(0),
            Packet::Request(3),
            Packet::Data(3, b"FROM x".to_vec()),
            Packet::Data(0, Vec::new()),
            Packet::Finished,
            Packet::Failed("why".to_owned()),
        ] {
            assert_eq!(Packet::read(&packet.write()), Some(packet));
        }
        assert_eq!(Packet::read(&[8, 9]), None);
        assert!(Packet::LastStat.write().is_empty());
    }

    #[test]
    fn kinds_are_told_apart() {
        let of = |mode| Stat {
            mode,
            ..Stat::default()
        };
        assert!(of(0o100_644 & 0o777).is_file() && of(0).is_usual());
        assert!(!of(DIRECTORY | 0o755).is_file() && of(DIRECTORY).is_usual());
        assert!(!of(SYMLINK).is_file() && of(SYMLINK).is_usual());
        assert!(!of(1 << 26).is_file() && !of(1 << 26).is_usual());
    }
}
