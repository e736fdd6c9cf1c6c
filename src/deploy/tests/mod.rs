//! The whole engine in a world in memory.

mod kit;

use std::rc::Rc;

use kit::{Manner, Sim};

use super::journal::Outcome;

fn three() -> Rc<Sim> {
    Sim::new(&[("app-1", 100), ("app-2", 100), ("app-3", 100)])
}

fn log(sim: &Sim) -> String {
    sim.lines.borrow().join("\n")
}

#[test]
fn a_good_release_goes_host_by_host_and_gives_every_weight_back() {
    let sim = three();
    let report = sim.roll_out("v2").unwrap().unwrap();
    assert_eq!(
        *sim.violations.borrow(),
        Vec::<String>::new(),
        "{}",
        log(&sim)
    );
    assert_eq!(report.outcome, Outcome::Done);
}

#[test]
fn a_bad_release_is_undone_on_the_first_host() {
    let sim = three();
    sim.behave("v2", Manner::UnhealthyAfter(5));
    let report = sim.roll_out("v2").unwrap().unwrap();
    assert_eq!(
        *sim.violations.borrow(),
        Vec::<String>::new(),
        "{}",
        log(&sim)
    );
    assert_eq!(report.outcome, Outcome::Undone);
}
