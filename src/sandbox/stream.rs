//! The standard streams of `enter` and `checkout`, and who is at the other end of each.

use std::{
    io::{self, Stdout, Write},
    os::fd::AsFd,
    process::Stdio,
};

/// The job's log, for lines of `checkout`.
pub(super) fn log() -> Stdout {
    io::stdout()
}

/// The job's log, for a stream of the job's own.
pub(super) fn copy_of_log() -> io::Result<Stdio> {
    Ok(io::stdout().as_fd().try_clone_to_owned()?.into())
}

/// The driver, which reads why there is no sandbox. Without it the exit code has to do.
pub(super) fn tell_driver(text: &str) {
    let _ = io::stderr().write_all(text.as_bytes());
}
