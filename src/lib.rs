//! dockmaster: a GitLab Runner custom executor.

pub mod store;
