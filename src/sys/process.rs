//! Processes: whose they are, what ends them, what they may keep.

use std::{
    fs, io,
    os::fd::{AsFd, BorrowedFd, OwnedFd, RawFd},
    thread,
    time::{Duration, Instant},
};

use nix::{
    errno::Errno,
    fcntl::{FcntlArg, FdFlag, OFlag, fcntl},
    libc,
    sys::{
        prctl,
        resource::{Resource, setrlimit},
        signal::{Signal, kill},
        wait::{WaitPidFlag, WaitStatus, waitpid},
    },
    unistd::{self, ForkResult, Gid, Pid, Uid},
};

/// The two sides of a `fork`.
#[derive(Debug)]
pub(crate) enum Fork {
    Parent { child: Pid },
    Child,
}

/// Splits this process in two. Refused unless it has one thread only, for the child has no other.
pub(crate) fn fork() -> io::Result<Fork> {
    if fs::read_dir("/proc/self/task")?.count() != 1 {
        return Err(io::Error::other("a process with threads cannot be forked"));
    }
    // SAFETY: this is the only thread, so no lock can be held by one that the child lacks.
    match unsafe { unistd::fork() }? {
        ForkResult::Parent { child } => Ok(Fork::Parent { child }),
        ForkResult::Child => Ok(Fork::Child),
    }
}

/// From here on the kernel kills this process when the thread that started it ends.
/// Look afterwards whether the parent is still there: it may have ended just before.
pub(crate) fn die_with_parent() -> io::Result<()> {
    Ok(prctl::set_pdeathsig(Signal::SIGKILL)?)
}

/// Leaves the session of whoever started this process: its terminal and its signals.
pub(crate) fn leave_session() -> io::Result<()> {
    unistd::setsid()?;
    Ok(())
}

/// Whatever was inherited beyond the standard streams ends at the next `exec`.
pub(crate) fn close_on_exec_beyond_standard_streams() -> io::Result<()> {
    match mark_range() {
        // Linux before 5.9 has no such call, before 5.11 not this flag.
        Err(Errno::ENOSYS | Errno::EINVAL) => mark_one_by_one(),
        result => Ok(result?),
    }
}

fn mark_range() -> nix::Result<()> {
    // By number: the C libraries of the field have no function for it.
    // SAFETY: only a flag of descriptors is set; none is closed, and no memory is touched.
    let result = unsafe {
        libc::syscall(
            libc::SYS_close_range,
            3_u32,
            u32::MAX,
            libc::CLOSE_RANGE_CLOEXEC,
        )
    };
    Errno::result(result).map(drop)
}

fn mark_one_by_one() -> io::Result<()> {
    for entry in fs::read_dir("/proc/self/fd")? {
        let name = entry?.file_name();
        let number: Option<RawFd> = name.to_str().and_then(|name| name.parse().ok());
        let number = number.ok_or_else(|| io::Error::other("a descriptor is not a number"))?;
        if number < 3 {
            continue;
        }
        // SAFETY: the descriptor was listed just now and nobody else runs here; only its flag is set.
        let descriptor = unsafe { BorrowedFd::borrow_raw(number) };
        fcntl(descriptor, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC))?;
    }
    Ok(())
}

/// No program started from here on gains rights by a set-user-ID bit or a file's capabilities.
pub(crate) fn forbid_new_privileges() -> io::Result<()> {
    Ok(prctl::set_no_new_privs()?)
}

/// A crash leaves no image of the memory behind.
pub(crate) fn forbid_core_dumps() -> io::Result<()> {
    Ok(setrlimit(Resource::RLIMIT_CORE, 0, 0)?)
}

/// Processes of the same user cannot look into this one.
pub(crate) fn hide_memory() -> io::Result<()> {
    Ok(prctl::set_dumpable(false)?)
}

/// Turns this process from root into that user, with no other group, for good.
pub(crate) fn become_user(uid: Uid, gid: Gid) -> io::Result<()> {
    unistd::setgroups(&[])?;
    unistd::setresgid(gid, gid, gid)?;
    unistd::setresuid(uid, uid, uid)?;
    Ok(())
}

/// Signals these processes, as a user who can reach no one else's. One that has ended is no error.
pub(crate) fn signal_each(processes: &[Pid], signal: i32) -> io::Result<()> {
    if unistd::geteuid().is_root() {
        return Err(io::Error::other(
            "root would reach whoever took a pid meanwhile",
        ));
    }
    let signal = Signal::try_from(signal)?;
    for process in processes {
        match kill(*process, signal) {
            Ok(()) | Err(nix::Error::ESRCH | nix::Error::EPERM) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    Code(i32),
    Signal(i32),
}

impl End {
    /// As a shell's `$?` has it.
    pub(crate) fn shell_code(self) -> i32 {
        match self {
            Self::Code(code) => code,
            Self::Signal(signal) => 128 + signal,
        }
    }
}

/// Waits until `child` has ended, and buries every other child that ends meanwhile.
pub(crate) fn wait_for(child: Pid) -> io::Result<End> {
    loop {
        let (ended, end) = match waitpid(None, None::<WaitPidFlag>) {
            Ok(WaitStatus::Exited(pid, code)) => (pid, End::Code(code)),
            Ok(WaitStatus::Signaled(pid, signal, _)) => (pid, End::Signal(signal as i32)),
            Ok(_) | Err(nix::Error::EINTR) => continue,
            Err(error) => return Err(error.into()),
        };
        if ended == child {
            return Ok(end);
        }
    }
}

/// Waits until no child is left, at most for `limit`: what was told to end has ended then.
pub(crate) fn wait_for_children(limit: Duration) {
    let deadline = Instant::now() + limit;
    loop {
        match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
            Ok(WaitStatus::StillAlive) if Instant::now() < deadline => {
                thread::sleep(Duration::from_millis(5));
            }
            Ok(WaitStatus::StillAlive) | Err(nix::Error::ECHILD) => return,
            Ok(_) | Err(_) => {}
        }
    }
}

/// A pipe that carries nothing: its reader learns whether the writer still lives.
pub(crate) fn liveness() -> io::Result<(Alive, OwnedFd)> {
    let (reader, writer) = unistd::pipe2(OFlag::O_CLOEXEC | OFlag::O_NONBLOCK)?;
    Ok((Alive(reader), writer))
}

/// The reading end of `liveness`.
#[derive(Debug)]
pub(crate) struct Alive(OwnedFd);

impl Alive {
    /// True while somebody holds the other end.
    pub(crate) fn is_true(&self) -> bool {
        let nothing_yet = unistd::read(self.0.as_fd(), &mut [0]);
        nothing_yet == Err(nix::Error::EAGAIN)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_with_threads_is_not_forked() {
        // The test harness always has more than one.
        assert!(fork().is_err());
    }

    #[test]
    fn a_pipe_tells_that_its_writer_is_gone() {
        let (alive, writer) = liveness().unwrap();
        assert!(alive.is_true());
        drop(writer);
        assert!(!alive.is_true());
    }

    #[test]
    fn a_signal_s_code_is_the_shell_s() {
        assert_eq!(End::Signal(9).shell_code(), 137);
        assert_eq!(End::Code(3).shell_code(), 3);
    }
}
