//! The author's words, as they may stand in a log.

/// The author's text without what could forge a line or a colour in the log.
pub(crate) fn printable(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { '\u{fffd}' } else { c })
        .take(200)
        .collect()
}
