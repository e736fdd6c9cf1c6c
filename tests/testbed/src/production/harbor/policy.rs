//! What keeps images out or in: quotas, tags that cannot be moved, vulnerabilities. And which images there are.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::answer::Answer;
use super::state::{Project, State, time};

/// The room of a project in bytes; -1 is without limit.
#[derive(Debug, Clone, Copy)]
pub struct Quota {
    pub id: i64,
    pub hard: i64,
    pub used: i64,
}

/// Tags that cannot be moved.
#[derive(Debug, Clone)]
pub(super) struct Rule {
    id: i64,
    /// Decoration and pattern.
    tags: (String, String),
    repositories: (String, String),
}

/// What a scan finds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Vulnerabilities {
    pub severity: String,
    pub total: u64,
}

/// How far the scan of an image is. Each look moves it on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Scan {
    Pending,
    Running,
    Done(Vulnerabilities),
}

#[derive(Debug)]
pub(super) struct Artifact {
    pub(super) id: i64,
    pub(super) digest: String,
    pub(super) kind: String,
    pub(super) size: usize,
    pub(super) tags: Vec<String>,
    pub(super) pushed: Timestamp,
    pub(super) scan: Option<Scan>,
}

/// Images by repository, with its project in front.
#[derive(Debug, Default)]
pub(super) struct Images {
    pub(super) repositories: BTreeMap<String, Vec<Artifact>>,
    /// Bytes of uploads that are not finished, by path.
    pub(super) uploads: BTreeMap<String, usize>,
    /// What a scanner finds in an image, by repository; none is no scanner.
    pub(super) scanner: Option<BTreeMap<String, Vulnerabilities>>,
}

impl Images {
    pub(super) fn has_any(&self, project: &str) -> bool {
        let prefix = format!("{project}/");
        self.repositories
            .keys()
            .any(|name| name.starts_with(&prefix))
    }

    /// By tag or digest.
    pub(super) fn find(&mut self, repository: &str, reference: &str) -> Option<&mut Artifact> {
        let all = self.repositories.get_mut(repository)?;
        all.iter_mut()
            .find(|it| it.digest == reference || it.tags.iter().any(|tag| tag == reference))
    }
}

impl Artifact {
    pub(super) fn new(id: i64, digest: String, kind: &str, size: usize) -> Self {
        Self {
            id,
            digest,
            kind: kind.to_owned(),
            size,
            tags: Vec::new(),
            pushed: Timestamp::now(),
            scan: None,
        }
    }
}

impl Quota {
    pub(super) fn row(project: &Project) -> Value {
        let Self { id, hard, used } = project.quota;
        let mut row = json!({
            "creation_time": time(project.made), "hard": { "storage": hard }, "id": id,
            "ref": { "id": project.id, "name": project.name, "owner_name": "" },
            "update_time": time(project.made), "used": { "storage": used },
        });
        if used == 0 {
            row["used"] = json!({ "storage": 0 });
        }
        row
    }
}

impl Rule {
    pub(super) fn read(id: i64, body: &Value) -> Self {
        let selector = |value: &Value| {
            let text = |name: &str| value[name].as_str().unwrap_or_default().to_owned();
            (text("decoration"), text("pattern"))
        };
        Self {
            id,
            tags: selector(&body["tag_selectors"][0]),
            repositories: selector(&body["scope_selectors"]["repository"][0]),
        }
    }

    pub(super) fn of_tags(id: i64, pattern: &str) -> Self {
        Self {
            id,
            tags: ("matches".into(), pattern.into()),
            repositories: ("repoMatches".into(), "**".into()),
        }
    }

    pub(super) fn is_same(&self, other: &Self) -> bool {
        (&self.tags, &self.repositories) == (&other.tags, &other.repositories)
    }

    pub(super) fn row(&self) -> Value {
        let selector = |(decoration, pattern): &(String, String)| json!([{ "decoration": decoration, "kind": "doublestar", "pattern": pattern }]);
        json!({
            "action": "immutable", "id": self.id, "template": "immutable_template",
            "scope_selectors": { "repository": selector(&self.repositories) },
            "tag_selectors": selector(&self.tags),
        })
    }

    /// `None` where Harbor trips over the rule.
    fn covers(&self, repository: &str, tag: &str) -> Option<bool> {
        let matches = |(decoration, pattern): &(String, String), words: [&str; 2], text: &str| {
            let is_match = glob::Pattern::new(pattern).is_ok_and(|it| it.matches(text));
            match decoration {
                word if word == words[0] => Some(is_match),
                word if word == words[1] => Some(!is_match),
                _ => None,
            }
        };
        let tag = matches(&self.tags, ["matches", "excludes"], tag)?;
        let words = ["repoMatches", "repoExcludes"];
        let repository = matches(&self.repositories, words, repository)?;
        Some(tag && repository)
    }
}

impl State {
    pub(super) fn make_immutable(&mut self, project: &str, tags: &str) {
        let id = self.next("rule");
        let found = self.projects.iter_mut().find(|it| it.name == project);
        if let Some(project) = found {
            project.rules.push(Rule::of_tags(id, tags));
        }
    }

    pub(super) fn set_quota(&mut self, project: &str, bytes: i64) {
        let found = self.projects.iter_mut().find(|it| it.name == project);
        if let Some(project) = found {
            project.quota.hard = bytes;
        }
    }

    /// The refusal of a tag that is there and cannot be moved, not even to the same image. One rule that
    /// cannot be read switches off all that follow.
    pub(super) fn immutable(&mut self, repository: &str, tag: &str) -> Option<Answer> {
        let (project, name) = repository.split_once('/')?;
        let found = self.projects.iter().find(|it| it.name == project)?;
        let mut rules = found.rules.iter().map_while(|rule| rule.covers(name, tag));
        let is_covered = rules.any(|is_covered| is_covered);
        if !is_covered || self.images.find(repository, tag).is_none() {
            return None;
        }
        let text =
            format!("Failed to process request due to '{name}:{tag}' configured as immutable.");
        Some(Answer::error(412, "PRECONDITION", &text))
    }

    /// Counts bytes, and refuses what is too much.
    pub(super) fn take_room(&mut self, repository: &str, bytes: usize) -> Option<Answer> {
        let (project, _) = repository.split_once('/')?;
        let found = self.projects.iter_mut().find(|it| it.name == project)?;
        let Quota { hard, used, .. } = found.quota;
        let bytes = i64::try_from(bytes).unwrap_or(i64::MAX);
        if hard >= 0 && used.saturating_add(bytes) > hard {
            let text = format!(
                "adding {} of storage resource, which when updated to current usage of {} will exceed the configured upper limit of {}.",
                size(bytes),
                size(used),
                size(hard)
            );
            return Some(Answer::error(403, "DENIED", &text));
        }
        found.quota.used += bytes;
        None
    }

    /// The refusal of a pull by the project's policy; there is none without a scanner.
    pub(super) fn vulnerable(&mut self, repository: &str, reference: &str) -> Option<Answer> {
        const NAMES: [&str; 7] = [
            "None",
            "Unknown",
            "Negligible",
            "Low",
            "Medium",
            "High",
            "Critical",
        ];
        let (project, _) = repository.split_once('/')?;
        let found = self.projects.iter().find(|it| it.name == project)?;
        let is_on = found
            .metadata
            .get("prevent_vul")
            .is_some_and(|it| it == "true");
        let limit = found
            .metadata
            .get("severity")
            .map_or("high", String::as_str);
        let rank = |name: &str| NAMES.iter().position(|it| it.eq_ignore_ascii_case(name));
        let limit = rank(limit)?;
        if !is_on || self.images.scanner.is_none() {
            return None;
        }
        let policy = format!(
            "cannot be pulled due to configured policy in 'Prevent images with vulnerability severity of \"{}\" or higher from running.' To continue with pull, please contact your project administrator",
            NAMES[limit]
        );
        let text = match &self.images.find(repository, reference)?.scan {
            Some(Scan::Done(it)) if rank(&it.severity) < Some(limit) => return None,
            Some(Scan::Done(it)) => format!(
                "current image with {} vulnerabilities {policy} to exempt matched vulnerabilities through configuring the CVE allowlist.",
                it.total
            ),
            Some(Scan::Pending | Scan::Running) => format!(
                "current image with \"Running\" status of vulnerability scanning {policy} for help."
            ),
            None => format!("current image without vulnerability scanning {policy} for help."),
        };
        Some(Answer::error(412, "PROJECTPOLICYVIOLATION", &text))
    }
}

/// As Harbor writes sizes.
fn size(bytes: i64) -> String {
    let units = ["B", "KiB", "MiB", "GiB", "TiB"];
    let mut tenths = bytes.saturating_mul(10);
    let mut at = 0;
    while tenths >= 10_240 && at + 1 < units.len() {
        tenths /= 1024;
        at += 1;
    }
    format!("{}.{} {}", tenths / 10, tenths % 10, units[at])
}
