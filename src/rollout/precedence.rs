//! Which release may follow which: an older one is refused, because it would be a rollback that
//! nobody asked for, as when an old pipeline is retried; so is one that somebody went back from. Pure.

use super::{journal::Run, port::Release};
use crate::lang::{both, word};

/// How old a release is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Age {
    /// GitLab counts pipelines upwards.
    pub pipeline: i64,
    /// The first pipeline that pushed an image of its commit: a later pipeline of an old tag makes the commit no newer.
    /// No time says it, because builds of two commits overtake each other.
    pub first: Option<i64>,
}

/// Why a release is older than the newest one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Older {
    #[error("{}", both!("its pipeline {pipeline} is older than {newest}", "它的流水线 {pipeline} 比 {newest} 旧"))]
    Pipeline { pipeline: i64, newest: i64 },
    #[error("{}", both!("its commit was first built by pipeline {first}, and that one's by {newest}", "它的提交最早由流水线 {first} 构建，后者由 {newest} 构建"))]
    Commit { first: i64, newest: i64 },
    #[error("{}", word!("somebody went back from there", "有人从那里回滚了"))]
    TakenBack,
}

/// Compares a release with the newest one that was proven.
pub(crate) fn older(release: Age, newest: Age) -> Option<Older> {
    if release.pipeline < newest.pipeline {
        return Some(Older::Pipeline {
            pipeline: release.pipeline,
            newest: newest.pipeline,
        });
    }
    let (first, newest) = (release.first?, newest.first?);
    (first < newest).then_some(Older::Commit { first, newest })
}

/// True where a release is of a later pipeline and commit than one that somebody went back from.
pub(crate) fn is_newer(release: Age, taken_back: Age) -> bool {
    let is_newer_commit = match (release.first, taken_back.first) {
        (Some(first), Some(other)) => first > other,
        _ => true,
    };
    release.pipeline > taken_back.pipeline && is_newer_commit
}

/// What a release is held against.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bar<'a> {
    /// The run that brought it out.
    pub run: &'a Run,
    /// The rollback that went back from it; `None` for what is out.
    pub taken_back: Option<&'a Run>,
}

/// What is out, and all that somebody went back from since something was deployed last. `runs` are
/// newest first.
pub(crate) fn bars<'a>(runs: &[&'a Run]) -> Vec<Bar<'a>> {
    let mut bars: Vec<Bar<'a>> = Vec::new();
    for proven in runs.iter().filter(|run| run.is_proven()) {
        let is_there = |bars: &[Bar<'_>], release: &Release| {
            let mut there = bars.iter();
            there.any(|bar| bar.run.release.reference() == release.reference())
        };
        if !is_there(&bars, &proven.release) {
            bars.push(Bar {
                run: proven,
                taken_back: None,
            });
        }
        if !proven.cause.is_rollback() {
            break;
        }
        for run in runs {
            if has_replaced(proven, &run.release) && !is_there(&bars, &run.release) {
                bars.push(Bar {
                    run,
                    taken_back: Some(proven),
                });
            }
        }
    }
    bars
}

/// True when a run found that release on a host.
fn has_replaced(run: &Run, release: &Release) -> bool {
    let captured = run.captured.values();
    let mut previous = captured.filter_map(|captured| captured.previous.as_ref());
    *release != run.release && previous.any(|container| container.runs(release))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn age(pipeline: i64, first: i64) -> Age {
        Age {
            pipeline,
            first: Some(first),
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
    fn what_somebody_went_back_from_is_followed_by_what_is_newer_alone() {
        assert!(is_newer(age(78, 20), age(77, 10)));
        assert!(!is_newer(age(77, 10), age(77, 10)));
        assert!(!is_newer(age(78, 10), age(77, 10)));
        assert!(!is_newer(age(76, 20), age(77, 10)));
    }

    #[test]
    fn what_nobody_knows_of_a_commit_is_no_reason() {
        let unknown = |pipeline| Age {
            pipeline,
            first: None,
        };
        assert_eq!(older(unknown(78), age(77, 10)), None);
        assert_eq!(older(age(78, 10), unknown(77)), None);
        assert!(is_newer(age(78, 10), unknown(77)));
    }
}
