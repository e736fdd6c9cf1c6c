//! Going back on purpose: a rollout like any other, with another reason.

use super::{
    kit::{Break, Sim, release},
    scenes::{log, three},
};
use crate::rollout::{
    engine::Error,
    journal::{Cause, Event, Outcome},
};

/// Three hosts on v2, and somebody who wants v1 back.
fn wanted() -> std::rc::Rc<Sim> {
    let sim = three();
    sim.roll_out("v2").unwrap().unwrap();
    sim.cause.replace(Cause::Rollback {
        by: Some("lin".into()),
    });
    sim
}

fn no_rule_is_broken(sim: &Sim) {
    assert_eq!(*sim.violations.borrow(), Vec::<String>::new());
}

#[test]
fn a_rollback_is_a_run_of_its_own_and_says_so() {
    let sim = wanted();
    let report = sim.roll_out("v1").unwrap().unwrap();
    no_rule_is_broken(&sim);
    assert_eq!(report.outcome, Outcome::Done, "{}", log(&sim));
    assert!(log(&sim).contains("production: back to v1 on 3 hosts"));
    assert!(log(&sim).contains("look for v1 on every host"));
    assert_eq!(sim.runs("app-3").as_deref(), Some("v1"));
    let journal = sim.journal.borrow();
    let mut opened = journal.iter().filter_map(|(_, event)| match event {
        Event::Opened { release, cause, .. } => Some((release.clone(), cause.is_rollback())),
        _ => None,
    });
    assert_eq!(opened.next(), Some((release("v2"), false)));
    assert_eq!(opened.next(), Some((release("v1"), true)));
}

#[test]
fn a_host_that_has_not_kept_the_release_stops_it_before_any_weight_moves() {
    let probe = wanted();
    let began = probe.calls.borrow().len();
    probe.roll_out("v1").unwrap().unwrap();
    let calls = probe.calls.borrow();
    let mut pulls = (began..calls.len()).filter(|at| calls[*at] == "pull app-3");
    let pull = pulls.next().unwrap() + 1;

    let sim = wanted();
    sim.faults.borrow_mut().push((pull, Break::Refuse));
    let error = sim.roll_out("v1").unwrap().unwrap_err();
    no_rule_is_broken(&sim);
    assert!(matches!(error, Error::Pull { ref host, .. } if host == "app-3"));
    let calls = sim.calls.borrow();
    let mut moves = calls[began..].iter();
    assert!(!moves.any(|call| call.starts_with("set_weight") || call.starts_with("switch")));
    assert_eq!(sim.runs("app-1").as_deref(), Some("v2"));
}

#[test]
fn one_that_was_cut_off_is_put_right_and_names_who_wanted_it() {
    let probe = wanted();
    let began = probe.calls.borrow().len();
    probe.roll_out("v1").unwrap().unwrap();
    let calls = probe.calls.borrow();
    let mut switches = (began..calls.len()).filter(|at| calls[*at].starts_with("switch"));
    let switch = switches.next().unwrap() + 1;

    let sim = wanted();
    sim.faults.borrow_mut().push((switch, Break::CrashBefore));
    assert!(sim.roll_out("v1").is_none());
    sim.revive();
    let reports = sim.recover().unwrap().unwrap();
    no_rule_is_broken(&sim);
    assert_ne!(reports[0].outcome, Outcome::Stuck);
    assert!(log(&sim).contains("of lin was cut off"), "{}", log(&sim));
    assert!(sim.weights.borrow().values().all(|weight| *weight == 100));
}
