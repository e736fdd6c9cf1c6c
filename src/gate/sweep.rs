//! Removes what a job made through its gate. Needs only the label and the record.
//!
//! Safe to call twice, and at any time after the gate is closed.

use std::path::Path;

use hyper::{Method, StatusCode};
use serde_json::{Value, json};

use super::daemon::{Daemon, DaemonError};
use super::error::GateError;
use super::query::Query;
use super::record::{self, Entry, Kind};
use super::scope::image_key;
use crate::store::StoreError;

/// What could not be removed, and why. Everything else is gone.
#[derive(Debug, Default)]
pub struct Swept {
    pub left: Vec<String>,
    pub removed: usize,
}

/// Removes containers, networks, volumes and images with this label, and the names in the record;
/// names that meant something before the job mean it again. Tries everything.
pub async fn sweep(socket: &Path, label: (&str, &str), record: &Path) -> Result<Swept, GateError> {
    let listed = |filters: String| {
        let mut query = Query::default();
        query.push("all", "1");
        query.push("filters", filters);
        query.encode()
    };
    let labelled = listed(json!({ "label": [format!("{}={}", label.0, label.1)] }).to_string());
    let image = format!("{}={}", image_key(label.0), label.1);
    // What has a name of somebody else's by now is somebody else's.
    let nameless = listed(json!({ "label": [image], "dangling": ["true"] }).to_string());
    let mut sweep = Sweep {
        daemon: Daemon::new(socket),
        label,
        swept: Swept::default(),
    };
    let entries = record::read(record)?;

    sweep
        .each(
            &format!("/containers/json{labelled}"),
            "Id",
            "/containers/",
            "?force=1&v=1",
        )
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
    for entry in latest(entries) {
        sweep.name(&entry).await?;
    }
    sweep
        .each(
            &format!("/images/json{nameless}"),
            "Id",
            "/images/",
            "?force=1",
        )
        .await?;
    if sweep.swept.left.is_empty() {
        match std::fs::remove_file(record) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                let path = record.to_owned();
                let source = error;
                return Err(StoreError::Write { path, source }.into());
            }
            Err(_) | Ok(()) => {}
        }
    }
    Ok(sweep.swept)
}

struct Sweep<'a> {
    daemon: Daemon,
    label: (&'a str, &'a str),
    swept: Swept,
}

impl Sweep<'_> {
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

    /// Gives a name back, or takes it away.
    async fn name(&mut self, entry: &Entry) -> Result<(), DaemonError> {
        let target = format!("/images/{}/json", entry.name);
        let now = self.daemon.call(Method::GET, &target, None).await?.value;
        let owner = now["Config"]["Labels"][image_key(self.label.0)].as_str();
        let is_given = entry.given.is_some() && now["Id"].as_str() == entry.given.as_deref();
        if entry.kind == Kind::Pulled || !(is_given || owner == Some(self.label.1)) {
            return Ok(());
        }
        if let Some(before) = &entry.before
            && let Some((repository, tag)) = entry.name.rsplit_once(':')
        {
            let mut query = Query::default();
            query.push("repo", repository);
            query.push("tag", tag);
            let target = format!("/images/{before}/tag{}", query.encode());
            if self
                .daemon
                .call(Method::POST, &target, None)
                .await?
                .status
                .is_success()
            {
                return Ok(());
            }
        }
        self.remove(&format!("/images/{}", entry.name)).await
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

/// The last entry of each name, with what the name meant before the first.
fn latest(entries: Vec<Entry>) -> Vec<Entry> {
    let mut names: Vec<Entry> = Vec::new();
    for entry in entries {
        match names.iter_mut().find(|known| known.name == entry.name) {
            Some(known) => {
                known.kind = entry.kind;
                known.given = entry.given;
            }
            None => names.push(entry),
        }
    }
    names
}
