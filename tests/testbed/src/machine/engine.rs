//! The machine's Docker Engine: used if one runs, else started, and ended again by the last testbed that used it.

use std::fs::{self, File};
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result};

use crate::background::wait_until;
use crate::command::{DOCKER, attempt, docker, docker_lines, run};
use crate::image;

const DIRECTORY: &str = "/run/dockmaster-testbed";

/// Open and locked while this process uses the engine; until then no other process ends it.
static USERS: Mutex<Option<File>> = Mutex::new(None);

/// Joins the users of the engine, and starts it if it does not run.
pub(super) fn join() -> Result<()> {
    fs::create_dir_all(DIRECTORY).with_context(|| format!("cannot create {DIRECTORY}"))?;
    let users = lock_file("users")?;
    users
        .lock_shared()
        .context("cannot lock the list of testbeds")?;
    let start = lock_file("start")?;
    start.lock().context("cannot lock the engine's start")?;
    *USERS.lock().unwrap_or_else(PoisonError::into_inner) = Some(users);
    if !answers() {
        start_engine()?;
    }
    Ok(())
}

/// Leaves; the last to do so puts the machine back as the first found it.
pub(super) fn leave() {
    let users = USERS.lock().unwrap_or_else(PoisonError::into_inner).take();
    let Some(users) = users else { return };
    let _ = users.unlock();
    // Somebody else still has it, or has come in between: then this is theirs to do.
    if users.try_lock().is_ok() {
        forget_user_facing_images();
        stop_ours();
    }
}

fn lock_file(name: &str) -> Result<File> {
    let path = Path::new(DIRECTORY).join(name);
    File::create(&path).with_context(|| format!("cannot create {}", path.display()))
}

fn answers() -> bool {
    let output = attempt(DOCKER, &["version", "--format", "{{.Server.Version}}"], b"");
    output.is_ok_and(|output| output.status.success())
}

/// `setsid` detaches it from the terminal: a Ctrl-C meant for the testbed must not end it first.
fn start_engine() -> Result<()> {
    run(
        "setsid",
        &[
            "--fork",
            "sh",
            "-c",
            &format!("exec dockerd >{DIRECTORY}/dockerd.log 2>&1 </dev/null"),
        ],
    )?;
    wait_until("dockerd", Duration::from_mins(1), || Ok(answers())).with_context(|| {
        fs::read_to_string(format!("{DIRECTORY}/dockerd.log")).unwrap_or_default()
    })?;
    let id = fs::read_to_string("/var/run/docker.pid").context("dockerd wrote no pid file")?;
    fs::write(
        ours(),
        format!(
            "{} {}",
            id.trim(),
            start_time(id.trim()).unwrap_or_default()
        ),
    )?;
    Ok(())
}

fn ours() -> String {
    format!("{DIRECTORY}/dockerd.pid")
}

/// Ends the engine only if a testbed started it and it is still that process.
fn stop_ours() {
    let Ok(noted) = fs::read_to_string(ours()) else {
        return;
    };
    let Some((id, time)) = noted.split_once(' ') else {
        return;
    };
    if start_time(id).as_deref() == Some(time) {
        let _ = run("kill", &[id]);
        let gone = || Ok(start_time(id).as_deref() != Some(time));
        let _ = wait_until("the end of dockerd", Duration::from_secs(20), gone);
    }
    let _ = fs::remove_file(ours());
}

/// The kernel's start time of a process tells it from a later one with the same id.
fn start_time(id: &str) -> Option<String> {
    let status = fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
    let (_, rest) = status.rsplit_once(')')?;
    rest.split_whitespace().nth(19).map(str::to_owned)
}

/// Takes back `alpine:latest` and `docker:latest` if they are stand-ins; the images stay cached.
fn forget_user_facing_images() {
    for image in [image::ALPINE, image::DOCKER] {
        let filter = format!("label={}", image::LABEL);
        let ours = docker_lines(&["image", "ls", "-q", "--filter", &filter, image]);
        if !ours.is_empty() {
            let _ = docker(&["image", "rm", image]);
        }
    }
}
