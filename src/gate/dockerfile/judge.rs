//! Judges each instruction, and cuts it where an image is named.

use std::collections::{BTreeMap, BTreeSet};

use super::file::{At, Dockerfile, Given, Image, Part, Piece, Road};
use super::line::{self, Source};
use super::scope::Scope;
use super::{rule, trigger, word};
use crate::docker::reference::Reference;
use crate::gate::refusal::Denied;

/// The largest Dockerfile that is read.
const LARGEST: usize = 1024 * 1024;

/// Reads and judges a Dockerfile.
pub(crate) fn read(bytes: &[u8], given: &Given<'_>) -> Result<Dockerfile, Denied> {
    if bytes.len() > LARGEST {
        return Err(Denied::malformed(
            "the Dockerfile is larger than 1 MiB: make it smaller",
        ));
    }
    let source = line::split(bytes, given.road)?;
    let mut judge = Judge::new(given, &source);
    for line in &source.lines {
        let (keyword, rest) = word::keyword(&line.text);
        let at = At {
            line: line.number,
            keyword,
        };
        let parts = judge.instruction(at, &line.text, rest)?;
        let is_from = keyword.eq_ignore_ascii_case("from");
        judge.pieces.push(Piece {
            line: line.number,
            parts,
            body: line.body.clone(),
            stage: judge.stages.len().checked_sub(1),
            is_base: is_from && judge.stages.last().is_some_and(|stage| stage.is_base),
        });
    }
    judge.finish(source)
}

/// A stage, as far as it was read.
#[derive(Debug, Default)]
pub(super) struct Stage {
    pub(super) name: String,
    pub(super) scope: Scope,
    pub(super) needs: BTreeSet<usize>,
    pub(super) is_base: bool,
}

pub(super) struct Judge<'a> {
    pub(super) given: &'a Given<'a>,
    pub(super) escape: char,
    /// The arguments before the first stage.
    pub(super) meta: BTreeMap<String, String>,
    /// The names of all stages; `BuildKit` looks ahead.
    pub(super) ahead: Vec<String>,
    pub(super) stages: Vec<Stage>,
    pub(super) pieces: Vec<Piece>,
    pub(super) images: Vec<Image>,
    /// Set where a stage is needed in a way that is not followed: then all are.
    pub(super) is_all: bool,
}

impl<'a> Judge<'a> {
    fn new(given: &'a Given<'a>, source: &Source) -> Self {
        let froms = source.lines.iter().filter_map(|line| {
            let (keyword, rest) = word::keyword(&line.text);
            keyword.eq_ignore_ascii_case("from").then_some(rest)
        });
        Self {
            given,
            escape: source.escape(),
            meta: given.predefined.clone(),
            ahead: froms.map(rule::stage_name).collect(),
            stages: Vec::new(),
            pieces: Vec::new(),
            images: Vec::new(),
            is_all: false,
        }
    }

    fn instruction(&mut self, at: At<'_>, text: &str, rest: &str) -> Result<Vec<Part>, Denied> {
        let keyword = at.keyword.to_ascii_lowercase();
        if !word::is_instruction(&keyword) {
            return Err(at.line().unclear(format!(
                "{:?} is no instruction of a Dockerfile: correct it",
                at.keyword
            )));
        }
        if self.stages.is_empty() && !matches!(keyword.as_str(), "arg" | "from") {
            return Err(at.unclear("it stands before the first FROM: begin with FROM"));
        }
        let same = || Ok(vec![Part::Text(text.to_owned())]);
        match keyword.as_str() {
            "from" => self.from(at, rest),
            "arg" => self.arg(at, rest).and_then(|()| same()),
            "env" => self.env(at, rest).and_then(|()| same()),
            "label" => rule::label(rest, self.escape, at).and_then(|()| same()),
            "copy" => self.copy(at, rest),
            "add" => self.add(at, rest),
            "run" => self.run(at, rest),
            "onbuild" => {
                self.is_all |= rest.contains("--from") || rest.contains("from=");
                trigger::check(rest, at).and_then(|()| same())
            }
            _ => same(),
        }
    }

    fn finish(self, source: Source) -> Result<Dockerfile, Denied> {
        if self.stages.is_empty() {
            return Err(Denied::malformed(
                "the Dockerfile has no FROM: begin with one",
            ));
        }
        let reached = self.reached();
        let globs = self.given.frontends;
        let is_listed =
            |syntax: &String| Reference::parse(syntax).is_ok_and(|name| name.is_allowed(globs));
        let is_check = |check: &String| {
            let is_plain = |sign: char| sign.is_ascii_alphanumeric() || "=;,-_".contains(sign);
            self.given.road == Road::BuildKit && check.chars().all(is_plain)
        };
        Ok(Dockerfile {
            syntax: source.syntax.filter(is_listed),
            check: source.check.filter(is_check),
            escape: self.escape,
            pieces: self.pieces,
            images: self.images,
            reached,
        })
    }

    /// The stages that the target needs; all, where that is not certain.
    fn reached(&self) -> BTreeSet<usize> {
        let last = self.stages.len().saturating_sub(1);
        let target = self.given.target.to_lowercase();
        let named = self.stages.iter().position(|stage| stage.name == target);
        let target = match named {
            _ if target.is_empty() => Some(last),
            named => named,
        };
        let Some(target) = target.filter(|_| !self.is_all) else {
            return (0..=last).collect();
        };
        if self.given.road == Road::Classic {
            return (0..=target).collect();
        }
        let (mut reached, mut open) = (BTreeSet::new(), vec![target]);
        while let Some(stage) = open.pop() {
            if reached.insert(stage) {
                open.extend(self.stages.get(stage).iter().flat_map(|stage| &stage.needs));
            }
        }
        reached
    }
}
