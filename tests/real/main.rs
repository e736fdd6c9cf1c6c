//! Real parts: Docker Engine, registry, sshd, docker-compose, HAProxy, kernel. One company is founded for all
//! of these tests and gone after them, which is why they have a main of their own.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod docker_lane;
mod pipeline;
mod rollout;
mod world;

use std::sync::Arc;

use libtest_mimic::{Arguments, Conclusion, Trial};

use world::World;

fn main() {
    let mut arguments = Arguments::from_args();
    // Two cores; and rollouts take the fleet in turn anyway.
    arguments.test_threads.get_or_insert(2);
    let world = Arc::new(World::default());
    let tests = [docker_lane::TESTS, pipeline::TESTS, rollout::TESTS].concat();
    let trials = tests
        .into_iter()
        .map(|(name, test)| trial(&world, name, test))
        .collect();
    let conclusion: Conclusion = libtest_mimic::run(&arguments, trials);
    world.end();
    conclusion.exit();
}

/// A test and its name, which says the claim.
type Test = (&'static str, fn(&World));

fn trial(world: &Arc<World>, name: &'static str, test: fn(&World)) -> Trial {
    let world = Arc::clone(world);
    Trial::test(name, move || {
        test(&world);
        Ok(())
    })
}

/// A table of tests, named after the module and the function.
macro_rules! tests {
    ($($name:ident),+ $(,)?) => {
        pub(crate) const TESTS: &[crate::Test] = &[
            $((concat!(module_path!(), "::", stringify!($name)), $name)),+
        ];
    };
}
pub(crate) use tests;
