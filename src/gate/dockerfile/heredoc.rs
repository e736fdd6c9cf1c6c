//! Where here-documents begin, told without doubt or refused.
//!
//! Releases differ: 20.10 knows none, 28.5 takes a space behind `<<`. What one of them may read
//! otherwise is refused, because it would move the border between text and instructions.

use super::word::{self, continued, trim_start};

/// The end of a here-document.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Name {
    name: String,
    is_indented: bool,
}

impl Name {
    /// Whether a line is this end.
    pub(super) fn ends(&self, line: &[u8]) -> bool {
        let mut line = line;
        while let [before @ .., b'\r'] = line {
            line = before;
        }
        while self.is_indented
            && let [b'\t', rest @ ..] = line
        {
            line = rest;
        }
        line == self.name.as_bytes()
    }
}

/// The here-documents that an instruction begins.
pub(super) fn names(text: &str) -> Result<Vec<Name>, String> {
    let (mut keyword, mut rest) = word::keyword(text);
    if keyword.eq_ignore_ascii_case("onbuild") {
        (keyword, rest) = word::keyword(rest);
    }
    let can_have = ["run", "copy", "add"].contains(&keyword.to_ascii_lowercase().as_str());
    if !can_have || !text.contains("<<") {
        return Ok(Vec::new());
    }
    let Some(words) = words(text) else {
        // A quote that is not closed: then no release looks for one.
        return Ok(Vec::new());
    };
    let begins = |word: &&String| {
        let word = word.trim_start_matches(|sign: char| sign.is_ascii_digit());
        word.strip_prefix("<<")
            .is_some_and(|name| !name.contains('<'))
    };
    let found: Vec<&String> = words.iter().filter(begins).collect();
    if found.is_empty() {
        return Ok(Vec::new());
    }
    let rest = without_flags(rest);
    if word::may_be_list(rest) {
        if word::list(rest).is_some() {
            return Ok(Vec::new());
        }
        return Err("a list and `<<` cannot be told apart here: leave one of them out".to_owned());
    }
    if words.iter().any(|word| word.ends_with("<<")) {
        return Err(
            "`<<` with a space behind it is read differently by each engine: write it without"
                .to_owned(),
        );
    }
    if is_complex(text) {
        return Err(
            "`<<` beside a ${…} with a rule is read differently by each engine: set it before"
                .to_owned(),
        );
    }
    found.into_iter().filter_map(|word| name(word)).collect()
}

fn without_flags(mut rest: &str) -> &str {
    while rest.starts_with("--") {
        rest = word::keyword(rest).1;
    }
    rest
}

fn name(word: &str) -> Option<Result<Name, String>> {
    let (_, rest) = word.split_once("<<")?;
    let (is_indented, rest) = match rest.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, rest),
    };
    let quoted = ['"', '\''].into_iter().find_map(|quote| {
        let inner = rest.strip_prefix(quote)?.strip_suffix(quote)?;
        (!inner.is_empty()).then_some(inner)
    });
    let name = quoted.unwrap_or(rest);
    if name.is_empty() {
        return None;
    }
    if name.contains(['"', '\'', '\\', '$', '`', '{']) || name.contains(char::is_whitespace) {
        return Some(Err(format!(
            "the here-document {rest:?} has an unclear name: use letters and digits"
        )));
    }
    Some(Ok(Name {
        name: name.to_owned(),
        is_indented,
    }))
}

/// The words of a line as every release splits them here; `None` where a quote is not closed.
fn words(text: &str) -> Option<Vec<String>> {
    let mut words = vec![String::new()];
    let mut quote = None;
    let mut signs = text.chars().peekable();
    while let Some(sign) = signs.next() {
        match (quote, sign) {
            (None, sign) if sign.is_whitespace() => {
                words.push(String::new());
                continue;
            }
            (None, '"' | '\'') => quote = Some(sign),
            (Some(open), _) if open == sign => quote = None,
            _ => {}
        }
        let word = words.last_mut()?;
        word.push(sign);
        let is_escape = sign == '\\'
            && match quote {
                None => true,
                Some('"') => matches!(signs.peek(), Some('"' | '$' | '\\')),
                Some(_) => false,
            };
        if is_escape {
            word.extend(signs.next());
        }
    }
    quote.is_none().then_some(words)
}

/// A variable with a rule may hold spaces and quotes, which releases split differently.
fn is_complex(text: &str) -> bool {
    text.split("${").skip(1).any(|rest| {
        let end = rest.find(|sign: char| !sign.is_ascii_alphanumeric() && sign != '_');
        end.is_none_or(|end| !rest[end..].starts_with('}'))
    })
}

/// Whether a parser without here-documents certainly refuses what begins here: then nothing of a
/// text can become an instruction there.
pub(super) fn fails_without(bytes: &[u8], escape: char) -> bool {
    let mut text: Vec<u8> = Vec::new();
    let mut goes_on = false;
    for line in bytes.split(|byte| *byte == b'\n') {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let trimmed = trim_start(line);
        if trimmed.starts_with(b"#") || trimmed.is_empty() {
            continue;
        }
        let (more, again) = continued(if goes_on { line } else { trimmed }, escape);
        text.extend_from_slice(&more);
        goes_on = again;
        if !goes_on {
            let words = String::from_utf8_lossy(&text);
            if !word::is_instruction(word::keyword(&words).0) {
                return true;
            }
            text.clear();
        }
    }
    false
}
