//! The adapters against what they adapt: production hosts with sshd, Docker Engine and
//! docker-compose, a registry with TLS and tokens, the balancer's API. One fleet is booted for all tests; each takes the
//! hosts as it finds them and leaves them whole.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod balancer;
mod bed;
mod connection;
mod pull;
mod switch;
mod watch;

use std::{process::ExitCode, sync::Arc};

use libtest_mimic::{Arguments, Trial};

use bed::Bed;

type Test = fn(&Bed);

fn main() -> ExitCode {
    if let Some(file) = std::env::args().skip_while(|it| it != "--hold").nth(1) {
        return connection::hold(&file);
    }
    let mut arguments = Arguments::from_args();
    // The hosts are shared, and most tests change them.
    arguments.test_threads = Some(1);
    let tests = [
        balancer::TESTS,
        watch::TESTS,
        pull::TESTS,
        switch::TESTS,
        connection::TESTS,
    ]
    .concat();
    let wanted = |name: &str| {
        let matches =
            |filter: &String| name == filter || (!arguments.exact && name.contains(filter));
        arguments.filter.as_ref().is_none_or(matches) && !arguments.skip.iter().any(matches)
    };
    let is_needed = !arguments.list && tests.iter().any(|(name, _)| wanted(name));
    let bed = Arc::new(is_needed.then(Bed::boot));
    let trial = |(name, test): (&'static str, Test)| {
        let bed = Arc::clone(&bed);
        Trial::test(name, move || {
            test(bed.as_ref().as_ref().ok_or("the fleet was not booted")?);
            Ok(())
        })
    };
    let trials = tests.into_iter().map(trial).collect();
    let conclusion = libtest_mimic::run(&arguments, trials);
    drop(bed);
    conclusion.exit_code()
}
