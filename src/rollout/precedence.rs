//! Which release may follow which: an older one is refused, because it would be a rollback that
//! nobody asked for, as when an old pipeline is retried. Pure.

use jiff::Timestamp;

/// How old a release is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Age {
    /// GitLab counts pipelines upwards.
    pub pipeline: i64,
    /// When its commit was pushed as an image for the first time: a later pipeline of an old tag
    /// makes the commit no newer.
    pub pushed: Option<Timestamp>,
}

/// Why a release is older than the newest one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Older {
    #[error("its pipeline {pipeline} is older than {newest}")]
    Pipeline { pipeline: i64, newest: i64 },
    #[error("its commit was first pushed at {pushed}, and that one's at {newest}")]
    Commit {
        pushed: Timestamp,
        newest: Timestamp,
    },
}

/// Compares a release with the newest one that was proven.
pub(crate) fn older(release: Age, newest: Age) -> Option<Older> {
    if release.pipeline < newest.pipeline {
        return Some(Older::Pipeline {
            pipeline: release.pipeline,
            newest: newest.pipeline,
        });
    }
    let (pushed, newest) = (release.pushed?, newest.pushed?);
    (pushed < newest).then_some(Older::Commit { pushed, newest })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn age(pipeline: i64, second: i64) -> Age {
        Age {
            pipeline,
            pushed: Timestamp::new(second, 0).ok(),
        }
    }

    #[test]
    fn neither_an_older_pipeline_nor_an_older_commit_follows_a_newer_one() {
        assert_eq!(older(age(78, 20), age(77, 10)), None);
        assert_eq!(older(age(77, 10), age(77, 10)), None);
        assert!(matches!(
            older(age(76, 20), age(77, 10)),
            Some(Older::Pipeline { .. })
        ));
        assert!(matches!(
            older(age(78, 5), age(77, 10)),
            Some(Older::Commit { .. })
        ));
    }

    #[test]
    fn what_nobody_knows_of_a_commit_is_no_reason() {
        let unknown = |pipeline| Age {
            pipeline,
            pushed: None,
        };
        assert_eq!(older(unknown(78), age(77, 10)), None);
        assert_eq!(older(age(78, 10), unknown(77)), None);
    }
}
