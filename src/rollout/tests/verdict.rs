//! What may be said at the end: what was seen of one host last, and which word follows.

use std::collections::BTreeMap;

use super::{
    guards::opened,
    kit::member,
    table::{container, weight},
};
use crate::config::Percent;
use crate::rollout::{
    debt::{Change, Debt, Owed},
    journal::{Direction, Event, Outcome, Run},
    plan::{Fleet, Floor, Refusal},
    port::{Health, Pool, Survey},
    verdict::{Aim, Seen, judge},
};

#[expect(
    clippy::struct_excessive_bools,
    reason = "each is one thing that may be wrong"
)]
/// What was seen of the one host last: all in order, on v2, with the weight it had.
struct Last {
    weight: u8,
    version: &'static str,
    health: Health,
    is_seen: bool,
    is_read: bool,
    is_owed: bool,
    may_lack_check: bool,
}

impl Default for Last {
    fn default() -> Self {
        Self {
            weight: 100,
            version: "v2",
            health: Health::Healthy,
            is_seen: true,
            is_read: true,
            is_owed: false,
            may_lack_check: false,
        }
    }
}

impl Last {
    fn seen(&self) -> Seen {
        let host = || "app-1".to_owned();
        let survey = Survey {
            container: Some(container(self.version, self.health)),
            bridge: None,
            leftovers: Vec::new(),
            compose: String::new(),
            free_bytes: 0,
            is_switching: false,
            is_outdated: false,
        };
        let pool = Pool {
            own: [(host(), member("app-1"))].into(),
            weights: [(member("app-1"), weight(self.weight))].into(),
            ..Pool::default()
        };
        let surveys = [(host(), survey)].into();
        Seen {
            fleet: Fleet {
                pool: self.is_read.then_some(pool),
                surveys: if self.is_seen {
                    surveys
                } else {
                    BTreeMap::new()
                },
            },
            unread: (!self.is_read).then(|| "refused".to_owned()),
            unseen: BTreeMap::new(),
            deaf: BTreeMap::new(),
            may_lack_check: self.may_lack_check,
        }
    }

    fn debt(&self) -> Debt {
        let owed = Owed {
            member: member("app-1"),
            host: "app-1".into(),
            weight: weight(100),
            run: "r1".into(),
        };
        let debt = Debt::default();
        if self.is_owed {
            debt.after(Change::Taken(owed))
        } else {
            debt
        }
    }
}

fn run() -> Run {
    let captured = Event::Captured {
        host: "app-1".into(),
        weight: Some(weight(100)),
        found: Some(weight(100)),
        member: Some(member("app-1")),
        previous: Some(container("v1", Health::Healthy)),
        is_outdated: false,
    };
    Run::fold(&[opened(&["app-1"]), captured]).unwrap()
}

#[track_caller]
fn check(last: &Last, aim: Aim, expect: Outcome) {
    let verdict = judge(&run(), &last.debt(), &last.seen(), aim);
    assert_eq!(verdict.outcome, expect, "{verdict:?}");
    let has_trouble = expect == Outcome::Stuck;
    assert_eq!(!verdict.troubles.is_empty(), has_trouble, "{verdict:?}");
}

const FORWARD: Aim = Aim::All(Direction::Do);
const BACK: Aim = Aim::All(Direction::Undo);

#[test]
fn done_is_what_was_seen_in_order() {
    check(&Last::default(), FORWARD, Outcome::Done);
    let before = || Last {
        version: "v1",
        ..Last::default()
    };
    check(&before(), BACK, Outcome::Undone);
    check(&before(), Aim::Halt, Outcome::Stopped);
    check(&Last::default(), BACK, Outcome::Stuck);
    let unchecked = |may_lack_check| Last {
        health: Health::None,
        may_lack_check,
        ..Last::default()
    };
    check(&unchecked(true), FORWARD, Outcome::Done);
    check(&unchecked(false), FORWARD, Outcome::Stuck);
}

#[test]
fn what_was_not_seen_or_is_not_in_order_is_stuck() {
    for aim in [FORWARD, BACK, Aim::Halt] {
        for version in ["v1", "v2"] {
            let good = || Last {
                version,
                ..Last::default()
            };
            let is_seen = false;
            check(&Last { is_seen, ..good() }, aim, Outcome::Stuck);
            let is_read = false;
            check(&Last { is_read, ..good() }, aim, Outcome::Stuck);
            let is_owed = true;
            check(&Last { is_owed, ..good() }, aim, Outcome::Stuck);
            let health = Health::Unhealthy;
            check(&Last { health, ..good() }, aim, Outcome::Stuck);
        }
        let version = "v9";
        let other = Last {
            version,
            ..Last::default()
        };
        check(&other, aim, Outcome::Stuck);
    }
}

#[test]
fn a_weight_that_somebody_moved_is_never_done() {
    let moved = || Last {
        weight: 50,
        ..Last::default()
    };
    check(&moved(), FORWARD, Outcome::Stopped);
    let before = Last {
        version: "v1",
        ..moved()
    };
    check(&before, BACK, Outcome::Stopped);
}

#[test]
fn of_no_host_nothing_good_is_said() {
    let run = Run::fold(&[opened(&[])]).unwrap();
    let last = Last::default();
    let verdict = judge(&run, &Debt::default(), &last.seen(), FORWARD);
    assert_eq!(verdict.outcome, Outcome::Stuck);
}

#[test]
fn a_host_that_could_not_be_looked_at_may_serve_and_is_not_taken_out_for_nothing() {
    let names = ["app-1", "app-2", "app-3"].map(str::to_owned);
    let survey = |health| Survey {
        container: Some(container("v1", health)),
        bridge: None,
        leftovers: Vec::new(),
        compose: String::new(),
        free_bytes: 0,
        is_switching: false,
        is_outdated: false,
    };
    let mut fleet = Fleet {
        pool: Some(Pool {
            own: names
                .clone()
                .map(|name| (name.clone(), member(&name)))
                .into(),
            weights: names
                .clone()
                .map(|name| (member(&name), weight(100)))
                .into(),
            ..Pool::default()
        }),
        surveys: [
            ("app-1".to_owned(), survey(Health::Unhealthy)),
            ("app-3".to_owned(), survey(Health::Healthy)),
        ]
        .into(),
    };
    let originals = names.map(|name| (name, weight(100))).into();
    let floor = Floor {
        percent: Percent::new(66),
        allows_downtime: false,
        originals: &originals,
    };
    let refused = floor.allows(&fleet, "app-2").unwrap_err();
    assert!(
        matches!(refused, Refusal::Capacity { left: 100, .. }),
        "{refused}"
    );
    fleet
        .surveys
        .insert("app-2".into(), survey(Health::Unhealthy));
    assert_eq!(floor.allows(&fleet, "app-2"), Ok(()));
}
