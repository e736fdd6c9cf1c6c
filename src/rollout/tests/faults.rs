//! The same rollout with a fault at call 1, 2, 3, … until it passes untouched.

use std::{collections::BTreeMap, rc::Rc};

use proptest::prelude::*;

use super::{
    kit::{Break, Manner, Sim},
    scenes::three,
    start_first::start_first,
};
use crate::rollout::journal::{Event, Outcome, Step};

type Scene = (&'static str, fn() -> Rc<Sim>);

/// Every scene that faults are tried in.
const SCENES: [Scene; 6] = [
    ("start-first, alone and good", || start_first(&["app-1"])),
    ("start-first, bad on the second host", || {
        let sim = start_first(&["app-1", "app-2"]);
        sim.edit("app-2", |host| {
            host.manner = Some(("v2", Manner::ExitsAfter(4)));
        });
        sim
    }),
    ("start-first, bad in place on the second host", || {
        let sim = start_first(&["app-1", "app-2"]);
        sim.edit("app-2", |host| {
            host.manner_in_place = Some(("v2", Manner::UnhealthyAfter(4)));
        });
        sim
    }),
    ("good", three),
    ("bad on the first host", || {
        let sim = three();
        sim.behave("v2", Manner::UnhealthyAfter(5));
        sim
    }),
    ("bad on the second host", || {
        let sim = three();
        sim.edit("app-2", |host| {
            host.manner = Some(("v2", Manner::ExitsAfter(4)));
        });
        sim
    }),
];

/// Runs a scene once for each call with that fault there.
pub(super) fn everywhere(fault: Break, check: impl Fn(&str, &Rc<Sim>, usize)) {
    for (name, scene) in SCENES {
        for at in 1.. {
            let sim = scene();
            sim.be_brisk();
            sim.faults.borrow_mut().push((at, fault));
            check(name, &sim, at);
            if !sim.has_fired.get() {
                assert!(at > 50, "{name} has {at} calls only");
                break;
            }
        }
    }
}

/// All rules, and the world as a person would want to find it.
#[track_caller]
fn check(sim: &Rc<Sim>, what: &str) {
    let problems = problems(sim);
    assert!(
        problems.is_empty(),
        "{problems:#?}\n{what}\n{}\n{}",
        sim.lines.borrow().join("\n"),
        sim.steps().join("\n")
    );
}

fn problems(sim: &Rc<Sim>) -> Vec<String> {
    if sim.is_other.get() {
        return Vec::new();
    }
    let mut problems = sim.violations.borrow().clone();
    problems.extend(lies(sim));
    let is_open = !sim.open_runs().is_empty();
    let lines = sim.lines.borrow();
    let last = lines.last().cloned().unwrap_or_default();
    for (host, weight) in sim.weights.borrow().iter() {
        if sim.foreign.borrow().contains_key(host) {
            continue;
        }
        let is_told = is_open && last.contains("stuck") && last.contains(host.as_str());
        if *weight != 100 && !is_told {
            problems.push(format!("{host} is left at {weight}, silently"));
        }
        let is_excused = sim.died_untouched(host)
            || (is_open && last.contains(host.as_str()) && sim.has_died(host));
        if *weight > 0 && !sim.seems_serving(host) && !is_excused {
            problems.push(format!("{host} gets requests and is not healthy"));
        }
    }
    let is_told = is_open && last.contains("stuck");
    for host in sim.seconds().into_iter().filter(|_| !is_told) {
        problems.push(format!("the second instance of {host} is left, silently"));
    }
    // No step ends twice, and no host is switched more often than there and back.
    let mut ended: BTreeMap<String, u32> = BTreeMap::new();
    let journal = sim.journal.borrow();
    let mut before = None;
    for (run, event) in journal.iter() {
        if let Event::Done { host, step, direction } = event
            && matches!(step, Step::Drain | Step::Switch)
            // The answer to an append can be lost.
            && before != Some(event)
        {
            let step = format!("{run} {host} {step:?} {direction:?}");
            *ended.entry(step).or_default() += 1;
        }
        before = Some(event);
    }
    ended.retain(|_, times| *times > 1);
    problems.extend(ended.keys().map(|step| format!("{step} ended twice")));
    for (name, host) in sim.hosts.borrow().iter() {
        if host.switches > 2 {
            problems.push(format!("{name} was switched {} times", host.switches));
        }
    }
    problems
}

/// What was told of the outcome and is not so.
pub(super) fn lies(sim: &Rc<Sim>) -> Vec<String> {
    let told = sim.told.borrow().clone();
    let Some((outcome, version)) = told.filter(|_| !sim.is_other.get()) else {
        return Vec::new();
    };
    let mut lies = Vec::new();
    for (host, before) in sim.before.borrow().iter() {
        let (runs, original) = (sim.runs(host), sim.originals[host]);
        let is_new = runs.as_deref() == Some(&version);
        let is_right = match outcome {
            Outcome::Done => is_new,
            Outcome::Undone => runs == *before,
            Outcome::Stopped => is_new || runs == *before,
            // What is wrong is told host by host.
            Outcome::Stuck => continue,
        };
        if !is_right {
            lies.push(format!("{outcome:?} is told, and {host} runs {runs:?}"));
        }
        if runs.is_some() && !sim.seems_serving(host) {
            lies.push(format!("{outcome:?} is told, and {host} is not healthy"));
        }
        let Some(weight) = sim.weights.borrow().get(host).copied() else {
            lies.push(format!("{outcome:?} is told, and {host} is no member"));
            continue;
        };
        // Somebody else's weight is no lie of ours, but all is not as it was, if it could be seen.
        let is_unseen = sim.seen.borrow().get(host) == Some(&original);
        let is_foreign = sim.foreign.borrow().contains_key(host);
        if is_foreign && is_unseen {
            continue;
        }
        if weight != original && (!is_foreign || outcome != Outcome::Stopped) {
            lies.push(format!(
                "{outcome:?} is told, and {host} has weight {weight}"
            ));
        }
    }
    lies
}

/// Deploying again repairs everything and succeeds with a release that is good.
#[track_caller]
fn deploys_again(sim: &Rc<Sim>, what: &str) {
    sim.mend();
    let report = sim.roll_out("v3").unwrap();
    let told = || format!("{what}\n{}", sim.lines.borrow().join("\n"));
    let report = report.unwrap_or_else(|error| panic!("{error}\n{}", told()));
    assert_eq!(report.outcome, Outcome::Done, "{}", told());
    let violations = sim.violations.borrow();
    assert!(violations.is_empty(), "{violations:#?}\n{}", told());
    for (host, weight) in sim.weights.borrow().iter() {
        assert_eq!(sim.runs(host).as_deref(), Some("v3"), "{}", told());
        let is_foreign = sim.foreign.borrow().contains_key(host);
        assert!(*weight == 100 || is_foreign, "{}", told());
    }
    assert!(sim.open_runs().is_empty(), "{}", told());
    assert!(sim.debt.borrow().is_empty(), "{}", told());
    assert_eq!(sim.seconds(), [""; 0], "{}", told());
}

#[test]
fn a_busy_call_or_a_lost_answer_changes_nothing_in_the_end() {
    for fault in [Break::Busy, Break::LoseAnswer, Break::Late] {
        everywhere(fault, |name, sim, at| {
            let what = format!("{name}: {fault:?} at call {at}");
            let report = sim.roll_out("v2").unwrap();
            check(sim, &what);
            let is_journal = sim
                .calls
                .borrow()
                .get(at - 1)
                .is_some_and(|call| call == "append" || call.ends_with("_debt"));
            if name.ends_with("good") && !is_journal {
                assert_eq!(report.unwrap().outcome, Outcome::Done, "{what}");
            }
            deploys_again(sim, &what);
        });
    }
}

#[test]
fn whatever_is_refused_or_ignored_the_weights_come_back() {
    for fault in [
        Break::Refuse,
        Break::Ignore,
        Break::Flap,
        Break::Die,
        Break::Fall,
    ] {
        everywhere(fault, |name, sim, at| {
            let what = format!("{name}: {fault:?} at call {at}");
            let _ = sim.roll_out("v2").unwrap();
            check(sim, &what);
            deploys_again(sim, &what);
        });
    }
}

#[test]
fn what_breaks_for_good_is_told_and_repaired_by_the_next_rollout() {
    for fault in [Break::Sever, Break::Revoke, Break::Fill] {
        everywhere(fault, |name, sim, at| {
            let what = format!("{name}: {fault:?} at call {at}");
            let _ = sim.roll_out("v2").unwrap();
            check(sim, &what);
            deploys_again(sim, &what);
        });
    }
}

#[test]
fn a_weight_that_somebody_else_moved_is_never_moved_again() {
    everywhere(Break::Stranger, |name, sim, at| {
        let what = format!("{name}: a stranger at call {at}");
        let _ = sim.roll_out("v2").unwrap();
        check(sim, &what);
    });
}

#[test]
fn a_wish_to_stop_at_any_call_ends_with_every_weight_right() {
    for fault in [Break::Stop, Break::StopNow] {
        everywhere(fault, |name, sim, at| {
            let what = format!("{name}: {fault:?} at call {at}");
            let report = sim.roll_out("v2").unwrap().unwrap();
            check(sim, &what);
            assert_ne!(report.outcome, Outcome::Stuck, "{what}");
            assert!(
                sim.weights.borrow().values().all(|weight| *weight == 100),
                "{what}"
            );
            deploys_again(sim, &what);
        });
    }
}

#[test]
fn a_crash_at_any_call_is_put_right_by_recovery() {
    for fault in [Break::CrashBefore, Break::CrashAfter] {
        everywhere(fault, |name, sim, at| {
            let what = format!("{name}: {fault:?} at call {at}");
            let ended = sim.roll_out("v2");
            assert_eq!(ended.is_none(), sim.has_fired.get(), "{what}");
            sim.revive();
            let reports = sim.recover().unwrap().unwrap();
            for report in &reports {
                assert_ne!(report.outcome, Outcome::Stuck, "{what}: {}", report.summary);
            }
            check(sim, &what);
            assert!(
                sim.weights.borrow().values().all(|weight| *weight == 100),
                "{what}"
            );
            assert!(sim.open_runs().is_empty(), "{what}");
            for (name, host) in &*sim.hosts.borrow() {
                let runs = host.container.as_ref().map(|it| &it.reference);
                let named = host.files.as_ref();
                assert!(
                    named.is_none() || named == runs,
                    "{what}: {name} {named:?} {runs:?}"
                );
            }
            assert!(sim.recover().unwrap().unwrap().is_empty(), "{what}");
            deploys_again(sim, &what);
        });
    }
}

#[test]
fn a_crash_during_recovery_is_put_right_too() {
    for (name, scene) in SCENES {
        for at in 1.. {
            let mut is_over = false;
            let stride = if name.starts_with("start-first") {
                11
            } else {
                2
            };
            for second in (1..).step_by(stride) {
                let sim = scene();
                let what = format!("{name}: crashes at call {at} and {second} later");
                sim.be_brisk();
                sim.faults.borrow_mut().push((at, Break::CrashAfter));
                sim.roll_out("v2");
                if !sim.has_fired.get() {
                    is_over = true;
                    break;
                }
                sim.revive();
                sim.has_fired.set(false);
                let calls = sim.calls.borrow().len();
                let fault = (calls + second, Break::CrashBefore);
                sim.faults.borrow_mut().push(fault);
                let has_ended = sim.recover().is_some();
                sim.revive();
                sim.recover().unwrap().unwrap();
                check(&sim, &what);
                assert!(
                    sim.weights.borrow().values().all(|weight| *weight == 100),
                    "{what}"
                );
                if has_ended {
                    break;
                }
            }
            if is_over {
                break;
            }
        }
    }
}

/// Anything at all may break, several times, in any fleet: in the end the weights are right, or a
/// person was told which one is not.
#[derive(Debug, Clone)]
struct Story {
    weights: Vec<u8>,
    manner: Option<(usize, Manner)>,
    faults: Vec<(usize, Break)>,
    later: Vec<(usize, Break)>,
}

fn stories() -> impl Strategy<Value = Story> {
    let fault = prop::sample::select(vec![
        Break::Busy,
        Break::Refuse,
        Break::LoseAnswer,
        Break::Late,
        Break::Ignore,
        Break::Sever,
        Break::Revoke,
        Break::Fill,
        Break::CrashBefore,
        Break::CrashAfter,
        Break::Stop,
        Break::StopNow,
        Break::Flap,
    ]);
    let manner = prop::sample::select(vec![
        Manner::UnhealthyAfter(3),
        Manner::ExitsAfter(2),
        Manner::Uncheckable,
        Manner::HealthyAfter(30),
    ]);
    let faults = || prop::collection::vec((1_usize..200, fault.clone()), 0..3);
    let weight = prop::sample::select(vec![100_u8, 100, 100, 80, 50, 0]);
    (
        prop::collection::vec(weight, 2..6),
        prop::option::of((0_usize..6, manner)),
        faults(),
        faults(),
    )
        .prop_map(|(weights, manner, faults, later)| Story {
            weights,
            manner,
            faults,
            later,
        })
}

fn told(story: &Story) {
    const NAMES: [&str; 6] = ["app-1", "app-2", "app-3", "app-4", "app-5", "app-6"];
    let hosts: Vec<_> = NAMES
        .into_iter()
        .zip(story.weights.iter().copied())
        .collect();
    let sim = Sim::new(&hosts);
    sim.be_brisk();
    if let Some((at, manner)) = story.manner {
        sim.edit(NAMES[at], |host| host.manner = Some(("v2", manner)));
    }
    sim.faults.borrow_mut().clone_from(&story.faults);
    let _ = sim.roll_out("v2");
    assert_eq!(lies(&sim), [""; 0], "{story:?}");
    sim.revive();
    let calls = sim.calls.borrow().len();
    let later = story.later.iter().map(|(at, fault)| (calls + at, *fault));
    sim.faults.borrow_mut().extend(later);
    let _ = sim.recover();
    assert_eq!(lies(&sim), [""; 0], "{story:?}");
    sim.mend();
    let reports = sim.recover().unwrap().unwrap();
    let text = || {
        format!(
            "{story:?}\n{}\n{}",
            sim.lines.borrow().join("\n"),
            sim.steps().join("\n")
        )
    };
    assert!(
        sim.violations.borrow().is_empty(),
        "{:#?}\n{}",
        sim.violations.borrow(),
        text()
    );
    assert_eq!(lies(&sim), [""; 0], "{}", text());
    for report in reports {
        assert_ne!(report.outcome, Outcome::Stuck, "{}", text());
    }
    for (host, original) in hosts {
        assert_eq!(sim.weights.borrow()[host], original, "{host}\n{}", text());
        assert!(original == 0 || sim.is_serving(host), "{host}\n{}", text());
    }
    assert!(sim.open_runs().is_empty(), "{}", text());
    assert!(sim.debt.borrow().is_empty(), "{}", text());
}

#[test]
fn a_full_disk_a_crash_and_a_full_disk_again_lose_no_weight() {
    told(&Story {
        weights: vec![100, 80, 100, 100],
        manner: Some((1, Manner::UnhealthyAfter(3))),
        faults: vec![(127, Break::CrashBefore), (76, Break::Fill)],
        later: vec![(183, Break::Busy), (20, Break::Fill)],
    });
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]
    #[test]
    fn any_story_ends_with_every_weight_as_it_was(story in stories()) {
        told(&story);
    }
}
