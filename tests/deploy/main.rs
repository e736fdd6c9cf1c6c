//! The deploy lane on the real kernel: uids, namespaces, signals, git.

#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot go on fails right there"
)]
#![expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "the form that a test without a fixture has"
)]

mod fixture;

mod broker;
mod checkout;
mod earlier;
mod folder;
mod reference;
mod sandbox;
mod stop;

use std::process::ExitCode;

use testbed::trial::{self, Arguments};

fn main() -> ExitCode {
    let modules = [
        broker::TESTS,
        checkout::TESTS,
        earlier::TESTS,
        folder::TESTS,
        reference::TESTS,
        sandbox::TESTS,
        stop::TESTS,
    ];
    trial::run(&Arguments::from_args(), || Ok(()), &modules)
}
