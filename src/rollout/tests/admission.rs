//! What the balancer's own checks say of hosts that got their weight back, and of strangers.

use std::{rc::Rc, time::Duration};

use super::{
    guards::{count, number},
    kit::{Break, Manner, Sim},
    scenes::{log, refused, three},
};
use crate::rollout::journal::Outcome;

#[track_caller]
fn check(sim: &Rc<Sim>, expect: Outcome) {
    let report = sim.roll_out("v2").unwrap().unwrap();
    assert_eq!(*sim.violations.borrow(), [""; 0], "{}", log(sim));
    assert_eq!(report.outcome, expect, "{}", log(sim));
    assert!(sim.weights.borrow().values().all(|weight| *weight == 100));
}

#[test]
fn the_next_host_waits_until_the_balancer_calls_this_one_healthy() {
    let sim = three();
    sim.admits_after.set(7);
    check(&sim, Outcome::Done);
    let expect = "app-1  the balancer calls it healthy after 10.0 s";
    assert!(log(&sim).contains(expect), "{}", log(&sim));
    // Asked before anything began, then after 0, 3, 4, 6 and 10 seconds.
    assert_eq!(count(&sim, "health"), 1 + 3 * 5);
}

#[test]
fn a_healthy_release_that_the_balancer_rejects_is_undone_on_the_first_host() {
    let sim = three();
    sim.rejects.borrow_mut().insert("v2".into());
    check(&sim, Outcome::Undone);
    assert_eq!(sim.runs("app-1").as_deref(), Some("v1"));
    assert_eq!(count(&sim, "switch app-2"), 0);
    assert!(log(&sim).contains("the balancer's own health check does not call it healthy"));
}

#[test]
fn a_host_that_goes_back_and_that_the_balancer_rejects_takes_no_other_one_out() {
    let sim = three();
    // What ran before is rejected once it runs again.
    sim.edit("app-2", |host| {
        host.manner = Some(("v2", Manner::ExitsAfter(4)));
    });
    sim.rejects_restored.set(true);
    let report = sim.roll_out("v2").unwrap().unwrap();
    assert_eq!(report.outcome, Outcome::Stuck, "{}", log(&sim));
    assert_eq!(count(&sim, "switch app-2"), 2);
    assert_eq!(count(&sim, "switch app-1"), 1);
    assert!(report.summary.contains("app-1 serves v2, and stays so"));
}

#[test]
fn a_balancer_without_checks_is_not_waited_for_and_that_is_said_once() {
    let sim = three();
    sim.has_check.set(false);
    sim.rejects.borrow_mut().insert("v2".into());
    check(&sim, Outcome::Done);
    let text = "the balancer checks nobody's health";
    assert_eq!(log(&sim).matches(text).count(), 1, "{}", log(&sim));
}

#[test]
fn without_time_for_an_admission_the_balancer_is_not_asked() {
    let sim = three();
    sim.rollout.borrow_mut().admission_timeout = Duration::ZERO;
    sim.rejects.borrow_mut().insert("v2".into());
    check(&sim, Outcome::Done);
    assert_eq!(count(&sim, "health"), 0);
}

#[test]
fn checks_that_cannot_be_asked_are_found_before_anything_is_touched() {
    let sim = three();
    let at = number(three, "health", 1);
    sim.faults.borrow_mut().push((at, Break::Refuse));
    assert_eq!(
        refused(&sim),
        "cannot read what the balancer's own health checks say"
    );
}

#[test]
fn somebody_who_insists_does_not_wait_for_the_balancer_s_checks() {
    let sim = three();
    sim.admits_after.set(30);
    let at = number(three, "health", 2);
    sim.faults.borrow_mut().push((at, Break::StopNow));
    let report = sim.roll_out("v2").unwrap().unwrap();
    assert_eq!(report.outcome, Outcome::Stopped, "{}", log(&sim));
    assert!(log(&sim).contains("not waited for the balancer's own check any longer"));
    assert!(sim.weights.borrow().values().all(|weight| *weight == 100));
}

#[test]
fn a_stranger_that_the_balancer_calls_ill_is_no_capacity() {
    let sim = Sim::new(&[("app-1", 50)]);
    let stranger = ("legacy".to_owned(), 3131, 100);
    sim.strangers.borrow_mut().push(stranger);
    sim.ill.borrow_mut().insert("legacy".into());
    assert!(refused(&sim).starts_with("app-1 is the only backend that serves requests"));
}
