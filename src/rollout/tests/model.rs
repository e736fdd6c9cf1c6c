//! The engine under every fault at every call, and a second one at every state that the first one
//! leads to: a state that was gone on from once with a fault is not gone on from again with it.
//!
//! A release build looks at all of that; other builds at every first fault and at some seconds.
//! `cargo test --release --lib rollout::tests::model` writes to target/rollout-model how many there are.

use std::{
    cell::RefCell,
    collections::HashSet,
    hash::{DefaultHasher, Hash, Hasher},
    rc::Rc,
    sync::Mutex,
    thread,
};

use super::{
    faults::lies,
    kit::{Break, Manner, Sim},
    scenes::log,
    start_first::start_first,
};
use crate::rollout::journal::Outcome;

/// What goes wrong: an error, an answer that is lost, one that is applied late, a crash before and
/// after, a stranger who moves a weight, a host that dies.
const FAULTS: [Break; 9] = [
    Break::Busy,
    Break::Refuse,
    Break::LoseAnswer,
    Break::Late,
    Break::CrashBefore,
    Break::CrashAfter,
    Break::Stranger,
    Break::Die,
    Break::Fall,
];

/// What comes after a crash, or beside: who recovers, and who deploys. The lease puts them in an
/// order, so racing is any order.
#[derive(Debug, Clone, Copy)]
enum After {
    Recover,
    Deploy,
}

const AFTER: [After; 2] = [After::Recover, After::Deploy];

#[derive(Debug, Clone)]
struct Path {
    is_start_first: bool,
    is_bad: bool,
    after: After,
    faults: Vec<(usize, Break)>,
}

/// What was met on a path.
struct Met {
    /// The state before each call.
    states: Vec<u64>,
    problems: Vec<String>,
    log: String,
}

fn three(is_bad: bool) -> Rc<Sim> {
    let sim = Sim::new(&[("app-1", 100), ("app-2", 100), ("app-3", 100)]);
    sim.be_brisk();
    if is_bad {
        sim.edit("app-2", |host| {
            host.manner = Some(("v2", Manner::ExitsAfter(2)));
        });
    }
    sim
}

fn two(is_bad: bool) -> Rc<Sim> {
    let sim = start_first(&["app-1", "app-2"]);
    sim.be_brisk();
    if is_bad {
        sim.edit("app-2", |host| {
            host.manner_in_place = Some(("v2", Manner::ExitsAfter(2)));
        });
    }
    sim
}

fn walk(path: &Path) -> Met {
    let sim = if path.is_start_first {
        two(path.is_bad)
    } else {
        three(path.is_bad)
    };
    sim.states.replace(Some(Vec::new()));
    sim.faults.borrow_mut().clone_from(&path.faults);
    let _ = sim.roll_out("v2");
    let mut problems = lies(&sim);
    sim.go_on();
    match path.after {
        After::Recover => drop(sim.recover()),
        After::Deploy => drop(sim.roll_out("v3")),
    }
    problems.extend(lies(&sim));
    let states = sim.states.take().unwrap();
    // Whatever broke is mended, and what was accepted is applied: then all must come right.
    sim.mend();
    sim.wait(60);
    let _ = sim.recover();
    problems.extend(ill(&sim));
    problems.extend(sim.violations.borrow().iter().cloned());
    Met {
        states,
        problems,
        log: log(&sim),
    }
}

/// What is not right at the end: each healthy host has its weight again, and nothing is owed to one.
fn ill(sim: &Rc<Sim>) -> Vec<String> {
    let mut ill = Vec::new();
    if sim.is_other.get() {
        return ill;
    }
    let told = sim.told.borrow();
    let is_stuck = matches!(&*told, Some((Outcome::Stuck, _)));
    for (host, original) in &sim.originals {
        let weight = sim.weights.borrow()[host];
        let is_foreign = sim.foreign.borrow().contains_key(host);
        let is_serving = sim.is_serving(host);
        if is_serving && weight != *original && !is_foreign {
            ill.push(format!("{host} is healthy, and left at {weight}"));
        }
        if !is_serving && weight == 0 && sim.debt.borrow().is_empty() && !is_foreign {
            ill.push(format!("{host} is at 0, and nobody knows that it is owed"));
        }
    }
    for host in sim.seconds() {
        if sim.open_runs().is_empty() && sim.is_serving(&host) {
            ill.push(format!(
                "the second instance of {host} is left, and no run is open"
            ));
        }
    }
    if sim.open_runs().is_empty() && is_stuck {
        ill.push("stuck is told, and no run is open".into());
    }
    ill
}

/// Everything that one thread found.
#[derive(Default)]
struct Found {
    states: HashSet<u64>,
    tried: HashSet<(u64, u8)>,
    paths: u64,
}

struct Search {
    /// Second faults are tried at every `stride`th state.
    stride: usize,
    found: Mutex<Found>,
}

impl Search {
    fn take(&self, path: &Path) -> Vec<u64> {
        let met = walk(path);
        assert!(
            met.problems.is_empty(),
            "{:#?}\n{path:?}\n{}",
            met.problems,
            met.log
        );
        let mut found = self.found.lock().unwrap();
        found.paths += 1;
        found.states.extend(&met.states);
        met.states
    }

    /// True the first time that this fault is put there.
    fn is_new(&self, state: u64, fault: usize) -> bool {
        let mut found = self.found.lock().unwrap();
        found.tried.insert((state, u8::try_from(fault).unwrap()))
    }

    fn from(&self, (is_start_first, is_bad): (bool, bool), after: After, part: usize) {
        let mut path = Path {
            is_start_first,
            is_bad,
            after,
            faults: Vec::new(),
        };
        let calls = self.take(&path).len();
        // It takes four times the calls; a release build looks at all of them.
        let step = if is_start_first && cfg!(debug_assertions) {
            5
        } else {
            1
        };
        for at in (1..=calls).filter(|at| at % PARTS == part).step_by(step) {
            for fault in FAULTS {
                path.faults = vec![(at, fault)];
                let states = self.take(&path);
                self.second(&path, &states);
            }
        }
    }

    fn second(&self, first: &Path, states: &[u64]) {
        let (begins, _) = first.faults[0];
        for (at, state) in (1..).zip(states).skip(begins).step_by(self.stride) {
            for (number, fault) in FAULTS.into_iter().enumerate() {
                if self.is_new(*state, number) {
                    let mut path = first.clone();
                    path.faults.push((at, fault));
                    self.take(&path);
                }
            }
        }
    }
}

/// One for each processor that the check is meant for.
const PARTS: usize = 2;

#[test]
fn no_two_faults_lose_a_weight_or_make_the_last_word_a_lie() {
    let stride = if cfg!(debug_assertions) { 199 } else { 1 };
    let search = Search {
        stride,
        found: Mutex::default(),
    };
    thread::scope(|scope| {
        for part in 0..PARTS {
            let search = &search;
            scope.spawn(move || {
                for is_start_first in [false, true] {
                    for (is_bad, after) in [false, true].into_iter().zip(AFTER) {
                        search.from((is_start_first, is_bad), after, part);
                    }
                }
            });
        }
    });
    let found = search.found.into_inner().unwrap();
    let (states, paths) = (found.states.len(), found.paths);
    let text = format!("{states} distinct states on {paths} paths\n");
    let target = concat!(env!("CARGO_MANIFEST_DIR"), "/target/rollout-model");
    std::fs::write(target, text).unwrap();
    assert!(states > 5_000, "{states} states only");
}

/// One number for all that matters of a state.
pub(super) fn number_of(state: impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    state.hash(&mut hasher);
    hasher.finish()
}

pub(super) type States = RefCell<Option<Vec<u64>>>;
