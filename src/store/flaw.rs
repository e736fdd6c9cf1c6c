//! What can be wrong with a chain of lines, in words.

use std::{fmt, path::PathBuf};

/// Where a file is not as it was written. Lines are counted as they stand in the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Flaw {
    /// One of these lines was edited; mostly they are one.
    Changed { from: usize, to: usize },
    /// Lines with these numbers stood before this line.
    Missing { from: u64, to: u64, before: usize },
    /// The line has the number of an earlier place.
    Moved { line: usize, number: u64 },
    /// Lines with these numbers stood at the end.
    CutOff { from: u64, to: u64 },
    /// Nothing says where the file ended.
    NoEnd { path: PathBuf },
}

impl fmt::Display for Flaw {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Changed { from, to } if from == to => {
                write!(out, "line {to} was changed after it was written")
            }
            Self::Changed { from, to } => {
                write!(
                    out,
                    "one of the lines {from} to {to} was changed or removed"
                )
            }
            Self::Missing { from, to, before } => {
                write!(out, "{} missing before line {before}", lines(*from, *to))
            }
            Self::Moved { line, number } => {
                write!(
                    out,
                    "line {line} stands out of order: it was number {number}"
                )
            }
            Self::CutOff { from, to } => {
                write!(out, "{} missing at the end", lines(*from, *to))
            }
            Self::NoEnd { path } => {
                write!(
                    out,
                    "{} is missing, which says where it ends",
                    path.display()
                )
            }
        }
    }
}

fn lines(from: u64, to: u64) -> String {
    if from == to {
        format!("line number {from} is")
    } else {
        format!("the lines number {from} to {to} are")
    }
}
