//! `[registry]`: where images are pushed to and pulled from, and who may push what.

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use serde::{Deserialize, Deserializer, de};
use url::Url;

use super::value;

/// Names of Harbor projects, by the id or full path of a GitLab project; `*` is every project.
type Projects = BTreeMap<String, Vec<String>>;

/// The image registry, Harbor.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Registry {
    /// `host[:port]`, as image names begin.
    pub host: String,
    /// A JSON file with `username` and `password`: the account the production hosts pull with.
    pub pull_account: Option<PathBuf>,
    /// Where Harbor's API is; `https://HOST` when left out.
    pub url: Option<Url>,
    /// The same kind of file: the account that makes a robot account for each job.
    pub account: Option<PathBuf>,
    /// The same kind of file: one account for all jobs, where Harbor makes none.
    pub static_account: Option<PathBuf>,
    /// Which Harbor projects the jobs of a GitLab project may push to.
    #[serde(default)]
    pub push: Projects,
    /// And which else the jobs of its protected refs may push to.
    #[serde(default)]
    pub push_protected: Projects,
    /// Which other Harbor projects they may pull from.
    #[serde(default)]
    pub pull: Projects,
    /// How long a push waits for Harbor's scan of what it pushed; left out, it does not.
    #[serde(default, deserialize_with = "value::some_duration")]
    pub scan_wait: Option<Duration>,
    /// A push of an image with a vulnerability as bad as this fails, and so does one whose scan nobody knows.
    pub scan_refuse_from: Option<Severity>,
    /// Where the images of a registry are pulled from instead.
    #[serde(default, deserialize_with = "mirrors")]
    pub mirrors: BTreeMap<String, String>,
}

/// How bad a vulnerability is, in Harbor's words. What Harbor does not rank is the worst, as Harbor has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Severity {
    #[serde(skip)]
    None,
    Negligible,
    Low,
    Medium,
    High,
    Critical,
    #[serde(skip)]
    Unranked,
}

impl Severity {
    /// Reads Harbor's word. A finding of unknown severity is none that a person ranked.
    pub(crate) fn read(word: &str) -> Self {
        match word {
            "" | "None" | "Unknown" => Self::None,
            "Negligible" => Self::Negligible,
            "Low" => Self::Low,
            "Medium" => Self::Medium,
            "High" => Self::High,
            "Critical" => Self::Critical,
            _ => Self::Unranked,
        }
    }
}

/// A GitLab project, as the tables of `[registry]` find it.
#[derive(Debug, Clone, Copy)]
pub struct Pusher<'a> {
    pub id: i64,
    pub path: &'a str,
    pub is_protected: bool,
}

impl Registry {
    /// The address of Harbor's API; an error when `host` is no part of an address.
    pub fn api(&self) -> Result<Url, url::ParseError> {
        let default = || format!("https://{}", self.host).parse();
        self.url.clone().map_or_else(default, Ok)
    }

    /// Whether dockmaster has an account of its own for jobs.
    pub fn has_account(&self) -> bool {
        self.account.is_some() || self.static_account.is_some()
    }

    /// Whether the operator says who may push where.
    pub fn has_push_policy(&self) -> bool {
        !self.push.is_empty() || !self.push_protected.is_empty()
    }

    /// The Harbor projects that such a job may push to.
    pub fn may_push(&self, pusher: Pusher<'_>) -> Vec<&str> {
        let mut names = rows(&self.push, pusher);
        if pusher.is_protected {
            names.extend(rows(&self.push_protected, pusher));
        }
        names
    }

    /// The Harbor projects that such a job may pull from.
    pub fn may_pull(&self, pusher: Pusher<'_>) -> Vec<&str> {
        let mut names = self.may_push(pusher);
        names.extend(rows(&self.pull, pusher));
        names
    }

    /// Every Harbor project in which jobs may have an account.
    pub fn projects(&self) -> Vec<&str> {
        let tables = [&self.push, &self.push_protected, &self.pull];
        let names = tables.into_iter().flat_map(BTreeMap::values).flatten();
        let mut names: Vec<&str> = names.map(String::as_str).collect();
        names.sort_unstable();
        names.dedup();
        names
    }

    pub(super) fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        if self.account.is_some() && self.static_account.is_some() {
            problems.push(
                "registry.account and registry.static-account are both there: keep one, `account` for Harbor 2.2 and newer"
                    .to_owned(),
            );
        }
        if self.scan_refuse_from.is_some() && self.scan_wait.is_none() {
            problems.push(
                "registry.scan-refuse-from needs registry.scan-wait: how long a push waits for the scan, such as \"5m\""
                    .to_owned(),
            );
        }
        if self.scan_wait.is_some() && !self.has_account() {
            problems.push(
                "registry.scan-wait needs registry.account or registry.static-account: Harbor tells scans to an account"
                    .to_owned(),
            );
        }
        problems
    }
}

fn rows<'a>(table: &'a Projects, pusher: Pusher<'_>) -> Vec<&'a str> {
    let id = pusher.id.to_string();
    let is_its = |key: &str| key == id || key == "*" || (!key.is_empty() && key == pusher.path);
    let rows = table.iter().filter(|(key, _)| is_its(key));
    rows.flat_map(|(_, names)| names.iter().map(String::as_str))
        .collect()
}

/// A mirror is `host/project`: what Harbor calls a proxy cache.
fn mirrors<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<BTreeMap<String, String>, D::Error> {
    let table = BTreeMap::<String, String>::deserialize(deserializer)?;
    for (registry, mirror) in &table {
        let is_plain = |text: &str| {
            let letter = |byte: u8| byte.is_ascii_alphanumeric() || b".-_:/".contains(&byte);
            text.bytes().all(letter) && !text.starts_with('/') && !text.ends_with('/')
        };
        let is_host = |text: &str| text.contains(['.', ':']) || text == "localhost";
        let host = mirror.split('/').next().unwrap_or_default();
        if !is_plain(registry) || registry.contains('/') || !is_host(registry) {
            return Err(de::Error::custom(format!(
                "`{registry}` is not a registry such as \"docker.io\""
            )));
        }
        if !is_plain(mirror) || !is_host(host) {
            return Err(de::Error::custom(format!(
                "`{mirror}` is not a mirror such as \"harbor.example.com/dockerhub\""
            )));
        }
    }
    Ok(table)
}
