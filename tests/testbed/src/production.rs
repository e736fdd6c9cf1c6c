//! What a company has in production: hosts, their images, a registry, a load balancer.

pub mod balancer;
pub mod docker_client;
pub mod fleet;
pub mod harbor;
pub mod image;
pub mod infrastructure;
pub mod registry;
