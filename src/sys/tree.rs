//! Making folders, and removing what a job made: as root, from folders that hostile hands have filled.

use std::{
    fs, io,
    os::unix::fs::{DirBuilderExt, PermissionsExt},
    path::{Path, PathBuf},
};

/// Others may pass such a folder, to what they own further down, and list nothing.
pub(crate) const PASSABLE: u32 = 0o711;
/// Others have no business in such a folder.
pub(crate) const PRIVATE: u32 = 0o700;

/// Makes a folder with that mode, whatever the umask, unless it is there. Missing parents are passable.
pub(crate) fn make(folder: &Path, mode: u32) -> io::Result<()> {
    if folder.is_dir() {
        return Ok(());
    }
    if let Some(parent) = folder.parent() {
        make(parent, PASSABLE)?;
    }
    match fs::DirBuilder::new().mode(mode).create(folder) {
        Ok(()) => fs::set_permissions(folder, fs::Permissions::from_mode(mode)),
        // Another process was faster.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && folder.is_dir() => Ok(()),
        Err(error) => Err(error),
    }
}

/// Removes a folder and all in it. One that is not there counts as removed.
///
/// No symbolic link is followed (the standard library walks by descriptor), and nothing is touched
/// while something is mounted below: that would be somebody else's.
pub(crate) fn remove(folder: &Path) -> io::Result<()> {
    if let Some(mount) = mounts_below(folder)?.first() {
        let text = format!("something is mounted at {}", mount.display());
        return Err(io::Error::new(io::ErrorKind::ResourceBusy, text));
    }
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn mounts_below(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let table = fs::read_to_string("/proc/self/mountinfo")?;
    // The table holds real paths.
    let Ok(folder) = fs::canonicalize(folder) else {
        return Ok(Vec::new());
    };
    Ok(mount_points(&table)
        .filter(|point| point.starts_with(&folder))
        .collect())
}

/// The fifth field of each line, with the kernel's octal escapes undone.
fn mount_points(table: &str) -> impl Iterator<Item = PathBuf> {
    table.lines().filter_map(|line| {
        let field = line.split(' ').nth(4)?;
        let plain = field
            .replace("\\040", " ")
            .replace("\\011", "\t")
            .replace("\\012", "\n")
            .replace("\\134", "\\");
        Some(PathBuf::from(plain))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_private_folder_has_passable_parents() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("state/jobs");
        make(&folder, PRIVATE).unwrap();
        make(&folder, PRIVATE).unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&folder), PRIVATE);
        assert_eq!(mode(&root.path().join("state")), PASSABLE);
    }

    #[test]
    fn a_link_to_foreign_files_is_removed_and_the_files_are_not() {
        let root = tempfile::tempdir().unwrap();
        let foreign = tempfile::tempdir().unwrap();
        fs::write(foreign.path().join("canary"), "alive").unwrap();
        let folder = root.path().join("job");
        fs::create_dir_all(folder.join("deep")).unwrap();
        std::os::unix::fs::symlink(foreign.path(), folder.join("deep/link")).unwrap();
        remove(&folder).unwrap();
        remove(&folder).unwrap();
        assert!(!folder.exists());
        assert!(foreign.path().join("canary").exists());
    }

    #[test]
    fn mount_points_are_read_with_their_escapes() {
        let table =
            "36 35 98:0 / /mnt/a\\040b rw - ext4 /dev/x rw\n37 35 0:3 / /proc rw - proc p rw";
        let points: Vec<_> = mount_points(table).collect();
        assert_eq!(points, [Path::new("/mnt/a b"), Path::new("/proc")]);
    }
}
