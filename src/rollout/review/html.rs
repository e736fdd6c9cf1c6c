//! Writes HTML. What is not a constant of this program is escaped: there is no other way in.

use std::fmt::Write;

/// A page under way.
#[derive(Default)]
pub(super) struct Html(String);

impl Html {
    /// Markup of ours.
    pub(super) fn raw(&mut self, markup: &'static str) -> &mut Self {
        self.0.push_str(markup);
        self
    }

    /// Somebody's text: harmless between tags and in quotes.
    pub(super) fn text(&mut self, text: &str) -> &mut Self {
        for sign in text.chars() {
            match sign {
                '&' => self.0.push_str("&amp;"),
                '<' => self.0.push_str("&lt;"),
                '>' => self.0.push_str("&gt;"),
                '"' => self.0.push_str("&quot;"),
                '\'' => self.0.push_str("&#39;"),
                '\n' | '\t' => self.0.push(sign),
                // Neither what a terminal acts on nor what turns the order of signs round.
                sign if sign.is_control() || is_turning(sign) => self.0.push('\u{fffd}'),
                sign => self.0.push(sign),
            }
        }
        self
    }

    /// A number for a drawing.
    pub(super) fn number(&mut self, number: f64) -> &mut Self {
        // Writing into a text cannot fail.
        let _ = write!(self.0, "{number:.2}");
        self
    }

    /// `<TAG>text</TAG>`, by its two ends.
    pub(super) fn element(
        &mut self,
        begin: &'static str,
        text: &str,
        end: &'static str,
    ) -> &mut Self {
        self.raw(begin).text(text).raw(end)
    }

    pub(super) fn finish(self) -> String {
        self.0
    }
}

fn is_turning(sign: char) -> bool {
    matches!(sign, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_never_markup() {
        let mut html = Html::default();
        html.raw("<b title=\"").text("\" onclick='x'").raw("\">");
        html.text("</b><script>&\u{1b}[31m\u{202e}").raw("</b>");
        assert_eq!(
            html.finish(),
            "<b title=\"&quot; onclick=&#39;x&#39;\">&lt;/b&gt;&lt;script&gt;&amp;\u{fffd}[31m\u{fffd}</b>"
        );
    }
}
