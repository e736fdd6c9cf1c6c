//! Tests that need an engine, a network and rules of the kernel's to themselves: this program is called again where it has
//! them.

use std::{
    env,
    ffi::OsStr,
    path::Path,
    process::{Command, ExitCode},
};

use crate::{builds, firewall};

/// Set there, to the name of the test.
pub(crate) const INSIDE: &str = "DOCKMASTER_TEST_APART";

/// Runs a test there.
#[track_caller]
pub(crate) fn run(name: &str) {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/lib/own-engine.sh");
    let output = Command::new(script)
        .arg(env::current_exe().unwrap())
        .env(INSIDE, name)
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}\n{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}

/// The test itself.
pub(crate) fn inside(name: &OsStr) -> ExitCode {
    match name.to_str() {
        Some("firewall") => firewall::inside(),
        Some("builds") => builds::inside(),
        _ => return ExitCode::FAILURE,
    }
    ExitCode::SUCCESS
}
