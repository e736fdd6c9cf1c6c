//! The job as GitLab describes it: typed fields of `JOB_RESPONSE_FILE`, read with a tolerant decoder.
//!
//! Everything here but `id`, the numeric ids of `job_info` and `git_info`'s sha, ref, `ref_type` and
//! `protected`, and the first variable of a name that GitLab sets, is the author's text. `CUSTOM_ENV_*` is not read here at all.

mod earlier;
mod phase;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};

use serde::{Deserialize, Deserializer};
use sha2::{Digest, Sha256};
use url::Url;

use crate::{failure::Failure, secret::Secret};
pub(crate) use phase::Phase;

/// Why the job could not be read.
#[derive(Debug, thiserror::Error)]
pub enum JobError {
    #[error("JOB_RESPONSE_FILE is not set: dockmaster's stages are called by gitlab-runner")]
    NotSet,
    #[error("cannot read the job in {path} (JOB_RESPONSE_FILE)")]
    Unreadable {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("{path} (JOB_RESPONSE_FILE) is not a job description")]
    Malformed {
        path: PathBuf,
        #[source]
        source: serde_json::Error,
    },
}

impl From<JobError> for Failure {
    fn from(error: JobError) -> Self {
        match error {
            JobError::NotSet | JobError::Unreadable { .. } | JobError::Malformed { .. } => {
                Self::system(error)
            }
        }
    }
}

/// One job attempt.
#[derive(Debug, Clone, Deserialize)]
#[expect(clippy::struct_field_names, reason = "GitLab's own names")]
pub struct Job {
    pub id: i64,
    #[serde(default)]
    pub token: Secret,
    #[serde(default)]
    pub job_info: JobInfo,
    #[serde(default)]
    pub git_info: GitInfo,
    #[serde(default)]
    pub runner_info: RunnerInfo,
    #[serde(default, deserialize_with = "null_as_default")]
    pub variables: Vec<Variable>,
    #[serde(default, deserialize_with = "null_as_default")]
    pub image: Image,
    #[serde(default, deserialize_with = "null_as_default")]
    pub services: Vec<Image>,
    #[serde(default, deserialize_with = "null_as_default")]
    pub credentials: Vec<Credential>,
    #[serde(default, deserialize_with = "null_as_default")]
    pub features: Features,
}

/// Who asked for the job. The numeric ids are GitLab's own; the names are the author's.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct JobInfo {
    pub name: String,
    pub stage: String,
    pub pipeline_id: i64,
    pub project_id: i64,
    pub project_full_path: String,
    pub user_id: i64,
}

/// Which commit the job is about.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct GitInfo {
    /// Holds the job token, so it is a secret.
    pub repo_url: Secret,
    #[serde(rename = "ref")]
    pub reference: String,
    pub ref_type: String,
    pub sha: String,
    /// `None` from GitLab and runners before 18.3, until [`Job::complete`]; counts as unprotected.
    pub protected: Option<bool>,
    #[serde(deserialize_with = "null_as_default")]
    pub refspecs: Vec<String>,
    pub depth: i64,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct RunnerInfo {
    /// Seconds.
    pub timeout: i64,
}

/// One job variable, unexpanded.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
#[expect(clippy::struct_excessive_bools, reason = "GitLab's own shape")]
pub struct Variable {
    pub key: String,
    pub value: String,
    pub public: bool,
    pub file: bool,
    pub masked: bool,
    pub raw: bool,
}

/// The job's image, or one of its services: the same shape.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Image {
    /// Variables are already expanded; empty when the job names none.
    pub name: String,
    /// Comma or space separated names (services only).
    #[serde(deserialize_with = "null_as_default")]
    pub alias: String,
    pub command: Option<Vec<String>>,
    pub entrypoint: Option<Vec<String>>,
    #[serde(deserialize_with = "null_as_default")]
    pub variables: Vec<Variable>,
    pub pull_policy: Option<Vec<String>>,
    pub executor_opts: ExecutorOpts,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct ExecutorOpts {
    pub docker: DockerOpts,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct DockerOpts {
    pub platform: String,
    pub user: String,
}

/// An account that GitLab gives to the job, for instance for its project's registry.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Credential {
    #[serde(rename = "type")]
    pub kind: String,
    pub url: String,
    pub username: String,
    pub password: Secret,
}

impl Credential {
    /// `host[:port]` of its address.
    pub fn host(&self) -> &str {
        let url = self.url.as_str();
        let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
        rest.trim_end_matches('/')
    }
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Features {
    pub trace_sections: bool,
}

impl Job {
    /// Reads the file that the runner names in `JOB_RESPONSE_FILE`.
    pub fn read(path: Option<&Path>) -> Result<Self, JobError> {
        let path = path
            .filter(|path| !path.as_os_str().is_empty())
            .ok_or(JobError::NotSet)?;
        let bytes = std::fs::read(path).map_err(|source| JobError::Unreadable {
            path: path.to_owned(),
            source,
        })?;
        serde_json::from_slice(&bytes).map_err(|source| JobError::Malformed {
            path: path.to_owned(),
            source,
        })
    }

    /// A short name for all that is made for this job: numeric ids, and six digits that tell one
    /// GitLab server from another, for job ids are unique on one server only.
    pub fn key(&self) -> String {
        let [a, b, c, ..] = <[u8; 32]>::from(Sha256::digest(self.server()));
        let server = format!("{a:02x}{b:02x}{c:02x}");
        format!("p{}-j{}-{server}", self.job_info.project_id, self.id)
    }

    /// The GitLab server, as `host`, or `host:port` where the port is not the usual one.
    pub fn server(&self) -> String {
        let Ok(url) = Url::parse(self.git_info.repo_url.expose()) else {
            return String::new();
        };
        let host = url.host_str().unwrap_or_default();
        url.port()
            .map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
    }

    /// The directory of the checkout below `builds_dir`, as the runner computes it: the path of the
    /// repository's URL without `.git`, or `project-<id>` where the URL is unusable.
    pub fn project_path(&self) -> String {
        Url::parse(self.git_info.repo_url.expose())
            .ok()
            .map(|url| {
                url.path()
                    .trim_matches('/')
                    .trim_end_matches(".git")
                    .to_owned()
            })
            .filter(|path| !path.is_empty())
            .unwrap_or_else(|| format!("project-{}", self.job_info.project_id))
    }

    /// The registries that GitLab gives the job an account for, as `host[:port]`.
    pub fn registries(&self) -> Vec<String> {
        let registries = self.credentials.iter().filter(|it| it.kind == "registry");
        let hosts = registries.map(|it| it.host().to_owned());
        hosts.filter(|host| !host.is_empty()).collect()
    }

    /// True only where GitLab says so.
    pub fn is_protected(&self) -> bool {
        self.git_info.protected == Some(true)
    }
}

/// The runner writes absent lists as `null`.
fn null_as_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Default + Deserialize<'de>,
{
    Ok(Option::<T>::deserialize(deserializer)?.unwrap_or_default())
}
