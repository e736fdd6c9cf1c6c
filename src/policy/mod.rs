//! Who may do what: `decide` is the only maker of a `Grant`, and the broker opens for a grant only.
//!
//! Pure. Everything that cannot be decided is refused, in one sentence that names what is wrong.

use crate::{
    config::{DeployLane, Environment, Refs, Rollbacks},
    failure::{Failure, JobCode},
    job::Job,
};

/// A yes: this job may deploy to this environment. Only `decide` makes one.
#[derive(Debug, Clone)]
pub(crate) struct Grant {
    environment: Environment,
    project_id: i64,
    pipeline_id: i64,
    job_id: i64,
    commit: String,
    git_tag: String,
    allows_rollback: bool,
}

impl Grant {
    pub(crate) fn environment(&self) -> &Environment {
        &self.environment
    }

    pub(crate) fn project_id(&self) -> i64 {
        self.project_id
    }

    pub(crate) fn pipeline_id(&self) -> i64 {
        self.pipeline_id
    }

    pub(crate) fn job_id(&self) -> i64 {
        self.job_id
    }

    /// Whether an older release than the newest may be brought out.
    pub(crate) fn allows_rollback(&self) -> bool {
        self.allows_rollback
    }

    /// The tag that the job runs for.
    pub(crate) fn git_tag(&self) -> &str {
        &self.git_tag
    }

    /// The commit that GitLab named.
    pub(crate) fn commit(&self) -> &str {
        &self.commit
    }
}

/// A no, and why.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    #[error("this lane does not deploy to `{environment}` (it deploys to: {known})")]
    Environment { environment: String, known: String },
    #[error(
        "project {project} may not deploy to `{environment}`: it is not in policy.projects of environments/{environment}.toml"
    )]
    Project { project: i64, environment: String },
    #[error("`{environment}` is deployed from tags only, and `{reference}` is a {ref_type}")]
    NotATag {
        environment: String,
        reference: String,
        ref_type: String,
    },
    #[error(
        "`{environment}` is deployed from protected tags only, and `{reference}` is not protected"
    )]
    Unprotected {
        environment: String,
        reference: String,
    },
    #[error(
        "nobody says whether `{reference}` is protected, and `{environment}` is deployed from protected tags only: with `require-typed-protection` GitLab and gitlab-runner have to be 18.3 or newer; without it the job needs GitLab's own CI_COMMIT_REF_PROTECTED, and no other of that name that says otherwise"
    )]
    UnknownProtection {
        environment: String,
        reference: String,
    },
    #[error("the job's variable {variable} contradicts what GitLab says of the job")]
    Contradiction { variable: &'static str },
    #[error("`{commit}` is not the id of a commit")]
    Commit { commit: String },
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        Self::build(JobCode::Refused, refusal)
    }
}

/// Decides whether `job` may deploy to `environment` through `lane`.
pub(crate) fn decide(
    lane: &DeployLane,
    environment: &Environment,
    job: &Job,
) -> Result<Grant, Refusal> {
    let name = || environment.name.clone();
    let reference = || printable(&job.git_info.reference);
    if !lane.environments.contains(&environment.name) {
        let known = lane.environments.join(", ");
        return Err(Refusal::Environment {
            environment: name(),
            known,
        });
    }
    if !environment
        .policy
        .projects
        .contains(&job.job_info.project_id)
    {
        let project = job.job_info.project_id;
        return Err(Refusal::Project {
            project,
            environment: name(),
        });
    }
    match environment.policy.refs {
        Refs::ProtectedTags => {
            if job.git_info.ref_type != "tag" {
                let ref_type = printable(&job.git_info.ref_type);
                return Err(Refusal::NotATag {
                    environment: name(),
                    reference: reference(),
                    ref_type,
                });
            }
            let (environment, reference) = (name(), reference());
            match job.git_info.protected {
                Some(true) => {}
                Some(false) => {
                    return Err(Refusal::Unprotected {
                        environment,
                        reference,
                    });
                }
                None => {
                    return Err(Refusal::UnknownProtection {
                        environment,
                        reference,
                    });
                }
            }
        }
    }
    if let Some(variable) = contradiction(job) {
        return Err(Refusal::Contradiction { variable });
    }
    let is_hex = job.git_info.sha.chars().all(|c| c.is_ascii_hexdigit());
    if !is_hex || !matches!(job.git_info.sha.len(), 40 | 64) {
        return Err(Refusal::Commit {
            commit: printable(&job.git_info.sha),
        });
    }
    Ok(Grant {
        environment: environment.clone(),
        project_id: job.job_info.project_id,
        pipeline_id: job.job_info.pipeline_id,
        job_id: job.id,
        commit: job.git_info.sha.clone(),
        git_tag: reference(),
        allows_rollback: allows_rollback(environment, job),
    })
}

/// The variables that are held against GitLab's typed fields.
const COMPARED: [&str; 7] = [
    "CI_PROJECT_ID",
    "CI_PIPELINE_ID",
    "CI_JOB_ID",
    "CI_COMMIT_SHA",
    "CI_COMMIT_REF_NAME",
    "CI_COMMIT_TAG",
    "CI_COMMIT_REF_PROTECTED",
];

/// The variable that asks for a rollback, by naming the tag to go back to: one that stays set
/// allows no other.
pub(crate) const ROLLBACK: &str = "DOCKMASTER_ALLOW_ROLLBACK";

/// True for a variable that `decide` looks at.
pub(crate) fn is_compared(name: &str) -> bool {
    COMPARED.contains(&name) || name == ROLLBACK
}

/// True where policy lets a variable ask for it, and the last one of that name does.
fn allows_rollback(environment: &Environment, job: &Job) -> bool {
    match environment.policy.rollbacks {
        Rollbacks::Refused => false,
        Rollbacks::ByVariable => {
            let mut variables = job.variables.iter().rev();
            let asked = variables.find(|variable| variable.key == ROLLBACK);
            asked.is_some_and(|variable| variable.value == job.git_info.reference)
        }
    }
}

/// The first of the job's own variables that says something else than GitLab's typed fields.
///
/// The job sees its variables, not the fields: a script that trusts a forged one would deploy
/// something else than what was decided on. Every occurrence counts, for the last one wins.
fn contradiction(job: &Job) -> Option<&'static str> {
    let git = &job.git_info;
    let facts = [
        job.job_info.project_id.to_string(),
        job.job_info.pipeline_id.to_string(),
        job.id.to_string(),
        git.sha.clone(),
        git.reference.clone(),
        git.reference.clone(),
        job.is_protected().to_string(),
    ];
    COMPARED
        .into_iter()
        .zip(facts)
        .find(|(name, truth)| {
            job.variables
                .iter()
                .any(|variable| variable.key == *name && variable.value != *truth)
        })
        .map(|(name, _)| name)
}

/// The author's text without what could forge a line or a colour in the log.
pub(crate) fn printable(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { '\u{fffd}' } else { c })
        .take(200)
        .collect()
}

#[cfg(test)]
mod tests;
