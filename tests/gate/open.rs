//! One gate that stays open for a script: `scripts/matrix` runs clients of any version through it.

use std::io::Read;
use std::path::Path;
use std::process::ExitCode;

use crate::fixture::Jobs;

/// Opens a gate, writes where it is into a file, and closes it when the standard input ends.
pub(crate) fn serve(told: &Path) -> ExitCode {
    let job = Jobs::default().open("matrix");
    let text = serde_json::json!({
        "socket": job.socket(), "base": job.base, "workspace": job.workspace(),
        "network": job.network(),
    });
    // In one move, so that nobody reads a half.
    let half = told.with_extension("half");
    std::fs::write(&half, text.to_string()).unwrap();
    std::fs::rename(half, told).unwrap();
    std::io::stdin().read_to_end(&mut Vec::new()).unwrap();
    ExitCode::SUCCESS
}
