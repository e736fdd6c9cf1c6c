//! Rules that hold for an instruction wherever it stands.

use super::file::At;
use super::flag::Flag;
use super::lex::{self, Value};
use super::word;
use crate::gate::refusal::Denied;

/// The beginning of an instruction, with a space behind it.
pub(super) fn head(keyword: &str, flags: &[Flag]) -> String {
    let flags = flags.iter().map(Flag::text);
    let words: Vec<String> = std::iter::once(keyword.to_owned()).chain(flags).collect();
    format!("{} ", words.join(" "))
}

/// What a mount of `RUN` takes from elsewhere.
pub(super) fn mount_sources(mount: &str) -> impl Iterator<Item = &str> {
    mount.split(',').filter_map(from_of)
}

pub(super) fn from_of(field: &str) -> Option<&str> {
    let (key, value) = field.split_once('=')?;
    key.eq_ignore_ascii_case("from").then_some(value)
}

/// The name of a stage, from what stands behind `FROM`; empty for none.
pub(super) fn stage_name(rest: &str) -> String {
    let words = word::plain(rest);
    match words.as_slice() {
        [.., between, name] if between.eq_ignore_ascii_case("as") => name.to_ascii_lowercase(),
        _ => String::new(),
    }
}

pub(super) fn is_stage_name(name: &str) -> bool {
    let is_word = |sign: char| sign.is_ascii_alphanumeric() || "-_.".contains(sign);
    name.starts_with(|sign: char| sign.is_ascii_alphabetic()) && name.chars().all(is_word)
}

/// Refuses the flags that reach out of a build, and those that nobody judged.
pub(super) fn flags(keyword: &str, flags: &[Flag], at: At<'_>) -> Result<(), Denied> {
    for flag in flags {
        let (name, value) = (flag.name.as_str(), flag.value());
        match (keyword.to_ascii_lowercase().as_str(), name) {
            ("run", "network") if !matches!(value, "none" | "default") => {
                return Err(at.forbidden(format!(
                    "the network {value:?} is not open to a build: use \"default\" or \"none\""
                )));
            }
            ("run", "security") if value != "sandbox" => {
                return Err(
                    at.forbidden("a build has no more rights than its sandbox: leave it out")
                );
            }
            ("run", "network" | "security" | "mount")
            | ("from", "platform")
            | ("copy", "from" | "parents")
            | ("add", "checksum" | "keep-git-dir" | "unpack")
            | ("copy" | "add", "chown" | "chmod" | "link" | "exclude") => {}
            _ => {
                return Err(at.forbidden(format!("the flag --{name} is not known: leave it out")));
            }
        }
    }
    Ok(())
}

/// Our own labels tell whose an image is.
pub(super) fn label(rest: &str, escape: char, at: At<'_>) -> Result<(), Denied> {
    let pairs = word::pairs(rest, escape);
    let pairs = pairs.ok_or_else(|| at.unclear("write `LABEL name=value`"))?;
    for (name, _) in pairs {
        let word = lex::expand(&name, escape, &|_| Value::Unknown);
        let word = word.map_err(|why| at.unclear(why))?;
        let is_ours = word.text.to_ascii_lowercase().starts_with("dockmaster");
        if is_ours || (word.is_open && "dockmaster".starts_with(&word.text)) {
            return Err(at.forbidden(format!(
                "the label {name} is ours, or may become it: choose another name"
            )));
        }
    }
    Ok(())
}
