//! Which processes are this host's own, and which run in containers: a container's uids are the host's numbers,
//! too, and mean nothing to it.
//!
//! A container's processes are in a control group of an engine's. No process without privilege can move there.

use std::{collections::BTreeSet, fs, io};

use nix::unistd::Pid;

/// What engines put what they run in, beside the id of a container, which is as long as this.
const FOLDERS: &[&str] = &["buildkit", "dockmaster", "dockmaster.slice"];
const ID: usize = 64;

/// A process, and the uids that it has: real, effective, saved, of the file system.
struct Process {
    pid: i32,
    uids: Vec<u32>,
}

/// The uids of all processes that run in no container.
pub(crate) fn uids_in_use() -> io::Result<BTreeSet<u32>> {
    Ok(own()?
        .into_iter()
        .flat_map(|process| process.uids)
        .collect())
}

/// The processes of that uid that run in no container.
pub(crate) fn processes_of(uid: u32) -> io::Result<Vec<Pid>> {
    let has_uid = |process: &Process| process.uids.contains(&uid);
    Ok(own()?
        .into_iter()
        .filter(has_uid)
        .map(|process| Pid::from_raw(process.pid))
        .collect())
}

fn own() -> io::Result<Vec<Process>> {
    let here = fs::read_to_string("/proc/self/cgroup")?;
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc")? {
        let entry = entry?;
        let Some(pid) = entry
            .file_name()
            .to_str()
            .and_then(|name| name.parse().ok())
        else {
            continue;
        };
        // A process may end while it is looked at.
        let Ok(status) = fs::read_to_string(entry.path().join("status")) else {
            continue;
        };
        let Ok(groups) = fs::read_to_string(entry.path().join("cgroup")) else {
            continue;
        };
        if !is_zombie(&status) && !is_contained(&groups, &here) {
            found.push(Process {
                pid,
                uids: uids(&status),
            });
        }
    }
    Ok(found)
}

fn uids(status: &str) -> Vec<u32> {
    let line = status.lines().find_map(|line| line.strip_prefix("Uid:"));
    let numbers = line.unwrap_or_default().split_whitespace();
    numbers.filter_map(|number| number.parse().ok()).collect()
}

/// A dead process that its parent has not asked about can do nothing any more.
fn is_zombie(status: &str) -> bool {
    status.lines().any(|line| line.starts_with("State:\tZ"))
}

/// Whether the groups of a process are those of a container, as seen from a process in the groups `here`:
/// that one may be in a container itself.
fn is_contained(groups: &str, here: &str) -> bool {
    let tree = |line: &str| line.split(':').nth(1).map(str::to_owned);
    groups.lines().any(|line| {
        let own = here.lines().find(|own| tree(own) == tree(line));
        let own = parts(own.unwrap_or_default());
        let all = parts(line);
        let shared = all.iter().zip(&own).take_while(|(a, b)| a == b).count();
        let below = &all[shared..];
        below.iter().any(|part| names_container(part))
    })
}

fn parts(line: &str) -> Vec<&str> {
    let path = line.splitn(3, ':').nth(2).unwrap_or_default();
    path.split('/').filter(|part| !part.is_empty()).collect()
}

fn names_container(part: &str) -> bool {
    let is_id = |word: &str| word.len() == ID;
    FOLDERS.contains(&part)
        || part
            .split(|letter: char| !letter.is_ascii_hexdigit())
            .any(is_id)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID_A: &str = "a1b2c3d4e5f6a1b2c3d4e5f6a1b2c3d4e5f6a1b2c3d4e5f6a1b2c3d4e5f6a1b2";
    const ID_B: &str = "ffb2c3d4e5f6a1b2c3d4e5f6a1b2c3d4e5f6a1b2c3d4e5f6a1b2c3d4e5f6a1b2";

    #[test]
    fn a_container_is_known_by_the_group_that_its_engine_made() {
        let here = "0::/system.slice/gitlab-runner.service\n";
        for group in [
            format!("0::/docker/{ID_A}"),
            format!("0::/system.slice/docker-{ID_A}.scope"),
            format!("0::/dockmaster/p42-j7-ab.1-2/{ID_A}/inner"),
            format!("0::/kubepods.slice/cri-containerd-{ID_A}.scope"),
            "0::/docker/buildkit/k3x9".to_owned(),
            "0::/dockmaster.slice/dockmaster-p42.slice/x".to_owned(),
            format!("4:memory:/process_api\n3:pids:/docker/{ID_A}"),
        ] {
            assert!(is_contained(&group, here), "{group}");
        }
        for group in [
            here,
            "0::/user.slice/user-0.slice/session-1.scope",
            "0::/",
            "4:memory:/process_api/fb29be8a01376872d75f0606bd96f46a",
        ] {
            assert!(!is_contained(group, here), "{group}");
        }
    }

    #[test]
    fn who_is_in_a_container_himself_finds_those_beside_him() {
        let here = format!("0::/docker/{ID_A}/runner\n");
        assert!(!is_contained(&format!("0::/docker/{ID_A}/sshd"), &here));
        assert!(is_contained(&format!("0::/docker/{ID_B}"), &here));
        assert!(is_contained(
            &format!("0::/docker/{ID_A}/docker/{ID_B}"),
            &here
        ));
    }

    #[test]
    fn the_own_process_is_found_by_its_uid() {
        let own = nix::unistd::geteuid().as_raw();
        assert!(uids_in_use().unwrap().contains(&own));
        assert!(processes_of(own).unwrap().contains(&nix::unistd::getpid()));
    }
}
