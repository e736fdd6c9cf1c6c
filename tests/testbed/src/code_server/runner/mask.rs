//! Hides masked values in a stream, also where a value is split over two writes.

const MASK: &[u8] = b"[MASKED]";

/// One stream's masker.
#[derive(Clone, Debug)]
pub(crate) struct Masker {
    /// Longest first.
    phrases: Vec<Vec<u8>>,
    is_first: [bool; 256],
    held: Vec<u8>,
}

impl Masker {
    pub(crate) fn new<'a>(values: impl IntoIterator<Item = &'a str>) -> Self {
        let mut phrases: Vec<Vec<u8>> = values
            .into_iter()
            .filter(|one| !one.is_empty())
            .map(|one| one.as_bytes().to_vec())
            .collect();
        phrases.sort_by_key(|phrase| std::cmp::Reverse(phrase.len()));
        phrases.dedup();
        let mut is_first = [false; 256];
        for phrase in &phrases {
            is_first[usize::from(phrase[0])] = true;
        }
        Self {
            phrases,
            is_first,
            held: Vec::new(),
        }
    }

    /// What of the stream can be shown by now.
    pub(crate) fn push(&mut self, bytes: &[u8]) -> Vec<u8> {
        let mut input = std::mem::take(&mut self.held);
        input.extend_from_slice(bytes);
        let mut shown = Vec::with_capacity(input.len());
        let mut at = 0;
        while at < input.len() {
            let rest = &input[at..];
            if !self.is_first[usize::from(rest[0])] {
                shown.push(rest[0]);
                at += 1;
                continue;
            }
            // A longer phrase may still come; until that is decided, nothing can be shown.
            if self
                .phrases
                .iter()
                .any(|phrase| phrase.len() > rest.len() && phrase.starts_with(rest))
            {
                self.held = rest.to_vec();
                break;
            }
            let found = self.phrases.iter().find(|phrase| rest.starts_with(phrase));
            if let Some(phrase) = found {
                shown.extend_from_slice(MASK);
                at += phrase.len();
            } else {
                shown.push(rest[0]);
                at += 1;
            }
        }
        shown
    }

    /// The end of the stream: what was held back was no secret, or only a shorter one.
    pub(crate) fn finish(&mut self) -> Vec<u8> {
        let rest = std::mem::take(&mut self.held);
        let longest = rest.len();
        let mut last = Self::new([]);
        last.phrases = self
            .phrases
            .iter()
            .filter(|one| one.len() <= longest)
            .cloned()
            .collect();
        last.is_first = self.is_first;
        let mut shown = Vec::new();
        let mut rest = rest;
        while !rest.is_empty() {
            shown.extend(last.push(&rest));
            rest = std::mem::take(&mut last.held);
            if let Some((&first, others)) = rest.split_first() {
                shown.push(first);
                rest = others.to_vec();
            }
        }
        shown
    }
}

#[cfg(test)]
mod tests {
    use super::Masker;

    #[track_caller]
    fn check(secrets: &[&str], text: &str, expected: &str) {
        for size in 1..=text.len() {
            let mut masker = Masker::new(secrets.iter().copied());
            let mut shown = Vec::new();
            for chunk in text.as_bytes().chunks(size) {
                shown.extend(masker.push(chunk));
            }
            shown.extend(masker.finish());
            assert_eq!(
                String::from_utf8_lossy(&shown),
                expected,
                "chunks of {size}"
            );
        }
    }

    #[test]
    fn a_secret_is_hidden_however_it_is_cut() {
        check(&["topsecret"], "a topsecret b", "a [MASKED] b");
        check(&["topsecret"], "toptopsecret tops", "top[MASKED] tops");
    }

    #[test]
    fn the_longest_secret_wins() {
        check(&["abc", "abcdef"], "abcdef abcd", "[MASKED] [MASKED]d");
        check(&["abc", "abcdef"], "abcde", "[MASKED]de");
    }

    #[test]
    fn a_secret_may_span_lines() {
        check(&["one\ntwo"], "one\ntwo one\n", "[MASKED] one\n");
    }
}
