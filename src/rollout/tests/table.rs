//! The recovery table: what the journal says of a host, what is seen there, and what is done.

use std::collections::BTreeMap;

use super::kit::release;
use crate::rollout::{
    journal::{Direction, Event, Owner, Run, Step},
    plan::Fleet,
    port::{Container, Health, Pool, Survey, Weight},
    resume::{Action, decide},
};

fn container(version: &str, health: Health) -> Container {
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

fn weight(number: u8) -> Weight {
    Weight::new(number).unwrap()
}

/// `marks` are steps as `drain`, `drained`, `switch`, `switched`, `admit`, `admitted`.
#[track_caller]
fn check(marks: &[&str], seen: (u8, Option<Container>), expect: &Action) {
    let host = || "app-1".to_owned();
    let mut events = vec![
        Event::Opened {
            run: "r1".into(),
            release: release("v2"),
            owner: Owner::default(),
            hosts: vec![host()],
        },
        Event::Captured {
            host: host(),
            weight: Some(weight(100)),
            found: Some(weight(100)),
            previous: Some(container("v1", Health::Healthy)),
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
        leftovers: Vec::new(),
        compose: String::new(),
        free_bytes: 0,
        is_switching: false,
    };
    let fleet = Fleet {
        pool: Some(Pool {
            weights: BTreeMap::from([(host(), weight(number))]),
            strangers: Vec::new(),
        }),
        surveys: BTreeMap::from([(host(), survey)]),
    };
    let run = Run::fold(&events).unwrap();
    assert_eq!(decide(&run, &fleet), [(host(), expect.clone())]);
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
fn a_third_weight_is_somebody_elses() {
    let drift = |is_harmless| Action::Drift {
        seen: weight(37),
        is_harmless,
    };
    let old = Some(container("v1", Health::Healthy));
    check(&["drain"], (37, old), &drift(true));
    check(&["switch"], (37, None), &drift(false));
}
