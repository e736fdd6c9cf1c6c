//! Measures dockmaster against plain Docker; see `scripts/bench`.

fn main() -> std::process::ExitCode {
    testbed::bench::main(std::env::args().skip(1))
}
