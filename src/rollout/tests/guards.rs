//! Guards that only a fault at one exact moment can show.

use std::{collections::BTreeMap, rc::Rc};

use super::{
    kit::{Break, Manner, Sim, member, release},
    scenes::three,
};
use crate::rollout::{
    debt::Debt,
    journal::{Cause, Direction, Event, Outcome, Owner, Run, Step},
    plan::Fleet,
    port::{Container, Health, Pool, Survey, Weight},
    resume::{Action, decide},
};

/// The number of the `nth` such call of a scene that is left alone.
pub(super) fn number(scene: fn() -> Rc<Sim>, call: &str, nth: usize) -> usize {
    let sim = scene();
    sim.roll_out("v2").unwrap().unwrap();
    let calls = sim.calls.borrow();
    let mut found = (1..).zip(calls.iter()).filter(|(_, name)| *name == call);
    found.nth(nth - 1).unwrap().0
}

pub(super) fn count(sim: &Sim, call: &str) -> usize {
    let calls = sim.calls.borrow();
    calls.iter().filter(|name| *name == call).count()
}

/// The second host does not take the release.
fn bad_second(names: &[&'static str]) -> Rc<Sim> {
    let hosts: Vec<_> = names.iter().map(|name| (*name, 100)).collect();
    let sim = Sim::new(&hosts);
    sim.edit("app-2", |host| {
        host.manner = Some(("v2", Manner::ExitsAfter(4)));
    });
    sim
}

fn bad_of_three() -> Rc<Sim> {
    bad_second(&["app-1", "app-2", "app-3"])
}

fn bad_of_six() -> Rc<Sim> {
    bad_second(&["app-1", "app-2", "app-3", "app-4", "app-5", "app-6"])
}

#[test]
fn a_host_that_dies_meanwhile_keeps_the_others_in_forward_and_back() {
    let sim = three();
    // Looked at for the plan, for the plan after the pull, and before each drain.
    let at = number(three, "survey app-3", 4);
    sim.faults.borrow_mut().push((at, Break::Die));
    let report = sim.roll_out("v2").unwrap().unwrap();
    assert_eq!(*sim.violations.borrow(), [""; 0]);
    assert_eq!(report.outcome, Outcome::Stuck, "{}", report.summary);
    assert_eq!(count(&sim, "set_weight app-1"), 2);
    assert_eq!(count(&sim, "set_weight app-2"), 0);
    assert_eq!(sim.runs("app-1").as_deref(), Some("v2"));
}

#[test]
fn compose_is_not_started_once_somebody_gave_the_host_a_weight() {
    let sim = three();
    let at = number(three, "connections app-1", 1);
    sim.faults.borrow_mut().push((at, Break::Stranger));
    let report = sim.roll_out("v2").unwrap().unwrap();
    assert_eq!(*sim.violations.borrow(), [""; 0]);
    assert_eq!(count(&sim, "switch app-1"), 0);
    assert_ne!(report.outcome, Outcome::Done);
}

#[test]
fn a_host_that_somebody_took_out_meanwhile_is_left_alone() {
    let sim = three();
    let at = number(three, "set_weight app-1", 2);
    sim.faults.borrow_mut().push((at, Break::TakeOut("app-2")));
    let report = sim.roll_out("v2").unwrap().unwrap();
    assert_eq!(*sim.violations.borrow(), [""; 0]);
    assert_eq!(count(&sim, "switch app-2"), 0);
    assert_eq!(sim.weights.borrow()["app-2"], 0);
    assert_ne!(report.outcome, Outcome::Done);
}

#[test]
fn an_undo_that_was_cut_off_is_not_forgotten() {
    let sim = bad_of_three();
    let at = number(bad_of_three, "switch app-2", 2);
    sim.faults.borrow_mut().push((at, Break::CrashBefore));
    assert!(sim.roll_out("v2").is_none());
    sim.revive();
    let reports = sim.recover().unwrap().unwrap();
    assert_eq!(reports[0].outcome, Outcome::Undone);
    assert_eq!(sim.runs("app-1").as_deref(), Some("v1"));
}

#[test]
fn the_newest_host_is_undone_first() {
    let sim = three();
    sim.edit("app-3", |host| {
        host.manner = Some(("v2", Manner::ExitsAfter(4)));
    });
    sim.roll_out("v2").unwrap().unwrap();
    let calls = sim.calls.borrow();
    let switches: Vec<_> = calls
        .iter()
        .filter_map(|call| call.strip_prefix("switch "))
        .collect();
    let expect = ["app-1", "app-2", "app-3", "app-3", "app-2", "app-1"];
    assert_eq!(switches, expect);
}

#[test]
fn an_undo_that_fails_is_not_tried_on_a_host_that_serves() {
    let sim = bad_of_six();
    let at = number(bad_of_six, "switch app-2", 2);
    sim.faults.borrow_mut().push((at, Break::Refuse));
    let report = sim.roll_out("v2").unwrap().unwrap();
    assert_eq!(report.outcome, Outcome::Stuck);
    let expect = "app-1 serves v2, and stays so";
    assert!(report.summary.contains(expect), "{}", report.summary);
    assert_eq!(count(&sim, "set_weight app-1"), 2);
}

fn container(version: &str) -> Container {
    Container {
        id: version.into(),
        reference: release(version).reference(),
        image: version.into(),
        digests: vec![release(version).reference()],
        is_running: true,
        is_paused: false,
        health: Health::Healthy,
        restarts: 0,
    }
}

fn captured(host: &str, version: &str, weight: Weight) -> Event {
    Event::Captured {
        host: host.into(),
        weight: Some(weight),
        found: Some(weight),
        member: Some(member(host)),
        previous: Some(container(version)),
        is_outdated: false,
    }
}

pub(super) fn opened(hosts: &[&str]) -> Event {
    Event::Opened {
        run: "r1".into(),
        release: release("v2"),
        owner: Owner::default(),
        hosts: hosts.iter().map(|host| (*host).to_owned()).collect(),
        cause: Cause::Deploy,
    }
}

#[test]
fn the_first_capture_of_a_host_counts() {
    let full = Weight::new(100).unwrap();
    let run = Run::fold(&[
        opened(&["app-1"]),
        captured("app-1", "v1", full),
        captured("app-1", "v2", Weight::ZERO),
    ]);
    let captured = &run.unwrap().captured["app-1"];
    assert_eq!(captured.weight, Some(full));
    assert_eq!(captured.previous, Some(container("v1")));
}

#[test]
fn what_brings_capacity_back_is_undone_before_what_takes_it_away() {
    let full = Weight::new(100).unwrap();
    let step = |host: &str, step| Event::Done {
        host: host.into(),
        step,
        direction: Direction::Do,
    };
    let run = Run::fold(&[
        opened(&["app-1", "app-2"]),
        captured("app-1", "v1", full),
        captured("app-2", "v1", full),
        step("app-1", Step::Switch),
        step("app-2", Step::Admit),
        Event::Undoing { why: "bad".into() },
    ]);
    let survey = Survey {
        container: Some(container("v2")),
        bridge: None,
        leftovers: Vec::new(),
        compose: String::new(),
        free_bytes: 0,
        is_switching: false,
        is_outdated: false,
    };
    let hosts = ["app-1", "app-2"].map(str::to_owned);
    let weights = hosts.iter().map(|host| member(host));
    let fleet = Fleet {
        pool: Some(Pool {
            own: hosts
                .clone()
                .map(|host| (host.clone(), member(&host)))
                .into(),
            weights: weights.zip([Weight::ZERO, full]).collect(),
            ..Pool::default()
        }),
        surveys: BTreeMap::from(hosts.map(|host| (host, survey.clone()))),
    };
    let expect = ["app-1", "app-2"].map(|host| (host.to_owned(), Action::Undo));
    assert_eq!(decide(&run.unwrap(), &Debt::default(), &fleet), expect);
}
