//! Who may do what: `decide` is the only maker of a `Grant`, and the broker opens for a grant only.
//!
//! Pure. Everything that cannot be decided is refused, in one sentence that names what is wrong.

mod reference;
#[cfg(test)]
mod tests;
mod text;

use crate::{
    config::{DeployLane, Environment, RefKind, Rollbacks},
    failure::{Failure, JobCode},
    job::{GitInfo, Job},
};
pub(crate) use reference::RefRefusal;
pub(crate) use text::printable;

/// A yes: this job may deploy to this environment. Only `decide` makes one.
#[derive(Debug, Clone)]
pub(crate) struct Grant {
    environment: Environment,
    project_id: i64,
    pipeline_id: i64,
    job_id: i64,
    commit: String,
    kind: RefKind,
    reference: String,
    version: String,
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

    /// Whether the job runs for a tag or for a branch.
    pub(crate) fn kind(&self) -> RefKind {
        self.kind
    }

    /// The tag or branch that the job runs for.
    pub(crate) fn reference(&self) -> &str {
        &self.reference
    }

    /// What people call the release: the tag, or the branch with the commit's first digits.
    pub(crate) fn version(&self) -> &str {
        &self.version
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
    #[error(transparent)]
    Reference(#[from] RefRefusal),
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
    let kind = reference::decide(environment, job)?;
    if let Some(variable) = contradiction(kind, job) {
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
        kind,
        reference: printable(&job.git_info.reference),
        version: version(kind, &job.git_info),
        allows_rollback: allows_rollback(environment, job, &version(kind, &job.git_info)),
    })
}

/// So many digits of a commit tell it from others of its branch, as in GitLab's `CI_COMMIT_SHORT_SHA`.
const DIGITS: usize = 8;

/// A branch moves, so its name alone names no release.
fn version(kind: RefKind, git: &GitInfo) -> String {
    let reference = printable(&git.reference);
    match kind {
        RefKind::Tag => reference,
        RefKind::Branch => {
            let digits = git.sha.get(..DIGITS).unwrap_or(&git.sha);
            format!("{reference}@{digits}")
        }
    }
}

/// The variables that are held against GitLab's typed fields.
const COMPARED: [&str; 8] = [
    "CI_PROJECT_ID",
    "CI_PIPELINE_ID",
    "CI_JOB_ID",
    "CI_COMMIT_SHA",
    "CI_COMMIT_REF_NAME",
    "CI_COMMIT_TAG",
    "CI_COMMIT_BRANCH",
    "CI_COMMIT_REF_PROTECTED",
];

/// The variable that asks for a rollback, by naming the release to go back to: one that stays set
/// allows no other.
pub(crate) const ROLLBACK: &str = "DOCKMASTER_ALLOW_ROLLBACK";

/// True for a variable that `decide` looks at.
pub(crate) fn is_compared(name: &str) -> bool {
    COMPARED.contains(&name) || [ROLLBACK, reference::MERGE_REQUEST].contains(&name)
}

/// True where policy lets a variable ask for it, and the last one of that name does.
fn allows_rollback(environment: &Environment, job: &Job, version: &str) -> bool {
    match environment.policy.rollbacks {
        Rollbacks::Refused => false,
        Rollbacks::ByVariable => {
            let mut variables = job.variables.iter().rev();
            let asked = variables.find(|variable| variable.key == ROLLBACK);
            asked.is_some_and(|variable| variable.value == version)
        }
    }
}

/// The first of the job's own variables that says something else than GitLab's typed fields.
///
/// The job sees its variables, not the fields: a script that trusts a forged one would deploy
/// something else than what was decided on. Every occurrence counts, for the last one wins.
///
/// GitLab sets one of the two names of a ref, so that the other one is no fact, and as good as empty.
fn contradiction(kind: RefKind, job: &Job) -> Option<&'static str> {
    let git = &job.git_info;
    let (tag, branch) = match kind {
        RefKind::Tag => (git.reference.clone(), String::new()),
        RefKind::Branch => (String::new(), git.reference.clone()),
    };
    let facts = [
        job.job_info.project_id.to_string(),
        job.job_info.pipeline_id.to_string(),
        job.id.to_string(),
        git.sha.clone(),
        git.reference.clone(),
        tag,
        branch,
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
