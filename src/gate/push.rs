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
}

#[derive(Deserialize)]
struct Line {
    aux: Aux,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Aux {
    tag: String,
    digest: String,
}

impl Watch {
    pub(crate) fn new(image: impl Into<String>) -> Self {
        Self {
            image: image.into(),
            line: Vec::new(),
        }
    }

    /// Takes the next bytes; hands out what they reported.
    pub(crate) fn take(&mut self, bytes: &[u8]) -> Vec<Pushed> {
        let mut found = Vec::new();
        for part in bytes.split_inclusive(|byte| *byte == b'\n') {
            if self.line.len() + part.len() <= LONGEST_LINE {
                self.line.extend_from_slice(part);
            }
            if part.ends_with(b"\n") {
                found.extend(self.finish());
            }
        }
        // The engine ends its lines with \r\n, but not every one of them.
        if self.line.ends_with(b"}") {
            let pushed = self.read();
            if pushed.is_some() {
                self.line.clear();
            }
            found.extend(pushed);
        }
        found
    }

    fn finish(&mut self) -> Option<Pushed> {
        let pushed = self.read();
        self.line.clear();
        pushed
    }

    fn read(&self) -> Option<Pushed> {
        let Line { aux } = serde_json::from_slice(&self.line).ok()?;
        Some(Pushed {
            image: self.image.clone(),
            tag: aux.tag,
            digest: aux.digest,
        })
    }
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
    fn a_failed_push_reports_nothing() {
        let mut watch = Watch::new("a");
        assert_eq!(
            watch.take(b"{\"errorDetail\":{\"message\":\"denied\"},\"error\":\"denied\"}\r\n"),
            []
        );
    }
}
