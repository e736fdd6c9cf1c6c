//! What outlives a process: under `state-dir` journals, debts and leases, a folder an environment, and the
//! ledger, a file a project; under `run-dir` a note for each live job.
//!
//! Knows file formats and nothing of what a rollout decides.

mod chain;
mod debt;
mod files;
mod flaw;
mod host_secret;
mod in_use;
mod journal;
mod lease;
pub mod ledger;
mod lines;
mod note;
mod slots;
mod story;

pub use debt::DebtFile;
pub(crate) use files::ComposeFiles;
pub use flaw::Flaw;
pub use host_secret::host_secret;
pub(crate) use in_use::InUse;
pub use journal::{History, Past, RunFile, Runs};
pub use lease::{Holder, Lease, LeaseError, Patience};
pub use ledger::Ledger;
pub use lines::{Lines, StoreError};
pub(crate) use note::{Note, Notes};
pub(crate) use slots::Slots;
pub(crate) use story::Stories;
