//! dockmaster: a GitLab Runner custom executor.

pub mod aliyun;
pub mod app;
pub mod call;
pub mod cancel;
pub mod cli;
pub mod config;
pub mod deploy;
pub mod docker;
pub mod exit;
pub mod failure;
pub mod job;
pub mod log;
pub mod policy;
pub mod secret;
pub mod stage;
pub mod tls;
