//! dockmaster: a GitLab Runner custom executor.

pub mod admin;
pub mod aliyun;
pub mod app;
pub mod broker;
pub mod call;
pub mod cancel;
pub mod cli;
mod compose;
pub mod config;
pub mod deploy;
pub mod docker;
pub mod exit;
pub mod failure;
pub mod gate;
pub mod job;
pub mod lease;
pub mod log;
pub mod native;
pub mod policy;
pub mod remote;
pub mod secret;
pub mod ssh;
pub mod stage;
pub mod store;
pub mod sys;
pub mod tls;
