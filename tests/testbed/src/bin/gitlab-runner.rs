//! Answers as `gitlab-runner` in the phases that bring and keep files.

fn main() -> std::process::ExitCode {
    testbed::helper::main(std::env::args().skip(1))
}
