//! Everything that speaks to a Docker Engine: for jobs, and for production hosts.
//!
//! `reference`, `glob`, `name`, `tenant`, `limit`, `setting`, `spec`, `volume`, `environ` and `convert` are pure; `fault` says what the engine's errors mean.

pub(crate) mod auth;
mod convert;
pub(crate) mod engine;
pub(crate) mod environ;
pub(crate) mod fault;
pub(crate) mod glob;
pub(crate) mod group;
pub(crate) mod helper;
pub(crate) mod kept;
pub(crate) mod limit;
pub(crate) mod line;
pub(crate) mod mirror;
pub(crate) mod name;
mod ping;
pub(crate) mod process;
pub(crate) mod pull;
pub(crate) mod reference;
pub(crate) mod setting;
pub(crate) mod spec;
pub(crate) mod tenant;
pub(crate) mod volume;
