//! Names of the host that an image has for a while: for a push, or between a pull and its private name.
//!
//! Each such name is a file of the state directory, locked by who uses the name, with what it meant
//! before. What a killed process left is put right by the next who needs the name, or by a sweep.

use std::collections::BTreeSet;
use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind, Read, Seek, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use hyper::{Method, StatusCode};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::daemon::{Daemon, DaemonError};
use super::error::GateError;
use super::json::texts;
use super::query::Query;
use crate::docker::tenant::hex;
use crate::store::StoreError;

/// Time between two looks at a lock that somebody holds.
const LOOK: Duration = Duration::from_millis(50);

/// The names of one engine's host.
#[derive(Debug, Clone)]
pub struct HostNames {
    daemon: Daemon,
    dir: PathBuf,
}

/// What a name means again afterwards.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Debt {
    name: String,
    /// The id that it meant before; nothing: it was not there.
    before: Option<String>,
    /// The id that it means meanwhile; nothing: what the engine pulls under it.
    given: Option<String>,
}

/// A name that nobody else uses meanwhile. Dropped without being given back, the next one does that.
#[derive(Debug)]
pub(crate) struct Lent {
    daemon: Daemon,
    locked: Locked,
    debt: Debt,
}

impl HostNames {
    pub fn new(engine: &Path, state_dir: &Path) -> Self {
        let engine_key = &Sha256::digest(engine.as_os_str().as_encoded_bytes())[..8];
        Self {
            daemon: Daemon::new(engine),
            dir: state_dir.join("names").join(hex(engine_key)),
        }
    }

    /// The id that a name means to the host, whoever pushes under it at the moment.
    pub(crate) async fn id(&self, name: &str) -> Result<Option<String>, GateError> {
        let path = self.path(name);
        loop {
            match Locked::try_take(&path).map_err(broken(&path))? {
                Some(locked) => {
                    self.put_right(&locked).await?;
                    let id = inspect(&self.daemon, name).await?;
                    locked.remove().map_err(broken(&path))?;
                    return Ok(id);
                }
                // Empty: not moved yet, or moved back by now.
                None => {
                    if let Some(debt) = read(&path).map_err(broken(&path))? {
                        return Ok(debt.before);
                    }
                }
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    /// The names that images have for a while at the moment.
    pub(crate) fn lent(&self) -> Result<BTreeSet<String>, GateError> {
        let entries = match fs::read_dir(&self.dir) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(BTreeSet::new()),
            entries => entries.map_err(broken(&self.dir))?,
        };
        let mut names = BTreeSet::new();
        for entry in entries {
            let path = entry.map_err(broken(&self.dir))?.path();
            names.extend(read(&path).map_err(broken(&path))?.map(|debt| debt.name));
        }
        Ok(names)
    }

    /// Gives a name to an image, after everybody else who does so.
    pub(crate) async fn lend(&self, name: &str, id: &str) -> Result<Lent, GateError> {
        let lent = self.reserve(name, Some(id)).await?;
        if lent.debt.before.as_deref() != Some(id) {
            tag(&self.daemon, id, name).await?;
        }
        Ok(lent)
    }

    /// Keeps `repository@digest` for a pull by that name.
    pub(crate) async fn keep_for_pull(&self, name: &str) -> Result<Lent, GateError> {
        self.reserve(name, None).await
    }

    async fn reserve(&self, name: &str, given: Option<&str>) -> Result<Lent, GateError> {
        let path = self.path(name);
        let mut locked = loop {
            if let Some(locked) = Locked::try_take(&path).map_err(broken(&path))? {
                break locked;
            }
            tokio::time::sleep(LOOK).await;
        };
        self.put_right(&locked).await?;
        let debt = Debt {
            name: name.to_owned(),
            before: inspect(&self.daemon, name).await?,
            given: given.map(str::to_owned),
        };
        locked.write(&debt).map_err(broken(&path))?;
        let daemon = self.daemon.clone();
        Ok(Lent {
            daemon,
            locked,
            debt,
        })
    }

    /// Gives back what killed processes left. What is in use stays with its user.
    pub(crate) async fn settle(&self) -> Result<(), GateError> {
        let entries = match fs::read_dir(&self.dir) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
            entries => entries.map_err(broken(&self.dir))?,
        };
        for entry in entries {
            let path = entry.map_err(broken(&self.dir))?.path();
            if let Some(locked) = Locked::try_take(&path).map_err(broken(&path))? {
                self.put_right(&locked).await?;
                locked.remove().map_err(broken(&path))?;
            }
        }
        Ok(())
    }

    /// Gives back what a killed holder of this lock left.
    async fn put_right(&self, locked: &Locked) -> Result<(), GateError> {
        match read(&locked.path).map_err(broken(&locked.path))? {
            Some(debt) => Ok(repay(&self.daemon, &debt).await?),
            None => Ok(()),
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.join(hex(&Sha256::digest(name.as_bytes())))
    }
}

impl Lent {
    /// The id that the name means now.
    pub(crate) async fn id(&self) -> Result<Option<String>, DaemonError> {
        inspect(&self.daemon, &self.debt.name).await
    }

    /// Gives a second name to the image that the name means now; its id.
    pub(crate) async fn also(&self, name: &str) -> Result<Option<String>, GateError> {
        let id = self.id().await?;
        if let Some(id) = &id {
            tag(&self.daemon, id, name).await?;
        }
        Ok(id)
    }

    /// Lets the name mean what it meant before.
    pub(crate) async fn give_back(self) -> Result<(), GateError> {
        repay(&self.daemon, &self.debt).await?;
        let path = self.locked.path.clone();
        self.locked.remove().map_err(broken(&path))
    }
}

async fn repay(daemon: &Daemon, debt: &Debt) -> Result<(), DaemonError> {
    let now = inspect(daemon, &debt.name).await?;
    if now == debt.before {
        return Ok(());
    }
    match (&debt.before, &debt.given, now) {
        // Somebody of the host moved it meanwhile: it is theirs.
        (_, Some(given), now) if now.as_ref() != Some(given) => Ok(()),
        (Some(before), Some(given), _) => {
            tag(daemon, before, &debt.name).await?;
            forget_digests(daemon, &debt.name, given).await
        }
        (None, _, _) => remove(daemon, &debt.name).await,
        // A digest means one content for ever.
        (Some(_), None, _) => Ok(()),
    }
}

/// Takes the digests away that a push gave an image under this repository, where no tag of it stays.
async fn forget_digests(daemon: &Daemon, name: &str, id: &str) -> Result<(), DaemonError> {
    let Some((repository, _)) = name.rsplit_once(':') else {
        return Ok(());
    };
    let image = daemon.call(Method::GET, &target(id), None).await?.value;
    let texts = |key: &str| -> Vec<String> {
        let items = image[key].as_array().into_iter().flatten();
        items
            .filter_map(|it| Some(it.as_str()?.to_owned()))
            .collect()
    };
    let short = crate::docker::reference::Reference::parse(repository)
        .map_or(String::new(), |it| it.familiar().to_owned());
    let is_of = |text: &String, sign: char| {
        let found = text.rsplit_once(sign).map(|(repository, _)| repository);
        found.is_some_and(|found| found == short || found == repository)
    };
    if texts("RepoTags").iter().any(|tag| is_of(tag, ':')) {
        return Ok(());
    }
    for digest in texts("RepoDigests").iter().filter(|it| is_of(it, '@')) {
        remove(daemon, digest).await?;
    }
    Ok(())
}

/// The id of the image that has this name.
pub(super) async fn inspect(daemon: &Daemon, name: &str) -> Result<Option<String>, DaemonError> {
    let image = describe(daemon, name).await?;
    Ok(image.map(|image| image.id))
}

/// An image as the engine describes it.
pub(super) struct Described {
    pub(super) id: String,
    pub(super) names: Vec<String>,
}

/// The image that has this name.
pub(super) async fn describe(
    daemon: &Daemon,
    name: &str,
) -> Result<Option<Described>, DaemonError> {
    let answer = daemon.call(Method::GET, &target(name), None).await?;
    match answer.value["Id"].as_str() {
        Some(id) if answer.status.is_success() => Ok(Some(Described {
            id: id.to_owned(),
            names: texts(&answer.value["RepoTags"]),
        })),
        _ if answer.status == StatusCode::NOT_FOUND => Ok(None),
        _ => Err(refused(&answer, format!("GET {}", target(name)))),
    }
}

/// Gives an image a name, in full with its tag.
pub(super) async fn tag(daemon: &Daemon, id: &str, name: &str) -> Result<(), DaemonError> {
    let (repository, tag) = name.rsplit_once(':').unwrap_or((name, "latest"));
    let mut query = Query::default();
    query.push("repo", repository);
    query.push("tag", tag);
    let target = format!("/images/{id}/tag{}", query.encode());
    daemon.must(Method::POST, &target, None).await.map(drop)
}

/// Takes a name away; gone already is fine.
async fn remove(daemon: &Daemon, name: &str) -> Result<(), DaemonError> {
    let target = format!("/images/{name}?force=1&noprune=1");
    let answer = daemon.call(Method::DELETE, &target, None).await?;
    match answer.status {
        status if status.is_success() || status == StatusCode::NOT_FOUND => Ok(()),
        _ => Err(refused(&answer, format!("DELETE {target}"))),
    }
}

fn refused(answer: &super::daemon::Answer, request: String) -> DaemonError {
    DaemonError::Refused {
        request,
        status: answer.status,
        message: answer.value["message"]
            .as_str()
            .unwrap_or_default()
            .to_owned(),
    }
}

fn target(name: &str) -> String {
    format!("/images/{name}/json")
}

/// A file that this process has locked.
#[derive(Debug)]
struct Locked {
    path: PathBuf,
    file: File,
}

impl Locked {
    /// The file, made if it is not there; nothing if somebody else holds it.
    fn try_take(path: &Path) -> io::Result<Option<Self>> {
        if let Some(folder) = path.parent() {
            DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(folder)?;
        }
        loop {
            let mut options = OpenOptions::new();
            options.read(true).write(true).create(true).truncate(false);
            let file = options.mode(0o600).open(path)?;
            match file.try_lock() {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => return Ok(None),
                Err(TryLockError::Error(error)) => return Err(error),
            }
            // Whoever held it before may have removed it meanwhile.
            match fs::metadata(path) {
                Ok(now) if now.ino() == file.metadata()?.ino() => {
                    let path = path.to_owned();
                    return Ok(Some(Self { path, file }));
                }
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
    }

    fn write(&mut self, debt: &Debt) -> io::Result<()> {
        let text = serde_json::to_vec(debt)?;
        self.file.set_len(0)?;
        self.file.rewind()?;
        self.file.write_all(&text)?;
        self.file.sync_all()?;
        let folder = self.path.parent().unwrap_or(Path::new("/"));
        File::open(folder)?.sync_all()
    }

    fn remove(self) -> io::Result<()> {
        fs::remove_file(&self.path)
    }
}

/// What is owed; nothing if the file is empty, or was being written when its writer was killed: the
/// engine was not asked yet.
fn read(path: &Path) -> io::Result<Option<Debt>> {
    let mut text = String::new();
    match File::open(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        file => file?.read_to_string(&mut text)?,
    };
    Ok(serde_json::from_str(&text).ok())
}

fn broken(path: &Path) -> impl FnOnce(io::Error) -> GateError + use<> {
    let path = path.to_owned();
    move |source| GateError::Record(StoreError::Write { path, source })
}
