//! The gate: a Docker API for one job, in front of a daemon that is everybody's.
//!
//! A request goes the same way each time: [`route`] finds its row in the [`table`] or refuses it by
//! name; [`container`], [`object`] and [`build`] read what it asks for, refuse what would reach the host
//! or somebody else, and write it anew; [`own`] turns names into full ids of things that carry the
//! job's label; then `handle` passes it on and streams the answer back. The bytes of a client's
//! request line, query and small bodies never reach the daemon.
//!
//! What a job makes carries the labels of its [`Scope`], and the names it gives to images are in
//! its record; so [`sweep()`] removes them with no memory of the gate that let them through.
//!
//! Must not know: GitLab, the runner, configuration files, policy. It takes plain values.

pub mod build;
pub mod container;
mod create;
mod daemon;
pub mod error;
mod field;
mod forward;
mod grpc;
mod handle;
mod image;
pub mod json;
pub mod object;
pub mod own;
mod own_image;
pub mod push;
pub mod query;
pub mod record;
pub mod refusal;
mod road;
pub mod route;
pub mod scope;
pub mod serve;
pub mod sweep;
pub mod table;
#[cfg(test)]
mod tests;
pub mod workspace;

pub use daemon::DaemonError;
pub use error::GateError;
pub use push::Pushed;
pub use scope::{PushSink, Scope, Workspace};
pub use serve::Gate;
pub use sweep::sweep;
