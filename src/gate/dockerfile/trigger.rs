//! What `ONBUILD` puts off: judged without a look at the build in which it will run.

use super::file::{At, Road};
use super::{flag, line, remote, rule, word};
use crate::gate::refusal::Denied;

/// Judges a trigger of a base image: it must not name an image or an address.
pub(crate) fn judge(trigger: &str, road: Road) -> Result<(), Denied> {
    let refused = |why: &str| {
        Denied::forbidden(format!(
            "the base image has the trigger `ONBUILD {}`, and {why}: use another base image",
            crate::policy::printable(trigger)
        ))
    };
    let source = line::split(trigger.as_bytes(), road).map_err(|_| refused("it cannot be read"))?;
    let [line] = source.lines.as_slice() else {
        return Err(refused("it is not one instruction"));
    };
    let at = At {
        line: 1,
        keyword: "onbuild",
    };
    check(&line.text, at).map_err(|_| refused("it names an image or an address"))
}

/// Judges what stands behind `ONBUILD`.
pub(super) fn check(inner: &str, at: At<'_>) -> Result<(), Denied> {
    let (keyword, rest) = word::keyword(inner);
    let (flags, rest) = match keyword.to_ascii_lowercase().as_str() {
        "add" | "copy" | "run" => flag::take(rest, at)?,
        "onbuild" | "from" | "maintainer" => {
            return Err(at.forbidden("the engines refuse this behind ONBUILD: leave it out"));
        }
        "label" => return rule::label(rest, '\\', at),
        keyword if word::is_instruction(keyword) => return Ok(()),
        _ => return Err(at.unclear(format!("{keyword:?} is no instruction: correct it"))),
    };
    rule::flags(keyword, &flags, at)?;
    for flag in &flags {
        let from = match flag.name.as_str() {
            "from" => vec![flag.value()],
            "mount" => rule::mount_sources(flag.value()).collect(),
            _ => Vec::new(),
        };
        let is_number = |from: &&str| from.bytes().all(|sign| sign.is_ascii_digit());
        if !from.iter().all(is_number) {
            return Err(at.forbidden(
                "it names a stage or an image of the build to come: do it without ONBUILD",
            ));
        }
    }
    if keyword.eq_ignore_ascii_case("add") {
        sources(rest, at)?;
    }
    Ok(())
}

/// Which escape the build to come has is not known, so a source must be plain.
fn sources(rest: &str, at: At<'_>) -> Result<(), Denied> {
    let words = word::list(rest);
    if words.is_none() && word::may_be_list(rest) {
        return Err(at.unclear("the list is not JSON: correct it"));
    }
    let words = words.unwrap_or_else(|| word::plain(rest).into_iter().map(str::to_owned).collect());
    let sources = words.split_last().map(|(_, sources)| sources);
    for source in sources.unwrap_or_default() {
        let is_plain = !source.contains(['$', '\\', '`', '"', '\'']);
        let is_path = source.starts_with(['/', '.']) || source.starts_with("<<");
        if remote::is_remote(source) || !(is_path || is_plain) {
            return Err(at.forbidden(format!(
                "the source {source:?} may become an address in the build to come: begin it with ./"
            )));
        }
    }
    Ok(())
}
