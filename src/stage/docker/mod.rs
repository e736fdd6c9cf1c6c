//! The docker lane's recipes: prepare, run, cleanup.

mod accounts;
mod builds;
mod cleanup;
mod dind;
mod gate;
mod helper;
mod image;
mod job;
mod limit;
mod marker;
mod prepare;
mod run;
mod scan;
mod scope;
mod service_log;
mod services;
mod user;

pub(crate) use builds::sweep_builds;
pub(super) use cleanup::cleanup;
pub(crate) use gate::trim_layers;
pub(crate) use limit::sweep_groups;
pub(crate) use marker::Marker;
pub(super) use prepare::prepare;
pub(super) use run::run;
pub use scope::job_scope;
