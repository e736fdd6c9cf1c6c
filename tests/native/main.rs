//! The deploy lane on the real kernel: uids, namespaces, signals, git. Needs root, and says so.

#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot go on fails right there"
)]

mod kit;

mod broker;
mod checkout;
mod place;
mod sandbox;
mod stop;
