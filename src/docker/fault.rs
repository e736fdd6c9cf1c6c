//! What the engine's errors mean, in our words. The one list of what a failed pull says.

use bollard::errors::Error as BollardError;

use crate::failure::{Failure, JobCode};

/// What went wrong with the engine.
#[derive(Debug, thiserror::Error)]
pub(crate) enum EngineError {
    #[error("the Docker Engine at {host} cannot be reached")]
    Unreachable {
        host: String,
        #[source]
        source: BollardError,
    },
    #[error("the image {image} does not exist, or this project may not pull it")]
    ImageMissing {
        image: String,
        #[source]
        source: BollardError,
    },
    #[error("the image {image} cannot be pulled")]
    Pull {
        image: String,
        #[source]
        source: BollardError,
    },
    #[error("the name {name} is taken")]
    NameTaken { name: String },
    #[error("the container cannot run what it was given: {why}")]
    CannotRun { why: String },
    #[error("the Docker Engine refuses the container's settings: {why}")]
    BadSetting { why: String },
    #[error("the Docker Engine could not {what}")]
    Failed {
        what: String,
        #[source]
        source: BollardError,
    },
}

/// For what a job asked for. What the lane itself asks for is the host's: the recipe says so.
impl From<EngineError> for Failure {
    fn from(error: EngineError) -> Self {
        match &error {
            EngineError::ImageMissing { .. } => Self::build(JobCode::ImageMissing, error).hint(
                "try: check the name; a private project of the registry needs a row in [registry.pull]; an \
                 image that the operator put on the host needs `shared-images` of the lane",
            ),
            EngineError::CannotRun { .. } | EngineError::BadSetting { .. } => {
                Self::build(JobCode::Malformed, error)
            }
            EngineError::Unreachable { .. } => {
                Self::system(error).hint("try: systemctl status docker, on the runner's host")
            }
            EngineError::Pull { source, .. } => {
                let hint = match PullFault::read(&message(source)) {
                    PullFault::DiskFull => "try: docker image prune -a, on the runner's host",
                    PullFault::Untrusted => {
                        "put the registry's CA into /etc/docker/certs.d on the runner's host"
                    }
                    PullFault::Missing | PullFault::Refused | PullFault::Unknown => {
                        "the registry may be down, or out of reach of the runner's host"
                    }
                };
                Self::system(error).hint(hint)
            }
            EngineError::NameTaken { .. } | EngineError::Failed { .. } => Self::system(error),
        }
    }
}

/// Why a pull failed. Whose turn it is depends on who wanted the image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PullFault {
    /// The registry has no such image.
    Missing,
    /// The registry does not let this account have it; some say so of a missing image, too.
    Refused,
    /// The engine does not trust the registry.
    Untrusted,
    DiskFull,
    /// Trying again may help.
    Unknown,
}

const PULL_FAULTS: [(PullFault, &[&str]); 4] = [
    (
        PullFault::DiskFull,
        &["no space left on device", "disk quota exceeded"],
    ),
    (
        PullFault::Refused,
        &["unauthorized", "access denied", "denied:", "no basic auth"],
    ),
    (
        PullFault::Missing,
        &[
            "manifest unknown",
            "not found",
            "name unknown",
            "invalid reference",
        ],
    ),
    (PullFault::Untrusted, &["x509", "http response to https"]),
];

impl PullFault {
    /// Reads what the engine says of a pull that failed.
    pub(crate) fn read(message: &str) -> Self {
        let lower = message.to_lowercase();
        PULL_FAULTS
            .iter()
            .find(|(_, words)| words.iter().any(|word| lower.contains(word)))
            .map_or(Self::Unknown, |(fault, _)| *fault)
    }
}

/// Wraps an error: the engine could not do `what`.
pub(super) fn failed(what: impl Into<String>) -> impl FnOnce(BollardError) -> EngineError {
    let what = what.into();
    move |source| EngineError::Failed { what, source }
}

/// What the engine itself says, without bollard's own words.
pub(crate) fn message(error: &BollardError) -> String {
    match error {
        BollardError::DockerResponseServerError { message, .. } => message.clone(),
        BollardError::DockerStreamError { error } => error.clone(),
        other => other.to_string(),
    }
}

/// True when the engine itself said it, so that the way to it is sound.
pub(crate) fn is_answer(error: &BollardError) -> bool {
    matches!(
        error,
        BollardError::DockerResponseServerError { .. } | BollardError::DockerStreamError { .. }
    )
}

/// Takes something that is not there for an answer.
pub(crate) fn optional<T>(result: Result<T, BollardError>) -> Result<Option<T>, BollardError> {
    unless(&[404], result)
}

/// Takes these answers of the engine for "nothing to do".
pub(super) fn unless<T>(
    codes: &[u16],
    result: Result<T, BollardError>,
) -> Result<Option<T>, BollardError> {
    match result {
        Err(BollardError::DockerResponseServerError { status_code, .. })
            if codes.contains(&status_code) =>
        {
            Ok(None)
        }
        other => other.map(Some),
    }
}

/// What engine and runc say of a pull for a job.
pub(super) fn pull_error(image: String, source: BollardError) -> EngineError {
    match PullFault::read(&message(&source)) {
        PullFault::Missing | PullFault::Refused => EngineError::ImageMissing { image, source },
        PullFault::Untrusted | PullFault::DiskFull | PullFault::Unknown => {
            EngineError::Pull { image, source }
        }
    }
}

/// What the engine says of a container that it does not create.
pub(super) fn create_error(name: String, source: BollardError) -> EngineError {
    match source {
        BollardError::DockerResponseServerError {
            status_code: 409, ..
        } => EngineError::NameTaken { name },
        // The runtime is the operator's choice.
        BollardError::DockerResponseServerError {
            status_code: 400,
            message,
        } if !message.contains("untime") => EngineError::BadSetting { why: message },
        source => failed(format!("create the container {name}"))(source),
    }
}

/// What engine and runc say of a container that they do not start.
pub(super) fn start_error(source: BollardError) -> EngineError {
    match source {
        BollardError::DockerResponseServerError { message, .. } if is_cannot_run(&message) => {
            EngineError::CannotRun { why: message }
        }
        source => failed("start the container")(source),
    }
}

/// True for what is said of a command or a user that the image does not have.
fn is_cannot_run(message: &str) -> bool {
    let says = |words: &[&str]| words.iter().any(|word| message.contains(word));
    let command = [
        "executable file not found",
        "no such file or directory",
        "permission denied",
        "exec format",
    ];
    // The first process of a container that has an init is the host's.
    says(&["unable to find user", "unable to find group"])
        || message.contains("exec") && says(&command) && !message.contains("docker-init")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_image_lacks_is_the_author_s_to_put_right() {
        for message in [
            "unable to find user nosuch: no matching entries in passwd file",
            "OCI runtime create failed: exec: \"/nope\": stat /nope: no such file or directory",
            "exec: \"sh\": executable file not found in $PATH",
            "exec /bin/sh: exec format error",
        ] {
            assert!(is_cannot_run(message), "{message}");
        }
        for message in [
            "no space left on device",
            "error mounting \"/run/x\": no such file or directory",
            "exec: \"docker-init\": executable file not found in $PATH",
        ] {
            assert!(!is_cannot_run(message), "{message}");
        }
    }

    #[track_caller]
    fn check(message: &str, fault: PullFault, code: Option<JobCode>) {
        assert_eq!(PullFault::read(message), fault, "{message}");
        let source = BollardError::DockerStreamError {
            error: message.into(),
        };
        let failure = Failure::from(pull_error("h/p/n:1".into(), source));
        assert_eq!(failure.code(), code, "{failure}");
    }

    #[test]
    fn only_a_missing_or_closed_image_is_the_author_s() {
        let author = Some(JobCode::ImageMissing);
        check(
            "manifest for h/p/n:1 not found: manifest unknown: manifest unknown",
            PullFault::Missing,
            author,
        );
        check(
            "pull access denied for h/p/n, repository does not exist or may require 'docker login'",
            PullFault::Refused,
            author,
        );
        check(
            "Head \"https://h/v2/p/n/manifests/1\": unauthorized: authentication required",
            PullFault::Refused,
            author,
        );
        check(
            "failed to register layer: write /data: no space left on device",
            PullFault::DiskFull,
            None,
        );
        check(
            "Get \"https://h/v2/\": x509: certificate signed by unknown authority",
            PullFault::Untrusted,
            None,
        );
        check(
            "Get \"https://h/v2/\": dial tcp 10.0.0.5:443: connect: connection refused",
            PullFault::Unknown,
            None,
        );
    }
}
