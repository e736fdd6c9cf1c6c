//! What root tells a new broker. It comes by pipe from the driver, so it can be believed.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use url::Url;

use crate::job::Job;

/// Who a broker is, and what it is started for. A task is written as a bare JSON value, because a job
/// is written without its secrets.
#[derive(Serialize, Deserialize)]
pub(super) struct Start<T> {
    /// The account that owns the secrets.
    pub(super) uid: u32,
    pub(super) gid: u32,
    pub(super) config: PathBuf,
    pub(super) task: T,
}

/// The one thing that a broker is for.
#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Task {
    /// Serve one job, whose processes have that uid.
    Serve {
        lane: String,
        job: Box<Job>,
        uid: u32,
    },
    /// Put right what an interrupted rollout left.
    Recover { environment: String, is_quiet: bool },
    /// Bring a release out again that the hosts have.
    Rollback {
        environment: String,
        version: Option<String>,
        by: Option<String>,
    },
    /// Say what was brought out.
    History { environment: String, is_json: bool },
    /// Make a page of a run, or of the newest.
    Report {
        environment: String,
        run: Option<String>,
    },
    /// Say how the environment is.
    Status { environment: String },
}

pub(super) fn serve(lane: &str, job: &Job, uid: u32) -> Value {
    json!({"serve": {"lane": lane, "job": facts(job), "uid": uid}})
}

pub(super) fn recover(environment: &str, is_quiet: bool) -> Value {
    json!({"recover": {"environment": environment, "is_quiet": is_quiet}})
}

pub(super) fn rollback(environment: &str, version: Option<&str>, by: Option<&str>) -> Value {
    json!({"rollback": {"environment": environment, "version": version, "by": by}})
}

pub(super) fn history(environment: &str, is_json: bool) -> Value {
    json!({"history": {"environment": environment, "is_json": is_json}})
}

pub(super) fn report(environment: &str, run: Option<&str>) -> Value {
    json!({"report": {"environment": environment, "run": run}})
}

pub(super) fn status(environment: &str) -> Value {
    json!({"status": {"environment": environment}})
}

/// The job without its tokens and the author's secrets: what is decided on, and the variables that
/// must not contradict it.
fn facts(job: &Job) -> Value {
    let git = &job.git_info;
    let variables: Vec<Value> = job
        .variables
        .iter()
        .filter(|variable| crate::policy::is_compared(&variable.key))
        .map(|variable| json!({"key": variable.key, "value": variable.value}))
        .collect();
    json!({
        "id": job.id,
        "job_info": {
            "name": job.job_info.name,
            "pipeline_id": job.job_info.pipeline_id,
            "project_id": job.job_info.project_id,
            "project_full_path": job.job_info.project_full_path,
            "user_id": job.job_info.user_id,
        },
        "git_info": {
            "repo_url": without_token(git.repo_url.expose()),
            "ref": git.reference,
            "ref_type": git.ref_type,
            "sha": git.sha,
            "protected": git.protected,
        },
        "variables": variables,
    })
}

fn without_token(url: &str) -> String {
    let Ok(mut url) = Url::parse(url) else {
        return String::new();
    };
    // Both can only fail for an address without a host, which holds no token either.
    let _ = url.set_password(None);
    let _ = url.set_username("");
    url.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_keeps_its_facts_and_loses_its_tokens() {
        let job: Job = serde_json::from_value(json!({
            "id": 9, "token": "t0ken",
            "job_info": {"project_id": 42, "pipeline_id": 77},
            "git_info": {"repo_url": "https://gitlab-ci-token:t0ken@h/g/app.git", "ref": "v1",
                "ref_type": "tag", "sha": "a".repeat(40), "protected": true},
            "variables": [{"key": "CI_COMMIT_SHA", "value": "forged"}, {"key": "KEY", "value": "t0ken"}],
        }))
        .unwrap();
        let text = facts(&job).to_string();
        assert!(!text.contains("t0ken"), "{text}");
        let again: Job = serde_json::from_str(&text).unwrap();
        assert_eq!(again.key(), job.key());
        assert_eq!(again.git_info.protected, Some(true));
        assert_eq!(again.variables.len(), 1);
    }

    #[test]
    fn what_is_written_can_be_read() {
        let config = PathBuf::from("/etc/dockmaster/config.toml");
        for task in [
            recover("production", true),
            rollback("production", None, Some("lin")),
            history("production", true),
            report("production", None),
            status("production"),
        ] {
            let written = Start {
                uid: 1,
                gid: 2,
                config: config.clone(),
                task,
            };
            let text = serde_json::to_string(&written).unwrap();
            let read: Start<Task> = serde_json::from_str(&text).unwrap();
            assert_eq!((read.uid, read.gid, &read.config), (1, 2, &config));
        }
    }
}
