//! Control groups, both versions: made, limited, looked at, removed. Knows nothing of jobs and of engines.

use std::{
    collections::BTreeSet,
    fs, io,
    path::{Path, PathBuf},
};

/// The kernel's list of what is mounted.
const MOUNTS: &str = "/proc/self/mountinfo";

/// Where groups are on this host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Hierarchies(Vec<Hierarchy>);

/// One tree of groups.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Hierarchy {
    root: PathBuf,
    is_unified: bool,
    /// What the first version's tree controls.
    controllers: Vec<String>,
}

impl Hierarchies {
    /// Looks where they are mounted.
    pub(crate) fn look() -> io::Result<Self> {
        Ok(Self::read(&fs::read_to_string(MOUNTS)?))
    }

    fn read(mounts: &str) -> Self {
        let hierarchy = |line: &str| {
            let (place, kind) = line.split_once(" - ")?;
            let mut kind = kind.split(' ');
            let is_unified = match kind.next()? {
                "cgroup" => false,
                "cgroup2" => true,
                _ => return None,
            };
            Some(Hierarchy {
                root: place.split(' ').nth(4)?.into(),
                is_unified,
                controllers: kind.nth(1)?.split(',').map(str::to_owned).collect(),
            })
        };
        Self(mounts.lines().filter_map(hierarchy).collect())
    }

    /// The folder of a group, where `controller` works for it.
    pub(crate) fn folder(
        &self,
        is_unified: bool,
        controller: &str,
        group: &str,
    ) -> Option<PathBuf> {
        let has = |known: &&Hierarchy| {
            known.is_unified == is_unified
                && (is_unified || known.controllers.iter().any(|name| name == controller))
        };
        let found = self.0.iter().find(has)?;
        Some(found.root.join(group.trim_start_matches('/')))
    }

    /// Whether a group is in a tree of the first version.
    pub(crate) fn is_in_first(&self, group: &str) -> bool {
        let group = group.trim_start_matches('/');
        let mut first = self.0.iter().filter(|known| !known.is_unified);
        first.any(|known| known.root.join(group).exists())
    }

    /// Makes a group below a parent of ours, and hands it this controller.
    pub(crate) fn make(&self, is_unified: bool, controller: &str, group: &str) -> io::Result<()> {
        let folder = self
            .folder(is_unified, controller, group)
            .ok_or_else(|| io::Error::other("this kernel does not have it"))?;
        fs::create_dir_all(&folder)?;
        let parents = folder
            .ancestors()
            .skip(1)
            .take(group.trim_matches('/').split('/').count());
        let parents: Vec<_> = parents.collect();
        for parent in parents.into_iter().rev() {
            hand_down(parent, is_unified, controller)?;
        }
        Ok(())
    }

    /// Writes a setting of a group, and reads back that it counts.
    pub(crate) fn write(folder: &Path, file: &str, value: &str) -> io::Result<()> {
        fs::write(folder.join(file), value)?;
        Self::check(folder, file, value)
    }

    /// Looks that a setting counts.
    pub(crate) fn check(folder: &Path, file: &str, value: &str) -> io::Result<()> {
        let now = fs::read_to_string(folder.join(file))?;
        if is_same(now.trim(), value) {
            return Ok(());
        }
        Err(io::Error::other(format!("it stays at {}", now.trim())))
    }

    /// Groups below a parent, in any tree.
    pub(crate) fn children(&self, parent: &str) -> io::Result<BTreeSet<String>> {
        let mut found = BTreeSet::new();
        for hierarchy in &self.0 {
            let folder = hierarchy.root.join(parent.trim_start_matches('/'));
            for path in folders(&folder)? {
                found.extend(
                    path.file_name()
                        .and_then(|name| name.to_str())
                        .map(str::to_owned),
                );
            }
        }
        Ok(found)
    }

    /// Removes a group with all below it, in every tree. One that is not there counts as removed; one
    /// that still holds a dying process is busy.
    pub(crate) fn remove(&self, group: &str) -> io::Result<()> {
        let mut result = Ok(());
        for hierarchy in &self.0 {
            let folder = hierarchy.root.join(group.trim_start_matches('/'));
            result = result.and(remove(&folder));
        }
        result
    }

    /// How often the kernel killed a process of a group because its memory was used up; only the
    /// second version keeps count of groups that are gone.
    pub(crate) fn kills(&self, group: &str) -> Option<u64> {
        let folder = self.folder(true, "memory", group)?;
        let events = fs::read_to_string(folder.join("memory.events")).ok()?;
        let line = events
            .lines()
            .find_map(|line| line.strip_prefix("oom_kill "));
        line?.trim().parse().ok()
    }
}

/// Lets the groups below this one have a controller.
fn hand_down(parent: &Path, is_unified: bool, controller: &str) -> io::Result<()> {
    if is_unified {
        return fs::write(
            parent.join("cgroup.subtree_control"),
            format!("+{controller}"),
        );
    }
    match controller {
        // Before Linux 5.11 a limit counts for groups below only where this says so.
        "memory" => {
            let path = parent.join("memory.use_hierarchy");
            match fs::read_to_string(&path) {
                Ok(text) if text.trim() == "0" => fs::write(path, "1"),
                Ok(_) | Err(_) => Ok(()),
            }
        }
        // A new group has no core and no node, and nothing can run in it.
        "cpuset" => ["cpuset.cpus", "cpuset.mems"].iter().try_for_each(|file| {
            let own = fs::read_to_string(parent.join(file))?;
            if !own.trim().is_empty() {
                return Ok(());
            }
            let above = parent.parent().unwrap_or(parent).join(file);
            fs::write(parent.join(file), fs::read_to_string(above)?.trim())
        }),
        _ => Ok(()),
    }
}

/// The kernel rounds sizes down to whole pages and writes sets in its own way.
fn is_same(now: &str, wanted: &str) -> bool {
    const PAGE: u64 = 64 * 1024;
    match (now.parse::<u64>(), wanted.parse::<u64>()) {
        (Ok(now), Ok(wanted)) => now <= wanted && wanted - now < PAGE,
        _ => !now.is_empty(),
    }
}

fn folders(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut found = Vec::new();
    for entry in entries {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            found.push(entry.path());
        }
    }
    Ok(found)
}

fn remove(folder: &Path) -> io::Result<()> {
    for child in folders(folder)? {
        remove(&child)?;
    }
    match fs::remove_dir(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOTH: &str = "\
31 23 0:26 / /sys/fs/cgroup ro,nosuid shared:9 - tmpfs tmpfs ro,mode=755
32 31 0:27 / /sys/fs/cgroup/unified rw shared:10 - cgroup2 cgroup2 rw
36 31 0:31 / /sys/fs/cgroup/cpu,cpuacct rw shared:16 - cgroup cgroup rw,cpu,cpuacct
";

    #[test]
    fn both_versions_are_found_where_they_are_mounted() {
        let all = Hierarchies::read(BOTH);
        let folder = |is_unified, controller| all.folder(is_unified, controller, "/a/b");
        assert_eq!(
            folder(false, "cpu"),
            Some("/sys/fs/cgroup/cpu,cpuacct/a/b".into())
        );
        assert_eq!(
            folder(true, "memory"),
            Some("/sys/fs/cgroup/unified/a/b".into())
        );
        assert_eq!(folder(false, "memory"), None);
    }

    #[test]
    fn a_size_that_the_kernel_rounds_down_counts_and_another_does_not() {
        assert!(is_same("1048576", "1048577"));
        assert!(is_same("0-1", "0,1"));
        assert!(!is_same("9223372036854771712", "1048576"));
        assert!(!is_same("4096", "1048576"));
    }

    #[test]
    fn nothing_below_a_parent_that_is_not_there() {
        let all = Hierarchies::read(BOTH);
        assert!(all.children("/dockmaster-none").unwrap().is_empty());
        all.remove("/dockmaster-none/x").unwrap();
    }
}
