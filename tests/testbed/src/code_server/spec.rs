//! A job as GitLab hands it to its runner, field for field, and a builder that makes one.
//!
//! It knows nothing of how a job is run; `runner` and `gitlab` meet here.

use std::sync::atomic::{AtomicI64, Ordering};

use serde::{Deserialize, Serialize};

mod build;

pub(crate) use build::slug;
pub use build::{Artifacts, CachePolicy, Caches, JobBuilder, Service};

/// What GitLab answers to a runner that asks for work, and what the runner writes to
/// `JOB_RESPONSE_FILE`.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Job {
    pub id: i64,
    pub token: String,
    pub allow_git_fetch: bool,
    pub job_info: JobInfo,
    pub git_info: GitInfo,
    pub runner_info: RunnerInfo,
    pub inputs: Empty,
    pub variables: Vec<Variable>,
    pub steps: Vec<Step>,
    pub image: Image,
    pub services: Vec<Image>,
    pub artifacts: Vec<Artifact>,
    pub cache: Vec<Cache>,
    pub credentials: Vec<Credential>,
    pub dependencies: Vec<Dependency>,
    pub features: Features,
    pub policy_options: PolicyOptions,
    pub suspend_options: Empty,
}

#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub struct Empty {}

#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct JobInfo {
    pub name: String,
    pub stage: String,
    pub pipeline_id: i64,
    pub project_id: i64,
    pub project_name: String,
    pub project_full_path: String,
    pub namespace_id: i64,
    pub root_namespace_id: i64,
    pub organization_id: i64,
    pub instance_id: String,
    pub instance_uuid: String,
    pub user_id: i64,
    pub time_in_queue_seconds: f64,
    pub project_jobs_running_on_instance_runners_count: String,
    pub queue_size: i64,
    pub queue_depth: i64,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct GitInfo {
    pub repo_url: String,
    pub repo_object_format: String,
    #[serde(rename = "ref")]
    pub reference: String,
    pub sha: String,
    pub before_sha: String,
    pub ref_type: String,
    pub refspecs: Vec<String>,
    pub depth: i64,
    pub protected: Option<bool>,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct RunnerInfo {
    pub uuid: String,
    pub timeout: u64,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
#[must_use]
#[expect(clippy::struct_excessive_bools, reason = "GitLab's own fields")]
pub struct Variable {
    pub key: String,
    pub value: String,
    pub public: bool,
    pub file: bool,
    pub masked: bool,
    pub raw: bool,
}

impl Variable {
    /// A plain variable that everybody may see.
    pub fn new(key: impl Into<String>, value: impl Into<String>) -> Self {
        let (key, value) = (key.into(), value.into());
        Self {
            key,
            value,
            public: true,
            file: false,
            masked: false,
            raw: false,
        }
    }

    pub fn private(mut self) -> Self {
        self.public = false;
        self
    }

    pub fn masked(mut self) -> Self {
        self.masked = true;
        self.private()
    }

    pub fn file(mut self) -> Self {
        self.file = true;
        self.private()
    }

    /// A value in which `$` is only a dollar sign.
    pub fn raw(mut self) -> Self {
        self.raw = true;
        self
    }
}

#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Step {
    pub name: String,
    pub script: Vec<String>,
    pub timeout: u64,
    pub when: String,
    pub allow_failure: bool,
}

/// The job's image, or one service.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub struct Image {
    pub name: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub alias: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub command: Vec<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub entrypoint: Vec<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ports: Vec<Port>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub variables: Vec<Variable>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pull_policy: Vec<String>,
    pub executor_opts: ExecutorOptions,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Port {
    pub number: u16,
    pub protocol: String,
    pub name: String,
}

#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub struct ExecutorOptions {
    pub docker: DockerOptions,
    pub kubernetes: KubernetesOptions,
}

#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub struct DockerOptions {
    pub platform: String,
    pub user: String,
}

#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub struct KubernetesOptions {
    pub user: String,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Artifact {
    pub name: String,
    pub untracked: bool,
    pub paths: Option<Vec<String>>,
    pub exclude: Option<Vec<String>>,
    pub when: String,
    pub artifact_type: String,
    pub artifact_format: String,
    pub expire_in: String,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Cache {
    pub key: String,
    pub untracked: bool,
    pub policy: String,
    pub paths: Option<Vec<String>>,
    pub when: String,
    pub fallback_keys: Option<Vec<String>>,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Credential {
    #[serde(rename = "type")]
    pub kind: String,
    pub url: String,
    pub username: String,
    pub password: String,
}

/// Another job whose artifacts this one wants.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Dependency {
    pub id: i64,
    pub token: String,
    pub name: String,
    pub artifacts_file: ArtifactsFile,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct ArtifactsFile {
    pub filename: String,
    pub size: u64,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Features {
    pub trace_sections: bool,
    pub token_mask_prefixes: Vec<String>,
    pub failure_reasons: Vec<String>,
    pub tracing: Option<Empty>,
}

impl Default for Features {
    fn default() -> Self {
        let reasons = [
            "script_failure",
            "runner_system_failure",
            "job_execution_timeout",
            "unknown_failure",
            "job_canceled",
            "image_pull_failure",
            "configuration_error",
        ];
        Self {
            trace_sections: true,
            token_mask_prefixes: vec!["glpat-".to_owned()],
            failure_reasons: reasons.map(str::to_owned).to_vec(),
            tracing: None,
        }
    }
}

#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub struct PolicyOptions {
    pub execution_policy_job: bool,
    pub policy_name: String,
}

/// A job and the tags that say which runner may take it. The tags never reach the driver.
#[derive(Clone, Debug)]
pub struct QueuedJob {
    pub job: Job,
    pub tags: Vec<String>,
}

impl Job {
    /// The job as the runner writes it to `JOB_RESPONSE_FILE`: one document, one newline, with
    /// the characters escaped that Go's encoder escapes.
    pub fn to_response(&self) -> serde_json::Result<String> {
        let text = serde_json::to_string(self)?;
        let mut escaped = String::with_capacity(text.len() + 1);
        for character in text.chars() {
            match character {
                '<' => escaped.push_str("\\u003c"),
                '>' => escaped.push_str("\\u003e"),
                '&' => escaped.push_str("\\u0026"),
                '\u{2028}' => escaped.push_str("\\u2028"),
                '\u{2029}' => escaped.push_str("\\u2029"),
                other => escaped.push(other),
            }
        }
        escaped.push('\n');
        Ok(escaped)
    }

    /// The last value of a variable as GitLab sent it, which is the one that counts.
    pub fn variable(&self, key: &str) -> Option<&str> {
        self.variables
            .iter()
            .rev()
            .find(|one| one.key == key)
            .map(|one| one.value.as_str())
    }
}

/// Numbers no other job has that runs on this machine now: what dockmaster makes is named after
/// them, and tests run beside each other, a process each.
pub fn next_id() -> i64 {
    static LAST: AtomicI64 = AtomicI64::new(0);
    i64::from(std::process::id()) * 1000 + 1 + LAST.fetch_add(1, Ordering::Relaxed)
}
