//! The helper image: git, a shell and `gitlab-runner`, for the phases that are not the user's.
//!
//! In this order: the one configured, one already local, the archive that the gitlab-runner package
//! brings, a pull, one made on the spot from this host's own programs.

mod archive;

use std::{
    collections::BTreeMap,
    fs, io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use bytes::Bytes;
use futures_util::Stream;
use sha2::{Digest, Sha256};
use tokio::io::AsyncReadExt;

use super::name::HELPER_IMAGE;

/// What the generated scripts call, beside `gitlab-runner`.
const PROGRAMS: [&str; 36] = [
    "bash", "sh", "git", "rm", "mkdir", "cat", "chmod", "chown", "cp", "mv", "ls", "ln", "touch",
    "stat", "find", "hostname", "sleep", "env", "sed", "grep", "tr", "sort", "head", "tail",
    "dirname", "basename", "id", "uname", "readlink", "mktemp", "true", "false", "wc", "gzip",
    "tar", "xargs",
];
/// Not every host has these; a job that needs one misses it as on a host without it.
const OPTIONAL: [&str; 3] = ["git-lfs", "ssh", "date"];

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
        Ok(format!("{HELPER_IMAGE}:{number:016x}"))
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
