//! Shows the whole way of a pushed tag to running hosts, on this machine, with real parts.

fn main() -> std::process::ExitCode {
    testbed::demo::main(std::env::args().skip(1))
}
