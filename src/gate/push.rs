//! Watches the progress of a push for the digest that the registry took.
//!
//! A line is read before it goes on, so the digest is known (and written down) before the client
//! learns of it. Knows no daemon.

use serde::Deserialize;
use serde_json::Value;

/// What a registry took.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pushed {
    /// The repository with its registry, as people write it: `harbor.example.com/test/app`.
    pub image: String,
    pub tag: String,
    /// `sha256:…` of what the tag names: a manifest, or an index of several.
    pub digest: String,
    /// Where it is an index: the manifest for the engine's own platform, if the engine tells it.
    pub manifest: Option<String>,
}

/// Finds digests in lines of progress.
#[derive(Debug)]
pub(crate) struct Watch {
    image: String,
    told: Vec<Pushed>,
}

#[derive(Deserialize)]
struct Line {
    aux: Option<Aux>,
    status: Option<String>,
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
            told: Vec::new(),
        }
    }

    /// Takes a line; what it reports, if no line before did. Engines with the containerd store say
    /// the digest in the status alone.
    pub(crate) fn take(&mut self, line: &[u8]) -> Option<Pushed> {
        let line: Line = serde_json::from_slice(line).ok()?;
        let (tag, digest) = match line {
            Line { aux: Some(aux), .. } => (aux.tag, aux.digest),
            Line { status, .. } => said(&status?)?,
        };
        let pushed = Pushed {
            image: self.image.clone(),
            tag,
            digest,
            manifest: None,
        };
        if self.told.contains(&pushed) {
            return None;
        }
        self.told.push(pushed.clone());
        Some(pushed)
    }

    /// The digest that was reported last, if any was.
    pub(crate) fn digest(&self) -> Option<String> {
        self.told.last().map(|pushed| pushed.digest.clone())
    }
}

/// The manifest for the image's own platform, where what was pushed is an index: of a description that lists
/// manifests. Engines without the containerd store list none, and push no index.
pub(crate) fn manifest(image: &Value, digest: &str) -> Option<String> {
    let all = image["Manifests"].as_array()?;
    let is_for = |manifest: &&Value| {
        let platform = &manifest["ImageData"]["Platform"];
        let is_same = |of_image: &str, of_platform: &str| {
            let wanted = image[of_image].as_str().unwrap_or_default();
            wanted.is_empty() || platform[of_platform].as_str() == Some(wanted)
        };
        manifest["Kind"] == "image"
            && is_same("Os", "os")
            && is_same("Architecture", "architecture")
    };
    let found = all.iter().find(is_for)?["Descriptor"]["digest"].as_str()?;
    (found.starts_with("sha256:") && found != digest).then(|| found.to_owned())
}

/// The tag and the digest of `v1: digest: sha256:… size: 528`.
fn said(status: &str) -> Option<(String, String)> {
    let (tag, rest) = status.split_once(": digest: ")?;
    let (digest, size) = rest.split_once(" size: ")?;
    let is_number = !size.is_empty() && size.bytes().all(|byte| byte.is_ascii_digit());
    let is_digest = digest.starts_with("sha256:") && !tag.contains(' ');
    (is_number && is_digest).then(|| (tag.to_owned(), digest.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(lines: &[&str], expect: &[&str]) {
        let mut watch = Watch::new("harbor/app");
        let found = lines.iter().filter_map(|line| watch.take(line.as_bytes()));
        let expect = expect.iter().map(|digest| Pushed {
            image: "harbor/app".to_owned(),
            tag: "v1".to_owned(),
            digest: (*digest).to_owned(),
            manifest: None,
        });
        assert!(found.eq(expect), "{lines:?}");
    }

    #[test]
    fn a_digest_is_reported_once_by_whatever_line_says_it() {
        let aux = r#"{"progressDetail":{},"aux":{"Tag":"v1","Digest":"sha256:ab","Size":5}}"#;
        let status = r#"{"status":"v1: digest: sha256:ab size: 5"}"#;
        check(
            &[r#"{"status":"Pushed","id":"a"}"#, status, aux],
            &["sha256:ab"],
        );
        check(&[aux], &["sha256:ab"]);
        check(&[status], &["sha256:ab"]);
    }

    #[test]
    fn of_an_index_the_manifest_of_the_platform_is_told() {
        let manifest_of = |kind: &str, architecture: &str, digest: &str| {
            serde_json::json!({
                "Kind": kind, "Descriptor": { "digest": digest },
                "ImageData": { "Platform": { "os": "linux", "architecture": architecture } },
            })
        };
        let index = serde_json::json!({ "Os": "linux", "Architecture": "arm64", "Manifests": [
            manifest_of("attestation", "unknown", "sha256:1"),
            manifest_of("image", "amd64", "sha256:2"),
            manifest_of("image", "arm64", "sha256:3"),
        ] });
        assert_eq!(manifest(&index, "sha256:0").as_deref(), Some("sha256:3"));
        // The push was of that manifest alone.
        assert_eq!(manifest(&index, "sha256:3"), None);
        assert_eq!(
            manifest(&serde_json::json!({ "Os": "linux" }), "sha256:0"),
            None
        );
    }

    #[test]
    fn a_failed_push_reports_nothing() {
        check(
            &[
                r#"{"errorDetail":{"message":"denied"},"error":"denied"}"#,
                "",
                "x",
            ],
            &[],
        );
    }
}
