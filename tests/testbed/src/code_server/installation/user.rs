//! The system user that owns the secrets, one for each installation, gone with it.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result};
use nix::unistd::{Gid, Uid, User};

use crate::background::wait_until;
use crate::command::run;

const PREFIX: &str = "dmtest-";

#[derive(Debug)]
pub(super) struct BrokerUser {
    pub(super) name: String,
    pub(super) uid: Uid,
    pub(super) gid: Gid,
}

impl BrokerUser {
    pub(super) fn create(number: u32) -> Result<Self> {
        let name = format!("{PREFIX}{}-{number}", std::process::id());
        let arguments = ["--system", "--user-group", "--no-create-home", "--shell"];
        let arguments = [&arguments[..], &["/usr/sbin/nologin", &name]].concat();
        // Another testbed may hold the lock of the user database.
        wait_until("a system user", Duration::from_secs(20), || {
            run("useradd", &arguments).map(|_| true)
        })?;
        let user = User::from_name(&name)?.context("a user that was just made")?;
        Ok(Self {
            name,
            uid: user.uid,
            gid: user.gid,
        })
    }
}

impl Drop for BrokerUser {
    fn drop(&mut self) {
        delete(&self.name);
    }
}

pub(super) fn delete(name: &str) {
    // What stays is tried again by the next testbed's sweep.
    let _ = wait_until("the end of a system user", Duration::from_secs(20), || {
        if User::from_name(name)?.is_none() {
            return Ok(true);
        }
        run("userdel", &[name]).map(|_| true)
    });
}

/// Deletes the users of testbeds that were killed.
pub(super) fn sweep() {
    let users = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    for name in users.lines().filter_map(|line| line.split(':').next()) {
        let owner = name
            .strip_prefix(PREFIX)
            .and_then(|rest| rest.split('-').next());
        if owner.is_some_and(|pid| !Path::new("/proc").join(pid).exists()) {
            delete(name);
        }
    }
}
