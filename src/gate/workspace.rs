//! Paths of the job's workspace as something the daemon can mount.
//!
//! The job writes in its workspace while we look, so a path is not checked and then used: it is
//! opened beneath the volume, no link of the way leading out of it, and what was opened is mounted at a place
//! where no job can write. The daemon gets that place.

use std::fs::{self, File};
use std::io::{Error, ErrorKind};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use hyper::Method;
use nix::errno::Errno;
use nix::mount::{MntFlags, umount2};

use super::container::mount::Place;
use super::error::GateError;
use super::own::Own;
use super::refusal::Denied;
use super::scope::Workspace;
use crate::sys::mount::{bind, open_beneath, open_within};

/// Where clients look for a daemon; containers of a job find this gate there.
const SOCKETS: &[&str] = &["/var/run/docker.sock", "/run/docker.sock"];

/// The bind mounts of one gate.
#[derive(Debug)]
pub(crate) struct Binds {
    dir: PathBuf,
    /// The gate's own socket.
    socket: PathBuf,
    next: AtomicUsize,
}

impl Binds {
    pub(crate) fn new(dir: PathBuf, socket: PathBuf) -> Self {
        Self {
            dir,
            socket,
            next: AtomicUsize::new(0),
        }
    }

    /// What the engine shall mount for a path as the job sees it.
    pub(super) async fn place(
        &self,
        own: &Own,
        path: &str,
        makes_folder: bool,
    ) -> Result<Place, Denied> {
        if SOCKETS.contains(&path) {
            return Ok(Place::Path(self.socket.display().to_string()));
        }
        let workspaces = &own.scope.workspaces;
        let Some((workspace, below)) = of(workspaces, path) else {
            let roots: Vec<&str> = workspaces
                .iter()
                .map(|workspace| workspace.path.as_str())
                .collect();
            return Err(Denied::forbidden(format!(
                "the bind source {path:?} is outside the job's workspace: use a path below {} or a named volume",
                roots.join(" or ")
            )));
        };
        if below.is_empty() {
            return Ok(Place::Volume(workspace.volume.clone()));
        }
        let target = format!("/volumes/{}", workspace.volume);
        let volume = own.engine.must(Method::GET, &target, None).await?;
        let root = volume["Mountpoint"].as_str().unwrap_or_default();
        let relative = below.trim_start_matches('/');
        self.mount(Path::new(root), relative, makes_folder)
            .map(|place| Place::Path(place.display().to_string()))
            .map_err(|error| refused(path, &error))
    }

    fn mount(&self, root: &Path, relative: &str, makes_folder: bool) -> std::io::Result<PathBuf> {
        let source = match open_beneath(root, Path::new(relative), makes_folder) {
            // A link is fine as long as it stays in the volume; nothing is made behind one.
            Err(error) if is_link(&error) => open_within(root, Path::new(relative))?,
            opened => opened?,
        };
        let place = self.place_for(&source)?;
        bind(&source, &place)?;
        Ok(place)
    }

    /// A new empty folder or file to mount on: like the source.
    fn place_for(&self, source: &OwnedFd) -> std::io::Result<PathBuf> {
        fs::create_dir_all(&self.dir)?;
        let is_folder = File::from(source.try_clone()?).metadata()?.is_dir();
        loop {
            let place = self
                .dir
                .join(self.next.fetch_add(1, Ordering::Relaxed).to_string());
            let made = if is_folder {
                fs::create_dir(&place)
            } else {
                File::create_new(&place).map(drop)
            };
            match made {
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error),
                Ok(()) => return Ok(place),
            }
        }
    }
}

/// The workspace that the job sees at a path, and the rest: of two that lie in one another, the inner one is mounted over
/// the outer one.
fn of<'a, 'p>(workspaces: &'a [Workspace], path: &'p str) -> Option<(&'a Workspace, &'p str)> {
    let matching = workspaces.iter().filter_map(|workspace| {
        let below = path.strip_prefix(workspace.path.trim_end_matches('/'))?;
        (below.is_empty() || below.starts_with('/')).then_some((workspace, below))
    });
    matching.min_by_key(|(_, below)| below.len())
}

fn is_link(error: &Error) -> bool {
    error.raw_os_error().map(Errno::from_raw) == Some(Errno::ELOOP)
}

fn refused(path: &str, error: &Error) -> Denied {
    match error.raw_os_error().map(Errno::from_raw) {
        Some(Errno::ELOOP | Errno::EXDEV) => Denied::forbidden(format!(
            "the bind source {path:?} goes through a symbolic link that leaves the workspace: name the real path"
        )),
        Some(Errno::ENOENT) => {
            Denied::malformed(format!("bind source path does not exist: {path}"))
        }
        _ => Denied::broken(format!(
            "the bind source {path:?} cannot be mounted: {error}"
        )),
    }
}

/// Unmounts everything below a gate's folder of bind mounts. Safe to call at any time, twice, and
/// when nothing was mounted; running containers keep what they have.
pub(crate) fn release(dir: &Path) -> Result<(), GateError> {
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |source| GateError::Unmount { path, source }
    };
    let entries = match fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(failed(dir)(error)),
    };
    for entry in entries {
        let path = entry.map_err(failed(dir))?.path();
        let flags = MntFlags::MNT_DETACH | MntFlags::UMOUNT_NOFOLLOW;
        // EINVAL says that nothing is mounted there any more.
        while match umount2(&path, flags) {
            Ok(()) => true,
            Err(Errno::EINVAL) => false,
            Err(error) => return Err(failed(&path)(error.into())),
        } {}
        // Only the empty place itself: this fails and removes nothing when the unmount did not work.
        let removed = if path.is_dir() {
            fs::remove_dir(&path)
        } else {
            fs::remove_file(&path)
        };
        removed.map_err(failed(&path))?;
    }
    fs::remove_dir(dir).map_err(failed(dir))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_of_the_innermost_workspace() {
        let workspace = |path: &str, volume: &str| Workspace {
            path: path.into(),
            volume: volume.into(),
        };
        let all = [
            workspace("/builds/", "builds"),
            workspace("/builds/cache", "cache"),
        ];
        let found = |path| of(&all, path).map(|(workspace, below)| (&*workspace.volume, below));
        assert_eq!(found("/builds/cache/a"), Some(("cache", "/a")));
        assert_eq!(found("/builds/cache"), Some(("cache", "")));
        assert_eq!(found("/builds/cached"), Some(("builds", "/cached")));
        assert_eq!(found("/buildsx"), None);
    }

    #[test]
    fn releasing_nothing_is_no_error() {
        let folder = tempfile::tempdir().unwrap();
        release(&folder.path().join("absent")).unwrap();
    }
}
