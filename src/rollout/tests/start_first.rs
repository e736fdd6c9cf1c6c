//! start-first: a second instance carries a host's weight while the first is replaced.

use std::{rc::Rc, time::Duration};

use super::{
    guards::count,
    kit::{Break, Manner, Sim},
    scenes::{log, refused},
};
use crate::{config::Order, rollout::journal::Outcome};

/// Hosts of weight 100 that have a second port.
pub(super) fn start_first(names: &[&str]) -> Rc<Sim> {
    let hosts: Vec<_> = names.iter().map(|name| (*name, 100)).collect();
    let sim = Sim::new(&hosts);
    sim.has_bridge.set(true);
    sim.rollout.borrow_mut().order = Order::StartFirst;
    sim
}

fn alone() -> Rc<Sim> {
    start_first(&["app-1"])
}

#[track_caller]
fn check(sim: &Rc<Sim>, expect: Outcome) {
    let report = sim.roll_out("v2").unwrap().unwrap();
    assert_eq!(*sim.violations.borrow(), [""; 0], "{}", log(sim));
    assert_eq!(report.outcome, expect, "{}", log(sim));
    assert!(sim.weights.borrow().values().all(|weight| *weight == 100));
    assert_eq!(sim.seconds(), [""; 0], "{}", log(sim));
}

/// The number of the `nth` such call of a scene that is left alone.
fn number(scene: fn() -> Rc<Sim>, call: &str, nth: usize) -> usize {
    let sim = scene();
    sim.roll_out("v2").unwrap().unwrap();
    let calls = sim.calls.borrow();
    let mut found = (1..).zip(calls.iter()).filter(|(_, name)| *name == call);
    found.nth(nth - 1).unwrap().0
}

#[test]
fn the_only_host_goes_on_serving_and_reads_as_a_story() {
    let sim = alone();
    check(&sim, Outcome::Done);
    assert_eq!(sim.runs("app-1").as_deref(), Some("v2"));
    insta::assert_snapshot!(log(&sim));
}

#[test]
fn a_bad_release_goes_before_the_running_container_was_touched() {
    let sim = alone();
    sim.behave("v2", Manner::UnhealthyAfter(5));
    check(&sim, Outcome::Undone);
    assert_eq!(count(&sim, "switch app-1"), 0);
    assert_eq!(count(&sim, "set_weight app-1"), 0);
    assert_eq!(count(&sim, "weigh app-1"), 0);
    insta::assert_snapshot!(log(&sim));
}

#[test]
fn a_release_that_is_bad_at_its_first_requests_goes_with_its_share() {
    let sim = alone();
    let at = look_after("weigh app-1");
    sim.faults.borrow_mut().push((at, Break::Fall));
    check(&sim, Outcome::Undone);
    assert_eq!(count(&sim, "switch app-1"), 0);
    assert_eq!(count(&sim, "set_weight app-1"), 0);
    // A tenth, and none again.
    assert_eq!(count(&sim, "weigh app-1"), 2);
}

#[test]
fn a_second_instance_that_the_balancer_rejects_gets_no_more_than_its_share() {
    let sim = alone();
    sim.rejects.borrow_mut().insert("v2".into());
    check(&sim, Outcome::Undone);
    let expect = "second instance: weight 10, read back";
    assert!(log(&sim).contains(expect), "{}", log(&sim));
    assert_eq!(count(&sim, "set_weight app-1"), 0);
    assert_eq!(count(&sim, "weigh app-1"), 2);
}

#[test]
fn a_release_that_is_bad_in_place_goes_while_the_second_instance_serves() {
    let sim = alone();
    sim.edit("app-1", |host| {
        host.manner_in_place = Some(("v2", Manner::UnhealthyAfter(5)));
    });
    check(&sim, Outcome::Undone);
    assert_eq!(sim.runs("app-1").as_deref(), Some("v1"));
    assert_eq!(count(&sim, "switch app-1"), 2);
}

#[test]
fn what_goes_back_starts_first_too() {
    let sim = start_first(&["app-1", "app-2"]);
    sim.edit("app-2", |host| {
        host.manner = Some(("v2", Manner::ExitsAfter(4)));
    });
    check(&sim, Outcome::Undone);
    assert_eq!(count(&sim, "start bridge app-1"), 2);
    assert_eq!(count(&sim, "switch app-1"), 2);
    assert_eq!(count(&sim, "switch app-2"), 0);
    insta::assert_snapshot!(log(&sim));
}

#[test]
fn a_host_that_serves_nothing_needs_no_second_instance() {
    let sim = start_first(&["app-1", "app-2"]);
    sim.edit("app-1", |host| host.container = None);
    check(&sim, Outcome::Done);
    assert_eq!(count(&sim, "start bridge app-1"), 0);
    assert_eq!(count(&sim, "start bridge app-2"), 1);
}

#[test]
fn the_first_instance_keeps_its_weight_until_the_second_one_carries_it() {
    // The second instance is found dead just before the first one would be taken out.
    let sim = start_first(&["app-1", "app-2"]);
    let probe = start_first(&["app-1", "app-2"]);
    probe.roll_out("v2").unwrap().unwrap();
    let calls = probe.calls.borrow();
    let taken = calls
        .iter()
        .position(|it| it == "set_weight app-1")
        .unwrap();
    let seen = calls[..taken].iter().rposition(|it| it == "survey app-1");
    sim.faults
        .borrow_mut()
        .push((seen.unwrap() + 1, Break::Fall));
    check(&sim, Outcome::Undone);
    assert_eq!(count(&sim, "set_weight app-1"), 0, "{}", log(&sim));
}

#[test]
fn a_second_instance_is_kept_where_the_first_one_died_after_it_was_back() {
    let sim = alone();
    // The third weight of the second instance is its last: the first one is back by then.
    let at = number(alone, "weigh app-1", 3);
    sim.faults.borrow_mut().push((at, Break::CrashBefore));
    assert!(sim.roll_out("v2").is_none());
    sim.revive();
    // What is owed is read, then the weights and the host.
    let calls = sim.calls.borrow().len();
    sim.faults.borrow_mut().push((calls + 3, Break::Die));
    let reports = sim.recover().unwrap().unwrap();
    assert_eq!(reports[0].outcome, Outcome::Stuck, "{}", log(&sim));
    assert!(sim.has_died("app-1"), "{}", log(&sim));
    assert_eq!(sim.bridges.borrow()["app-1"], 100, "{}", log(&sim));
    assert!(sim.is_bridge_serving("app-1"));
}

/// The first look at the host after such a call.
fn look_after(call: &str) -> usize {
    let sim = alone();
    sim.roll_out("v2").unwrap().unwrap();
    let calls = sim.calls.borrow();
    let at = calls.iter().position(|it| it == call).unwrap();
    at + calls[at..]
        .iter()
        .position(|it| it == "survey app-1")
        .unwrap()
        + 1
}

#[test]
fn a_second_instance_stays_while_the_first_one_has_not_its_weight_back() {
    let sim = alone();
    sim.edit("app-1", |host| {
        host.manner_in_place = Some(("v2", Manner::UnhealthyAfter(5)));
    });
    let at = number(
        || {
            let sim = alone();
            sim.edit("app-1", |host| {
                host.manner_in_place = Some(("v2", Manner::UnhealthyAfter(5)));
            });
            sim
        },
        "switch app-1",
        2,
    );
    sim.faults.borrow_mut().push((at, Break::Refuse));
    let report = sim.roll_out("v2").unwrap().unwrap();
    assert_eq!(report.outcome, Outcome::Stuck, "{}", log(&sim));
    assert_eq!(sim.weights.borrow()["app-1"], 0);
    assert_eq!(sim.bridges.borrow()["app-1"], 100);
    assert!(sim.is_bridge_serving("app-1"));
    // Another release is the cure, and nobody was without an answer.
    sim.mend();
    sim.behave("v3", Manner::HealthyAfter(2));
    let report = sim.roll_out("v3").unwrap().unwrap();
    assert_eq!(*sim.violations.borrow(), [""; 0], "{}", log(&sim));
    assert_eq!(report.outcome, Outcome::Done, "{}", log(&sim));
    assert_eq!(sim.seconds(), [""; 0], "{}", log(&sim));
}

#[test]
fn what_an_earlier_rollout_left_goes_where_nothing_else_is_to_do() {
    let sim = alone();
    check(&sim, Outcome::Done);
    sim.bridges.borrow_mut().insert("app-1".into(), 0);
    let report = sim.roll_out("v2").unwrap().unwrap();
    assert_eq!(report.outcome, Outcome::Done, "{}", log(&sim));
    assert_eq!(*sim.violations.borrow(), [""; 0], "{}", log(&sim));
    assert_eq!(sim.seconds(), [""; 0]);
    assert_eq!(count(&sim, "switch app-1"), 1);
}

#[test]
fn a_second_instance_that_cannot_be_removed_undoes_no_good_release() {
    let sim = alone();
    let at = number(alone, "clear app-1", 1);
    sim.faults.borrow_mut().push((at, Break::Refuse));
    check(&sim, Outcome::Done);
    assert_eq!(sim.runs("app-1").as_deref(), Some("v2"));
    assert_eq!(count(&sim, "switch app-1"), 1);
}

#[test]
fn without_a_second_port_the_only_host_is_refused_unless_an_outage_is_accepted() {
    let sim = Sim::new(&[("app-1", 100)]);
    let text = refused(&sim);
    assert!(text.contains("rollout.order = \"start-first\""), "{text}");
    let sim = Sim::new(&[("app-1", 100)]);
    sim.rollout.borrow_mut().allow_downtime = true;
    check(&sim, Outcome::Done);
}

#[test]
fn two_equal_hosts_deploy_and_no_more_than_one_is_out() {
    let sim = Sim::new(&[("app-1", 100), ("app-2", 100)]);
    check(&sim, Outcome::Done);
    let three = || Sim::new(&[("app-1", 100), ("app-2", 100), ("app-3", 100)]);
    // Looked at for the plan, for the plan after the pull, and before each drain.
    let at = number(three, "survey app-3", 4);
    let sim = three();
    sim.faults.borrow_mut().push((at, Break::Die));
    let report = sim.roll_out("v2").unwrap().unwrap();
    assert_ne!(report.outcome, Outcome::Done);
    assert_eq!(count(&sim, "set_weight app-2"), 0, "{}", log(&sim));
}

/// The second host does not take the release, so the first goes back.
fn bad_in_place() -> Rc<Sim> {
    let sim = start_first(&["app-1", "app-2"]);
    sim.be_brisk();
    sim.edit("app-2", |host| {
        host.manner_in_place = Some(("v2", Manner::ExitsAfter(2)));
    });
    sim
}

#[test]
fn a_late_write_of_before_takes_no_weight_that_nothing_carries() {
    let sim = bad_in_place();
    // Out, back, and out again on its way back: that one is applied after the balancer has refused.
    let at = number(bad_in_place, "set_weight app-1", 3);
    let faults = [(at, Break::Late), (at + 1, Break::Refuse)];
    sim.faults.borrow_mut().extend(faults);
    let report = sim.roll_out("v2").unwrap().unwrap();
    assert_eq!(report.outcome, Outcome::Stuck, "{}", log(&sim));
    sim.go_on();
    let report = sim.roll_out("v3").unwrap().unwrap();
    assert_eq!(*sim.violations.borrow(), [""; 0], "{}", log(&sim));
    assert_eq!(report.outcome, Outcome::Done, "{}", log(&sim));
    assert_eq!(sim.seconds(), [""; 0], "{}", log(&sim));
}

#[test]
fn what_an_earlier_rollout_left_goes_before_another_second_instance_starts() {
    let sim = alone();
    check(&sim, Outcome::Done);
    sim.bridges.borrow_mut().insert("app-1".into(), 0);
    let before = sim.calls.borrow().len();
    sim.behave("v3", Manner::HealthyAfter(2));
    let report = sim.roll_out("v3").unwrap().unwrap();
    assert_eq!(report.outcome, Outcome::Done, "{}", log(&sim));
    let calls = sim.calls.borrow();
    let at = |call: &str| calls[before..].iter().position(|it| it == call);
    assert!(at("leave app-1").unwrap() < at("start bridge app-1").unwrap());
}

/// Without waits: the whole weight follows the first share at once.
fn hasty() -> Rc<Sim> {
    let sim = start_first(&["app-1", "app-2"]);
    {
        let mut rollout = sim.rollout.borrow_mut();
        rollout.bake_time = Duration::ZERO;
        rollout.admission_timeout = Duration::ZERO;
        rollout.min_healthy_time = Duration::ZERO;
    }
    sim
}

#[test]
fn a_first_share_that_is_applied_late_takes_nothing_from_the_whole_one() {
    let sim = hasty();
    let at = number(hasty, "weigh app-1", 1);
    sim.faults.borrow_mut().push((at, Break::Late));
    check(&sim, Outcome::Done);
}
