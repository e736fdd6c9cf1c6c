//! The recovery table: what the journal says of a host, what is seen there, and what is done.

use std::collections::BTreeMap;

use super::kit::{member, release};
use crate::rollout::{
    debt::{Debt, Owed},
    journal::{Cause, Direction, Event, Owner, Run, Step},
    plan::Fleet,
    port::{Container, Health, Pool, Survey, Weight},
    resume::{Action, decide},
};

pub(super) fn container(version: &str, health: Health) -> Container {
    Container {
        id: format!("container of {version}"),
        reference: release(version).reference(),
        image: format!("image of {version}"),
        digests: vec![release(version).reference()],
        is_running: true,
        is_paused: false,
        health,
        restarts: 0,
    }
}

pub(super) fn weight(number: u8) -> Weight {
    Weight::new(number).unwrap()
}

/// `marks` are steps as `drain`, `drained`, `switch`, `switched`, `admit`, `admitted`.
#[track_caller]
fn check(marks: &[&str], seen: (u8, Option<Container>), expect: &Action) {
    check_owed(false, marks, seen, expect);
}

/// The same where the weight is owed, or is not.
#[track_caller]
fn check_owed(is_owed: bool, marks: &[&str], seen: (u8, Option<Container>), expect: &Action) {
    let host = || "app-1".to_owned();
    let mut events = vec![
        Event::Opened {
            run: "r1".into(),
            release: release("v2"),
            owner: Owner::default(),
            hosts: vec![host()],
            cause: Cause::Deploy,
        },
        Event::Captured {
            host: host(),
            weight: Some(weight(100)),
            found: Some(weight(100)),
            member: Some(member("app-1")),
            previous: Some(container("v1", Health::Healthy)),
            is_outdated: false,
        },
    ];
    let mut direction = Direction::Do;
    for mark in marks {
        if *mark == "undoing" {
            direction = Direction::Undo;
            events.push(Event::Undoing { why: "bad".into() });
            continue;
        }
        let step = match &mark[..5] {
            "drain" => Step::Drain,
            "switc" => Step::Switch,
            _ => Step::Admit,
        };
        let host = host();
        events.push(if mark.ends_with("ed") {
            Event::Done {
                host,
                step,
                direction,
            }
        } else {
            Event::Intent {
                host,
                step,
                direction,
            }
        });
    }
    let (number, container) = seen;
    let survey = Survey {
        container,
        bridge: None,
        leftovers: Vec::new(),
        compose: String::new(),
        free_bytes: 0,
        is_switching: false,
        is_outdated: false,
    };
    let fleet = Fleet {
        pool: Some(Pool {
            own: BTreeMap::from([(host(), member("app-1"))]),
            weights: BTreeMap::from([(member("app-1"), weight(number))]),
            ..Pool::default()
        }),
        surveys: BTreeMap::from([(host(), survey)]),
    };
    let run = Run::fold(&events).unwrap();
    let debt = Debt::from_iter(is_owed.then(|| Owed {
        member: member("app-1"),
        host: host(),
        weight: weight(100),
        run: "r1".into(),
    }));
    assert_eq!(decide(&run, &debt, &fleet), [(host(), expect.clone())]);
}

#[test]
fn every_row_of_the_recovery_table_holds() {
    use Health::{Healthy, Starting, Unhealthy};
    let old = || Some(container("v1", Healthy));
    let new = |health| Some(container("v2", health));
    let other = || Some(container("v0", Healthy));

    check(&[], (100, old()), &Action::Keep);
    check(&[], (0, old()), &Action::Keep);
    check(&["drain"], (100, old()), &Action::Restore);
    check(&["drain"], (0, old()), &Action::Restore);
    check(&["drain", "drained"], (0, old()), &Action::Restore);
    check(&["switch"], (0, old()), &Action::Restore);
    check(&["switch"], (0, new(Healthy)), &Action::Adopt);
    check(&["switch"], (0, new(Starting)), &Action::Adopt);
    check(&["switch"], (0, new(Unhealthy)), &Action::Undo);
    check(&["switch"], (0, None), &Action::Undo);
    check(&["switch"], (0, other()), &Action::Undo);
    check(&["switch", "switched"], (0, new(Healthy)), &Action::Adopt);
    check(&["admit"], (0, new(Healthy)), &Action::Adopt);
    check(&["admit"], (100, new(Healthy)), &Action::Adopt);
    check(&["admit"], (100, new(Unhealthy)), &Action::Undo);
    check(&["admit", "admitted"], (100, new(Healthy)), &Action::Keep);
    check(&["admit", "admitted"], (37, new(Healthy)), &Action::Keep);
    // Once the way leads back, a new release that is healthy is no reason to keep it.
    check(&["switch", "undoing"], (0, new(Healthy)), &Action::Undo);
    check(
        &["admit", "admitted", "undoing"],
        (100, new(Healthy)),
        &Action::Undo,
    );
    check(
        &["admit", "admitted", "undoing", "drain"],
        (0, new(Healthy)),
        &Action::Undo,
    );
    check(
        &["switch", "undoing", "switch"],
        (0, old()),
        &Action::Restore,
    );
    check(
        &["undoing", "admit", "admitted"],
        (100, old()),
        &Action::Keep,
    );
}

#[test]
fn what_is_owed_is_given_back_whatever_the_journal_says() {
    use Health::{Healthy, Unhealthy};
    let check = |marks: &[&str], container, expect| {
        check_owed(true, marks, (0, Some(container)), &expect);
    };
    check(&[], container("v1", Healthy), Action::Restore);
    check(&[], container("v1", Unhealthy), Action::LeaveOut);
    check(
        &["admit", "admitted"],
        container("v2", Healthy),
        Action::Adopt,
    );
    check(
        &["admit", "admitted"],
        container("v1", Healthy),
        Action::Restore,
    );
    let back = ["undoing", "admit", "admitted"];
    check(&back, container("v1", Healthy), Action::Restore);
}

#[test]
fn a_third_weight_is_somebody_elses() {
    let drift = |is_harmless| Action::Drift {
        seen: weight(37),
        is_harmless,
    };
    let old = Some(container("v1", Health::Healthy));
    check(&["drain"], (37, old), &drift(true));
    check(&["switch"], (37, None), &drift(false));
}
