//! Calls that fail: tried again by the clock, told every few seconds, ended by a wish to stop.

use std::{rc::Rc, time::Duration};

use super::{
    kit::{Break, Sim},
    scenes::three,
};
use crate::rollout::{engine::Error, journal::Outcome};

/// Three hosts; from the first call on the balancer does not answer.
fn closed() -> Rc<Sim> {
    let sim = three();
    sim.faults.borrow_mut().push((2, Break::Close));
    sim
}

fn seconds(sim: &Sim, began: Duration) -> u64 {
    sim.now.get().saturating_sub(began).as_secs()
}

/// The longest time without a line.
fn silence(sim: &Sim, began: Duration) -> Duration {
    let mut last = began;
    let mut longest = Duration::ZERO;
    for at in sim.said_at.borrow().iter().chain([&sim.now.get()]) {
        longest = longest.max(at.saturating_sub(last));
        last = *at;
    }
    longest
}

#[test]
fn a_balancer_that_stays_closed_is_given_up_after_half_a_minute_and_told_every_three_seconds() {
    let sim = closed();
    let began = sim.now.get();
    let error = sim.roll_out("v2").unwrap().unwrap_err();
    assert!(matches!(error, Error::Balancer { .. }), "{error}");
    let took = seconds(&sim, began);
    assert!((25..=30).contains(&took), "{took}");
    assert!(silence(&sim, began) <= Duration::from_secs(3));
    let lines = sim.lines.borrow();
    assert!(
        lines.contains(&"waits for the balancer's answer, tried again: busy (3.0 s)".to_owned()),
        "{lines:#?}"
    );
}

#[test]
fn a_call_that_hangs_is_told_every_three_seconds() {
    let sim = three();
    sim.faults.borrow_mut().push((2, Break::Hang(20)));
    let began = sim.now.get();
    assert!(sim.roll_out("v2").unwrap().is_ok());
    let lines = sim.lines.borrow();
    let told = lines
        .iter()
        .filter(|line| line.starts_with("waits for the balancer"));
    assert_eq!(told.count(), 6, "{lines:#?}");
    assert!(silence(&sim, began) <= Duration::from_secs(3));
}

#[test]
fn a_wish_to_stop_ends_the_waiting_at_once() {
    let sim = closed();
    sim.faults.borrow_mut().push((5, Break::Stop));
    let began = sim.now.get();
    let report = sim.roll_out("v2").unwrap().unwrap();
    assert_eq!(report.outcome, Outcome::Stopped);
    assert!(seconds(&sim, began) < 3);
    assert!(sim.journal.borrow().is_empty());
}

#[test]
fn recovery_gives_up_after_a_minute_and_leaves_the_run_open() {
    let sim = three();
    sim.faults.borrow_mut().push((30, Break::CrashAfter));
    assert!(sim.roll_out("v2").is_none());
    sim.revive();
    let calls = sim.calls.borrow().len();
    sim.faults.borrow_mut().push((calls + 2, Break::Close));
    let began = sim.now.get();
    sim.lines.borrow_mut().clear();
    sim.said_at.borrow_mut().clear();
    let error = sim.recover().unwrap().err().unwrap();
    assert!(matches!(error, Error::Balancer { .. }), "{error}");
    let took = seconds(&sim, began);
    assert!((50..=60).contains(&took), "{took}");
    assert!(silence(&sim, began) <= Duration::from_secs(3));
    assert_eq!(sim.open_runs().len(), 1);
}

#[test]
fn a_glance_ends_in_time_and_shows_what_answered() {
    let sim = three();
    sim.faults.borrow_mut().push((1, Break::Hang(600)));
    let began = sim.now.get();
    let glance = sim.glance(Duration::from_secs(8));
    assert_eq!(seconds(&sim, began), 8);
    assert_eq!(glance.pool, Some(Err("no answer within 8.0 s".into())));
    assert!(glance.surveys.iter().all(|(_, survey)| survey.is_ok()));
    assert!(silence(&sim, began) <= Duration::from_secs(3));
}
