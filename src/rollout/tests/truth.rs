//! The last word is what is seen, and a weight that was taken is owed until it is back.

use std::{rc::Rc, time::Duration};

use super::{
    faults::{everywhere, lies},
    guards::{count, number},
    kit::{Break, Manner, Sim, release},
    scenes::{log, refused, three},
};
use crate::rollout::{
    debt::Owed,
    engine::Error,
    journal::{Event, Outcome},
};

#[track_caller]
fn all_weights_are_back(sim: &Sim, what: &str) {
    let weights = sim.weights.borrow();
    let is_back = weights.values().all(|weight| *weight == 100);
    assert!(is_back, "{what}: {weights:?}\n{}", log(sim));
    assert!(sim.debt.borrow().is_empty(), "{what}\n{}", log(sim));
    let violations = sim.violations.borrow();
    assert!(violations.is_empty(), "{what}: {violations:#?}");
}

#[test]
fn a_balancer_that_refuses_everything_after_the_first_host_is_stuck_and_open() {
    let sim = three();
    let at = number(three, "set_weight app-2", 1);
    sim.faults.borrow_mut().push((at, Break::Revoke));
    let report = sim.roll_out("v2").unwrap().unwrap();
    assert_eq!(report.outcome, Outcome::Stuck, "{}", log(&sim));
    assert_eq!(sim.open_runs().len(), 1);
    assert!(
        report.summary.contains("cannot be read"),
        "{}",
        report.summary
    );
}

#[test]
fn a_weight_that_somebody_took_is_never_called_done() {
    for host in ["app-1", "app-2", "app-3"] {
        everywhere(Break::TakeOut(host), |name, sim, at| {
            let _ = sim.roll_out("v2").unwrap();
            let what = format!("{name}: {host} is taken out at call {at}");
            assert_eq!(lies(sim), [""; 0], "{what}\n{}", log(sim));
            assert_eq!(*sim.violations.borrow(), [""; 0], "{what}\n{}", log(sim));
        });
    }
}

#[test]
fn a_container_that_starts_anew_at_the_end_is_waited_for() {
    let sim = three();
    sim.be_brisk();
    let probe = three();
    probe.be_brisk();
    probe.roll_out("v2").unwrap().unwrap();
    let last = probe.calls.borrow().len();
    // The last calls are the last look and the closing of the journal.
    sim.faults.borrow_mut().push((last - 1, Break::Renew));
    let report = sim.roll_out("v2").unwrap().unwrap();
    assert!(sim.has_fired.get());
    assert_eq!(report.outcome, Outcome::Done, "{}", log(&sim));
    assert!(sim.is_serving("app-3"));
}

/// app-1 cannot go back after v2, as after a migration, and stays out.
fn stuck() -> Rc<Sim> {
    let sim = three();
    sim.be_brisk();
    sim.behave("v2", Manner::UnhealthyAfter(3));
    sim.edit("app-1", |host| {
        host.manner = Some(("v1", Manner::UnhealthyAfter(30)));
    });
    let report = sim.roll_out("v2").unwrap().unwrap();
    assert_eq!(report.outcome, Outcome::Stuck, "{}", log(&sim));
    assert_eq!(sim.weights.borrow()["app-1"], 0);
    sim
}

#[test]
fn a_cure_that_is_cut_off_at_any_call_forgets_no_weight() {
    for fault in [
        Break::Stop,
        Break::Refuse,
        Break::Fill,
        Break::CrashBefore,
        Break::CrashAfter,
    ] {
        for at in 1.. {
            let sim = stuck();
            let what = format!("{fault:?} at call {at} of the cure");
            let calls = sim.calls.borrow().len();
            sim.faults.borrow_mut().push((calls + at, fault));
            let _ = sim.roll_out("v3");
            let is_back = sim.weights.borrow()["app-1"] == 100;
            let is_owed = !sim.debt.borrow().is_empty();
            assert!(is_back || is_owed, "{what}\n{}", log(&sim));
            assert!(is_back || !sim.open_runs().is_empty(), "{what}");
            sim.mend();
            let report = sim.roll_out("v4").unwrap().unwrap();
            assert_eq!(report.outcome, Outcome::Done, "{what}\n{}", log(&sim));
            all_weights_are_back(&sim, &what);
            assert!(sim.open_runs().is_empty(), "{what}");
            if !sim.has_fired.get() {
                assert!(at > 20, "{fault:?} met {at} calls only");
                break;
            }
        }
    }
}

/// Every run is closed, as if it had ended well.
fn close(sim: &Sim) {
    let closed = Event::Closed {
        outcome: Outcome::Undone,
        summary: String::new(),
    };
    let run = sim.journal.borrow()[0].0.clone();
    sim.journal.borrow_mut().push((run, closed));
}

#[test]
fn what_is_owed_is_given_back_even_where_no_run_is_open() {
    let sim = stuck();
    close(&sim);
    sim.edit("app-1", |host| host.manner = None);
    assert!(sim.recover().unwrap().unwrap().is_empty());
    all_weights_are_back(&sim, "recovery");
}

#[test]
fn what_is_owed_follows_the_member_where_its_host_has_another_name_now() {
    let sim = stuck();
    close(&sim);
    sim.edit("app-1", |host| host.manner = None);
    let debt = sim.debt.borrow().clone();
    let renamed = debt.owed().map(|owed| Owed {
        host: "web-1".into(),
        ..owed.clone()
    });
    sim.debt.replace(renamed.collect());
    assert!(sim.recover().unwrap().unwrap().is_empty());
    all_weights_are_back(&sim, "recovery");
}

#[test]
fn nothing_is_owed_to_a_host_that_left_the_file_and_that_somebody_put_in() {
    let sim = stuck();
    close(&sim);
    sim.unnamed.borrow_mut().insert("app-1".into());
    sim.recover().unwrap().unwrap();
    assert!(!sim.debt.borrow().is_empty(), "{}", log(&sim));
    sim.weights.borrow_mut().insert("app-1".into(), 100);
    sim.recover().unwrap().unwrap();
    assert!(sim.debt.borrow().is_empty(), "{}", log(&sim));
    assert!(log(&sim).contains("app-1  is owed nothing any more"));
    assert_eq!(count(&sim, "set_weight app-1"), 1, "it is not touched");
}

#[test]
fn a_stuck_run_ends_where_everything_runs_the_release_already() {
    let sim = stuck();
    sim.unnamed.borrow_mut().insert("app-1".into());
    // By hand: neither what was rolled out nor what ran before.
    for host in ["app-2", "app-3"] {
        sim.edit_container(host, |it| it.reference = release("v3").reference());
    }
    let reports = sim.recover().unwrap().unwrap();
    assert_eq!(reports[0].outcome, Outcome::Stuck, "{}", log(&sim));
    let report = sim.roll_out("v3").unwrap().unwrap();
    assert!(
        report.summary.contains("nothing to do"),
        "{}",
        report.summary
    );
    assert!(sim.open_runs().is_empty(), "{}", log(&sim));
}

#[test]
fn an_end_that_could_not_be_written_undoes_no_later_release() {
    let mut unwritten = 0;
    for at in 1.. {
        let sim = three();
        sim.be_brisk();
        let cut = number(three, "switch app-1", 1);
        sim.faults.borrow_mut().push((cut, Break::CrashAfter));
        assert!(sim.roll_out("v2").is_none());
        sim.revive();
        sim.has_fired.set(false);
        let calls = sim.calls.borrow().len();
        sim.faults.borrow_mut().push((calls + at, Break::Refuse));
        let report = sim.roll_out("v3").unwrap();
        let has_fired = sim.has_fired.get();
        sim.faults.borrow_mut().clear();
        if report.is_ok_and(|report| report.outcome == Outcome::Done) {
            unwritten += usize::from(log(&sim).contains("so the end is not in it"));
            sim.recover().unwrap().unwrap();
            assert!(sim.open_runs().is_empty(), "call {at}\n{}", log(&sim));
            let runs: Vec<_> = ["app-1", "app-2", "app-3"]
                .map(|host| sim.runs(host))
                .into();
            let v3 = Some("v3".to_owned());
            assert!(
                runs.iter().all(|it| *it == v3),
                "call {at}: {runs:?}\n{}",
                log(&sim)
            );
        }
        if !has_fired {
            break;
        }
    }
    assert!(unwritten > 0, "no end was unwritten");
}

#[test]
fn what_is_owed_is_no_operator_s_zero_even_where_no_run_is_open() {
    let sim = stuck();
    close(&sim);
    let report = sim.roll_out("v3").unwrap().unwrap();
    assert_eq!(report.outcome, Outcome::Done, "{}", log(&sim));
    all_weights_are_back(&sim, "the next release");
}

#[test]
fn a_run_that_wrote_down_no_host_was_never_begun_and_says_so() {
    for captures in 0..3 {
        let sim = three();
        let at = number(three, "append", 1 + captures);
        sim.faults.borrow_mut().push((at, Break::CrashAfter));
        assert!(sim.roll_out("v2").is_none());
        sim.revive();
        let calls = sim.calls.borrow().len();
        let reports = sim.recover().unwrap().unwrap();
        let summary = &reports[0].summary;
        assert!(summary.contains("never begun"), "{summary}");
        assert_ne!(reports[0].outcome, Outcome::Done);
        assert!(sim.open_runs().is_empty());
        let touched = &sim.calls.borrow()[calls..];
        assert_eq!(*touched, ["read_debt", "append"]);
    }
}

#[test]
fn a_write_whose_answer_was_lost_is_outlived_even_when_it_is_applied_late() {
    for (host, nth) in [("app-1", 1), ("app-1", 2), ("app-2", 1), ("app-3", 2)] {
        let call = format!("set_weight {host}");
        let at = number(three, &call, nth);
        for later in 1..8 {
            let sim = three();
            let what = format!("late {call} {nth}, crash {later} calls later");
            sim.faults.borrow_mut().push((at, Break::Late));
            sim.faults
                .borrow_mut()
                .push((at + later, Break::CrashBefore));
            sim.roll_out("v2");
            sim.revive();
            for report in sim.recover().unwrap().unwrap() {
                assert_ne!(report.outcome, Outcome::Stuck, "{what}: {}", report.summary);
            }
            sim.wait(60);
            all_weights_are_back(&sim, &what);
        }
    }
}

#[test]
fn one_host_that_is_no_member_any_more_does_not_keep_the_others_from_going_back() {
    let sim = three();
    let at = number(three, "connections app-1", 2);
    sim.faults.borrow_mut().push((at, Break::CrashBefore));
    assert!(sim.roll_out("v2").is_none());
    sim.revive();
    sim.weights.borrow_mut().remove("app-3");
    let reports = sim.recover().unwrap().unwrap();
    assert_eq!(sim.weights.borrow()["app-1"], 100);
    assert_eq!(reports[0].outcome, Outcome::Stuck);
    let expect = "stuck: app-3 is not behind the balancer any more;";
    assert!(
        reports[0].summary.starts_with(expect),
        "{}",
        reports[0].summary
    );
    let error = sim.roll_out("v3").unwrap().unwrap_err();
    let expect =
        "host app-3 (app-3:3131) is not behind the balancer, which has: app-1:3131, app-2:3131";
    assert_eq!(error.to_string(), expect);
}

#[test]
fn another_port_of_a_host_is_no_other_machine() {
    let sim = three();
    sim.strangers.borrow_mut().push(("app-1".into(), 8080, 100));
    let text = refused(&sim);
    let expect = "the machine of app-1 also gets requests as app-1:8080 (weight 100), which the environment does not name";
    assert!(text.starts_with(expect), "{text}");
    // Without requests it is in nobody's way, and it is no capacity.
    let sim = Sim::new(&[("app-1", 100)]);
    sim.strangers.borrow_mut().push(("app-1".into(), 8080, 0));
    assert!(refused(&sim).contains("is the only backend that serves"));
    let sim = three();
    sim.strangers.borrow_mut().push(("app-1".into(), 8080, 0));
    assert_eq!(sim.roll_out("v2").unwrap().unwrap().outcome, Outcome::Done);
}

#[test]
fn compose_is_not_started_once_another_port_of_the_host_gets_requests() {
    let sim = three();
    let at = number(three, "connections app-1", 1);
    sim.faults.borrow_mut().push((at, Break::Stray("app-1")));
    let report = sim.roll_out("v2").unwrap().unwrap();
    assert_eq!(count(&sim, "switch app-1"), 0, "{}", log(&sim));
    assert_ne!(report.outcome, Outcome::Done);
}

#[test]
fn a_host_that_its_operator_puts_in_meanwhile_is_not_restarted_under_load() {
    fn four() -> Rc<Sim> {
        Sim::new(&[("app-1", 100), ("app-2", 100), ("app-3", 100), ("app-4", 0)])
    }
    let switch = number(four, "switch app-4", 1);
    // From the last capture to the last look before Compose starts.
    let probe = four();
    probe.roll_out("v2").unwrap().unwrap();
    let calls = probe.calls.borrow();
    let before: Vec<_> = calls[..switch - 1].iter().rev().take(2).collect();
    assert!(before.iter().any(|call| *call == "pool"), "{before:?}");
    let looks = (1..switch).filter(|at| calls[at - 1] == "pool");
    for at in looks.skip(2) {
        let sim = four();
        sim.faults.borrow_mut().push((at, Break::PutIn("app-4")));
        let report = sim.roll_out("v2").unwrap().unwrap();
        assert_eq!(*sim.violations.borrow(), [""; 0], "at call {at}");
        assert_eq!(count(&sim, "switch app-4"), 0, "at call {at}");
        assert_eq!(sim.weights.borrow()["app-4"], 37);
        assert_ne!(report.outcome, Outcome::Done);
    }
}

#[test]
fn a_host_that_is_down_costs_its_patience_once() {
    fn six() -> Rc<Sim> {
        let names = ["app-1", "app-2", "app-3", "app-4", "app-5", "app-6"];
        Sim::new(&names.map(|name| (name, 100)))
    }
    let whole = six();
    let began = whole.now.get();
    whole.roll_out("v2").unwrap().unwrap();
    let usual = whole.now.get().saturating_sub(began);
    let sim = six();
    // app-6 is seen for the plan, twice, and then no more.
    let at = number(six, "survey app-6", 3);
    sim.faults.borrow_mut().push((at, Break::Sever));
    let began = sim.now.get();
    let report = sim.roll_out("v2").unwrap().unwrap();
    assert_eq!(report.outcome, Outcome::Stuck, "{}", log(&sim));
    // Five hosts are changed and changed back; the sixth is waited for by itself, too.
    let took = sim.now.get().saturating_sub(began);
    let most = 2 * usual + Duration::from_secs(30) + sim.rollout.borrow().healthy_deadline;
    assert!(took < most, "{took:?}");
}

#[test]
fn a_balancer_that_stays_closed_costs_its_patience_once() {
    let sim = three();
    let at = number(three, "set_weight app-3", 1);
    sim.faults.borrow_mut().push((at, Break::Close));
    let began = sim.now.get();
    let report = sim.roll_out("v2").unwrap().unwrap();
    assert_eq!(report.outcome, Outcome::Stuck, "{}", log(&sim));
    let took = sim.now.get().saturating_sub(began);
    assert!(took < Duration::from_mins(8), "{took:?}");
    sim.mend();
    sim.recover().unwrap().unwrap();
    all_weights_are_back(&sim, "recovery");
}

#[test]
fn who_insists_on_an_end_waits_half_a_minute_for_a_closed_balancer() {
    let sim = three();
    let at = number(three, "set_weight app-1", 2);
    let mut faults = sim.faults.borrow_mut();
    faults.extend([(at, Break::Close), (at + 4, Break::StopNow)]);
    drop(faults);
    let before = three();
    let began = before.now.get();
    before.faults.borrow_mut().push((at, Break::CrashBefore));
    before.roll_out("v2");
    let until_then = before.now.get().saturating_sub(began);
    let began = sim.now.get();
    let report = sim.roll_out("v2").unwrap().unwrap();
    assert_eq!(report.outcome, Outcome::Stuck, "{}", log(&sim));
    let took = sim.now.get().saturating_sub(began + until_then);
    assert!(took < Duration::from_secs(45), "{took:?}");
}

#[test]
fn what_is_owed_and_cannot_be_read_stops_everything() {
    let sim = three();
    sim.faults.borrow_mut().push((1, Break::Refuse));
    let error = sim.roll_out("v2").unwrap().unwrap_err();
    assert!(matches!(error, Error::Debts { .. }), "{error}");
    assert_eq!(sim.calls.borrow().len(), 1);
}

#[test]
fn no_weight_is_taken_that_is_not_written_down_as_owed() {
    let sim = three();
    let at = number(three, "write_debt", 1);
    sim.faults.borrow_mut().push((at, Break::Refuse));
    let report = sim.roll_out("v2").unwrap().unwrap();
    assert_eq!(count(&sim, "set_weight app-1"), 0, "{}", log(&sim));
    assert_ne!(report.outcome, Outcome::Done);
    all_weights_are_back(&sim, "afterwards");
}

#[test]
fn an_old_run_is_closed_only_by_one_that_holds_its_hosts() {
    let sim = stuck();
    sim.roll_out("v3").unwrap().unwrap();
    let journal = sim.journal.borrow();
    let closed = journal.iter().position(|(_, event)| {
        matches!(event, Event::Closed { summary, .. } if summary.starts_with("taken over"))
    });
    let (old, _) = &journal[closed.unwrap()];
    let before = &journal[..closed.unwrap()];
    let is_capture =
        |(run, event): &&(String, Event)| run != old && matches!(event, Event::Captured { .. });
    assert_eq!(before.iter().filter(is_capture).count(), 3);
}
