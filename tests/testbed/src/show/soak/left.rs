//! What no single job shows, looked at when all are gone: names and images, journals, accounts, processes.

use std::fs;
use std::path::Path;

use anyhow::{Result, ensure};

use crate::command::docker;
use crate::installation::Installation;
use crate::registry::Registry;

/// What is left, by what it is.
pub(super) fn look(
    installation: &Installation,
    registry: &Registry,
) -> Result<Vec<(&'static str, Vec<String>)>> {
    // As its timer would, some time later.
    let collected = installation.command(&["gc"]).output()?;
    ensure!(collected.status.success(), "gc: {collected:?}");
    let names = docker(&["images", "--format", "{{.Repository}}:{{.Tag}}"])?;
    let names: Vec<&str> = names.lines().collect();
    let chosen = |is: &dyn Fn(&str) -> bool| {
        let chosen = names.iter().filter(|name| is(name));
        chosen.map(|name| (*name).to_owned()).collect::<Vec<_>>()
    };
    let of_jobs = chosen(&|name| is_private(name));
    let of_the_host = chosen(&|name| {
        !is_private(name) && !name.starts_with("dockmaster-") && name.contains("soak")
    });
    let loose = docker(&["images", "-q", "--filter", "dangling=true"])?;
    let containers = docker(&["ps", "-aq", "--no-trunc"])?;
    let robots = registry.harbor.robots();
    let robots = robots.into_iter().map(|robot| robot.name);
    Ok(vec![
        ("names of jobs", of_jobs),
        ("names that a push lent", of_the_host),
        ("images without a name", lines(&loose)),
        ("containers", lines(&containers)),
        ("journals of names", journals(&installation.state())),
        (
            "accounts of jobs",
            robots.filter(|name| name.contains("-j")).collect(),
        ),
        ("notes", files(&installation.run_directory().join("notes"))),
        ("gates", files(&installation.run_directory().join("gates"))),
        ("processes", installation.left_running()),
    ])
}

/// `dockmaster-<32 digits>.invalid/…`
fn is_private(name: &str) -> bool {
    let digits = name
        .strip_prefix("dockmaster-")
        .and_then(|rest| rest.split_once(".invalid/"));
    digits.is_some_and(|(digits, _)| digits.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

fn lines(text: &str) -> Vec<String> {
    text.lines().map(str::to_owned).collect()
}

/// A file for each name that an image has for a while, in a folder for each engine.
fn journals(state: &Path) -> Vec<String> {
    let engines = files(&state.join("names"));
    let journals = engines.iter().flat_map(|engine| files(Path::new(engine)));
    journals.collect()
}

fn files(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let paths = entries.map(|entry| entry.path().display().to_string());
    paths.collect()
}
