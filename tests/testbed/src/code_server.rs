//! What stands on the code server beside dockmaster: GitLab, its runner, an installed configuration.

pub mod doomed;
pub mod gitlab;
pub mod helper;
pub mod installation;
pub mod runner;
pub mod script;
pub mod spec;
