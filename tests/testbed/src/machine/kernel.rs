//! A kernel of the field: this machine's, without the calls that Linux 4.18 does not have.

use std::{collections::BTreeMap, thread};

use anyhow::Result;
use nix::libc::{self, c_long};
use seccompiler::{BpfProgram, SeccompAction, SeccompFilter};

/// Calls of Linux 5.1 and later, each in use by this program, the standard library or tokio.
const LATER: [c_long; 10] = [
    libc::SYS_pidfd_send_signal,
    libc::SYS_pidfd_open,
    libc::SYS_clone3,
    libc::SYS_close_range,
    libc::SYS_openat2,
    libc::SYS_faccessat2,
    libc::SYS_epoll_pwait2,
    libc::SYS_io_uring_setup,
    libc::SYS_landlock_create_ruleset,
    libc::SYS_futex_waitv,
];

/// From here on this thread, and what it starts, finds that the kernel does not know the later calls.
pub fn pretend_old() -> Result<()> {
    let rules: BTreeMap<_, _> = LATER.map(|call| (call, Vec::new())).into();
    let missing = SeccompAction::Errno(libc::ENOSYS.cast_unsigned());
    let filter = SeccompFilter::new(
        rules,
        SeccompAction::Allow,
        missing,
        std::env::consts::ARCH.try_into()?,
    )?;
    Ok(seccompiler::apply_filter(&BpfProgram::try_from(filter)?)?)
}

/// Does something in a thread for which the kernel is old.
pub fn on_an_old_one<T: Send>(act: impl FnOnce() -> T + Send) -> Result<T> {
    thread::scope(|scope| {
        let old = scope.spawn(|| pretend_old().map(|()| act()));
        old.join()
            .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}
