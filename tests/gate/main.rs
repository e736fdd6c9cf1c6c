//! The gate in front of the machine's real Docker Engine, used by real Docker clients, with the scope that
//! a job of the docker lane has.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod alias;
mod build;
mod classic;
mod container;
mod differential;
mod firewall;
mod fixture;
mod host;
mod image;
mod names;
mod open;
mod other;
mod tenant;

use std::process::ExitCode;

use testbed::trial::{self, Arguments};

fn main() -> ExitCode {
    if let Some(told) = std::env::var_os("DOCKMASTER_TEST_OPEN_GATE") {
        return open::serve(told.as_ref());
    }
    let tests = [
        alias::TESTS,
        build::TESTS,
        classic::TESTS,
        container::TESTS,
        differential::TESTS,
        firewall::TESTS,
        host::TESTS,
        image::TESTS,
        names::TESTS,
        other::TESTS,
        tenant::TESTS,
    ];
    trial::run(
        &Arguments::from_args(),
        || Ok(fixture::Jobs::default()),
        &tests,
    )
}
