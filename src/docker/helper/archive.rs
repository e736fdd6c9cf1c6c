//! The root file system of a helper image that is made from this host's own programs, as an archive.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    fs, io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    process::Command,
};

use super::{HelperImageError, Recipe, unreadable};

const CERTIFICATES: &str = "/etc/ssl/certs/ca-certificates.crt";

impl Recipe {
    /// The programs and all that they need, by their paths in the image.
    fn files(&self, git_core: &Path) -> Result<BTreeMap<PathBuf, PathBuf>, HelperImageError> {
        let mut files = self.programs.clone();
        let tools = ["git-remote-http", "git-sh-setup"].map(|name| git_core.join(name));
        files.extend(
            tools
                .into_iter()
                .filter(|tool| tool.exists())
                .map(|tool| (tool.clone(), tool)),
        );
        let mut libraries = BTreeSet::new();
        for outside in files.values() {
            libraries.extend(self::libraries(outside)?);
        }
        files.extend(
            libraries
                .into_iter()
                .map(|library| (library.clone(), library)),
        );
        if Path::new(CERTIFICATES).exists() {
            files.insert(CERTIFICATES.into(), CERTIFICATES.into());
        }
        Ok(files)
    }

    /// Writes the root file system into an anonymous file.
    pub(crate) fn archive(&self) -> Result<fs::File, HelperImageError> {
        let file = tempfile::tempfile().map_err(HelperImageError::Archive)?;
        let mut tar = tar::Builder::new(io::BufWriter::with_capacity(1 << 20, file));
        // The engine's reader does not know sparse files.
        tar.sparse(false);
        self.fill(&mut tar)?;
        let buffer = tar.into_inner().map_err(HelperImageError::Archive)?;
        let mut file = buffer
            .into_inner()
            .map_err(|error| HelperImageError::Archive(error.into_error()))?;
        io::Seek::rewind(&mut file).map_err(HelperImageError::Archive)?;
        Ok(file)
    }

    fn fill<W: io::Write>(&self, tar: &mut tar::Builder<W>) -> Result<(), HelperImageError> {
        let write = HelperImageError::Archive;
        for (folder, mode) in [
            ("tmp", 0o1777),
            ("builds", 0o777),
            ("cache", 0o777),
            ("root", 0o755),
        ] {
            add_folder(tar, folder, mode).map_err(write)?;
        }
        // A merged /usr, as the host's own: programs are also looked for in /bin.
        for (link, target) in [
            ("bin", "usr/bin"),
            ("lib", "usr/lib"),
            ("lib64", "usr/lib64"),
        ] {
            add_link(tar, Path::new(link), Path::new(target)).map_err(write)?;
        }
        add_text(tar, "etc/passwd", "root:x:0:0:root:/root:/bin/sh\n").map_err(write)?;
        add_text(tar, "etc/group", "root:x:0:\n").map_err(write)?;
        let git_core = git_core()?;
        let mut added = BTreeSet::new();
        for (inside, outside) in &self.files(&git_core)? {
            let inside = merged(inside);
            if added.insert(inside.clone()) {
                let mut file = fs::File::open(outside).map_err(unreadable(outside))?;
                tar.append_file(&inside, &mut file)
                    .map_err(unreadable(outside))?;
            }
        }
        let templates = PathBuf::from("/usr/share/git-core/templates");
        for folder in [git_core, templates]
            .iter()
            .filter(|folder| folder.exists())
        {
            add_tree(tar, folder, &mut added)?;
        }
        Ok(())
    }
}

fn git_core() -> Result<PathBuf, HelperImageError> {
    let missing = HelperImageError::ProgramMissing { program: "git" };
    let Ok(output) = Command::new("git").arg("--exec-path").output() else {
        return Err(missing);
    };
    Ok(PathBuf::from(
        String::from_utf8_lossy(&output.stdout).trim(),
    ))
}

/// The shared libraries of a program, the loader included; none for a script or a static program.
fn libraries(program: &Path) -> Result<Vec<PathBuf>, HelperImageError> {
    let output = Command::new("ldd")
        .arg(program)
        .output()
        .map_err(|source| HelperImageError::Libraries {
            program: program.to_owned(),
            source,
        })?;
    let text = String::from_utf8_lossy(&output.stdout);
    Ok(text
        .lines()
        .flat_map(str::split_whitespace)
        .filter(|word| word.starts_with('/') && Path::new(word).is_file())
        .map(PathBuf::from)
        .collect())
}

/// Where a path lies in a root with a merged /usr.
fn merged(path: &Path) -> PathBuf {
    let text = path.to_string_lossy();
    let relative = text.trim_start_matches('/');
    let first = relative.split('/').next().unwrap_or_default();
    match first {
        "bin" | "lib" | "lib64" => Path::new("usr").join(relative),
        "sbin" => Path::new("usr/bin").join(relative.trim_start_matches("sbin/")),
        _ => PathBuf::from(relative),
    }
}

fn add_tree<W: io::Write>(
    tar: &mut tar::Builder<W>,
    folder: &Path,
    added: &mut BTreeSet<PathBuf>,
) -> Result<(), HelperImageError> {
    // git-core is a hundred names of one program: hard links stay links.
    let mut inodes: HashMap<u64, PathBuf> = HashMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        let entries = fs::read_dir(&folder).map_err(unreadable(&folder))?;
        for entry in entries {
            let path = entry.map_err(unreadable(&folder))?.path();
            let metadata = fs::symlink_metadata(&path).map_err(unreadable(&path))?;
            let inside = merged(&path);
            if metadata.is_dir() {
                folders.push(path);
            } else if !added.insert(inside.clone()) {
            } else if metadata.is_symlink() {
                let target = fs::read_link(&path).map_err(unreadable(&path))?;
                add_link(tar, &inside, &target).map_err(HelperImageError::Archive)?;
            } else if let Some(first) = inodes.get(&metadata.ino()) {
                add_hard_link(tar, &inside, first).map_err(HelperImageError::Archive)?;
            } else {
                let mut file = fs::File::open(&path).map_err(unreadable(&path))?;
                tar.append_file(&inside, &mut file)
                    .map_err(unreadable(&path))?;
                inodes.insert(metadata.ino(), inside);
            }
        }
    }
    Ok(())
}

fn add_folder<W: io::Write>(tar: &mut tar::Builder<W>, path: &str, mode: u32) -> io::Result<()> {
    let mut header = header(tar::EntryType::Directory, mode);
    tar.append_data(&mut header, path, io::empty())
}

fn add_text<W: io::Write>(tar: &mut tar::Builder<W>, path: &str, text: &str) -> io::Result<()> {
    let mut header = header(tar::EntryType::Regular, 0o644);
    header.set_size(text.len() as u64);
    tar.append_data(&mut header, path, text.as_bytes())
}

fn add_link<W: io::Write>(tar: &mut tar::Builder<W>, path: &Path, target: &Path) -> io::Result<()> {
    tar.append_link(&mut header(tar::EntryType::Symlink, 0o777), path, target)
}

fn add_hard_link<W: io::Write>(
    tar: &mut tar::Builder<W>,
    path: &Path,
    target: &Path,
) -> io::Result<()> {
    tar.append_link(&mut header(tar::EntryType::Link, 0o755), path, target)
}

fn header(kind: tar::EntryType, mode: u32) -> tar::Header {
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_size(0);
    header
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_root_with_a_merged_usr_holds_every_path_once() {
        assert_eq!(
            merged(Path::new("/lib64/ld.so")),
            Path::new("usr/lib64/ld.so")
        );
        assert_eq!(merged(Path::new("/usr/bin/git")), Path::new("usr/bin/git"));
    }
}
