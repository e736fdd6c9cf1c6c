//! Reads a TOML file that only its owner can have written, and tells what is wrong in it together, each
//! problem with its line and caret. What is no TOML at all is told once, where it begins.

use std::{fs, io::Read, ops::Range, os::unix::fs::MetadataExt, path::Path};

use serde::de::DeserializeOwned;
use toml::{
    Spanned,
    de::{DeArray, DeTable, DeValue, Deserializer, Error},
};

use super::error::ConfigError;

/// Reads a TOML file that only root (or whoever runs this) can have written.
pub(super) fn trusted<T: DeserializeOwned>(path: &Path) -> Result<T, ConfigError> {
    let unreadable = |source| ConfigError::Unreadable {
        path: path.to_owned(),
        source,
    };
    let mut file = fs::File::open(path).map_err(unreadable)?;
    let metadata = file.metadata().map_err(unreadable)?;
    let owner = metadata.uid();
    let refuse = |why: String| {
        Err(ConfigError::Untrusted {
            path: path.to_owned(),
            why,
        })
    };
    if owner != 0 && owner != nix::unistd::geteuid().as_raw() {
        return refuse(format!(
            "it belongs to uid {owner}; try: chown root {}",
            path.display()
        ));
    }
    if metadata.mode() & 0o022 != 0 {
        return refuse(format!(
            "others can write it; try: chmod go-w {}",
            path.display()
        ));
    }
    let mut text = String::new();
    file.read_to_string(&mut text).map_err(unreadable)?;
    parse(&text).map_err(|problems| ConfigError::Malformed {
        path: path.to_owned(),
        text: problems.join("\n"),
    })
}

/// The value, or everything that is wrong. What cannot be read is told, taken out, and the rest is
/// read again.
fn parse<T: DeserializeOwned>(text: &str) -> Result<T, Vec<String>> {
    let told = |mut error: Error| {
        error.set_input(Some(text));
        error.to_string().trim_end().to_owned()
    };
    let (mut document, errors) = DeTable::parse_recoverable(text);
    // One missing bracket makes errors to the end of the file.
    let first = errors
        .into_iter()
        .min_by_key(|error| error.span().map(|span| span.start));
    if let Some(error) = first {
        return Err(vec![told(error)]);
    }
    let mut problems = Vec::new();
    let mut removed: Vec<String> = Vec::new();
    loop {
        let error = match T::deserialize(Deserializer::from(document.clone())) {
            Ok(value) if problems.is_empty() => return Ok(value),
            Ok(_) => return Err(problems),
            Err(error) => error,
        };
        // A key that was taken out is missing now, and that is told already.
        let is_told = |key: &String| error.message() == format!("missing field `{key}`");
        let span = error.span();
        if !removed.iter().any(is_told) {
            problems.push(told(error));
        }
        match span.and_then(|span| take_out(document.get_mut(), &span)) {
            Some(key) => removed.push(key),
            None => return Err(problems),
        }
    }
}

/// Removes the smallest entry that `span` points into; its key.
fn take_out(table: &mut DeTable<'_>, span: &Range<usize>) -> Option<String> {
    for (key, value) in table.iter_mut() {
        if let Some(inner) = take_out_of(value.get_mut(), key.get_ref(), span) {
            return Some(inner);
        }
    }
    let is_hit = |(key, value): (&Spanned<_>, &Spanned<DeValue<'_>>)| {
        covers(&key.span(), span) || covers(&value.span(), span)
    };
    let key = table.iter().find(|entry| is_hit(*entry))?.0.clone();
    table.remove(&key);
    Some(key.into_inner().into_owned())
}

fn take_out_of(value: &mut DeValue<'_>, key: &str, span: &Range<usize>) -> Option<String> {
    match value {
        DeValue::Table(table) => take_out(table, span),
        DeValue::Array(array) => {
            for element in array.iter_mut() {
                if let Some(inner) = take_out_of(element.get_mut(), key, span) {
                    return Some(inner);
                }
            }
            let before = array.len();
            let kept = std::mem::replace(array, DeArray::from_iter([])).into_iter();
            *array = kept
                .filter(|element| !covers(&element.span(), span))
                .collect();
            (array.len() < before).then(|| key.to_owned())
        }
        DeValue::String(_)
        | DeValue::Integer(_)
        | DeValue::Float(_)
        | DeValue::Boolean(_)
        | DeValue::Datetime(_) => None,
    }
}

fn covers(outer: &Range<usize>, inner: &Range<usize>) -> bool {
    outer.start <= inner.start && inner.end <= outer.end && !inner.is_empty()
}
