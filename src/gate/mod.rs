//! The gate: a Docker API for one job, in front of a daemon that is everybody's.
//!
//! A request goes the same way each time: [`route`] finds its row in the [`table`] or refuses it by
//! name; [`container`], [`object`] and [`build`] read what it asks for, refuse what would reach the host
//! or somebody else, and write it anew; [`own`] turns names into full ids of things that carry the
//! job's label; then `handle` passes it on and streams the answer back. The bytes of a client's
//! request line, query and small bodies never reach the daemon.
//!
//! What a job makes carries the labels of its [`Scope`], and the names it gives to images begin with
//! its own prefix; so [`sweep()`] removes them with no memory of the gate that let them through.
//!
//! Must not know: GitLab, the runner, configuration files, policy. It takes plain values.

mod advice;
pub(crate) mod alias;
mod archive;
pub(crate) mod build;
mod buildkit;
pub(crate) mod change;
mod classic;
mod clean;
mod commit;
pub(crate) mod container;
mod create;
mod credential;
mod daemon;
pub(crate) mod dockerfile;
pub(crate) mod error;
mod facts;
mod field;
mod folder;
mod forward;
mod grpc;
mod handle;
mod hide;
pub(crate) mod host_name;
mod image;
pub(crate) mod info;
pub(crate) mod json;
mod lend;
mod login;
mod logins;
pub(crate) mod names;
pub(crate) mod object;
pub(crate) mod own;
mod own_image;
mod pieces;
mod progress;
mod prune;
mod publish;
mod pull;
pub(crate) mod push;
pub(crate) mod query;
mod realm;
pub(crate) mod refusal;
pub(crate) mod registries;
mod road;
pub(crate) mod route;
pub(crate) mod scope;
pub(crate) mod serve;
mod session;
pub(crate) mod sweep;
pub(crate) mod table;
#[cfg(test)]
mod tests;
mod trace;
mod transfer;
mod tunnel;
mod unpack;
mod usage;
mod use_note;
mod version;
pub(crate) mod workspace;

pub use classic::{Layers, Trimmed};
pub use container::{Ceiling, Usual};
pub use daemon::DaemonError;
pub use error::GateError;
pub(crate) use folder::GateFolder;
pub use host_name::HostNames;
pub use names::Names;
pub use push::Pushed;
pub use registries::{Accounts, Errand, Login, Registries};
pub use scope::{PushSink, Scope, Workspace};
pub use serve::Gate;
pub use sweep::sweep;
pub(crate) use sweep::sweep_names;
pub(crate) use use_note::note_copy;
