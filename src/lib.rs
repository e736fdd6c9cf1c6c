//! dockmaster: a GitLab Runner custom executor.

pub mod gate;
pub mod store;
