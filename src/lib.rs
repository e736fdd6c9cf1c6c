//! dockmaster: a GitLab Runner custom executor.

pub mod admin;
pub mod app;
pub mod balancer;
pub mod broker;
pub mod call;
pub mod cancel;
pub mod cli;
pub mod config;
pub mod docker;
pub mod exit;
pub mod failure;
pub mod gate;
pub mod host;
pub mod job;
pub mod log;
mod paint;
pub mod policy;
pub mod rollout;
pub mod runner;
pub mod sandbox;
pub mod secret;
pub mod stage;
pub mod store;
pub mod sys;
pub mod tls;
