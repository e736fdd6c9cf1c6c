//! Releases that bring compose files and keep the image: what runs looks the same before and after.

use std::rc::Rc;

use super::{
    kit::{Break, Sim},
    scenes::{log, three},
};
use crate::rollout::{engine::Error, journal::Outcome};

/// Three hosts on v1, whose release brings other files than they have.
fn outdated() -> Rc<Sim> {
    let sim = three();
    sim.be_brisk();
    sim.brings.replace(Some("new"));
    sim
}

fn outdated_without_balancer() -> Rc<Sim> {
    let sim = outdated();
    sim.has_balancer.set(false);
    sim
}

fn no_rule_is_broken(sim: &Sim, what: &str) {
    assert_eq!(*sim.violations.borrow(), [""; 0], "{what}\n{}", log(sim));
}

/// What the files of each host hold, where what runs is made of them.
#[track_caller]
fn files(sim: &Sim, what: &str) -> Vec<String> {
    let hosts = sim.hosts.borrow();
    let files = hosts.values().map(|host| {
        let made_of = host.container.as_ref().map(|it| &it.made_of);
        assert_eq!(made_of, Some(&host.compose), "{what}\n{}", log(sim));
        host.compose.clone()
    });
    files.collect()
}

/// What was said last is so.
#[track_caller]
fn is_so(sim: &Sim, what: &str) {
    no_rule_is_broken(sim, what);
    let told = sim.told.borrow().clone();
    let Some((outcome, _)) = told else { return };
    let is_all = |files: &[String], text: &str| files.iter().all(|it| it == text);
    let is_right = match outcome {
        Outcome::Done => is_all(&files(sim, what), "new"),
        Outcome::Undone => is_all(&files(sim, what), ""),
        Outcome::Stopped => !files(sim, what).is_empty(),
        // What is wrong is told host by host.
        Outcome::Stuck => true,
    };
    assert!(is_right, "{what}: {outcome:?} is told\n{}", log(sim));
}

#[test]
fn a_release_of_the_same_image_brings_its_files() {
    let sim = outdated();
    let report = sim.roll_out("v1").unwrap().unwrap();
    assert_eq!(report.outcome, Outcome::Done, "{}", log(&sim));
    is_so(&sim, "first");
    let again = sim.roll_out("v1").unwrap().unwrap();
    assert!(again.summary.contains("nothing to do"), "{}", again.summary);
    is_so(&sim, "again");
}

#[test]
fn files_that_failed_go_back_though_the_image_is_the_same() {
    let probe = outdated();
    probe.roll_out("v1").unwrap().unwrap();
    let calls = probe.calls.borrow();
    let mut switches = (0..calls.len()).filter(|at| calls[*at].starts_with("switch "));
    let last = switches.next_back().unwrap() + 1;

    // What was refused has left no trace there: it is made as before, and not of the files that nobody has tried.
    let sim = outdated();
    sim.faults.borrow_mut().push((last, Break::Refuse));
    let report = sim.roll_out("v1").unwrap().unwrap();
    assert_eq!(report.outcome, Outcome::Undone, "{}", log(&sim));
    is_so(&sim, "refused at the last host");
}

#[test]
fn a_crash_at_any_call_ends_as_it_is_told() {
    for (name, scene) in [
        ("balancer", outdated as fn() -> Rc<Sim>),
        ("no balancer", outdated_without_balancer),
    ] {
        for fault in [Break::CrashBefore, Break::CrashAfter] {
            for at in 1.. {
                let sim = scene();
                sim.faults.borrow_mut().push((at, fault));
                let what = format!("{name}: {fault:?} at call {at}");
                let _ = sim.roll_out("v1");
                let has_fired = sim.has_fired.get();
                sim.revive();
                for report in sim.recover().unwrap().unwrap() {
                    let said = (report.outcome, &report.summary);
                    assert_ne!(report.outcome, Outcome::Stuck, "{what}: {said:?}");
                }
                is_so(&sim, &what);
                assert!(sim.recover().unwrap().unwrap().is_empty(), "{what}");
                sim.roll_out("v1").unwrap().unwrap();
                assert_eq!(files(&sim, &what), ["new"; 3], "{what}\n{}", log(&sim));
                if !has_fired {
                    assert!(at > 50, "{name} has {at} calls only");
                    break;
                }
            }
        }
    }
}

#[test]
fn a_fault_or_a_wish_to_stop_at_any_call_ends_as_it_is_told() {
    let mut halted = 0;
    for scene in [outdated as fn() -> Rc<Sim>, outdated_without_balancer] {
        for fault in [Break::Stop, Break::Refuse, Break::LoseAnswer] {
            for at in 1.. {
                let sim = scene();
                sim.faults.borrow_mut().push((at, fault));
                let what = format!("{fault:?} at call {at}");
                let _ = sim.roll_out("v1").unwrap();
                is_so(&sim, &what);
                let told = sim.told.borrow().clone();
                halted += u32::from(told.is_some_and(|(it, _)| it == Outcome::Stopped));
                if !sim.has_fired.get() {
                    assert!(at > 50, "there are {at} calls only");
                    break;
                }
            }
        }
    }
    assert!(halted > 0, "no rollout was stopped between two hosts");
}

#[test]
fn new_files_that_cannot_be_taken_back_are_stuck() {
    let probe = outdated_without_balancer();
    probe.roll_out("v1").unwrap().unwrap();
    let calls = probe.calls.borrow();
    let mut switches = (0..calls.len()).filter(|at| calls[*at] == "switch app-2");
    let second = switches.next_back().unwrap() + 1;
    let mut stuck = 0;
    for later in 1..40 {
        let sim = outdated_without_balancer();
        let mut faults = sim.faults.borrow_mut();
        faults.push((second, Break::Refuse));
        faults.push((second + later, Break::Refuse));
        drop(faults);
        let report = sim.roll_out("v1").unwrap().unwrap();
        let what = format!("the undo is refused {later} calls later");
        is_so(&sim, &what);
        if report.outcome == Outcome::Stuck {
            let expect = "app-1 still runs v1";
            stuck +=
                usize::from(report.summary.contains("refused") || report.summary.contains(expect));
        }
    }
    assert!(stuck > 0);
}

/// A stuck rollout: neither the new files nor, started again, those of before make anything healthy.
fn stuck() -> Rc<Sim> {
    let sim = outdated();
    sim.ill_files.borrow_mut().extend(["new", ""]);
    let report = sim.roll_out("v1").unwrap().unwrap();
    assert_eq!(report.outcome, Outcome::Stuck, "{}", log(&sim));
    sim
}

#[test]
fn corrected_files_are_no_same_release() {
    let sim = stuck();
    let again = sim.roll_out("v1").unwrap();
    assert!(matches!(again, Err(Error::StillStuck { .. })));
    sim.brings.replace(Some("corrected"));
    let report = sim.roll_out("v1").unwrap().unwrap();
    no_rule_is_broken(&sim, "corrected");
    assert_eq!(report.outcome, Outcome::Done, "{}", log(&sim));
    assert_eq!(files(&sim, "corrected"), ["corrected"; 3]);
    assert!(sim.open_runs().is_empty());
}

#[test]
fn an_earlier_run_is_put_right_with_its_own_files() {
    let probe = outdated();
    probe.roll_out("v1").unwrap().unwrap();
    let calls = probe.calls.borrow();
    let at = (0..calls.len())
        .find(|at| calls[*at] == "switch app-2")
        .unwrap()
        + 1;
    for fault in [Break::CrashBefore, Break::CrashAfter] {
        let sim = outdated();
        sim.faults.borrow_mut().push((at, fault));
        assert!(sim.roll_out("v1").is_none());
        sim.revive();
        let lines = sim.lines.borrow().len();
        sim.brings.replace(Some("next"));
        let report = sim.roll_out("v1").unwrap().unwrap();
        no_rule_is_broken(&sim, "next");
        assert_eq!(report.outcome, Outcome::Done, "{}", log(&sim));
        assert_eq!(files(&sim, "next"), ["next"; 3]);
        let lines = sim.lines.borrow()[lines..].join("\n");
        assert!(
            lines.contains("stopped (it was cut off): 1 of 3 hosts run v1"),
            "{lines}"
        );
    }
}

#[test]
fn files_that_somebody_took_back_are_not_called_the_release() {
    let probe = outdated();
    probe.roll_out("v1").unwrap().unwrap();
    let calls = probe.calls.borrow();
    let mut weights = (0..calls.len()).filter(|at| calls[*at] == "set_weight app-1");
    let at = weights.nth(1).unwrap() + 1;

    let sim = outdated();
    sim.faults.borrow_mut().push((at, Break::CrashBefore));
    assert!(sim.roll_out("v1").is_none());
    sim.revive();
    sim.edit("app-1", |host| host.compose.clear());
    sim.edit_container("app-1", |container| container.made_of.clear());
    let lines = sim.lines.borrow().len();
    let reports = sim.recover().unwrap().unwrap();
    assert_eq!(reports[0].outcome, Outcome::Undone, "{}", log(&sim));
    is_so(&sim, "taken back");
    let said = sim.lines.borrow()[lines..].join("\n");
    assert!(!said.contains("runs v1 already"), "{said}");
}
