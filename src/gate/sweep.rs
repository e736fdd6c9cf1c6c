//! Removes what a job made through its gate. Needs only the label and the host's secret.
//!
//! Safe to call twice, and at any time after the gate is closed.

use std::path::Path;

use hyper::{Method, StatusCode};
use serde_json::{Value, json};

use super::alias::Alias;
use super::daemon::{Daemon, DaemonError};
use super::error::GateError;
use super::host_name::HostNames;
use super::json::texts;
use super::names::{Names, prefix_of_job};
use super::query::Query;
use crate::store::{StoreError, host_secret};

/// What could not be removed, and why. Everything else is gone.
#[derive(Debug, Default)]
pub struct Swept {
    pub left: Vec<String>,
    pub removed: usize,
}

/// Removes containers, networks and volumes with this label, and the private names of its job, whose
/// key is the label's value; gives names of the host back. Tries everything.
pub async fn sweep(
    engine: &Path,
    state_dir: &Path,
    label: (&str, &str),
) -> Result<Swept, GateError> {
    let listed = |filters: String| {
        let mut query = Query::default();
        query.push("all", "1");
        query.push("filters", filters);
        query.encode()
    };
    let labelled = listed(json!({ "label": [format!("{}={}", label.0, label.1)] }).to_string());
    let mut sweep = Sweep::new(engine);
    let digits = host_secret(state_dir)?.of_job(label.1);
    let names = Names::new(&digits, "");

    sweep
        .containers(&format!("/containers/json{labelled}"), &Alias::new(label.1))
        .await?;
    sweep
        .each(&format!("/networks{labelled}"), "Id", "/networks/", "")
        .await?;
    sweep
        .each(
            &format!("/volumes{labelled}"),
            "Name",
            "/volumes/",
            "?force=1",
        )
        .await?;
    HostNames::new(engine, state_dir).settle().await?;
    let all = sweep.list_names().await?;
    let own = all.iter().filter(|name| name.starts_with(names.prefix()));
    sweep.untag(own).await?;
    Ok(sweep.swept)
}

/// Removes the private names of all jobs of this installation but the live ones, and gives names of the host back. `live`
/// tells the keys of jobs that may have names by now; it is asked after the engine.
pub(crate) async fn sweep_names(
    engine: &Path,
    state_dir: &Path,
    live: impl FnOnce() -> Result<Vec<String>, StoreError>,
) -> Result<Swept, GateError> {
    let secret = host_secret(state_dir)?;
    let mut sweep = Sweep::new(engine);
    HostNames::new(engine, state_dir).settle().await?;
    let names = sweep.list_names().await?;
    let live: Vec<Names> = live()?
        .iter()
        .map(|key| Names::new(&secret.of_job(key), ""))
        .collect();
    let mark = secret.mark();
    let is_dead = |name: &&String| {
        let prefix = prefix_of_job(name, &mark);
        prefix.is_some_and(|prefix| live.iter().all(|names| names.prefix() != prefix))
    };
    sweep.untag(names.iter().filter(is_dead)).await?;
    Ok(sweep.swept)
}

struct Sweep {
    daemon: Daemon,
    swept: Swept,
}

impl Sweep {
    fn new(engine: &Path) -> Self {
        Self {
            daemon: Daemon::new(engine),
            swept: Swept::default(),
        }
    }

    /// The names of all images.
    async fn list_names(&self) -> Result<Vec<String>, DaemonError> {
        let all = self.daemon.must(Method::GET, "/images/json", None).await?;
        let images = all.as_array().into_iter().flatten();
        Ok(images.flat_map(|image| texts(&image["RepoTags"])).collect())
    }

    async fn untag<'a>(
        &mut self,
        names: impl Iterator<Item = &'a String>,
    ) -> Result<(), DaemonError> {
        for name in names {
            self.remove(&format!("/images/{name}?force=1")).await?;
        }
        Ok(())
    }

    /// Removes the job's containers in a list. A label may come from the image of anybody's container;
    /// a name of the job's does not.
    async fn containers(&mut self, list: &str, alias: &Alias) -> Result<(), DaemonError> {
        let all = self.daemon.must(Method::GET, list, None).await?;
        let all = all.as_array().into_iter().flatten();
        // One that is dead already has no name any more.
        let is_dead = |item: &Value| item["Names"].as_array().is_none_or(Vec::is_empty);
        for id in all
            .filter(|item| alias.is_given(item) || is_dead(item))
            .filter_map(|item| item["Id"].as_str())
        {
            self.remove(&format!("/containers/{id}?force=1&v=1"))
                .await?;
        }
        Ok(())
    }

    /// Removes everything in a list.
    async fn each(
        &mut self,
        list: &str,
        key: &str,
        path: &str,
        how: &str,
    ) -> Result<(), DaemonError> {
        let mut all = self.daemon.must(Method::GET, list, None).await?;
        if all.get("Volumes").is_some() {
            all = all["Volumes"].take();
        }
        for id in all
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|item| item[key].as_str())
        {
            self.remove(&format!("{path}{id}{how}")).await?;
        }
        Ok(())
    }

    async fn remove(&mut self, target: &str) -> Result<(), DaemonError> {
        let answer = self.daemon.call(Method::DELETE, target, None).await?;
        match answer.status {
            status if status.is_success() => self.swept.removed += 1,
            // Gone already, or going.
            StatusCode::NOT_FOUND => {}
            StatusCode::CONFLICT if is_going(&answer.value) => {}
            _ => {
                let message = answer.value["message"].as_str().unwrap_or_default();
                self.swept.left.push(format!("{target}: {message}"));
            }
        }
        Ok(())
    }
}

fn is_going(answer: &Value) -> bool {
    answer["message"]
        .as_str()
        .is_some_and(|text| text.contains("is already in progress"))
}
