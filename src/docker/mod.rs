//! The docker lane: jobs in containers, as GitLab's own docker executor runs them.
//!
//! `name` and `spec` are pure; `engine` is the only file that speaks to Docker.

pub mod engine;
pub mod helper_image;
pub mod name;
pub mod reference;
pub mod spec;
