//! What Harbor's refusals mean, in our words: of its API, and of a push or pull as the engine retells it.
//!
//! Pure. The one list of these texts.

/// Why Harbor said no.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The tag is there and may not be moved, not even to the same image.
    Immutable,
    /// The project is full.
    Quota,
    ReadOnly,
    /// The project is not there.
    NoProject,
    /// The name has no project in it.
    NoProjectInName,
    /// The image has vulnerabilities, or was not scanned.
    Vulnerable,
    /// Too many requests.
    Throttled,
    /// The account may not do that there.
    NoRight,
    /// Nobody is logged in.
    NotLoggedIn,
    /// What was asked for is not there.
    Missing,
    /// The name is taken.
    Taken,
    /// Something else has to be there first.
    Precondition,
    /// The request itself is wrong.
    Malformed,
    /// Harbor or what stands behind it is broken.
    Broken,
    /// The account that made an account may not hand out these rights.
    TooMuch,
}

/// Words of an answer, and what they mean. The first that fits counts: several texts hold
/// `unauthorized`.
const WORDS: &[(Fault, &[&str])] = &[
    (Fault::Immutable, &["configured as immutable"]),
    (
        Fault::Quota,
        &["will exceed the configured upper limit", "quota exceeded"],
    ),
    (Fault::ReadOnly, &["system is in read only mode"]),
    (
        Fault::Vulnerable,
        &["cannot be pulled due to configured policy"],
    ),
    (
        Fault::Throttled,
        &["toomanyrequests", "too many requests", "rate limit"],
    ),
    (Fault::NoProjectInName, &["invalid repository name"]),
    (Fault::TooMuch, &["permission scope is invalid"]),
    (
        Fault::NoRight,
        &["unauthorized to access repository", "insufficient_scope"],
    ),
    (
        Fault::NotLoggedIn,
        &[
            "authentication required",
            "no basic auth credentials",
            "authorize header needed",
            "unauthorized: unauthorized",
        ],
    ),
];

impl Fault {
    /// Reads what the engine retells of a push or pull that failed; `None` if it is none of these.
    pub(crate) fn of_text(text: &str) -> Option<Self> {
        let lower = text.to_lowercase();
        let known = WORDS
            .iter()
            .find(|(_, words)| words.iter().any(|word| lower.contains(word)));
        if let Some((fault, _)) = known {
            return Some(*fault);
        }
        is_no_project(&lower).then_some(Self::NoProject)
    }

    /// Reads an answer of the API.
    pub(super) fn of_answer(status: u16, text: &str) -> Self {
        Self::of_text(text).unwrap_or(match status {
            401 => Self::NotLoggedIn,
            403 => Self::NoRight,
            404 => Self::Missing,
            409 => Self::Taken,
            412 => Self::Precondition,
            429 => Self::Throttled,
            400..=499 => Self::Malformed,
            _ => Self::Broken,
        })
    }

    /// What to do about it.
    pub(crate) fn advice(self) -> &'static str {
        match self {
            Self::Immutable => {
                "this tag is there already and Harbor lets nobody move it; push under a new tag (if an earlier try of this job pushed it, the image is there: compare its digest)"
            }
            Self::Quota => {
                "the Harbor project is full; remove old tags there and run its garbage collection, or have its quota raised"
            }
            Self::ReadOnly => {
                "Harbor takes no changes now, because its admin set it to read-only; try again later"
            }
            Self::NoProject => {
                "there is no such project in Harbor; check the part of the name behind the registry, or have the project made there"
            }
            Self::NoProjectInName => {
                "the name has no Harbor project; write REGISTRY/PROJECT/NAME:TAG"
            }
            Self::Vulnerable => {
                "Harbor's policy for this project keeps back images with vulnerabilities, and those that were not scanned; scan or rebuild it, or ask the project's admin"
            }
            Self::Throttled => "the registry has had too many requests; try again in some minutes",
            Self::NoRight => {
                "the account may not do that in this Harbor project, or there is no such project; check the name, and ask the registry's admin for the right"
            }
            Self::NotLoggedIn => {
                "the registry does not know this account: it is wrong, expired or missing; log in with `docker login`, or check the account in dockmaster's configuration"
            }
            Self::Missing => "it is not there; check the name",
            Self::Taken => "the name is taken",
            Self::Precondition => "Harbor says what has to be done first",
            Self::Malformed => {
                "the request is wrong for this version of Harbor; tell dockmaster's authors"
            }
            Self::Broken => {
                "Harbor or its storage is broken; look at its logs, and try again later"
            }
            Self::TooMuch => {
                "registry.account must have every right that it gives to jobs: repository pull and push, robot create, read, list and delete, in each project"
            }
        }
    }

    /// Whether this is said of a push or pull as a line of its own.
    pub(crate) fn line(text: &str) -> Option<String> {
        let fault = Self::of_text(text)?;
        Some(format!("dockmaster: {}", fault.advice()))
    }
}

/// `project x not found`, with nothing but one word between.
fn is_no_project(lower: &str) -> bool {
    let mut words = lower
        .split_whitespace()
        .map(|word| word.trim_matches([':', '"']));
    let words: Vec<&str> = words.by_ref().collect();
    words
        .windows(4)
        .any(|window| matches!(window, ["project", _, "not", "found"]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_docker_prints_of_harbor_s_refusals_is_understood() {
        for (text, fault) in [
            (
                "unauthorized: unauthorized to access repository: other/app, action: push: unauthorized to access repository: other/app, action: push",
                Some(Fault::NoRight),
            ),
            (
                "unauthorized: project nosuch not found: project nosuch not found",
                Some(Fault::NoProject),
            ),
            (
                "unknown: bad request: invalid repository name: app",
                Some(Fault::NoProjectInName),
            ),
            (
                "unknown: Failed to process request due to 'app:rel-1' configured as immutable.",
                Some(Fault::Immutable),
            ),
            (
                "denied: adding 4.8 MiB of storage resource, which when updated to current usage of 1.3 MiB will exceed the configured upper limit of 2.0 MiB.",
                Some(Fault::Quota),
            ),
            (
                "denied: The system is in read only mode. Any modification is prohibited.",
                Some(Fault::ReadOnly),
            ),
            (
                "unknown: current image without vulnerability scanning cannot be pulled due to configured policy in 'Prevent images with vulnerability severity of \"High\" or higher from running.' To continue with pull, please contact your project administrator for help.",
                Some(Fault::Vulnerable),
            ),
            (
                "Get \"https://harbor.example.com/v2/\": unauthorized: authentication required",
                Some(Fault::NotLoggedIn),
            ),
            (
                "toomanyrequests: You have reached your pull rate limit.",
                Some(Fault::Throttled),
            ),
            ("unknown: artifact shop/app:nosuch not found", None),
            ("dial tcp 10.0.0.1:443: connect: connection refused", None),
        ] {
            assert_eq!(Fault::of_text(text), fault, "{text}");
        }
    }
}
