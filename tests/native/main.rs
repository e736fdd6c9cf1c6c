//! The deploy lane on the real kernel: uids, namespaces, signals, git. Needs root, and says so.

mod kit;

mod checkout;
mod place;
mod sandbox;
mod stop;
