//! The kernel's own doors, and the only place where `unsafe` may be. Knows nothing of jobs.

#![expect(
    unsafe_code,
    reason = "a few system calls have no safe wrapper; they are kept here"
)]

pub(crate) mod cgroup;
pub(crate) mod host;
pub(crate) mod membership;
pub(crate) mod memory;
pub(crate) mod mount;
pub(crate) mod process;
pub(crate) mod tree;
