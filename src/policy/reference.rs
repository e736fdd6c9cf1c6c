//! Whether the ref that a job runs for may deploy: of a kind that is allowed, protected, and named by a rule, in
//! this order.

use super::text::printable;
use crate::{
    config::{Environment, RefKind},
    job::Job,
};

/// Why a ref may not deploy.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RefRefusal {
    #[error(
        "`{environment}` is deployed from {refs} only, and `{reference}` is a {ref_type} (policy.refs)"
    )]
    Kind {
        environment: String,
        refs: String,
        reference: String,
        ref_type: String,
    },
    #[error(
        "`{reference}` belongs to a merge request, and what is not merged yet is not deployed to `{environment}`"
    )]
    MergeRequest {
        environment: String,
        reference: String,
    },
    #[error("`{environment}` is deployed from {refs} only, and `{reference}` is not protected")]
    Unprotected {
        environment: String,
        refs: String,
        reference: String,
    },
    #[error(
        "nobody says whether `{reference}` is protected, and `{environment}` is deployed from {refs} only: with `require-typed-protection` GitLab and gitlab-runner have to be 18.3 or newer; without it the job needs GitLab's own CI_COMMIT_REF_PROTECTED, and no other of that name that says otherwise"
    )]
    UnknownProtection {
        environment: String,
        refs: String,
        reference: String,
    },
    #[error(
        "`{environment}` is deployed from {refs} only, and none of them is `{reference}` (policy.refs)"
    )]
    Unnamed {
        environment: String,
        refs: String,
        reference: String,
    },
}

/// Set by GitLab for pipelines of merge requests: an author can add one, and so refuse the own job, but can take
/// none away.
pub(super) const MERGE_REQUEST: &str = "CI_MERGE_REQUEST_IID";

/// The kind of the job's ref, where it may deploy there.
pub(super) fn decide(environment: &Environment, job: &Job) -> Result<RefKind, RefRefusal> {
    let rules = environment.policy.refs.rules();
    let git = &job.git_info;
    let (reference, refs) = (
        printable(&git.reference),
        environment.policy.refs.to_string(),
    );
    let environment = environment.name.clone();
    let kind = RefKind::parse(&git.ref_type);
    let Some(kind) = kind.filter(|kind| rules.iter().any(|rule| rule.kind == *kind)) else {
        return Err(RefRefusal::Kind {
            environment,
            refs,
            reference,
            ref_type: printable(&git.ref_type),
        });
    };
    if kind == RefKind::Branch && is_merge_request(job) {
        return Err(RefRefusal::MergeRequest {
            environment,
            reference,
        });
    }
    match git.protected {
        Some(true) => {}
        Some(false) => {
            return Err(RefRefusal::Unprotected {
                environment,
                refs,
                reference,
            });
        }
        None => {
            return Err(RefRefusal::UnknownProtection {
                environment,
                refs,
                reference,
            });
        }
    }
    let mut of_kind = rules.iter().filter(|rule| rule.kind == kind);
    if !of_kind.any(|rule| rule.names(&git.reference)) {
        return Err(RefRefusal::Unnamed {
            environment,
            refs,
            reference,
        });
    }
    Ok(kind)
}

/// GitLab calls a merge request's ref a branch: `refs/merge-requests/7/head`, or by the name of the branch that it
/// comes from, which may be another project's.
fn is_merge_request(job: &Job) -> bool {
    let mut keys = job.variables.iter().map(|variable| &variable.key);
    job.git_info.reference.starts_with("refs/") || keys.any(|key| key == MERGE_REQUEST)
}
