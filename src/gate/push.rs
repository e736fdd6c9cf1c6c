//! Watches the progress of a push for the digest that the registry took.
//!
//! The bytes pass unchanged; a finished line is read before the chunk that ends it goes on, so the
//! digest is known (and written down) before the client learns of it. Knows no daemon.

use serde::Deserialize;

/// A line longer than this is no report of a digest.
const LONGEST_LINE: usize = 64 * 1024;

/// What a registry took.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pushed {
    /// The repository with its registry, as people write it: `harbor.example.com/test/app`.
    pub image: String,
    pub tag: String,
    /// `sha256:…` of the manifest.
    pub digest: String,
}

/// Finds digests in a stream of progress lines.
#[derive(Debug)]
pub(crate) struct Watch {
    image: String,
    line: Vec<u8>,
    /// What was handed out: the same digest may stand in a line for people and in one for programs.
    found: Vec<Pushed>,
    has_failed: bool,
}

/// A line of progress, as far as it can tell of a digest.
#[derive(Deserialize, Default)]
#[serde(default)]
struct Line {
    /// Engines with the containerd image store write the digest here only.
    status: String,
    aux: Option<Aux>,
    error: String,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "PascalCase")]
struct Aux {
    tag: String,
    digest: String,
}

impl Watch {
    pub(crate) fn new(image: impl Into<String>) -> Self {
        Self {
            image: image.into(),
            line: Vec::new(),
            found: Vec::new(),
            has_failed: false,
        }
    }

    /// Takes the next bytes; hands out what they reported.
    pub(crate) fn take(&mut self, bytes: &[u8]) -> Vec<Pushed> {
        let before = self.found.len();
        for part in bytes.split_inclusive(|byte| *byte == b'\n') {
            if self.line.len() + part.len() <= LONGEST_LINE {
                self.line.extend_from_slice(part);
            }
            if part.ends_with(b"\n") {
                self.read();
                self.line.clear();
            }
        }
        // The engine ends its lines with \r\n, but not every one of them.
        if self.line.ends_with(b"}") && self.read() {
            self.line.clear();
        }
        self.found[before..].to_vec()
    }

    /// Whether the stream told neither of a digest nor of a failure.
    pub(crate) fn is_silent(&self) -> bool {
        self.found.is_empty() && !self.has_failed
    }

    /// Whether the line is a whole one.
    fn read(&mut self) -> bool {
        let Ok(line) = serde_json::from_slice::<Line>(&self.line) else {
            return false;
        };
        self.has_failed |= !line.error.is_empty();
        let told = line.aux.map(|aux| (aux.tag, aux.digest));
        let told = told.filter(|(_, digest)| !digest.is_empty());
        if let Some((tag, digest)) = told.or_else(|| in_words(&line.status)) {
            let image = self.image.clone();
            let pushed = Pushed { image, tag, digest };
            if !self.found.contains(&pushed) {
                self.found.push(pushed);
            }
        }
        true
    }
}

/// The tag and the digest of `v1: digest: sha256:… size: 528`.
fn in_words(status: &str) -> Option<(String, String)> {
    let (tag, rest) = status.split_once(": digest: ")?;
    let (digest, size) = rest.split_once(" size: ")?;
    let is_number = !size.is_empty() && size.bytes().all(|byte| byte.is_ascii_digit());
    let is_digest = digest.starts_with("sha256:") && !tag.contains(' ');
    (is_number && is_digest).then(|| (tag.to_owned(), digest.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_is_found_however_the_stream_is_cut() {
        let stream = concat!(
            "{\"status\":\"Pushed\",\"id\":\"a\"}\r\n",
            "{\"status\":\"v1: digest: sha256:ab size: 5\"}\r\n",
            "{\"progressDetail\":{},\"aux\":{\"Tag\":\"v1\",\"Digest\":\"sha256:ab\",\"Size\":5}}\r\n",
        );
        let expect = vec![Pushed {
            image: "harbor/app".to_owned(),
            tag: "v1".to_owned(),
            digest: "sha256:ab".to_owned(),
        }];
        for size in 1..stream.len() {
            let mut watch = Watch::new("harbor/app");
            let found: Vec<Pushed> = stream
                .as_bytes()
                .chunks(size)
                .flat_map(|chunk| watch.take(chunk))
                .collect();
            assert_eq!(found, expect, "in chunks of {size}");
        }
    }

    #[test]
    fn a_digest_that_stands_in_the_words_for_people_only_is_found() {
        let mut watch = Watch::new("harbor/app");
        let lines = concat!(
            "{\"status\":\"Pushed\",\"id\":\"sha256:cd\"}\r\n",
            "{\"status\":\"v1: digest: sha256:ab size: 855\"}\r\n",
            "{\"aux\":{\"manifestPushedInsteadOfIndex\":true}}\r\n",
        );
        let found = watch.take(lines.as_bytes());
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].digest, "sha256:ab");
        for status in [
            "v1: digest: ab size: 5",
            "v1: digest: sha256:ab size: x",
            "a b: digest: sha256:a size: 5",
        ] {
            assert_eq!(in_words(status), None, "{status}");
        }
    }

    #[test]
    fn a_push_that_tells_of_no_digest_and_no_failure_is_silent() {
        let mut watch = Watch::new("a");
        watch.take(b"{\"status\":\"Pushed\",\"id\":\"a\"}\r\n");
        assert!(watch.is_silent());
        watch.take(b"{\"error\":\"denied\"}");
        assert!(!watch.is_silent());
    }

    #[test]
    fn a_failed_push_reports_nothing() {
        let mut watch = Watch::new("a");
        assert_eq!(
            watch.take(b"{\"errorDetail\":{\"message\":\"denied\"},\"error\":\"denied\"}\r\n"),
            []
        );
    }
}
