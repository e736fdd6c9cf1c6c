//! The robot accounts of one job: made at first need, kept for its phases, deleted with it.
//!
//! One robot for a job and a Harbor project, not one for a pipeline: its name follows from the job, so that
//! it can be deleted with no memory; nobody has to say when a pipeline ends; two hosts that run one
//! pipeline share no secret; and Harbor's own log names the job that pushed.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use tokio::sync::Mutex;

use super::{account::Account, client::Harbor, error::HarborError, robot::Wish};
use crate::{
    config::Registry,
    docker::tenant::hex,
    failure::Failure,
    secret::Secret,
    store::{Lines, StoreError},
};

/// What every robot of a dockmaster begins with.
const PREFIX: &str = "dockmaster";

/// Whose the robots are.
#[derive(Debug, Clone)]
pub(crate) struct Keeper {
    pub(crate) registry: Registry,
    /// Of the job's, such as `p42-j1000-abcdef`.
    pub(crate) key: String,
    pub(crate) description: String,
    /// Where they are written down, for the job's other phases.
    pub(crate) record: PathBuf,
    pub(crate) host: HostMark,
}

/// Tells the robots of one dockmaster from those of another that uses the same Harbor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct HostMark(String);

impl HostMark {
    /// Follows from the machine and the folder of its state.
    pub(crate) fn of(state_dir: &Path) -> Self {
        // A machine without an id is told apart by its folder alone.
        let machine = std::fs::read("/etc/machine-id").unwrap_or_default();
        let hash = Sha256::new()
            .chain_update(machine)
            .chain_update(state_dir.as_os_str().as_encoded_bytes())
            .finalize();
        Self(hex(&hash[..4]))
    }

    fn beginning(&self) -> String {
        format!("{PREFIX}-{}-", self.0)
    }
}

/// A robot as it is written down: before it is made, and again with its secret.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Entry {
    project: String,
    id: Option<i64>,
    #[serde(default)]
    username: String,
    #[serde(default)]
    password: String,
}

/// The robots of one job.
pub(crate) struct Robots {
    keeper: Keeper,
    /// By project. Held while one is made, so that requests side by side make one.
    known: Mutex<BTreeMap<String, Account>>,
}

/// Why a job has no robot.
#[derive(Debug, thiserror::Error)]
pub(crate) enum KeepError {
    #[error(transparent)]
    Harbor(#[from] HarborError),
    #[error("the job's accounts cannot be written down")]
    Record(#[from] StoreError),
}

impl From<KeepError> for Failure {
    fn from(error: KeepError) -> Self {
        match error {
            KeepError::Harbor(error) => error.into(),
            KeepError::Record(error) => error.into(),
        }
    }
}

impl Keeper {
    /// The robots that earlier phases made, and those that are made now.
    pub(crate) fn open(self) -> Result<Robots, KeepError> {
        let entries = latest(&self.record)?;
        let made = entries.into_values().filter(|entry| entry.id.is_some());
        let known = made.map(|entry| {
            let account = Account {
                username: entry.username,
                password: Secret::from(entry.password),
            };
            (entry.project, account)
        });
        Ok(Robots {
            known: Mutex::new(known.collect()),
            keeper: self,
        })
    }

    pub(super) fn name(&self) -> String {
        format!("{}{}", self.host.beginning(), self.key)
    }

    /// Deletes every robot of the record.
    pub(crate) async fn delete(&self) -> Result<(), KeepError> {
        let entries = latest(&self.record)?;
        let Some(account) = self
            .registry
            .account
            .as_deref()
            .filter(|_| !entries.is_empty())
        else {
            return Ok(());
        };
        let harbor = Harbor::log_in(&self.registry, account).await?;
        for entry in entries.into_values() {
            match entry.id {
                Some(id) => harbor.delete_robot(id).await?,
                // Cut off while it was made: perhaps it is there.
                None => {
                    harbor
                        .delete_robot_of_name(&entry.project, &self.name())
                        .await?;
                }
            }
        }
        Ok(())
    }
}

impl Robots {
    /// The robot for a project, made now if there is none yet.
    pub(crate) async fn account(
        &self,
        project: &str,
        may_push: bool,
    ) -> Result<Account, KeepError> {
        let mut known = self.known.lock().await;
        if let Some(account) = known.get(project) {
            return Ok(account.clone());
        }
        let account = self.make(project, may_push).await?;
        known.insert(project.to_owned(), account.clone());
        Ok(account)
    }

    async fn make(&self, project: &str, may_push: bool) -> Result<Account, KeepError> {
        let keeper = &self.keeper;
        let file = file(&keeper.record);
        let mut entry = Entry {
            project: project.to_owned(),
            id: None,
            username: String::new(),
            password: String::new(),
        };
        file.append(&entry)?;
        let path = keeper.registry.account.as_deref().unwrap_or(Path::new(""));
        let harbor = Harbor::log_in(&keeper.registry, path).await?;
        let wish = Wish {
            project,
            name: &keeper.name(),
            description: &keeper.description,
            may_push,
        };
        let robot = harbor.make_robot(wish).await?;
        entry.id = Some(robot.id);
        entry.username = robot.name;
        robot.secret.expose().clone_into(&mut entry.password);
        file.append(&entry)?;
        Ok(Account {
            username: entry.username,
            password: robot.secret,
        })
    }
}

/// Deletes robots of this host whose job is gone, and those that have expired; what was deleted, and what
/// could not be.
pub(crate) async fn reap(
    registry: &Registry,
    host: &HostMark,
    is_live: impl Fn(&str) -> bool,
) -> (Vec<String>, Vec<Failure>) {
    let (mut deleted, mut failures) = (Vec::new(), Vec::new());
    let Some(account) = registry.account.as_deref() else {
        return (deleted, failures);
    };
    let harbor = match Harbor::log_in(registry, account).await {
        Ok(harbor) => harbor,
        Err(error) => {
            failures.push(error.into());
            return (deleted, failures);
        }
    };
    for project in registry.projects() {
        let reaped = reap_in(&harbor, project, host, &is_live, &mut deleted).await;
        failures.extend(reaped.err().map(Failure::from));
    }
    (deleted, failures)
}

async fn reap_in(
    harbor: &Harbor,
    project: &str,
    host: &HostMark,
    is_live: &impl Fn(&str) -> bool,
    deleted: &mut Vec<String>,
) -> Result<(), HarborError> {
    let now = jiff::Timestamp::now();
    for robot in harbor.robots(project, &format!("{PREFIX}-")).await? {
        let name = robot.own_name();
        let key = name.strip_prefix(&host.beginning());
        // Of another host's, only what nobody can log in with any more.
        let is_dead = robot.is_expired(now) || key.is_some_and(|key| !is_live(key));
        if is_dead {
            harbor.delete_robot(robot.id).await?;
            deleted.push(format!("{project}/{name}"));
        }
    }
    Ok(())
}

/// The last entry of each project.
fn latest(record: &Path) -> Result<BTreeMap<String, Entry>, StoreError> {
    let entries: Vec<Entry> = file(record).read()?;
    Ok(entries
        .into_iter()
        .map(|entry| (entry.project.clone(), entry))
        .collect())
}

fn file(record: &Path) -> Lines {
    Lines {
        path: record.to_owned(),
        mode: 0o600,
    }
}
