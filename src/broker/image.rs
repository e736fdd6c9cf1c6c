//! Which of the images that were pushed for a commit is the release: never one that only came last.

use crate::{
    failure::{Failure, JobCode},
    store::ledger::Record,
};

/// Several images, and nothing says which one is meant.
#[derive(Debug, thiserror::Error)]
#[error(
    "which image is the release is not clear: none of them is tagged {tag}, and for this commit were pushed {images}"
)]
pub(super) struct Ambiguous {
    tag: String,
    images: String,
}

impl From<Ambiguous> for Failure {
    fn from(error: Ambiguous) -> Self {
        let hint = format!("try: push the release as :{}, or push one image", error.tag);
        Self::build(JobCode::Malformed, error).hint(hint)
    }
}

/// The image whose tag is the git tag; else the only one. `pushed` are in the order of time.
pub(super) fn choose<'a>(
    pushed: &'a [Record],
    git_tag: &str,
) -> Result<Option<&'a Record>, Ambiguous> {
    for name in names(git_tag) {
        let named = pushed.iter().rfind(|record| record.tag == name);
        if named.is_some() {
            return Ok(named);
        }
    }
    let newest = newest_of_each_tag(pushed);
    let Some(first) = newest.first() else {
        return Ok(None);
    };
    if newest.iter().all(|record| record.digest == first.digest) {
        return Ok(Some(first));
    }
    let images = newest.iter().map(|record| {
        let digest = record.digest.strip_prefix("sha256:");
        let digest = digest.unwrap_or(&record.digest);
        let short = digest.get(..12).unwrap_or(digest);
        format!("{}:{} ({short})", record.image, record.tag)
    });
    Err(Ambiguous {
        tag: git_tag.into(),
        images: images.collect::<Vec<_>>().join(", "),
    })
}

/// A git tag as pipelines write it behind an image: whole, without its v, as GitLab's slug.
fn names(git_tag: &str) -> [String; 3] {
    let bare = git_tag.strip_prefix('v').unwrap_or(git_tag);
    let plain = |c: char| if c.is_ascii_alphanumeric() { c } else { '-' };
    let slug: String = git_tag.to_lowercase().chars().map(plain).take(63).collect();
    [git_tag.into(), bare.into(), slug.trim_matches('-').into()]
}

/// A tag that was pushed again means what it was pushed as last.
fn newest_of_each_tag(pushed: &[Record]) -> Vec<&Record> {
    let is_newest = |(index, record): &(usize, &Record)| {
        let mut later = pushed[index + 1..].iter();
        !later.any(|other| other.tag == record.tag)
    };
    let newest = pushed.iter().enumerate().filter(is_newest);
    newest.map(|(_, record)| record).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(tag: &str, digest: &str) -> Record {
        Record {
            project: 42,
            commit: "a".into(),
            reference: "v2.2.0".into(),
            is_protected: true,
            pipeline: 77,
            job: 1,
            image: "h/app".into(),
            tag: tag.into(),
            digest: format!("sha256:{digest}"),
            manifest: None,
            scan: None,
            at: jiff::Timestamp::UNIX_EPOCH,
        }
    }

    #[track_caller]
    fn check(pushed: &[(&str, &str)], expect: Result<Option<&str>, &str>) {
        let pushed: Vec<_> = pushed.iter().map(|(tag, it)| record(tag, it)).collect();
        match (choose(&pushed, "v2.2.0"), expect) {
            (Ok(found), Ok(expect)) => {
                let found = found.map(|record| record.digest.trim_start_matches("sha256:"));
                assert_eq!(found, expect);
            }
            (Err(error), Err(expect)) => assert!(error.to_string().contains(expect), "{error}"),
            (found, _) => panic!("{found:?}"),
        }
    }

    #[test]
    fn the_image_with_the_git_tag_is_the_release_whatever_comes_later() {
        check(&[("v2.2.0", "a"), ("v2.2.0-debug", "b")], Ok(Some("a")));
        check(&[("v2.2.0", "a"), ("latest", "a")], Ok(Some("a")));
        check(&[("v2.2.0", "a"), ("v2.2.0", "b")], Ok(Some("b")));
        check(&[("2.2.0", "a"), ("latest", "b")], Ok(Some("a")));
        check(&[("debug", "b"), ("v2-2-0", "a")], Ok(Some("a")));
    }

    #[test]
    fn without_it_the_only_image_is() {
        check(&[], Ok(None));
        check(&[("latest", "a")], Ok(Some("a")));
        check(&[("latest", "a"), ("1234abcd", "a")], Ok(Some("a")));
        check(&[("latest", "a"), ("latest", "b")], Ok(Some("b")));
    }

    #[test]
    fn several_images_are_refused_with_all_their_names() {
        let pushed = [("latest", "0123456789abcdef"), ("debug", "b")];
        check(&pushed, Err("h/app:latest (0123456789ab), h/app:debug (b)"));
    }
}
