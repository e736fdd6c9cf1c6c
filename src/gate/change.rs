//! Instructions that `commit` and `import` apply to an image.
//!
//! Pure. The engine reads them as a Dockerfile; what they can do that a job must not is to give the
//! image a label by which somebody finds whose it is.

use super::refusal::Denied;

/// Refuses a label of ours, however it is written.
pub(crate) fn judge<'a>(changes: impl Iterator<Item = &'a str>) -> Result<(), Denied> {
    for change in changes {
        // Quotes, escapes and joined lines would hide a word.
        let plain: String = change
            .chars()
            .filter(|letter| !matches!(letter, '"' | '\'' | '\\' | '`' | '\r' | '\n'))
            .collect();
        let has_label = plain.to_ascii_uppercase().contains("LABEL");
        if has_label && (plain.contains("dockmaster.") || plain.contains(['$', '<'])) {
            return Err(Denied::forbidden(format!(
                "the change {change:?} is not allowed in a job: write labels plainly, under another name"
            )));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_of_ours_is_refused_however_it_is_written() {
        for change in [
            "LABEL dockmaster.cache=x",
            "label \"dockmaster.cache\"=x",
            "LABEL dock\\\nmaster.cache=x",
            "LA\\\nBEL dockmaster.cache=x",
            "ENV A=dockmaster.\nLABEL ${A}cache=x",
            "LABEL ${A}cache=x",
            "ONBUILD LABEL dock''master.cache=x",
            "LABEL <<A\ndockmaster\nA",
        ] {
            assert!(judge([change].into_iter()).is_err(), "{change:?}");
        }
        for change in [
            "LABEL a=b",
            "CMD [\"sh\"]",
            "ENV PATH=$PATH:/x",
            "EXPOSE 80",
        ] {
            assert!(judge([change].into_iter()).is_ok(), "{change:?}");
        }
    }
}
