//! dockmaster: a GitLab Runner custom executor.

mod admin;
pub mod app;
pub mod balancer;
mod broker;
mod call;
mod cancel;
mod cli;
pub mod config;
mod docker;
mod exit;
pub mod failure;
mod firewall;
pub mod gate;
mod harbor;
pub mod host;
mod job;
mod log;
mod paint;
mod policy;
pub mod rollout;
mod runner;
mod sandbox;
mod secret;
pub mod stage;
pub mod store;
mod sys;
mod tls;
