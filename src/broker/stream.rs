//! The broker's standard streams, and who is at the other end of each. Standard input is the control pipe.

use std::{
    io::{self, Write},
    os::{
        fd::{AsFd, OwnedFd},
        unix::net::UnixListener,
    },
};

/// Standard output is the job's socket while a job is served.
pub(super) fn socket() -> io::Result<UnixListener> {
    let socket: OwnedFd = io::stdout().as_fd().try_clone_to_owned()?;
    Ok(UnixListener::from(socket))
}

/// Standard output is the admin's in any other task. A closed one leaves nobody to tell.
pub(super) fn tell_admin(line: &str) {
    let _ = writeln!(io::stdout(), "{line}");
}

/// Standard error is read by the driver, which copies it into the job's log. It may be gone.
pub(super) fn tell_driver(line: &str) {
    let _ = writeln!(io::stderr(), "{line}");
}
