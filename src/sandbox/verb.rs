//! The verbs that dockmaster calls itself by, for the box. They are for nobody else, so no help names
//! them, and they run before anything else does: `enter` must be the only thread of its process.

use std::{ffi::OsStr, io};

use nix::unistd::{Gid, Uid};

use super::{checkout, enter};
use crate::sys::{membership, process};

/// Runs the hidden verb of that name, if it is one of the box's; its exit code.
pub(crate) fn own_verb(verb: &str, arguments: &[&OsStr]) -> Option<i32> {
    match (verb, arguments) {
        ("enter", [entry]) => Some(enter::main(entry)),
        ("checkout", []) => Some(checkout::main()),
        ("signal", [uid, signal]) => Some(signal_all(uid, signal)),
        _ => None,
    }
}

/// Finds the processes of the uid that are in no container, becomes the uid for good, then signals them.
fn signal_all(uid: &OsStr, signal: &OsStr) -> i32 {
    let number = |text: &OsStr| text.to_str().and_then(|text| text.parse::<u32>().ok());
    let (Some(uid), Some(signal)) = (number(uid), number(signal)) else {
        return 2;
    };
    let signalled = || -> io::Result<()> {
        let processes = membership::processes_of(uid)?;
        process::become_user(Uid::from_raw(uid), Gid::from_raw(uid))?;
        process::signal_each(&processes, signal.cast_signed())
    };
    i32::from(signalled().is_err())
}
