//! Which of the images that were pushed for a commit is the release: never one that only came last.

use crate::{
    config::RefKind,
    failure::{Failure, JobCode},
    policy::Grant,
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

/// How pipelines tag the image of a ref, the surest name first.
#[derive(Debug)]
pub(super) struct Names {
    /// What an author is told to use.
    usual: String,
    all: Vec<String>,
}

impl Names {
    pub(super) fn of(grant: &Grant) -> Self {
        match grant.kind() {
            RefKind::Tag => Self::of_tag(grant.reference()),
            RefKind::Branch => Self::of_branch(grant.reference(), grant.commit()),
        }
    }

    /// Whole, without its v, as GitLab's slug.
    fn of_tag(git_tag: &str) -> Self {
        let bare = git_tag.strip_prefix('v').unwrap_or(git_tag);
        Self {
            usual: git_tag.into(),
            all: vec![git_tag.into(), bare.into(), slug(git_tag)],
        }
    }

    /// By the commit, whole or short, alone or behind the branch; then by the branch alone: all that is asked about
    /// was pushed for this commit, whatever else is called so before or after.
    fn of_branch(branch: &str, commit: &str) -> Self {
        let short = commit.get(..SHORT).unwrap_or(commit);
        let slug = slug(branch);
        Self {
            usual: short.into(),
            all: vec![
                commit.into(),
                short.into(),
                format!("{slug}-{commit}"),
                format!("{slug}-{short}"),
                branch.into(),
                slug,
            ],
        }
    }
}

/// As `CI_COMMIT_SHORT_SHA`.
const SHORT: usize = 8;

/// As `CI_COMMIT_REF_SLUG`.
fn slug(reference: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() { c } else { '-' };
    let slug: String = reference
        .to_lowercase()
        .chars()
        .map(plain)
        .take(63)
        .collect();
    slug.trim_matches('-').into()
}

/// The image whose tag is a name of the ref; else the only one. `pushed` are in the order of time.
pub(super) fn choose<'a>(
    pushed: &'a [Record],
    names: &Names,
) -> Result<Option<&'a Record>, Ambiguous> {
    for name in names.all.iter().filter(|name| !name.is_empty()) {
        let found = pushed.iter().rfind(|record| record.tag == *name);
        if found.is_some() {
            return Ok(found);
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
        tag: names.usual.clone(),
        images: images.collect::<Vec<_>>().join(", "),
    })
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
        check_named(&Names::of_tag("v2.2.0"), pushed, expect);
    }

    #[track_caller]
    fn check_named(names: &Names, pushed: &[(&str, &str)], expect: Result<Option<&str>, &str>) {
        let pushed: Vec<_> = pushed.iter().map(|(tag, it)| record(tag, it)).collect();
        match (choose(&pushed, names), expect) {
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
    fn of_a_branch_the_image_is_named_by_commit_or_branch() {
        let commit = "2b6202bd58b44c83de153e847af7aa646f7f055e";
        let names = Names::of_branch("release/2.x", commit);
        let check = |pushed: &[_], expect| check_named(&names, pushed, expect);
        check(&[("2b6202bd", "a"), ("latest", "b")], Ok(Some("a")));
        check(&[("debug", "b"), (commit, "a")], Ok(Some("a")));
        check(&[("release-2-x", "a"), ("latest", "b")], Ok(Some("a")));
        check(&[("release-2-x-2b6202bd", "a"), ("x", "b")], Ok(Some("a")));
        // A commit names one image; a branch's name may have been given to another one on the way.
        check(&[("2b6202bd", "a"), ("release-2-x", "b")], Ok(Some("a")));
        check(&[("latest", "a"), ("77", "a")], Ok(Some("a")));
        check(
            &[("latest", "a"), ("debug", "b")],
            Err("none of them is tagged 2b6202bd"),
        );
        check(
            &[("2b6202b", "a"), ("v2.2.0", "b")],
            Err("h/app:v2.2.0 (b)"),
        );
    }

    #[test]
    fn several_images_are_refused_with_all_their_names() {
        let pushed = [("latest", "0123456789abcdef"), ("debug", "b")];
        check(&pushed, Err("h/app:latest (0123456789ab), h/app:debug (b)"));
    }
}
