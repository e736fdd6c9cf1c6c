//! A text that must not be printed, and the files such texts come from. A [`Secret`] has no
//! `Display`, and its `Debug` says nothing. Knows nothing of what the secrets open.

use std::{
    fmt, fs,
    io::{self, Read},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use serde::{Deserialize, de::DeserializeOwned};
use zeroize::Zeroizing;

use crate::failure::Failure;

/// A secret text, wiped from memory when dropped.
#[derive(Clone, Deserialize)]
#[serde(from = "String")]
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// The text itself: for the one call that needs it.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// True when there is nothing to keep.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Self(Zeroizing::new(text))
    }
}

impl Default for Secret {
    fn default() -> Self {
        String::new().into()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Secret(…)")
    }
}

/// Why a file of secrets cannot be used. No variant carries any of its text: even a parser's
/// complaint may quote what it stumbled over.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    #[error(
        "{path} does not exist: it must hold {shape}, belong to {reader} and have the mode 0600"
    )]
    Missing {
        path: PathBuf,
        shape: &'static str,
        reader: String,
    },
    #[error("{reader} cannot read {path}; try: chown {reader} {path} && chmod 600 {path}")]
    Unreadable {
        path: PathBuf,
        reader: String,
        #[source]
        source: io::Error,
    },
    #[error("{path} can be read by others (mode {mode:03o}); try: chmod 600 {path}")]
    Exposed { path: PathBuf, mode: u32 },
    #[error(
        "{path} belongs to uid {owner}, so somebody else decides what is in it; try: chown {reader} {path}"
    )]
    Foreign {
        path: PathBuf,
        owner: u32,
        reader: String,
    },
    #[error("{path} is not {shape} (line {line}, column {column})")]
    Malformed {
        path: PathBuf,
        shape: &'static str,
        line: usize,
        column: usize,
    },
}

impl From<SecretError> for Failure {
    fn from(error: SecretError) -> Self {
        match error {
            SecretError::Missing { .. }
            | SecretError::Unreadable { .. }
            | SecretError::Exposed { .. }
            | SecretError::Foreign { .. }
            | SecretError::Malformed { .. } => Self::system(error),
        }
    }
}

/// What a file of secrets holds.
pub(crate) trait SecretFile: DeserializeOwned {
    /// How the file should look, for whoever has to repair it.
    const SHAPE: &'static str;
}

/// Opens a file that must hold `shape`.
pub(crate) fn open(path: &Path, shape: &'static str) -> Result<fs::File, SecretError> {
    fs::File::open(path).map_err(|source| match source.kind() {
        io::ErrorKind::NotFound => SecretError::Missing {
            path: path.to_owned(),
            shape,
            reader: reader(),
        },
        _ => unreadable(path, source),
    })
}

fn unreadable(path: &Path, source: io::Error) -> SecretError {
    SecretError::Unreadable {
        path: path.to_owned(),
        reader: reader(),
        source,
    }
}

/// Reads a JSON file that nobody but its owner can read.
pub(crate) fn load<T: SecretFile>(path: &Path) -> Result<T, SecretError> {
    let unreadable = |source| unreadable(path, source);
    // Opened first and looked at then, so that what is checked is what is read.
    let mut file = open(path, T::SHAPE)?;
    let metadata = file.metadata().map_err(unreadable)?;
    check(path, metadata.uid(), metadata.mode() & 0o777)?;
    let mut text = Zeroizing::new(String::new());
    file.read_to_string(&mut text).map_err(unreadable)?;
    serde_json::from_str(&text).map_err(|error| SecretError::Malformed {
        path: path.to_owned(),
        shape: T::SHAPE,
        line: error.line(),
        column: error.column(),
    })
}

/// Nobody but root and the reader decides what is in a secret, and nobody else sees it.
fn check(path: &Path, owner: u32, mode: u32) -> Result<(), SecretError> {
    if owner != 0 && owner != nix::unistd::geteuid().as_raw() {
        return Err(SecretError::Foreign {
            path: path.to_owned(),
            owner,
            reader: reader(),
        });
    }
    if mode & 0o077 != 0 {
        return Err(SecretError::Exposed {
            path: path.to_owned(),
            mode,
        });
    }
    Ok(())
}

/// The account that reads: secrets are its own. In the broker, that is the broker's user.
fn reader() -> String {
    let uid = nix::unistd::geteuid();
    match nix::unistd::User::from_uid(uid) {
        Ok(Some(user)) => user.name,
        Ok(None) | Err(_) => uid.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[derive(Debug, Deserialize)]
    struct Account {
        password: Secret,
    }

    impl SecretFile for Account {
        const SHAPE: &'static str = "an account";
    }

    fn file(text: &str, mode: u32) -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), text).unwrap();
        fs::set_permissions(file.path(), fs::Permissions::from_mode(mode)).unwrap();
        file
    }

    #[test]
    fn a_secret_does_not_show_in_debug_output() {
        let secret = Secret::from("hunter2".to_owned());
        assert!(!format!("{secret:?}").contains("hunter2"));
        assert_eq!(secret.expose(), "hunter2");
    }

    #[test]
    fn a_private_file_is_read() {
        let file = file(r#"{"password":"hunter2"}"#, 0o600);
        let account: Account = load(file.path()).unwrap();
        assert_eq!(account.password.expose(), "hunter2");
    }

    #[test]
    fn a_file_that_others_can_read_is_refused_with_the_command_that_repairs_it() {
        for mode in [0o644, 0o640, 0o604] {
            let file = file(r#"{"password":"hunter2"}"#, mode);
            let error = load::<Account>(file.path()).unwrap_err().to_string();
            assert!(error.contains("chmod 600"), "{error}");
        }
    }

    #[test]
    fn a_file_that_belongs_to_somebody_else_is_refused() {
        let (path, own) = (Path::new("/k"), nix::unistd::geteuid().as_raw());
        assert!(check(path, own, 0o600).is_ok());
        assert!(check(path, 0, 0o600).is_ok());
        let error = check(path, own + 1, 0o600).unwrap_err().to_string();
        assert!(
            error.contains(&format!("try: chown {} /k", reader())),
            "{error}"
        );
    }

    #[test]
    fn a_malformed_file_is_refused_without_quoting_it() {
        for text in [r#""hunter2""#, r#"{"password":["hunter2"]}"#, "hunter2"] {
            let file = file(text, 0o600);
            let error = load::<Account>(file.path()).unwrap_err().to_string();
            assert!(error.contains("is not an account (line 1"), "{error}");
            assert!(!error.contains("hunter2"), "{error}");
        }
    }

    #[test]
    fn a_missing_file_is_named_with_what_it_must_hold_and_whose_it_must_be() {
        let error = load::<Account>(Path::new("/nowhere/account.json")).unwrap_err();
        let expected = format!(
            "/nowhere/account.json does not exist: it must hold an account, belong to {} and have the mode 0600",
            reader()
        );
        assert_eq!(error.to_string(), expected);
    }

    #[test]
    fn a_file_that_cannot_be_read_comes_with_the_command_that_gives_it_to_its_reader() {
        // A folder opens and does not read, whoever asks; files that root cannot read do not exist.
        let folder = tempfile::tempdir().unwrap();
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o600)).unwrap();
        let error = load::<Account>(folder.path()).unwrap_err().to_string();
        let expected = format!("try: chown {} {}", reader(), folder.path().display());
        assert!(error.contains(&expected), "{error}");
    }
}
