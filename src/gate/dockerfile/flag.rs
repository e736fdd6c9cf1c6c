//! The flags of an instruction: read where every release reads them alike, and written anew.

use super::file::At;
use crate::gate::refusal::Denied;

/// A flag without its dashes: `from=builder`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Flag {
    pub(super) name: String,
    pub(super) value: Option<String>,
}

/// Flags, and what follows them.
pub(super) fn take<'a>(rest: &'a str, at: At<'_>) -> Result<(Vec<Flag>, &'a str), Denied> {
    let mut flags = Vec::new();
    let mut rest = rest.trim_start();
    while rest.starts_with("--") {
        let (word, after) = first(rest, at)?;
        let Some(flag) = word.strip_prefix("--").filter(|flag| !flag.is_empty()) else {
            return Err(at.unclear("`--` alone is not clear here: leave it out"));
        };
        flags.push(match flag.split_once('=') {
            Some((name, value)) => Flag {
                name: name.to_owned(),
                value: Some(value.to_owned()),
            },
            None => Flag {
                name: flag.to_owned(),
                value: None,
            },
        });
        rest = after.trim_start();
    }
    Ok((flags, rest))
}

/// The first word without its quotes, and the rest.
fn first<'a>(rest: &'a str, at: At<'_>) -> Result<(String, &'a str), Denied> {
    let mut word = String::new();
    let mut quote = None;
    for (place, sign) in rest.char_indices() {
        match (quote, sign) {
            (None, sign) if sign.is_whitespace() => return Ok((word, &rest[place..])),
            (None, '"' | '\'') => quote = Some(sign),
            (Some(open), _) if open == sign => quote = None,
            (_, '\\' | '`' | '"' | '\'') => {
                return Err(at.unclear(format!(
                    "a flag with {sign} is read differently by each engine: write it without"
                )));
            }
            (_, sign) if !sign.is_ascii() || (sign.is_ascii_control() && sign != '\t') => {
                return Err(at.unclear("a flag holds a letter that is not ASCII: write it without"));
            }
            _ => word.push(sign),
        }
    }
    if quote.is_some() {
        return Err(at.unclear("a quote in a flag is not closed: close it"));
    }
    Ok((word, ""))
}

impl Flag {
    /// The flag as every release reads it back.
    pub(super) fn text(&self) -> String {
        let whole = match &self.value {
            Some(value) => format!("--{}={value}", self.name),
            None => format!("--{}", self.name),
        };
        if whole.contains([' ', '\t']) {
            return format!("\"{whole}\"").replacen("\"--", "--\"", 1);
        }
        whole
    }

    pub(super) fn value(&self) -> &str {
        self.value.as_deref().unwrap_or_default()
    }
}
