//! The runner process that drives a job, as it is written on everything made for the job. When the
//! process is gone, so is the job.

use std::{fs, os::unix::process::parent_id};

/// No process has this: what a caller that is gone is written as.
const GONE: &str = "0-0";

/// The process that called us, as `pid-starttime`: pids are used again, pairs are not.
pub(crate) fn of_caller() -> String {
    let first = fs::read_to_string("/proc/1/comm").unwrap_or_default();
    let parent = parent_id();
    if is_orphan(parent, first.trim_end()) {
        return GONE.into();
    }
    identity(parent).unwrap_or_else(|| GONE.into())
}

/// True when the caller has died already, and the first process, called `first`, has taken us over: as a
/// runner that one would live for ever. In a container it may be a runner indeed.
fn is_orphan(parent: u32, first: &str) -> bool {
    parent == 1 && first != "gitlab-runner"
}

/// This process, in the same form.
pub(crate) fn of_this_process() -> String {
    identity(std::process::id()).unwrap_or_default()
}

/// True while the very process that `runner` names is alive.
pub(crate) fn is_alive(runner: &str) -> bool {
    let pid = runner.split('-').next().and_then(|pid| pid.parse().ok());
    pid.is_some_and(|pid| identity(pid).as_deref() == Some(runner))
}

fn identity(pid: u32) -> Option<String> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The start time is field 22; the name, field 2, may hold blanks and parentheses.
    let started = stat.rsplit(')').next()?.split_whitespace().nth(19)?;
    Some(format!("{pid}-{started}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_runner_is_alive_as_long_as_its_process() {
        assert!(is_alive(&of_caller()));
        let mut child = std::process::Command::new("sleep")
            .arg("60")
            .spawn()
            .unwrap();
        let runner = identity(child.id()).unwrap();
        assert!(is_alive(&runner));
        assert!(!is_alive(&format!("{}-1", child.id())));
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(!is_alive(&runner));
        assert!(!is_alive(""));
        assert!(!is_alive(GONE));
    }

    #[test]
    fn who_took_over_from_a_dead_runner_is_none() {
        assert!(is_orphan(1, "systemd"));
        assert!(is_orphan(1, "dumb-init"));
        assert!(!is_orphan(1, "gitlab-runner"));
        assert!(!is_orphan(4711, "systemd"));
    }
}
