//! The words of one instruction, and of one line.

/// Every instruction that the engines know.
const INSTRUCTIONS: &[&str] = &[
    "add",
    "arg",
    "cmd",
    "copy",
    "entrypoint",
    "env",
    "expose",
    "from",
    "healthcheck",
    "label",
    "maintainer",
    "onbuild",
    "run",
    "shell",
    "stopsignal",
    "user",
    "volume",
    "workdir",
];

pub(super) fn is_instruction(keyword: &str) -> bool {
    INSTRUCTIONS.contains(&keyword.to_ascii_lowercase().as_str())
}

/// A line without its continuation, and whether it had one.
pub(super) fn continued(line: &[u8], escape: char) -> (Vec<u8>, bool) {
    let end = line
        .iter()
        .rposition(|byte| !matches!(byte, b' ' | b'\t'))
        .map_or(0, |last| last + 1);
    let escape = escape as u8;
    match line.get(..end) {
        Some([before @ .., last]) if *last == escape && before.last() != Some(&escape) => {
            (before.to_vec(), true)
        }
        _ => (line.to_vec(), false),
    }
}

/// A line without the spaces, of any kind, that it begins with.
pub(super) fn trim_start(line: &[u8]) -> &[u8] {
    let text = match std::str::from_utf8(line) {
        Ok(text) => text,
        Err(error) => std::str::from_utf8(&line[..error.valid_up_to()]).unwrap_or_default(),
    };
    &line[text.len() - text.trim_start().len()..]
}

/// What separates words: not every space of Unicode does.
fn is_space(sign: char) -> bool {
    matches!(sign, '\t' | '\x0b' | '\x0c' | '\r' | ' ')
}

/// The first word and the rest.
pub(super) fn keyword(text: &str) -> (&str, &str) {
    let text = text.trim();
    let (keyword, rest) = text.split_once(is_space).unwrap_or((text, ""));
    (keyword, rest.trim())
}

/// Words without a look at quotes, as `FROM`, `COPY` and `ADD` have them.
pub(super) fn plain(rest: &str) -> Vec<&str> {
    rest.split(is_space)
        .filter(|word| !word.is_empty())
        .collect()
}

/// Whether the engine may take this for a JSON list of texts.
pub(super) fn may_be_list(rest: &str) -> bool {
    rest.strip_prefix('[')
        .is_some_and(|inner| inner.trim_start().starts_with(['"', ']']))
}

/// A JSON list of texts.
pub(super) fn list(rest: &str) -> Option<Vec<String>> {
    serde_json::from_str(rest).ok()
}

/// Words in which quotes and escapes count; they stay in the words. Nothing if a quote is open.
pub(super) fn quoted(rest: &str, escape: char) -> Option<Vec<String>> {
    let mut words = Vec::new();
    let mut word = String::new();
    let mut quote = None;
    let mut signs = rest.chars();
    while let Some(sign) = signs.next() {
        match quote {
            None if sign.is_whitespace() => {
                if !word.is_empty() {
                    words.push(std::mem::take(&mut word));
                }
                continue;
            }
            None if matches!(sign, '"' | '\'') => quote = Some(sign),
            Some(open) if open == sign => quote = None,
            _ => {}
        }
        word.push(sign);
        if sign == escape && quote != Some('\'') {
            word.push(signs.next()?);
        }
    }
    if !word.is_empty() {
        words.push(word);
    }
    quote.is_none().then_some(words)
}

/// The names and values of `ENV` and `LABEL`, in both of their forms.
pub(super) fn pairs(rest: &str, escape: char) -> Option<Vec<(String, String)>> {
    let words = quoted(rest, escape)?;
    if !words.first()?.contains('=') {
        let (name, value) = rest.split_once(is_space)?;
        return Some(vec![(name.to_owned(), value.trim_start().to_owned())]);
    }
    words
        .iter()
        .map(|word| {
            let (name, value) = word.split_once('=')?;
            Some((name.to_owned(), value.to_owned()))
        })
        .collect()
}
