//! Writes a judged Dockerfile: one line for each instruction, on the line on which it began.

use std::collections::BTreeMap;

use super::file::{At, Dockerfile, Image, Part, Piece};
use super::heredoc;
use super::line::LONGEST;
use super::word::continued;
use crate::gate::refusal::Denied;

/// What stands for an image that the build does not reach. No engine has an image of this name.
const NOTHING: &str = "scratch";

/// The label with which each stage begins, so that what is kept of it is one tenant's.
#[derive(Clone, Copy)]
pub(crate) struct Cache<'a> {
    pub key: &'a str,
    pub tenant: &'a str,
    /// Never used before. A stage from nothing has no base that an engine could compare: 20.10 takes any image
    /// without a parent for a step of it, so nothing is kept of such a stage.
    pub once: &'a str,
}

/// The text for the engine. Every image of [`Dockerfile::images`] needs its name there; with a
/// cache label, each stage begins with it.
pub(crate) fn write(
    file: &Dockerfile,
    names: &BTreeMap<Image, String>,
    cache: Option<Cache<'_>>,
) -> Result<Vec<u8>, Denied> {
    let mut out = Out::new(file.escape);
    out.directives(file);
    let begins = file.pieces.iter().find(|piece| !piece.body.is_empty());
    let mut doubtful = None;
    for piece in &file.pieces {
        while out.line < piece.line {
            out.end();
        }
        if begins.is_some_and(|first| first.line == piece.line) {
            doubtful = Some(out.bytes.len());
        }
        out.instruction(piece, &text(file, piece, names)?)?;
        if let Some(cache) = cache
            && piece.is_base
            && file.is_reached(piece)
        {
            let Cache { key, tenant, once } = cache;
            let has_base = piece
                .parts
                .iter()
                .any(|part| matches!(part, Part::Image(_)));
            let value = if has_base {
                tenant.to_owned()
            } else {
                format!("{tenant}.{once}")
            };
            out.bytes
                .extend_from_slice(format!("LABEL {key}={value}").as_bytes());
            out.end();
        }
    }
    if let Some(start) = doubtful
        && !heredoc::fails_without(&out.bytes[start..], file.escape)
    {
        return Err(Denied::malformed(
            "the here-documents of the Dockerfile are instructions for an older engine: write \
             them as files of the context",
        ));
    }
    Ok(out.bytes)
}

fn text(
    file: &Dockerfile,
    piece: &Piece,
    names: &BTreeMap<Image, String>,
) -> Result<String, Denied> {
    let mut text = String::new();
    for part in &piece.parts {
        match part {
            Part::Text(part) => text.push_str(part),
            Part::Image(_) if !file.is_reached(piece) => text.push_str(NOTHING),
            Part::Image(index) => {
                let name = file.images.get(*index).and_then(|image| names.get(image));
                let name = name.ok_or_else(|| {
                    Denied::broken("an image of the Dockerfile was not looked up".to_owned())
                })?;
                text.push_str(name);
            }
        }
    }
    Ok(text)
}

struct Out {
    bytes: Vec<u8>,
    /// The number of the line that comes next.
    line: usize,
    escape: char,
}

impl Out {
    fn new(escape: char) -> Self {
        Self {
            bytes: Vec::new(),
            line: 1,
            escape,
        }
    }

    fn end(&mut self) {
        self.bytes.push(b'\n');
        self.line += 1;
    }

    /// The escape comes first: releases before 23 stop at a directive that they do not know.
    fn directives(&mut self, file: &Dockerfile) {
        let escape = (file.escape != '\\').then(|| ("escape", file.escape.to_string()));
        let syntax = file.syntax.clone().map(|syntax| ("syntax", syntax));
        let check = file.check.clone().map(|check| ("check", check));
        for (name, value) in [escape, syntax, check].into_iter().flatten() {
            self.bytes
                .extend_from_slice(format!("# {name}={value}").as_bytes());
            self.end();
        }
    }

    fn instruction(&mut self, piece: &Piece, text: &str) -> Result<(), Denied> {
        let at = At {
            line: piece.line,
            keyword: "",
        };
        if text.contains('\n') || continued(text.as_bytes(), self.escape).1 {
            return Err(at.unclear("it ends in an escape, or holds a line end: leave it out"));
        }
        let mut rest = text;
        while rest.len() > LONGEST {
            let end = cut(rest).ok_or_else(|| {
                at.unclear("it is longer than the engine reads: break it into instructions")
            })?;
            self.bytes.extend_from_slice(&rest.as_bytes()[..end]);
            self.bytes.push(self.escape as u8);
            self.end();
            rest = &rest[end..];
        }
        self.bytes.extend_from_slice(rest.as_bytes());
        self.end();
        if piece
            .body
            .split(|byte| *byte == b'\n')
            .any(|line| line.len() > LONGEST)
        {
            return Err(at.unclear("a line is longer than the engine reads: break it"));
        }
        self.line += piece.body.split_inclusive(|byte| *byte == b'\n').count();
        self.bytes.extend_from_slice(&piece.body);
        Ok(())
    }
}

/// Where a text can be broken without a change: between two letters or digits.
fn cut(text: &str) -> Option<usize> {
    let bytes = text.as_bytes();
    (1..LONGEST).rev().find(|place| {
        let pair = bytes.get(place - 1..=*place);
        pair.is_some_and(|pair| pair.iter().all(u8::is_ascii_alphanumeric))
    })
}
