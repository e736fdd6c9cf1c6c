//! The helper image: git, a shell and `gitlab-runner`, for the phases that are not the user's.
//!
//! In this order: the one configured, one already local, the archive that the gitlab-runner package
//! brings, a pull, one made on the spot from this host's own programs.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    fs, io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    process::Command,
};

use bytes::Bytes;
use futures_util::Stream;
use sha2::{Digest, Sha256};
use tokio::io::AsyncReadExt;

/// What the generated scripts call, beside `gitlab-runner`.
const PROGRAMS: [&str; 36] = [
    "bash", "sh", "git", "rm", "mkdir", "cat", "chmod", "chown", "cp", "mv", "ls", "ln", "touch",
    "stat", "find", "hostname", "sleep", "env", "sed", "grep", "tr", "sort", "head", "tail",
    "dirname", "basename", "id", "uname", "readlink", "mktemp", "true", "false", "wc", "gzip",
    "tar", "xargs",
];
/// Not every host has these; a job that needs one misses it as on a host without it.
const OPTIONAL: [&str; 3] = ["git-lfs", "ssh", "date"];
const CERTIFICATES: &str = "/etc/ssl/certs/ca-certificates.crt";

/// Why no helper image could be made.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HelperImageError {
    #[error("`{program}` is not on the PATH of this host, so no helper image can be made from it")]
    ProgramMissing { program: &'static str },
    #[error("cannot tell which libraries {program} needs")]
    Libraries {
        program: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("cannot read {path} for the helper image")]
    Unreadable {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("cannot write the helper image's archive")]
    Archive(#[source] io::Error),
}

/// GitLab's own helper image for a runner of that version.
pub(crate) fn official(runner_version: &str) -> Option<String> {
    let is_version = !runner_version.is_empty()
        && runner_version
            .chars()
            .all(|c| c.is_ascii_digit() || c == '.');
    let arch = match std::env::consts::ARCH {
        "aarch64" => "arm64",
        other => other,
    };
    is_version.then(|| {
        let name = "registry.gitlab.com/gitlab-org/gitlab-runner/gitlab-runner-helper";
        format!("{name}:{arch}-v{runner_version}")
    })
}

/// The archive of that image which the gitlab-runner package brings, beside the `gitlab-runner` in `path`.
pub(crate) fn packaged(path: &str) -> Option<PathBuf> {
    let arch = match std::env::consts::ARCH {
        "aarch64" => "arm64",
        other => other,
    };
    let program = which(path, "gitlab-runner")?;
    let folder = program.parent()?.join("../lib/gitlab-runner/helper-images");
    Some(folder.join(format!("prebuilt-alpine-{arch}.tar.xz"))).filter(|file| file.is_file())
}

/// A helper image made from this host's own programs.
#[derive(Debug)]
pub(crate) struct Recipe {
    /// Where each program lies on the host, by its path in the image.
    programs: BTreeMap<PathBuf, PathBuf>,
}

impl Recipe {
    /// Finds the programs in `path` (as in PATH).
    pub(crate) fn gather(path: &str) -> Result<Self, HelperImageError> {
        let inside = |program: &str| Path::new("/usr/bin").join(program);
        let mut programs = BTreeMap::new();
        for program in PROGRAMS {
            let found = which(path, program).ok_or(HelperImageError::ProgramMissing { program })?;
            programs.insert(inside(program), found);
        }
        let program = "gitlab-runner";
        let runner = which(path, program).or_else(|| which(path, "gitlab-runner-helper"));
        let runner = runner.ok_or(HelperImageError::ProgramMissing { program })?;
        programs.insert(inside(program), runner);
        for program in OPTIONAL {
            if let Some(found) = which(path, program) {
                programs.insert(inside(program), found);
            }
        }
        Ok(Self { programs })
    }

    /// The image's name: the same programs make the same name, so that it is made once.
    pub(crate) fn tag(&self) -> Result<String, HelperImageError> {
        let mut hash = Sha256::new();
        for (inside, outside) in &self.programs {
            let metadata = fs::metadata(outside).map_err(unreadable(outside))?;
            let (size, time) = (metadata.len(), metadata.mtime());
            hash.update(format!("{} {size} {time}\n", inside.display()));
        }
        let digest: [u8; 32] = hash.finalize().into();
        let number = digest
            .iter()
            .take(8)
            .fold(0_u64, |number, byte| number << 8 | u64::from(*byte));
        Ok(format!("dockmaster-helper:{number:016x}"))
    }

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

/// Reads a file in pieces, for the engine.
pub(crate) fn stream(file: fs::File) -> impl Stream<Item = io::Result<Bytes>> + Send + 'static {
    let file = tokio::fs::File::from_std(file);
    futures_util::stream::try_unfold(file, |mut file| async move {
        let mut buffer = vec![0; 1 << 18];
        let length = file.read(&mut buffer).await?;
        buffer.truncate(length);
        Ok((length > 0).then(|| (Bytes::from(buffer), file)))
    })
}

fn which(path: &str, program: &str) -> Option<PathBuf> {
    let found = path
        .split(':')
        .map(|folder| Path::new(folder).join(program))
        .find(|candidate| {
            fs::metadata(candidate).is_ok_and(|file| file.is_file() && file.mode() & 0o111 != 0)
        })?;
    fs::canonicalize(found).ok()
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

fn unreadable(path: &Path) -> impl Fn(io::Error) -> HelperImageError + use<> {
    let path = path.to_owned();
    move |source| HelperImageError::Unreadable {
        path: path.clone(),
        source,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_version_goes_into_the_official_name() {
        assert!(official("19.4.0").is_some_and(|name| name.ends_with("-v19.4.0")));
        assert_eq!(official(""), None);
        assert_eq!(official("19.4.0/../../evil"), None);
    }

    #[test]
    fn a_root_with_a_merged_usr_holds_every_path_once() {
        assert_eq!(
            merged(Path::new("/lib64/ld.so")),
            Path::new("usr/lib64/ld.so")
        );
        assert_eq!(merged(Path::new("/usr/bin/git")), Path::new("usr/bin/git"));
    }

    #[test]
    fn a_missing_program_is_named() {
        let error = Recipe::gather("/nowhere").unwrap_err().to_string();
        assert!(error.contains("`bash` is not on the PATH"), "{error}");
    }

    #[test]
    fn the_package_s_archive_is_found_beside_its_program() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("lib/gitlab-runner/helper-images");
        let bin = root.path().join("bin");
        fs::create_dir_all(&folder).unwrap();
        fs::create_dir_all(&bin).unwrap();
        fs::copy("/bin/true", bin.join("gitlab-runner")).unwrap();
        let path = bin.to_string_lossy().into_owned();
        assert_eq!(packaged(&path), None);
        for arch in ["x86_64", "arm64"] {
            fs::write(folder.join(format!("prebuilt-alpine-{arch}.tar.xz")), "").unwrap();
        }
        assert!(packaged(&path).is_some_and(|file| file.is_file()));
    }
}
