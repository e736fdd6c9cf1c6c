//! Whose things are: names become full ids of what carries the job's label.
//!
//! Names prove nothing, since a container can be named like another's id. So the daemon is never
//! asked what a name means: it lists what carries the label, and the name is looked up in that.
//! Labels prove nothing of a container either, since it has those of its image: it is the job's if it
//! also has a name that only the gate gives. What is not the job's is not there.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use hyper::Method;
use serde_json::{Value, json};

use super::alias::Alias;
use super::daemon::{Daemon, DaemonError};
use super::facts::Facts;
use super::host_name::HostNames;
use super::object::filters;
use super::query::Query;
use super::refusal::Denied;
use super::scope::Scope;
use crate::docker::reference;

static MADE: AtomicUsize = AtomicUsize::new(0);

/// Answers whose things are, for one job.
pub(crate) struct Own {
    pub(super) engine: Daemon,
    /// Names of the host, which images have for a while.
    pub(super) host: HostNames,
    pub(super) scope: Scope,
    /// What the engine calls the things that the job names.
    pub(super) alias: Alias,
    containers: Mutex<BTreeSet<String>>,
    execs: Mutex<BTreeSet<String>>,
    pub(super) facts: Facts,
}

/// So many execs are remembered; more are asked for again.
const EXECS: usize = 1000;

impl Own {
    pub(crate) fn new(engine: &Path, scope: Scope) -> Self {
        Self {
            alias: Alias::new(&scope.label.1),
            host: HostNames::new(engine, &scope.state_dir),
            engine: Daemon::new(engine),
            scope,
            containers: Mutex::default(),
            execs: Mutex::default(),
            facts: Facts::default(),
        }
    }

    /// The full id of a container of the job's.
    pub(crate) async fn container(&self, name: &str) -> Result<String, Denied> {
        if self.lock().contains(name) {
            return Ok(name.to_owned());
        }
        let mut all = self.list("/containers/json", &[("all", "1")]).await?;
        self.retain_own(&mut all);
        let items = all.as_array().into_iter().flatten();
        let known = items.filter_map(|container| {
            let names = container["Names"].as_array().into_iter().flatten();
            let names = names
                .filter_map(Value::as_str)
                .map(|name| self.alias.shown(name));
            Some((container["Id"].as_str()?, names.collect::<Vec<_>>()))
        });
        let id = find(name.trim_start_matches('/'), known)
            .ok_or_else(|| Denied::missing(format!("No such container: {name}")))?;
        self.remember(&id);
        Ok(id)
    }

    /// Keeps the id of a container that was just made with the job's label.
    pub(crate) fn remember(&self, id: &str) {
        self.lock().insert(id.to_owned());
    }

    /// Keeps the id of an exec that was just made in a container of the job's: its start is what the
    /// client waits for next.
    pub(crate) fn remember_exec(&self, id: &str) {
        let mut execs = self.known_execs();
        if execs.len() >= EXECS {
            execs.clear();
        }
        execs.insert(id.to_owned());
    }

    fn known_execs(&self) -> MutexGuard<'_, BTreeSet<String>> {
        self.execs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// An exec in a container of the job's.
    pub(crate) async fn exec(&self, id: &str) -> Result<(), Denied> {
        let missing = || Denied::missing(format!("No such exec instance: {id}"));
        if id.len() != 64 || !reference::is_id(id) {
            return Err(missing());
        }
        if self.known_execs().contains(id) {
            return Ok(());
        }
        let exec = self
            .engine
            .call(Method::GET, &format!("/exec/{id}/json"), None)
            .await?;
        let container = exec.value["ContainerID"].as_str().ok_or_else(missing)?;
        self.container(container)
            .await
            .map(|_| ())
            .map_err(|_| missing())
    }

    /// A network of the job's, or the one that it was given: the empty name, or its own.
    pub(crate) async fn network(&self, name: &str) -> Result<String, Denied> {
        if name.is_empty() || name == self.scope.network {
            return Ok(self.scope.network.clone());
        }
        self.made_network(name).await
    }

    /// A network that the job made itself.
    pub(crate) async fn made_network(&self, name: &str) -> Result<String, Denied> {
        let all = self.list("/networks", &[]).await?;
        let known = all.as_array().into_iter().flatten().filter_map(|network| {
            let name = self.alias.shown(network["Name"].as_str()?);
            Some((network["Id"].as_str()?, vec![name]))
        });
        find(name, known).ok_or_else(|| Denied::missing(format!("network {name} not found")))
    }

    /// A volume that the job made itself, as the engine calls it.
    pub(crate) async fn volume(&self, name: &str) -> Result<String, Denied> {
        let all = self.list("/volumes", &[]).await?;
        let names = all["Volumes"].as_array().into_iter().flatten();
        let mut names = names.filter_map(|volume| volume["Name"].as_str());
        names
            .find(|known| self.alias.shown(known) == name)
            .map(str::to_owned)
            .ok_or_else(|| Denied::missing(format!("get {name}: no such volume")))
    }

    /// The name that the job knows a container of its by.
    pub(crate) async fn container_name(&self, id: &str) -> Result<String, Denied> {
        let target = format!("/containers/{id}/json");
        let found = self.engine.must(Method::GET, &target, None).await?;
        let name = found["Name"].as_str().unwrap_or_default();
        Ok(self.alias.shown(name).to_owned())
    }

    /// Whether a thing that the daemon just described carries the job's label.
    pub(crate) fn is_labelled(&self, labels: &Value) -> bool {
        labels.get(&self.scope.label.0).and_then(Value::as_str) == Some(&self.scope.label.1)
    }

    /// Leaves in a list of labelled containers those that the job made.
    pub(crate) fn retain_own(&self, containers: &mut Value) {
        if let Value::Array(all) = containers {
            all.retain(|container| self.alias.is_given(container));
        }
    }

    /// 32 hexadecimal digits that nobody had before, and that nobody can guess.
    pub(crate) fn digits(&self) -> String {
        let number = MADE.fetch_add(1, Ordering::Relaxed);
        let now = std::time::SystemTime::UNIX_EPOCH.elapsed();
        let now = now.map_or(0, |since| since.as_nanos());
        let (job, process) = (&self.scope.label.1, std::process::id());
        let text = format!("{job} {process} {number} {now}");
        self.scope.secret.keyed("once", &text)
    }

    /// A name for an image that the job gives none: it keeps the image the job's.
    pub(crate) fn unnamed(&self) -> String {
        self.scope.names.hidden(&self.digits())
    }

    /// Makes the named volume the job's if nobody has it; the daemon's answer tells whose it is.
    pub(crate) async fn make_volume(&self, name: &str) -> Result<(), Denied> {
        let body = json!({ "Name": name, "Labels": self.scope.forced_labels() });
        let made = self
            .engine
            .must(Method::POST, "/volumes/create", Some(&body))
            .await?;
        if self.is_labelled(&made["Labels"]) {
            return Ok(());
        }
        Err(Denied::conflict(format!(
            "the volume {name:?} is not this job's: choose another name"
        )))
    }

    /// A list of what carries the job's label.
    async fn list(&self, path: &str, parameters: &[(&str, &str)]) -> Result<Value, Denied> {
        let mut query = Query::default();
        for (name, value) in parameters {
            query.push(name, *value);
        }
        query.push("filters", filters("", self.label())?);
        let target = format!("{path}{}", query.encode());
        Ok(self.engine.must(Method::GET, &target, None).await?)
    }

    pub(super) fn label(&self) -> (&str, &str) {
        (&self.scope.label.0, &self.scope.label.1)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeSet<String>> {
        self.containers
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl From<DaemonError> for Denied {
    fn from(error: DaemonError) -> Self {
        match error {
            DaemonError::Refused {
                status, message, ..
            } => Self {
                status: status.as_u16(),
                message,
            },
            DaemonError::Unreachable { .. } | DaemonError::BrokenOff { .. } => {
                Self::broken(error.to_string())
            }
        }
    }
}

/// Looks a name up as the engine does: whole id, name, then the beginning of one id.
pub(super) fn find<'a>(
    name: &str,
    known: impl Iterator<Item = (&'a str, Vec<&'a str>)>,
) -> Option<String> {
    let known: Vec<_> = known.collect();
    let exact = known.iter().find(|(id, _)| *id == name);
    let named = || known.iter().find(|(_, names)| names.contains(&name));
    let started = || {
        let mut begun = known
            .iter()
            .filter(|(id, _)| !name.is_empty() && id.starts_with(name));
        begun.next().filter(|_| begun.next().is_none())
    };
    exact
        .or_else(named)
        .or_else(started)
        .map(|(id, _)| (*id).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_whole_id_wins_over_a_name_and_a_name_over_a_beginning() {
        let known = || vec![("abc1", vec!["db"]), ("abd2", vec!["abc1", "ab"])].into_iter();
        assert_eq!(find("abc1", known()).as_deref(), Some("abc1"));
        assert_eq!(find("ab", known()).as_deref(), Some("abd2"));
        assert_eq!(find("abc", known()).as_deref(), Some("abc1"));
        assert_eq!(find("a", known()), None);
        assert_eq!(find("", known()), None);
    }
}
