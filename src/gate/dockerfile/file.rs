//! What a Dockerfile is once it was read.

use std::collections::BTreeMap;
use std::collections::BTreeSet;

use crate::gate::refusal::Denied;

/// Which builder reads the Dockerfile.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Road {
    Classic,
    BuildKit,
}

/// What a build says beside its Dockerfile, and what the operator allows.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Given<'a> {
    pub road: Road,
    /// Build arguments that have a value.
    pub args: &'a BTreeMap<String, String>,
    /// Arguments that the engine sets by itself: `TARGETARCH` and its like.
    pub predefined: &'a BTreeMap<String, String>,
    /// The stage to build; empty for the last.
    pub target: &'a str,
    /// Names of further contexts of the build, as `context:NAME` writes them. Judged elsewhere.
    pub contexts: &'a [String],
    /// Globs of sources that `ADD` may fetch.
    pub urls: &'a [String],
    /// Globs of frontends that a `# syntax=` line may name. Others are left out.
    pub frontends: &'a [String],
}

/// An image that a build takes, as the author wrote it, variables resolved.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Image {
    pub name: String,
    /// The platform asked for, where it can be told.
    pub platform: Option<String>,
}

/// A Dockerfile that was judged.
#[derive(Debug, Clone)]
pub(crate) struct Dockerfile {
    /// The frontend that its `# syntax=` line names, if it is an allowed one.
    pub syntax: Option<String>,
    pub(super) check: Option<String>,
    pub(super) escape: char,
    pub(super) pieces: Vec<Piece>,
    pub(super) images: Vec<Image>,
    /// The stages that the build reaches.
    pub(super) reached: BTreeSet<usize>,
}

/// One instruction.
#[derive(Debug, Clone)]
pub(super) struct Piece {
    /// Where it began.
    pub(super) line: usize,
    pub(super) parts: Vec<Part>,
    /// The lines of its here-documents, with their ends.
    pub(super) body: Vec<u8>,
    /// Which stage it belongs to; none before the first.
    pub(super) stage: Option<usize>,
    /// True for the beginning of a stage that is not built on another one of this file.
    pub(super) is_base: bool,
}

#[derive(Debug, Clone)]
pub(super) enum Part {
    Text(String),
    /// An index of `images`.
    Image(usize),
}

impl Dockerfile {
    /// The images that the build takes, each once, in the order of their first use.
    pub(crate) fn images(&self) -> Vec<&Image> {
        let reached = self.pieces.iter().filter(|piece| self.is_reached(piece));
        let mut seen = BTreeSet::new();
        let uses = reached.flat_map(|piece| &piece.parts);
        uses.filter_map(|part| match part {
            Part::Image(index) => self.images.get(*index),
            Part::Text(_) => None,
        })
        .filter(|image| seen.insert(*image))
        .collect()
    }

    /// How many stages begin with an image, and so with a cache label.
    pub(crate) fn bases(&self) -> usize {
        let is_base = |piece: &&Piece| piece.is_base && self.is_reached(piece);
        self.pieces.iter().filter(is_base).count()
    }

    pub(super) fn is_reached(&self, piece: &Piece) -> bool {
        piece
            .stage
            .is_none_or(|stage| self.reached.contains(&stage))
    }
}

/// Where something was refused.
#[derive(Debug, Clone, Copy)]
pub(super) struct At<'a> {
    pub(super) line: usize,
    pub(super) keyword: &'a str,
}

impl At<'_> {
    /// The place alone, where its first word is no instruction.
    pub(super) fn line(self) -> Self {
        Self {
            keyword: "",
            ..self
        }
    }

    /// Not allowed here.
    pub(super) fn forbidden(self, why: impl std::fmt::Display) -> Denied {
        Denied::forbidden(format!("{self}: {why}"))
    }

    /// Not certain to be read by the engine as it was here.
    pub(super) fn unclear(self, why: impl std::fmt::Display) -> Denied {
        Denied::malformed(format!("{self}: {why}"))
    }
}

impl std::fmt::Display for At<'_> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "line {} of the Dockerfile", self.line)?;
        if self.keyword.is_empty() {
            return Ok(());
        }
        write!(formatter, ", {}", self.keyword.to_ascii_uppercase())
    }
}
