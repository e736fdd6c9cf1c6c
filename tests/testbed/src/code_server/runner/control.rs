//! What ends a job early, and the way it reaches the driver call in progress.

use std::collections::BTreeSet;
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::Pid;

use super::call::Event;

/// Shared by the job and whoever may end it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Control(Arc<Mutex<State>>);

#[derive(Debug, Default)]
pub(crate) struct State {
    pub(crate) is_canceled: bool,
    pub(crate) is_aborted: bool,
    pub(crate) is_crashed: bool,
    call: Option<(Pid, Sender<Event>)>,
}

impl Control {
    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn cancel(&self) {
        self.change(|state| state.is_canceled = true);
    }

    pub(crate) fn abort(&self) {
        self.change(|state| state.is_aborted = true);
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        let mut state = self.state();
        change(&mut state);
        if let Some((_, wake)) = &state.call {
            // A call that has just ended no longer listens, and looks at the state itself.
            let _ = wake.send(Event::Control);
        }
    }

    pub(crate) fn kill_group(&self) -> bool {
        let state = self.state();
        state
            .call
            .as_ref()
            .is_some_and(|(leader, _)| killpg(*leader, Signal::SIGKILL).is_ok())
    }

    pub(crate) fn crash(&self) -> bool {
        let leader = self.state().call.as_ref().map(|(leader, _)| *leader);
        self.change(|state| state.is_crashed = true);
        let Some(leader) = leader else { return false };
        for pid in descendants(leader) {
            // One that ended in the meantime is what was wanted.
            let _ = kill(pid, Signal::SIGKILL);
        }
        let _ = killpg(leader, Signal::SIGKILL);
        true
    }

    pub(crate) fn begin(&self, leader: Pid, wake: Sender<Event>) {
        let mut state = self.state();
        // What was asked for before the call began must not be lost.
        let _ = wake.send(Event::Control);
        state.call = Some((leader, wake));
    }

    pub(crate) fn end(&self) {
        self.state().call = None;
    }
}

/// A process and all that it started, by parent, whatever group or session they went to.
fn descendants(root: Pid) -> Vec<Pid> {
    let parents: Vec<(i32, i32)> = std::fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| {
            let pid: i32 = entry.file_name().to_str()?.parse().ok()?;
            let stat = std::fs::read_to_string(entry.path().join("stat")).ok()?;
            let after_name = stat.rsplit_once(')')?.1;
            Some((pid, after_name.split_whitespace().nth(1)?.parse().ok()?))
        })
        .collect();
    let mut found = BTreeSet::from([root.as_raw()]);
    loop {
        let before = found.len();
        found.extend(
            parents
                .iter()
                .filter(|(_, up)| found.contains(up))
                .map(|(pid, _)| *pid)
                .collect::<Vec<_>>(),
        );
        if found.len() == before {
            return found.into_iter().map(Pid::from_raw).collect();
        }
    }
}
