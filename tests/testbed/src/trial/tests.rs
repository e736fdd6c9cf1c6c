//! What becomes of tests whose needs are missing.

use std::sync::atomic::{AtomicU32, Ordering};

use libtest_mimic::Completion;

use super::{Fixture, Need, without};

fn reason(completion: Completion) -> Option<String> {
    match completion {
        Completion::Completed => None,
        Completion::Ignored { reason } => reason,
    }
}

#[test]
fn a_missing_need_is_ignored_with_its_reason_and_fails_in_ci() {
    let ignored = without(Need::Buildx, "there is no buildx".into(), false).unwrap();
    assert_eq!(reason(ignored).as_deref(), Some("there is no buildx"));
    let failed = without(Need::Buildx, "there is no buildx".into(), true)
        .err()
        .unwrap();
    assert!(
        failed
            .message()
            .unwrap()
            .ends_with("but there is no buildx")
    );
}

#[test]
fn only_a_real_gitlab_runner_may_be_missing_in_ci() {
    let ignored = without(Need::GitlabRunner, "there is none".into(), true).unwrap();
    assert_eq!(reason(ignored).as_deref(), Some("there is none"));
}

#[test]
fn a_fixture_that_cannot_be_made_is_tried_once() {
    static TRIES: AtomicU32 = AtomicU32::new(0);
    let fixture: Fixture<()> = Fixture::new(|| {
        TRIES.fetch_add(1, Ordering::SeqCst);
        anyhow::bail!("no disk")
    });
    for _ in 0..2 {
        assert_eq!(
            fixture.get().unwrap_err(),
            "the fixture was not made: no disk"
        );
    }
    assert_eq!(TRIES.load(Ordering::SeqCst), 1);
}
