//! From the lines of a file to instructions: directives, comments, continuations, here-documents.

use super::file::{At, Road};
use super::heredoc;
use super::word::{continued, trim_start};
use crate::gate::refusal::Denied;

/// The engines read no longer line.
pub(super) const LONGEST: usize = 60_000;

/// What a file says before its instructions are looked at.
#[derive(Debug, Default)]
pub(super) struct Source {
    pub(super) escape: Option<char>,
    pub(super) syntax: Option<String>,
    pub(super) check: Option<String>,
    pub(super) lines: Vec<Line>,
}

/// An instruction on one line.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Line {
    pub(super) number: usize,
    pub(super) text: String,
    /// Its here-documents, as they were written.
    pub(super) body: Vec<u8>,
}

impl Source {
    pub(super) fn escape(&self) -> char {
        self.escape.unwrap_or('\\')
    }
}

/// Takes a file apart.
pub(super) fn split(bytes: &[u8], road: Road) -> Result<Source, Denied> {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let mut lines = Lines::new(bytes);
    let mut source = Source::default();
    while let Some(line) = lines.peek()
        && directive(&mut source, lines.number(), &String::from_utf8_lossy(line))?
    {
        lines.next();
    }
    while let Some((number, text)) = joined(&mut lines, source.escape())? {
        let at = At {
            line: number,
            keyword: "",
        };
        let body = match heredoc::names(&text).map_err(|why| at.unclear(why))? {
            names if names.is_empty() => Vec::new(),
            _ if road == Road::Classic => {
                return Err(at.forbidden(
                    "here-documents need BuildKit: set DOCKER_BUILDKIT=1 for this build",
                ));
            }
            names => bodies(&mut lines, &names).ok_or_else(|| {
                at.unclear("the here-document has no end: close it with its own name")
            })?,
        };
        source.lines.push(Line { number, text, body });
    }
    Ok(source)
}

/// The next instruction, and the number of its first line.
fn joined(lines: &mut Lines<'_>, escape: char) -> Result<Option<(usize, String)>, Denied> {
    while let Some(line) = lines.next() {
        let number = lines.number - 1;
        let line = trim_start(line);
        if line.starts_with(b"#") {
            continue;
        }
        let (mut text, mut goes_on) = continued(line, escape);
        if text.is_empty() && !goes_on {
            continue;
        }
        while goes_on && let Some(line) = lines.next() {
            let trimmed = trim_start(line);
            if trimmed.is_empty() || trimmed.starts_with(b"#") {
                continue;
            }
            let (more, again) = continued(line, escape);
            text.extend_from_slice(&more);
            goes_on = again;
        }
        let at = At {
            line: number,
            keyword: "",
        };
        let text = String::from_utf8(text)
            .map_err(|_| at.unclear("it is not UTF-8: save the file as UTF-8"))?;
        return Ok(Some((number, text.trim().to_owned())));
    }
    Ok(None)
}

/// Takes a line over if it is a directive of the first lines.
fn directive(source: &mut Source, number: usize, line: &str) -> Result<bool, Denied> {
    let at = At {
        line: number,
        keyword: "",
    };
    let Some((name, value)) = line
        .trim_start()
        .strip_prefix('#')
        .and_then(|rest| rest.split_once('='))
    else {
        return Ok(false);
    };
    let (name, value) = (name.trim().to_ascii_lowercase(), value.trim());
    let twice = || at.unclear(format!("the directive {name} is there twice: keep one"));
    match name.as_str() {
        _ if value.is_empty() => return Ok(false),
        "escape" => {
            let new = match value {
                "\\" => '\\',
                "`" => '`',
                _ => return Err(at.unclear("escape is neither \\ nor `: choose one of them")),
            };
            source
                .escape
                .replace(new)
                .map_or(Ok(()), |_| Err(twice()))?;
        }
        "syntax" | "check" => {
            let place = if name == "syntax" {
                &mut source.syntax
            } else {
                &mut source.check
            };
            let old = place.replace(value.to_owned());
            old.map_or(Ok(()), |_| Err(twice()))?;
        }
        _ => return Ok(false),
    }
    Ok(true)
}

/// The lines up to the end of each here-document, as they are.
fn bodies(lines: &mut Lines<'_>, names: &[heredoc::Name]) -> Option<Vec<u8>> {
    let mut body = Vec::new();
    for name in names {
        loop {
            let raw = lines.raw()?;
            body.extend_from_slice(raw);
            body.push(b'\n');
            if name.ends(raw) {
                break;
            }
        }
    }
    Some(body)
}

/// The lines of a file, numbered from 1, without their ends.
struct Lines<'a> {
    rest: Option<&'a [u8]>,
    number: usize,
}

impl<'a> Lines<'a> {
    fn new(bytes: &'a [u8]) -> Self {
        Self {
            rest: Some(bytes),
            number: 1,
        }
    }

    /// The number of the line that comes next.
    fn number(&self) -> usize {
        self.number
    }

    fn peek(&self) -> Option<&'a [u8]> {
        Self {
            rest: self.rest,
            number: 0,
        }
        .next()
    }

    /// The next line with the carriage returns that end it.
    fn raw(&mut self) -> Option<&'a [u8]> {
        let rest = self.rest.filter(|rest| !rest.is_empty())?;
        let end = rest.iter().position(|byte| *byte == b'\n');
        self.rest = end.map(|end| &rest[end + 1..]);
        self.number += 1;
        Some(&rest[..end.unwrap_or(rest.len())])
    }
}

impl<'a> Iterator for Lines<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let mut line = self.raw()?;
        while let [before @ .., b'\r'] = line {
            line = before;
        }
        Some(line)
    }
}
