//! dockmaster: a GitLab Runner custom executor.
