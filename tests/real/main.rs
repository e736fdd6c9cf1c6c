//! Real parts: Docker Engine, registry, sshd, docker-compose, HAProxy, kernel. All tests share one company.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod apart;
mod branch;
mod builds;
mod docker_lane;
mod firewall;
mod fixture;
mod gc;
mod harbor;
mod limit;
mod parity;
mod pipeline;
mod rollout;
mod setting;

use std::process::ExitCode;

use fixture::Fixture;
use testbed::trial::{self, Arguments};

fn main() -> ExitCode {
    if let Some(name) = std::env::var_os(apart::INSIDE) {
        return apart::inside(&name);
    }
    let mut arguments = Arguments::from_args();
    // Tests of the fleet wait for each other, and rollouts mostly wait: one goes on beside jobs of the docker lane.
    arguments.test_threads.get_or_insert(3);
    let tests = [
        pipeline::TESTS,
        docker_lane::TESTS,
        parity::TESTS,
        limit::TESTS,
        setting::TESTS,
        builds::TESTS,
        firewall::TESTS,
        rollout::TESTS,
        branch::TESTS,
        gc::TESTS,
        harbor::TESTS,
    ];
    trial::run(&arguments, Fixture::make, &tests)
}
