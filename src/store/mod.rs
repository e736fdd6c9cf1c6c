//! What outlives a process, under `state-dir`: journals and leases, a folder an environment.
//!
//! Knows file formats and nothing of what a rollout decides.

mod journal;
mod lease;

pub use journal::{RunFile, Runs, RunsError};
pub use lease::{Holder, Lease, LeaseError, Patience};
