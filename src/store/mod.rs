//! What outlives a process, under `state-dir`: journals and leases, a folder an environment, and
//! the ledger, a file a project.
//!
//! Knows file formats and nothing of what a rollout decides.

mod journal;
mod lease;
pub mod ledger;
mod lines;

pub use journal::{History, RunFile, Runs};
pub use lease::{Holder, Lease, LeaseError, Patience};
pub use ledger::Ledger;
pub use lines::{Lines, StoreError};
