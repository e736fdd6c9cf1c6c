//! dockmaster: a GitLab Runner custom executor.

pub mod aliyun;
pub mod config;
pub mod deploy;
pub mod failure;
pub mod job;
pub mod policy;
pub mod secret;
pub mod tls;
