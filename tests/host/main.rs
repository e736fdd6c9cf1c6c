//! The adapters against what they adapt: production hosts with sshd, Docker Engine and
//! docker-compose, a registry with TLS and tokens, the balancer's API. One fleet is booted for all tests; each takes the
//! hosts as it finds them and leaves them whole.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod connection;
mod contract;
mod fixture;
mod probe;
mod project;
mod pull;
mod released;
mod switch;
mod watch;

use std::process::ExitCode;

use fixture::Fixture;
use testbed::trial::{self, Arguments};

fn main() -> ExitCode {
    if let Some(file) = std::env::args().skip_while(|it| it != "--hold").nth(1) {
        return connection::hold(&file);
    }
    let mut arguments = Arguments::from_args();
    // The hosts are shared, and most tests change them.
    arguments.test_threads = Some(1);
    let fleet = [
        watch::TESTS,
        probe::TESTS,
        pull::TESTS,
        switch::TESTS,
        project::TESTS,
        released::TESTS,
        connection::TESTS,
    ];
    trial::run(
        &arguments,
        Fixture::boot,
        &[contract::TESTS, &fleet].concat(),
    )
}
