//! Kills at random moments and counts what is left; see `scripts/soak`.

fn main() -> std::process::ExitCode {
    testbed::soak::main(std::env::args().skip(1))
}
