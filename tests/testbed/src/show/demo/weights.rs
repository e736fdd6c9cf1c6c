//! The weights of the pool over time, one line for each change.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::time::Instant;

use super::screen::Screen;
use crate::balancer::Balancer;

#[derive(Debug)]
pub(super) struct Weights {
    start: Instant,
    shown: Cell<usize>,
}

impl Weights {
    pub(super) fn follow(balancer: &Balancer) -> Self {
        Self {
            start: Instant::now(),
            shown: Cell::new(balancer.timeline().len()),
        }
    }

    /// Shows what has changed since the last time.
    pub(super) fn show_changes(&self, balancer: &Balancer, screen: &Screen) {
        let timeline = balancer.timeline();
        let mut now: BTreeMap<String, u32> = balancer.weights();
        // The state after each change that was not shown yet: later ones are taken back first.
        let mut states = Vec::new();
        for (at, change) in timeline.iter().enumerate().skip(self.shown.get()).rev() {
            states.push(now.clone());
            let before = timeline[..at]
                .iter()
                .rev()
                .find(|one| one.backend == change.backend);
            now.insert(change.backend.clone(), before.map_or(100, |one| one.weight));
        }
        for state in states.into_iter().rev() {
            let weights: Vec<(String, u32)> = state.into_iter().collect();
            screen.weights(self.start.elapsed().as_secs_f32(), &weights);
        }
        self.shown.set(timeline.len());
    }
}
