//! Real parts that tests and the demo share.
//!
//! This crate knows dockmaster only from outside: its files, its arguments, its environment. It must never
//! depend on the package under test.

pub mod application;
pub mod background;
pub mod balancer;
pub mod client;
pub mod command;
pub mod docker_client;
pub mod fleet;
pub mod image;
pub mod infrastructure;
pub mod machine;
pub mod network;
pub mod registry;
pub mod serve;
