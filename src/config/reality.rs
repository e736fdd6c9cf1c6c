//! What the file system of this host says of a lane's volumes and devices. It is asked before each job, and not when the
//! configuration is read: what somebody makes there stops the jobs of that lane, and nothing else.

use std::{
    fs, io,
    os::unix::fs::FileTypeExt,
    path::{Path, PathBuf},
};

use super::{
    closed::{Closed, KEYS, keys, real},
    container::is_host_device,
    docker::DockerLane,
    mount::{Open, within},
    volume::{Source, Volume},
};

/// What is wrong with a lane on this host, `closed` being what is closed really.
pub(super) fn problems(
    name: &str,
    lane: &DockerLane,
    closed: &Closed,
    open: &[Open<'_>],
) -> Vec<String> {
    let volumes = lane.volumes.iter();
    let volumes = volumes.filter_map(|volume| Some((volume, path(volume)?)));
    let volumes = volumes.filter_map(|(volume, path)| {
        let what = volume_problem(volume, path, closed, open)?;
        Some(format!("lanes.{name}.volumes: {what}"))
    });
    let of_services = lane.services_devices.values().flatten();
    let devices = lane.devices.iter().map(|device| ("devices", device));
    let devices = devices.chain(of_services.map(|device| ("services-devices", device)));
    let devices = devices.filter_map(|(key, device)| {
        let what = device_problem(&device.host)?;
        Some(format!("lanes.{name}.{key}: {what}"))
    });
    volumes.chain(devices).collect()
}

fn path(volume: &Volume) -> Option<&Path> {
    match &volume.source {
        Source::Path(path) => Some(path),
        Source::Named(_) | Source::Slot => None,
    }
}

fn volume_problem(
    volume: &Volume,
    written: &Path,
    closed: &Closed,
    open: &[Open<'_>],
) -> Option<String> {
    let found = real(written);
    let led = |what: String| {
        let (written, found) = (written.display(), found.display());
        format!("`{written}` is {found} on this host: {what}")
    };
    let folders: Vec<PathBuf> = open.iter().map(|open| real(open.path)).collect();
    let problem = closed.admit(&found, volume.is_read_only()).err();
    let problem = problem.or_else(|| within(&found, open.iter().zip(&folders)));
    let is_open = folders.contains(&found);
    problem
        .or_else(|| holds_keys(&found, is_open).then(|| keys(&found)))
        .map(led)
}

/// Where jobs write, one of them may have made a folder of that name: then it counts only in somebody's home.
fn holds_keys(folder: &Path, is_open: bool) -> bool {
    let mut names = KEYS.iter();
    names.any(|name| folder.join(name).exists()) && (!is_open || is_home(folder))
}

/// Whether it is the home of an account of this host.
fn is_home(folder: &Path) -> bool {
    let accounts = fs::read_to_string("/etc/passwd").unwrap_or_default();
    let homes = accounts.lines().filter_map(|line| line.split(':').nth(5));
    homes.map(Path::new).any(|home| real(home) == folder)
}

/// Whatever it is called, and whatever it is a link to.
fn device_problem(written: &str) -> Option<String> {
    let found = real(Path::new(written));
    let refuse = |why: &str| Some(format!("`{written}` is {}, {why}", found.display()));
    if !found.starts_with("/dev") {
        return refuse("which is no device in /dev");
    }
    if is_host_device(&found.to_string_lossy()) {
        return refuse("and with it the host itself: no job of a lane may have it");
    }
    match disk(&found) {
        Ok(None) => None,
        Ok(Some(disk)) => refuse(&format!(
            "and {} is a disk of this host: no job of a lane may have it",
            disk.display()
        )),
        Err(error) => refuse(&format!("which cannot be looked at: {error}")),
    }
}

/// The disk that this is or holds: of a folder the engine gives all devices in it. What is not there it tells itself.
fn disk(path: &Path) -> io::Result<Option<PathBuf>> {
    let kind = match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        found => found?.file_type(),
    };
    if kind.is_block_device() {
        return Ok(Some(path.to_owned()));
    }
    if kind.is_dir() {
        for entry in fs::read_dir(path)? {
            let found = disk(&entry?.path())?;
            if found.is_some() {
                return Ok(found);
            }
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;
    use crate::config::mount;

    fn told(lane: &str, own: &[PathBuf]) -> String {
        let lane: DockerLane = toml::from_str(lane).unwrap();
        let other = DockerLane {
            volumes: Vec::new(),
            ..lane.clone()
        };
        let open = mount::open([("x", &lane), ("other", &other)].into_iter());
        let closed = Closed::written(own.to_vec()).really();
        problems("x", &lane, &closed, &open).join("\n")
    }

    #[test]
    fn a_link_does_not_lead_where_the_path_may_not() {
        let folder = tempfile::tempdir().unwrap();
        let link = folder.path().join("link");
        let check = |target: &str, volume: &str, words: &str| {
            let _ = fs::remove_file(&link);
            symlink(target, &link).unwrap();
            let told = told(&format!("volumes = ['{}{volume}']", link.display()), &[]);
            assert!(
                told.starts_with("lanes.x.volumes: `") && told.contains(words),
                "{told}"
            );
        };
        check("/etc", "/new:/x", "write `:ro`");
        check("/etc", ":/x:ro", "which no job may see");
        check("/home", "/somebody:/x:ro", "somebody's home");
        // What moved is as closed as before.
        let moved = [link.join("kept")];
        let volume = format!(
            "volumes = ['{}:/x']",
            folder.path().join("data/kept").display()
        );
        assert_eq!(told(&volume, &moved), "");
        fs::remove_file(&link).unwrap();
        fs::create_dir(folder.path().join("data")).unwrap();
        symlink(folder.path().join("data"), &link).unwrap();
        assert!(told(&volume, &moved).contains("which no job may see"));
    }

    #[test]
    fn a_link_does_not_lead_into_a_folder_where_jobs_write() {
        let folder = tempfile::tempdir().unwrap();
        let shown = folder.path().display();
        fs::create_dir_all(folder.path().join("ci/sub")).unwrap();
        symlink(folder.path().join("ci"), folder.path().join("link")).unwrap();
        let lane = format!("volumes = ['{shown}/link/sub:/b:ro', '{shown}/ci:/a']");
        assert!(told(&lane, &[]).contains("could put a link"));
        let lane = format!("volumes = ['{shown}/link/sub:/b:ro', '{shown}/ci:/a:ro']");
        assert_eq!(told(&lane, &[]), "");
    }

    #[test]
    fn a_folder_with_keys_is_closed_unless_jobs_may_have_made_them() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join(".ssh")).unwrap();
        let volume = |end: &str| format!("volumes = ['{}:/x{end}']", folder.path().display());
        assert!(told(&volume(":ro"), &[]).contains("keys of this host"));
        assert_eq!(told(&volume(""), &[]), "");
        assert!(is_home(Path::new("/root")) && !is_home(folder.path()));
    }

    #[test]
    fn a_disk_is_no_device_of_a_job_by_any_name() {
        let check = |device: &str| device_problem(device).unwrap_or_default();
        assert_eq!(check("/dev/zero"), "");
        assert_eq!(check("/dev/not-there"), "");
        // Links that every host has.
        assert!(
            check("/dev/fd").contains("no device in /dev"),
            "{}",
            check("/dev/fd")
        );
        let all = fs::read_dir("/dev")
            .unwrap()
            .map(|entry| entry.unwrap().path());
        for path in all.filter(|path| disk(path).unwrap().is_some()) {
            let told = check(path.to_str().unwrap());
            assert!(told.contains("no job of a lane may have it"), "{told}");
        }
    }

    #[test]
    fn a_block_device_is_found_by_what_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("sub");
        fs::create_dir(&path).unwrap();
        fs::write(path.join("plain"), "").unwrap();
        assert_eq!(disk(folder.path()).unwrap(), None);
        let disk_s = path.join("pool");
        let kind = nix::sys::stat::SFlag::S_IFBLK;
        let mode = nix::sys::stat::Mode::S_IRUSR;
        // The number of no driver's: only the kind counts.
        let number = nix::sys::stat::makedev(240, 77);
        if let Err(error) = nix::sys::stat::mknod(&disk_s, kind, mode, number) {
            // Only root makes one.
            assert!(!nix::unistd::geteuid().is_root(), "{error}");
            return;
        }
        assert_eq!(disk(folder.path()).unwrap(), Some(disk_s.clone()));
        assert_eq!(disk(&disk_s).unwrap(), Some(disk_s));
    }
}
