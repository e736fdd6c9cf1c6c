//! Namespaces and mounts. Sources are open files, so that what is mounted is what was opened.

use std::{
    ffi::{OsStr, OsString},
    fs::{File, OpenOptions},
    io,
    os::{
        fd::{AsFd, AsRawFd, OwnedFd},
        unix::fs::OpenOptionsExt,
    },
    path::{Component, Path},
};

use nix::{
    errno::Errno,
    fcntl::{OFlag, OpenHow, ResolveFlag, openat, openat2, readlinkat},
    mount::{MsFlags, mount},
    sched::{CloneFlags, unshare},
    sys::stat::{Mode, SFlag, fstat, mkdirat},
};

/// As the kernel's own limit.
const MOST_LINKS: usize = 40;

/// Gives this process mounts and names of its own; the next child is the first of a new world of
/// processes, whose end ends all others in it.
pub(crate) fn leave_host() -> io::Result<()> {
    let flags = CloneFlags::CLONE_NEWNS
        | CloneFlags::CLONE_NEWPID
        | CloneFlags::CLONE_NEWIPC
        | CloneFlags::CLONE_NEWUTS;
    unshare(flags)?;
    // The host's changes still arrive here, ours never leave.
    let nothing = None::<&str>;
    Ok(mount(
        nothing,
        "/",
        nothing,
        MsFlags::MS_SLAVE | MsFlags::MS_REC,
        nothing,
    )?)
}

/// A handle on a file or folder that stays valid whatever is mounted over its path.
pub(crate) fn handle(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .read(true)
        .custom_flags((OFlag::O_PATH | OFlag::O_CLOEXEC).bits())
        .open(path)
}

/// Shows `source` at `target` too.
pub(crate) fn bind(source: &impl AsFd, target: &Path) -> io::Result<()> {
    let source = descriptor_path(source);
    let nothing = None::<&str>;
    Ok(mount(
        Some(source.as_str()),
        target,
        nothing,
        MsFlags::MS_BIND,
        nothing,
    )?)
}

/// Shows `source` at `target`, where nobody can change it.
pub(crate) fn bind_read_only(source: &impl AsFd, target: &Path) -> io::Result<()> {
    bind(source, target)?;
    let flags = MsFlags::MS_BIND | MsFlags::MS_REMOUNT | MsFlags::MS_RDONLY | MsFlags::MS_NOSUID;
    let nothing = None::<&str>;
    Ok(mount(nothing, target, nothing, flags, nothing)?)
}

/// An empty folder of root's over `target`.
pub(crate) fn empty(target: &Path) -> io::Result<()> {
    memory(target, "mode=0755,size=1m")
}

/// An empty folder for everybody over `target`.
pub(crate) fn scratch(target: &Path) -> io::Result<()> {
    memory(target, "mode=1777")
}

fn memory(target: &Path, options: &str) -> io::Result<()> {
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV;
    Ok(mount(
        Some("tmpfs"),
        target,
        Some("tmpfs"),
        flags,
        Some(options),
    )?)
}

/// The processes of the own world, over the host's; others' details are hidden.
pub(crate) fn processes() -> io::Result<()> {
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
    Ok(mount(
        Some("proc"),
        "/proc",
        Some("proc"),
        flags,
        Some("hidepid=2"),
    )?)
}

/// The message queues of the own world, over the host's.
pub(crate) fn message_queues(target: &Path) -> io::Result<()> {
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
    let nothing = None::<&str>;
    Ok(mount(
        Some("mqueue"),
        target,
        Some("mqueue"),
        flags,
        nothing,
    )?)
}

/// Opens what lies at `path` beneath `root`, and makes the folders that are missing if asked. A symbolic
/// link on the way is an error, never followed: a job may own `root`, and change it meanwhile.
pub(crate) fn open_beneath(root: &Path, path: &Path, makes_folders: bool) -> io::Result<OwnedFd> {
    let mut here: OwnedFd = handle(root)?.into();
    for component in path.components() {
        let Component::Normal(name) = component else {
            return Err(Errno::EXDEV.into());
        };
        if makes_folders {
            match mkdirat(&here, name, Mode::from_bits_truncate(0o755)) {
                Ok(()) | Err(Errno::EEXIST) => {}
                Err(error) => return Err(error.into()),
            }
        }
        here = match step(&here, name)? {
            Step::To(next) => next,
            Step::Link(_) => return Err(Errno::ELOOP.into()),
        };
    }
    Ok(here)
}

/// Opens what lies at `path` beneath `root`, also through symbolic links, as long as no step of the way leaves
/// `root`: each is looked at where it is, so that a job gains nothing by changing them meanwhile.
pub(crate) fn open_within(root: &Path, path: &Path) -> io::Result<OwnedFd> {
    let how = OpenHow::new()
        .flags(OFlag::O_PATH | OFlag::O_CLOEXEC)
        .resolve(ResolveFlag::RESOLVE_BENEATH | ResolveFlag::RESOLVE_NO_MAGICLINKS);
    let root = handle(root)?;
    match openat2(&root, path, how) {
        // Linux before 5.6 has no such call.
        Err(Errno::ENOSYS) => walk(root.into(), path),
        result => Ok(result?),
    }
}

/// What the kernel does in `open_within`, step by step.
fn walk(root: OwnedFd, path: &Path) -> io::Result<OwnedFd> {
    // The way back is kept open: `..` asked of the kernel would lead out of a folder that was moved meanwhile.
    let mut way = vec![root];
    let mut left: Vec<OsString> = names(path)?;
    let mut links = 0;
    while let Some(name) = left.pop() {
        if name == ".." {
            way.pop();
            if way.is_empty() {
                return Err(Errno::EXDEV.into());
            }
            continue;
        }
        let here = way.last().ok_or(Errno::EXDEV)?;
        match step(here, &name)? {
            Step::To(next) => way.push(next),
            Step::Link(target) => {
                links += 1;
                if links > MOST_LINKS {
                    return Err(Errno::ELOOP.into());
                }
                left.extend(names(Path::new(&target))?);
            }
        }
    }
    way.pop().ok_or_else(|| Errno::EXDEV.into())
}

/// The names of a relative path, the last one first.
fn names(path: &Path) -> io::Result<Vec<OsString>> {
    let mut names = Vec::new();
    for component in path.components() {
        match component {
            Component::Normal(name) => names.push(name.to_owned()),
            Component::ParentDir => names.push(OsString::from("..")),
            Component::CurDir => {}
            Component::RootDir | Component::Prefix(_) => return Err(Errno::EXDEV.into()),
        }
    }
    names.reverse();
    Ok(names)
}

enum Step {
    To(OwnedFd),
    Link(OsString),
}

/// One name in a folder; a symbolic link is told, not followed.
fn step(folder: &OwnedFd, name: &OsStr) -> io::Result<Step> {
    let flags = OFlag::O_PATH | OFlag::O_CLOEXEC | OFlag::O_NOFOLLOW;
    let next = openat(folder, name, flags, Mode::empty())?;
    let kind = SFlag::from_bits_truncate(fstat(&next)?.st_mode) & SFlag::S_IFMT;
    if kind == SFlag::S_IFLNK {
        return Ok(Step::Link(readlinkat(&next, "")?));
    }
    Ok(Step::To(next))
}

/// A path that names what an open file is, whatever it is called.
pub(crate) fn descriptor_path(file: &impl AsFd) -> String {
    format!("/proc/self/fd/{}", file.as_fd().as_raw_fd())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_opened_beneath_its_root_or_not_at_all() {
        let (folder, foreign) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let root = folder.path();
        let open = |path: &str, makes_folders| open_beneath(root, Path::new(path), makes_folders);
        std::fs::create_dir_all(root.join("a/b")).unwrap();
        std::os::unix::fs::symlink(foreign.path(), root.join("away")).unwrap();
        std::os::unix::fs::symlink("a", root.join("within")).unwrap();
        assert!(open("a/b", false).is_ok());
        for path in ["away", "away/c", "within/b", "../x", "a/../../x", "/etc"] {
            for makes_folders in [false, true] {
                assert!(open(path, makes_folders).is_err(), "{path}");
            }
        }
        assert!(!foreign.path().join("c").exists());
        let link = |target, name| std::os::unix::fs::symlink(target, root.join(name)).unwrap();
        link("../../..", "a/up");
        link("../a/./b", "a/around");
        link("round", "round");
        link("/proc/self/root", "magic");
        std::fs::write(root.join("a/file"), "").unwrap();
        let by_kernel = |path: &str| open_within(root, Path::new(path));
        let by_steps = |path: &str| walk(handle(root).unwrap().into(), Path::new(path));
        for path in [
            "within/b",
            "a/b",
            "a/around",
            "within/../a/b/..",
            "a/file",
            ".",
        ] {
            let found = [by_kernel(path), by_steps(path)]
                .map(|found| fstat(found.unwrap()).unwrap().st_ino);
            assert_eq!(found[0], found[1], "{path}");
        }
        let outside = [
            "away",
            "a/up",
            "a/up/etc",
            "../x",
            "/etc",
            "within/../..",
            "magic",
        ];
        for path in outside.iter().chain(&["none", "round", "a/file/x"]) {
            let refused =
                [by_kernel(path), by_steps(path)].map(|found| found.unwrap_err().raw_os_error());
            assert_eq!(refused[0], refused[1], "{path}");
        }
        assert!(open("new/deep", false).is_err());
        assert!(open("new/deep", true).is_ok());
        assert!(root.join("new/deep").is_dir());
    }
}
