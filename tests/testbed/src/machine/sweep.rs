//! Removes what a testbed made, told by its process id alone, so that a killed one can be cleaned up after.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::signal::unix::{SignalKind, signal};

use super::{LABEL, engine};
use crate::command::{docker, docker_lines};

/// The file in a temp root that lists what was made outside it.
pub(super) const OUTSIDE: &str = "outside";

/// What others want done before everything is swept away at a signal.
pub(super) type Task = Box<dyn FnOnce() + Send>;

const ROOT: &str = "dockmaster-testbed-";

pub(super) fn root(process: u32) -> PathBuf {
    std::env::temp_dir().join(format!("{ROOT}{process}"))
}

/// Names carry the process id too, because control groups have no labels.
pub(super) fn prefix(process: u32) -> String {
    format!("testbed-{process}-")
}

/// Removes everything of one process. Tries all of it; what cannot be removed is left for the next sweep.
pub fn sweep(process: u32) {
    let filter = format!("label={LABEL}={process}");
    let containers = docker_lines(&["ps", "-aq", "--filter", &filter]);
    remove(&["rm", "-f", "-v"], &containers);
    let networks = docker_lines(&["network", "ls", "-q", "--filter", &filter]);
    remove(&["network", "rm"], &networks);
    let volumes = docker_lines(&["volume", "ls", "-q", "--filter", &filter]);
    remove(&["volume", "rm", "-f"], &volumes);
    remove_images(&filter);
    remove_control_groups(&prefix(process));
    remove_root(&root(process));
}

/// Sweeps after every testbed whose process is gone.
pub fn reap() {
    for process in known() {
        if !Path::new(&format!("/proc/{process}")).exists() {
            sweep(process);
        }
    }
}

/// Cleans up when the program is told to end, which `Drop` alone cannot.
pub(super) async fn on_signal(before: Arc<Mutex<Vec<Task>>>) {
    let (Ok(mut interrupt), Ok(mut terminate)) = (
        signal(SignalKind::interrupt()),
        signal(SignalKind::terminate()),
    ) else {
        return;
    };
    let code = tokio::select! {
        _ = interrupt.recv() => 130,
        _ = terminate.recv() => 143,
    };
    let tasks = std::mem::take(&mut *before.lock().unwrap_or_else(PoisonError::into_inner));
    // What was started last ends first, as when parts are dropped.
    for task in tasks.into_iter().rev() {
        task();
    }
    sweep(std::process::id());
    engine::leave();
    std::process::exit(code);
}

fn known() -> BTreeSet<u32> {
    let filter = format!("label={LABEL}");
    let value = format!("{{{{.Label \"{LABEL}\"}}}}");
    let mut found = docker_lines(&["ps", "-a", "--filter", &filter, "--format", &value]);
    for kind in ["network", "volume"] {
        found.extend(docker_lines(&[
            kind, "ls", "--filter", &filter, "--format", &value,
        ]));
    }
    let images = docker_lines(&["image", "ls", "-q", "--filter", &filter]);
    let value = format!("{{{{index .Config.Labels \"{LABEL}\"}}}}");
    for image in &images {
        found.extend(docker_lines(&[
            "image", "inspect", "--format", &value, image,
        ]));
    }
    let roots = fs::read_dir(std::env::temp_dir())
        .into_iter()
        .flatten()
        .flatten();
    found.extend(roots.filter_map(|entry| {
        entry
            .file_name()
            .to_str()?
            .strip_prefix(ROOT)
            .map(str::to_owned)
    }));
    found.iter().filter_map(|text| text.parse().ok()).collect()
}

fn remove(verb: &[&str], objects: &[String]) {
    if objects.is_empty() {
        return;
    }
    let mut arguments = verb.to_vec();
    arguments.extend(objects.iter().map(String::as_str));
    let _ = docker(&arguments);
}

/// A parent goes only after its children, so it takes as many rounds as there are generations.
fn remove_images(filter: &str) {
    let mut before = usize::MAX;
    loop {
        let images = docker_lines(&["image", "ls", "-q", "--filter", filter]);
        if images.is_empty() || images.len() >= before {
            return;
        }
        before = images.len();
        remove(&["image", "rm", "-f"], &images);
    }
}

fn remove_root(root: &Path) {
    let outside = fs::read_to_string(root.join(OUTSIDE)).unwrap_or_default();
    for path in outside.lines() {
        let _ = fs::remove_dir_all(path);
        if let Some(parent) = Path::new(path).parent() {
            // Succeeds only if nothing else is in it.
            let _ = fs::remove_dir(parent);
        }
    }
    let _ = fs::remove_dir_all(root);
}

/// The engines inside the hosts make their control groups beside the hosts' own, where nobody else removes them.
fn remove_control_groups(prefix: &str) {
    let Ok(hierarchies) = fs::read_dir("/sys/fs/cgroup") else {
        return;
    };
    let mut parents: Vec<PathBuf> = hierarchies
        .flatten()
        .map(|entry| entry.path().join("docker"))
        .collect();
    parents.push("/sys/fs/cgroup/docker".into());
    for entry in parents
        .iter()
        .filter_map(|parent| fs::read_dir(parent).ok())
        .flatten()
        .flatten()
    {
        if entry.file_name().to_string_lossy().starts_with(prefix) {
            remove_group(&entry.path());
        }
    }
}

fn remove_group(group: &Path) {
    for entry in fs::read_dir(group).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            remove_group(&entry.path());
        }
    }
    let _ = fs::remove_dir(group);
}
