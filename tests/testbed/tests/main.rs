//! The testbed's parts are what they claim to be.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod application;
mod infrastructure;
mod installation;
mod machine;

use std::process::ExitCode;

use testbed::trial::{self, Arguments, NoFixture};

fn main() -> ExitCode {
    if std::env::args().any(|argument| argument == machine::CHILD) {
        machine::child();
    }
    let arguments = Arguments::from_args();
    let tests = [
        application::TESTS,
        infrastructure::TESTS,
        installation::TESTS,
        machine::TESTS,
    ];
    trial::run(&arguments, NoFixture::make, &tests)
}
