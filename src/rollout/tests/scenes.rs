//! What people meet, one scene a test, and the log they read.

use std::rc::Rc;

use super::kit::{Break, Manner, Sim, release};
use crate::config::Percent;
use crate::rollout::{
    engine::Error,
    journal::{Event, Outcome},
};

pub(super) fn three() -> Rc<Sim> {
    Sim::new(&[("app-1", 100), ("app-2", 100), ("app-3", 100)])
}

/// The log, without colours.
pub(super) fn log(sim: &Sim) -> String {
    let log = sim.lines.borrow().join("\n");
    let mut plain = String::new();
    let mut rest = log.as_str();
    while let Some((before, after)) = rest.split_once('\u{1b}') {
        plain.push_str(before);
        rest = after.split_once('m').map_or("", |(_, rest)| rest);
    }
    plain + rest
}

#[track_caller]
fn check(sim: &Sim) {
    assert_eq!(
        *sim.violations.borrow(),
        Vec::<String>::new(),
        "{}",
        log(sim)
    );
}

/// The refusal's text; nothing was touched.
#[track_caller]
pub(super) fn refused(sim: &Rc<Sim>) -> String {
    let error = sim.roll_out("v2").unwrap().unwrap_err();
    let calls = sim.calls.borrow();
    let touching = calls.iter().find(|call| {
        call.starts_with("set_weight") || call.starts_with("switch") || call.starts_with("append")
    });
    assert_eq!(touching, None);
    error.to_string()
}

#[test]
fn a_good_release_reads_as_a_story() {
    let sim = three();
    let report = sim.roll_out("v2").unwrap().unwrap();
    check(&sim);
    assert_eq!(report.outcome, Outcome::Done);
    insta::assert_snapshot!(log(&sim));
}

#[test]
fn a_bad_release_is_undone_on_the_first_host() {
    let sim = three();
    sim.behave("v2", Manner::UnhealthyAfter(5));
    let report = sim.roll_out("v2").unwrap().unwrap();
    check(&sim);
    assert_eq!(report.outcome, Outcome::Undone);
    insta::assert_snapshot!(log(&sim));
}

#[test]
fn a_wish_to_stop_ends_between_hosts_with_every_weight_as_before() {
    let sim = three();
    // While the second host waits for its new container: that one is brought to its end.
    let switch = |call: &String| call == "switch app-2";
    let probe = three();
    probe.roll_out("v2").unwrap().unwrap();
    let at = probe.calls.borrow().iter().position(switch).unwrap();
    sim.faults.borrow_mut().push((at + 3, Break::Stop));
    let report = sim.roll_out("v2").unwrap().unwrap();
    check(&sim);
    assert_eq!(report.outcome, Outcome::Stopped);
    assert_eq!(sim.runs("app-2").as_deref(), Some("v2"));
    assert_eq!(sim.runs("app-3").as_deref(), Some("v1"));
    insta::assert_snapshot!(log(&sim));
}

#[test]
fn a_release_that_fails_on_the_last_host_is_undone_on_all() {
    let sim = three();
    sim.edit("app-3", |host| {
        host.manner = Some(("v2", Manner::ExitsAfter(4)));
    });
    let report = sim.roll_out("v2").unwrap().unwrap();
    check(&sim);
    assert_eq!(report.outcome, Outcome::Undone);
    for host in ["app-1", "app-2", "app-3"] {
        assert_eq!(sim.runs(host).as_deref(), Some("v1"));
    }
    insta::assert_snapshot!(log(&sim));
}

#[test]
fn a_release_without_a_health_check_gets_no_requests() {
    let sim = three();
    sim.behave("v2", Manner::Uncheckable);
    let report = sim.roll_out("v2").unwrap().unwrap();
    check(&sim);
    assert_eq!(report.outcome, Outcome::Undone);
    assert!(
        report.summary.contains("no HEALTHCHECK"),
        "{}",
        report.summary
    );
}

#[test]
fn a_release_that_a_probe_asks_needs_no_health_check() {
    let sim = three();
    sim.behave("v2", Manner::Uncheckable);
    sim.has_probe.set(true);
    let report = sim.roll_out("v2").unwrap().unwrap();
    check(&sim);
    assert_eq!(report.outcome, Outcome::Done);
    let id = |host: &str| sim.hosts.borrow()[host].switches;
    let before = ["app-1", "app-2", "app-3"].map(id);
    let again = sim.roll_out("v2").unwrap().unwrap();
    assert!(again.summary.contains("nothing to do"), "{}", again.summary);
    assert_eq!(["app-1", "app-2", "app-3"].map(id), before);
}

#[test]
fn a_release_that_only_a_probe_asks_is_asked_at_the_end_too() {
    let sim = three();
    sim.behave("v2", Manner::Uncheckable);
    sim.has_probe.set(true);
    sim.deafens_after.set(Some(3));
    let report = sim.roll_out("v2").unwrap().unwrap();
    assert_eq!(report.outcome, Outcome::Stuck, "{}", log(&sim));
    assert_eq!(sim.open_runs().len(), 1);
}

#[test]
fn a_healthy_release_that_does_not_answer_from_outside_gets_no_requests() {
    let sim = three();
    sim.deaf.borrow_mut().insert(release("v2").reference());
    let report = sim.roll_out("v2").unwrap().unwrap();
    check(&sim);
    assert_eq!(report.outcome, Outcome::Undone);
    assert_eq!(sim.runs("app-2").as_deref(), Some("v1"));
    let why = "app-1 does not become healthy: busy";
    assert!(report.summary.contains(why), "{}", report.summary);
}

#[test]
fn a_host_that_cannot_go_back_stays_out_and_the_next_release_brings_it_in() {
    let sim = three();
    sim.behave("v2", Manner::UnhealthyAfter(5));
    // What ran before does not come up any more either, as after a migration.
    sim.edit("app-1", |host| {
        host.manner = Some(("v1", Manner::UnhealthyAfter(30)));
    });
    let report = sim.roll_out("v2").unwrap().unwrap();
    check(&sim);
    assert_eq!(report.outcome, Outcome::Stuck);
    assert_eq!(sim.weights.borrow()["app-1"], 0);
    assert!(
        report
            .summary
            .contains("dockmaster rollout recover production")
    );
    assert_eq!(sim.open_runs().len(), 1);

    let again = sim.roll_out("v2").unwrap().unwrap_err();
    assert!(matches!(again, Error::StillStuck { .. }), "{again}");

    let report = sim.roll_out("v3").unwrap().unwrap();
    check(&sim);
    assert_eq!(report.outcome, Outcome::Done, "{}", log(&sim));
    assert_eq!(sim.weights.borrow()["app-1"], 100);
    assert!(sim.open_runs().is_empty());
}

#[test]
fn a_first_deployment_that_fails_leaves_the_host_out_and_says_so() {
    let sim = three();
    sim.behave("v2", Manner::UnhealthyAfter(5));
    sim.edit("app-1", |host| host.container = None);
    let report = sim.roll_out("v2").unwrap().unwrap();
    check(&sim);
    assert_eq!(report.outcome, Outcome::Stuck);
    assert_eq!(sim.weights.borrow()["app-1"], 0);
    assert!(
        report.summary.contains("nothing to go back to"),
        "{}",
        report.summary
    );
    // What was missing is there now, and nothing but this release can be the cure.
    sim.behave("v2", Manner::HealthyAfter(2));
    let again = sim.roll_out("v2").unwrap().unwrap();
    check(&sim);
    assert_eq!(again.outcome, Outcome::Done, "{}", log(&sim));
    assert_eq!(sim.weights.borrow()["app-1"], 100);
    assert!(sim.open_runs().is_empty());
}

#[test]
fn a_host_that_left_the_environment_holds_no_rollout_up() {
    let sim = three();
    sim.behave("v2", Manner::UnhealthyAfter(5));
    sim.edit("app-1", |host| {
        host.manner = Some(("v1", Manner::UnhealthyAfter(30)));
    });
    let report = sim.roll_out("v2").unwrap().unwrap();
    assert_eq!(report.outcome, Outcome::Stuck);
    sim.unnamed.borrow_mut().insert("app-1".into());
    let report = sim.recover().unwrap().unwrap();
    assert_ne!(
        report.last().unwrap().outcome,
        Outcome::Stuck,
        "{}",
        log(&sim)
    );
    assert!(sim.open_runs().is_empty());
    // Its weight is not forgotten.
    assert!(!sim.debt.borrow().is_empty());
    assert!(log(&sim).contains("is not in the environment's file any more"));
}

#[test]
fn a_first_deployment_on_all_hosts_is_allowed() {
    let sim = three();
    for host in ["app-1", "app-2", "app-3"] {
        sim.edit(host, |host| host.container = None);
    }
    let report = sim.roll_out("v2").unwrap().unwrap();
    check(&sim);
    assert_eq!(report.outcome, Outcome::Done);
}

#[test]
fn a_host_that_an_operator_took_out_is_deployed_to_and_left_out() {
    let sim = Sim::new(&[("app-1", 100), ("app-2", 100), ("app-3", 100), ("app-4", 0)]);
    let report = sim.roll_out("v2").unwrap().unwrap();
    check(&sim);
    assert_eq!(report.outcome, Outcome::Done);
    assert_eq!(sim.runs("app-4").as_deref(), Some("v2"));
    assert_eq!(sim.weights.borrow()["app-4"], 0);
    assert!(log(&sim).contains("app-4  has weight 0, as an operator left it"));
}

#[test]
fn a_host_that_runs_the_release_already_is_not_touched() {
    let sim = three();
    sim.roll_out("v2").unwrap().unwrap();
    let calls = sim.calls.borrow().len();
    let report = sim.roll_out("v2").unwrap().unwrap();
    assert_eq!(report.outcome, Outcome::Done);
    let touching = sim.calls.borrow()[calls..]
        .iter()
        .any(|call| call.contains("set_weight"));
    assert!(!touching);
}

#[test]
fn the_only_backend_that_serves_is_never_taken_out() {
    let sim = Sim::new(&[("app-1", 100)]);
    assert!(refused(&sim).starts_with("app-1 is the only backend that serves requests"));
}

#[test]
fn a_member_that_the_environment_does_not_name_counts_as_capacity() {
    let sim = Sim::new(&[("app-1", 50)]);
    sim.strangers
        .borrow_mut()
        .push(("legacy".into(), 3131, 100));
    let report = sim.roll_out("v2").unwrap().unwrap();
    check(&sim);
    assert_eq!(report.outcome, Outcome::Done);
}

#[test]
fn without_a_balancer_hosts_change_in_turn_and_no_weight_is_asked_for() {
    let sim = three();
    sim.has_balancer.set(false);
    sim.edit("app-2", |host| {
        host.manner = Some(("v2", Manner::ExitsAfter(4)));
    });
    let report = sim.roll_out("v2").unwrap().unwrap();
    check(&sim);
    assert_eq!(report.outcome, Outcome::Undone);
    let is_asked = |call: &String| call.contains("pool") || call.contains("weight");
    assert!(!sim.calls.borrow().iter().any(is_asked));
    let report = sim.roll_out("v3").unwrap().unwrap();
    assert_eq!(report.outcome, Outcome::Done);
    insta::assert_snapshot!(log(&sim));
}

#[test]
fn recovery_waits_until_a_switch_under_way_has_ended() {
    let sim = three();
    let probe = three();
    probe.roll_out("v2").unwrap().unwrap();
    let is_switch = |call: &String| call == "switch app-1";
    let at = probe.calls.borrow().iter().position(is_switch).unwrap();
    sim.faults.borrow_mut().push((at + 1, Break::CrashAfter));
    assert!(sim.roll_out("v2").is_none());
    sim.revive();
    let until = sim.now.get() + std::time::Duration::from_secs(20);
    sim.edit("app-1", |host| host.switches_until = until);
    let reports = sim.recover().unwrap().unwrap();
    check(&sim);
    assert!(sim.now.get() > until);
    // The new release came up meanwhile: it is kept, and nothing else moves forward.
    assert_eq!(reports[0].outcome, Outcome::Stopped);
    assert_eq!(sim.runs("app-1").as_deref(), Some("v2"));
    assert_eq!(sim.runs("app-2").as_deref(), Some("v1"));
    insta::assert_snapshot!(log(&sim));
}

#[test]
fn capacity_is_counted_in_weight() {
    let sim = Sim::new(&[("app-1", 100), ("app-2", 10), ("app-3", 10)]);
    sim.rollout.borrow_mut().min_capacity = Percent::new(66);
    assert_eq!(
        refused(&sim),
        "without app-1 the pool would serve with a weight of 20 of 120, and min-capacity = \"66%\" does not allow that"
    );
}

#[test]
fn what_would_break_a_host_is_refused_before_anything_moves() {
    let sim = three();
    sim.edit("app-2", |host| host.free_bytes = 3 << 20);
    assert_eq!(
        refused(&sim),
        "app-2 has only 3 MB of disk left, and 1000 MB are needed (rollout.min-free-disk)"
    );
    let sim = three();
    sim.edit("app-2", |host| {
        host.leftovers.push("8e4ed551c6dd_app".into());
    });
    assert!(refused(&sim).contains("8e4ed551c6dd_app"));
}

#[test]
fn the_journal_is_closed_with_the_outcome() {
    let sim = three();
    sim.roll_out("v2").unwrap().unwrap();
    let journal = sim.journal.borrow();
    let Some((_, Event::Closed { outcome, .. })) = journal.last() else {
        panic!("{:?}", journal.last());
    };
    assert_eq!(*outcome, Outcome::Done);
    let Some((
        _,
        Event::Opened {
            release: opened, ..
        },
    )) = journal.first()
    else {
        panic!("{:?}", journal.first());
    };
    assert_eq!(*opened, release("v2"));
}
