//! Tests that need a part of the machine: root, a Docker Engine, a plugin.
//!
//! A test whose part is missing is shown as ignored, with the reason. Where `CI` is set it fails, except for a real
//! gitlab-runner, which no package brings.
//!
//! A *fixture* is what tests stand on: `fixture.rs` beside a suite's `main.rs` makes it. One fixture for all tests of
//! a suite is made by the first test that runs, and dropped after the last; a suite without one names `NoFixture`.
//!
//! ```no_run
//! use testbed::trial::{self, NoFixture};
//! mod shell {
//!     testbed::tests![NoFixture; [Root]; a_shell_runs, a_build_runs: [Engine, Buildx]];
//!     use testbed::trial::NoFixture;
//!     fn a_shell_runs(_: &NoFixture) {}
//!     fn a_build_runs(_: &NoFixture) {}
//! }
//! fn main() -> std::process::ExitCode {
//!     let arguments = trial::Arguments::from_args();
//!     trial::run(&arguments, NoFixture::make, &[shell::TESTS])
//! }
//! ```

mod need;
mod watchdog;

use std::{
    fmt,
    process::ExitCode,
    sync::{Arc, Mutex, PoisonError},
};

use anyhow::Result;
pub use libtest_mimic::Arguments;
use libtest_mimic::{Completion, Failed, Trial};
pub use need::{Need, newer_client, plugin};

/// For a suite whose tests share nothing.
#[derive(Debug)]
pub struct NoFixture;

impl NoFixture {
    pub fn make() -> Result<Self> {
        Ok(Self)
    }
}

/// A test: its path, what it needs, and what it does with the suite's fixture.
pub struct Test<F: 'static> {
    pub path: &'static str,
    pub needs: &'static [&'static [Need]],
    pub run: fn(&F),
}

/// A module's tests as `TESTS`: the fixture's type; what all need; each function, and what it needs besides.
#[macro_export]
macro_rules! tests {
    ($fixture:ty; $all:tt; $($name:ident $(: $more:tt)?),+ $(,)?) => {
        pub(crate) const TESTS: &[$crate::trial::Test<$fixture>] = &[$($crate::trial::Test {
            path: concat!(module_path!(), "::", stringify!($name)),
            needs: &[$crate::needs!($all), $($crate::needs!($more))?],
            run: $name,
        }),+];
    };
}

/// `[Root, Engine]` as a value.
#[macro_export]
#[doc(hidden)]
macro_rules! needs {
    ([$($need:ident),*]) => { &[$($crate::trial::Need::$need),*] };
}

/// Runs the tests that the arguments choose. `make` makes the fixture.
pub fn run<F: Send + Sync>(
    arguments: &Arguments,
    make: fn() -> Result<F>,
    modules: &[&'static [Test<F>]],
) -> ExitCode {
    let fixture = Arc::new(Fixture::new(make));
    let trials = modules
        .iter()
        .flat_map(|module| module.iter())
        .map(|test| trial(test, &fixture))
        .collect();
    let conclusion = libtest_mimic::run(arguments, trials);
    fixture.end();
    conclusion.exit_code()
}

fn trial<F: Send + Sync>(test: &'static Test<F>, fixture: &Arc<Fixture<F>>) -> Trial {
    let fixture = Arc::clone(fixture);
    // As in libtest, a name does not begin with the crate's.
    let name = test
        .path
        .split_once("::")
        .map_or(test.path, |(_, name)| name);
    Trial::ignorable_test(name, move || {
        let missing = test
            .needs
            .iter()
            .copied()
            .flatten()
            .find_map(|need| need.missing().map(|reason| (need, reason)));
        if let Some((need, reason)) = missing {
            return without(*need, reason, std::env::var_os("CI").is_some());
        }
        let _watched = watchdog::watch(test.path);
        let fixture = fixture.get()?;
        (test.run)(&fixture);
        Ok(Completion::Completed)
    })
}

/// What becomes of a test whose need is missing.
fn without(need: Need, reason: String, is_ci: bool) -> Result<Completion, Failed> {
    if is_ci && !need.may_be_missing_in_ci() {
        return Err(format!("CI is set, so this test must run, but {reason}").into());
    }
    Ok(Completion::ignored_with(reason))
}

/// Made once, by the first test that asks; a failure is told to every test.
struct Fixture<F> {
    make: fn() -> Result<F>,
    made: Mutex<Option<Result<Arc<F>, String>>>,
}

impl<F> Fixture<F> {
    fn new(make: fn() -> Result<F>) -> Self {
        Self {
            make,
            made: Mutex::new(None),
        }
    }

    fn get(&self) -> Result<Arc<F>, String> {
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        made.get_or_insert_with(|| {
            (self.make)()
                .map(Arc::new)
                .map_err(|error| format!("the fixture was not made: {error:#}"))
        })
        .clone()
    }

    fn end(&self) {
        self.made
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
    }
}

impl<F> fmt::Debug for Test<F> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_tuple("Test").field(&self.path).finish()
    }
}

#[cfg(test)]
mod tests;
