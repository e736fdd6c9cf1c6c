//! The `dockmaster` program.
fn main() {}
