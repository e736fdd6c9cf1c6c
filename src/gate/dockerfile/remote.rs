//! What `ADD` would fetch: told from a path, and compared with the operator's globs.

use url::Url;

use super::lex::Word;
use crate::docker::glob;

/// What a source of `ADD` is.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Source {
    /// A path of the context, as it is written.
    Path,
    /// A path of the context, once it begins with `./`: no value of a variable makes it an address.
    Pinned,
    /// An address that is allowed, in full.
    Address(String),
}

/// Judges a source: as it was written, and as its variables make it.
pub(super) fn judge(written: &str, word: &Word, globs: &[String]) -> Result<Source, String> {
    if is_remote(&word.text) {
        if word.is_open {
            return Err(format!(
                "the address {:?} goes on with a variable that the base image may set: give it an \
                 ARG or ENV with a value in this stage",
                word.text
            ));
        }
        return allowed(&word.text, globs).map(Source::Address);
    }
    let is_pinned = written.starts_with(['/', '.']);
    if word.is_variable && !is_pinned {
        return Ok(Source::Pinned);
    }
    Ok(Source::Path)
}

fn allowed(address: &str, globs: &[String]) -> Result<String, String> {
    let is_plain =
        |sign: char| sign.is_ascii_alphanumeric() || "-._~:/?#@!&()*+,;=%".contains(sign);
    let compared = compared(address).filter(|_| address.chars().all(is_plain));
    let is_covered =
        compared.is_some_and(|whole| globs.iter().any(|glob| glob::matches(glob, &whole)));
    if is_covered {
        return Ok(address.to_owned());
    }
    Err(format!(
        "the Docker daemon would fetch {address:?} from its own network: fetch it in the job's \
         script and ADD the file, or ask the operator to add it to add-urls"
    ))
}

/// What a glob is compared with: the address without what names no place. Nothing for an address
/// that two readers may take for two places.
fn compared(address: &str) -> Option<String> {
    let address = address.split('#').next()?;
    if !address.contains("://") {
        return Some(address.to_owned());
    }
    let url = Url::parse(address).ok()?;
    let is_plain = url.username().is_empty() && url.password().is_none();
    let host = url.host_str().filter(|host| is_plain && !host.is_empty())?;
    let port = url
        .port()
        .map(|port| format!(":{port}"))
        .unwrap_or_default();
    Some(format!("{}://{host}{port}{}", url.scheme(), url.path()))
}

/// Whether an engine of any release may fetch this.
pub(super) fn is_remote(text: &str) -> bool {
    let scheme = text.split_once("://").map(|(scheme, _)| scheme);
    let has_scheme = scheme.is_some_and(|scheme| {
        !scheme.is_empty()
            && scheme
                .chars()
                .all(|sign| sign.is_ascii_alphanumeric() || "+-.".contains(sign))
    });
    has_scheme || is_ssh(text)
}

/// `git@host:path`.
fn is_ssh(text: &str) -> bool {
    let is_word = |text: &str, more: &str| {
        !text.is_empty()
            && text
                .chars()
                .all(|sign| sign.is_ascii_alphanumeric() || more.contains(sign))
    };
    text.split_once('@').is_some_and(|(user, rest)| {
        let host = rest.split(':').next().unwrap_or_default();
        rest.len() > host.len() && is_word(user, "-_") && is_word(host, "-.")
    })
}
