//! `state-dir/secret`: what only this host knows. Made at first need, never changed.

use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, ErrorKind, Read, Write},
    os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt},
    path::Path,
};

use super::lines::StoreError;
use crate::docker::tenant::{HostSecret, hex};

const DIGITS: usize = 64;

/// Reads the secret, or makes it. Two that make it at once get the same one.
pub fn host_secret(state_dir: &Path) -> Result<HostSecret, StoreError> {
    let path = state_dir.join("secret");
    let read = match read(&path) {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            make(state_dir, &path).map_err(|source| StoreError::Write {
                path: path.clone(),
                source,
            })?;
            self::read(&path)
        }
        read => read,
    };
    read.map_err(|source| StoreError::Read { path, source })
}

fn read(path: &Path) -> io::Result<HostSecret> {
    let metadata = fs::symlink_metadata(path)?;
    if !metadata.is_file() || metadata.mode() & 0o077 != 0 {
        let what = "it is open to others; try: chmod 600, if nobody has read it";
        return Err(io::Error::new(ErrorKind::PermissionDenied, what));
    }
    let text = fs::read_to_string(path)?;
    let bytes = parse(text.trim_end()).ok_or_else(|| {
        let what = "it is not 64 hexadecimal digits; try: remove it while no job runs";
        io::Error::new(ErrorKind::InvalidData, what)
    })?;
    Ok(HostSecret::new(bytes))
}

fn parse(text: &str) -> Option<[u8; 32]> {
    if text.len() != DIGITS || !text.is_ascii() {
        return None;
    }
    let mut bytes = [0; 32];
    for (at, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&text[2 * at..2 * at + 2], 16).ok()?;
    }
    Some(bytes)
}

/// The file appears under its name whole and flushed, or not at all.
fn make(state_dir: &Path, path: &Path) -> io::Result<()> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o755)
        .create(state_dir)?;
    let text = random()?;
    let draft = state_dir.join(format!("secret.{}", &random()?[..16]));
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&draft)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    let linked = match fs::hard_link(&draft, path) {
        // Somebody else was faster: theirs counts.
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
        linked => linked,
    };
    fs::remove_file(&draft)?;
    linked?;
    File::open(state_dir)?.sync_all()
}

fn random() -> io::Result<String> {
    let mut bytes = [0; 32];
    File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(hex(&bytes))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn words(secret: &HostSecret) -> String {
        secret.of_job("p1-j1")
    }

    #[test]
    fn all_who_make_it_at_once_have_the_same_secret_and_nobody_else_reads_it() {
        let folder = tempfile::tempdir().unwrap();
        let state = folder.path().join("state");
        let secrets: Vec<String> = std::thread::scope(|scope| {
            let makers: Vec<_> = (0..8)
                .map(|_| scope.spawn(|| words(&host_secret(&state).unwrap())))
                .collect();
            makers.into_iter().map(|it| it.join().unwrap()).collect()
        });
        assert!(secrets.iter().all(|it| *it == secrets[0]));
        assert_eq!(words(&host_secret(&state).unwrap()), secrets[0]);
        let names: Vec<_> = fs::read_dir(&state)
            .unwrap()
            .map(|it| it.unwrap().file_name())
            .collect();
        assert_eq!(names, ["secret"]);
        let mode = fs::metadata(state.join("secret")).unwrap().mode();
        assert_eq!(mode & 0o777, 0o600);
        let other = tempfile::tempdir().unwrap();
        assert_ne!(words(&host_secret(other.path()).unwrap()), secrets[0]);
    }

    #[test]
    fn a_secret_that_others_can_read_or_that_is_cut_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secret");
        host_secret(folder.path()).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        let error = host_secret(folder.path()).unwrap_err();
        assert!(crate::failure::chain(&error).contains("open to others"));
        fs::write(&path, "12").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        let error = host_secret(folder.path()).unwrap_err();
        assert!(crate::failure::chain(&error).contains("64 hexadecimal digits"));
    }
}
