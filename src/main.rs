//! The `dockmaster` program.

fn main() {
    std::process::exit(dockmaster::app::main());
}
