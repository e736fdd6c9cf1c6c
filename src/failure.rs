//! What went wrong, and whose turn it is. Every module error ends here, once, at the top.
//! Knows nothing of GitLab's exit codes: `exit` turns a `Failure` into them.

use std::{error::Error, fmt};

/// Whose turn it is after a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// The job's author has to change something. Never retried.
    Build,
    /// The operator of this host has to. The runner may try again.
    System,
}

/// The exit code that GitLab is told for a failed job (`allow_failure: exit_codes` sees it).
///
/// 110–115 are ours: free in common shells and below the signal range.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JobCode {
    /// The user's own script ended with this.
    Script(i64),
    /// Policy refuses the lane, environment or ref.
    Refused,
    /// The job is malformed: a bad image reference, an unknown environment, a bad setting.
    Malformed,
    /// The image does not exist, or this project may not pull it.
    ImageMissing,
    /// Another rollout holds the environment.
    Leased,
    /// The rollout failed and was undone: the environment is as it was before.
    Undone,
    /// The rollout is stuck: an operator is needed, and the message says where.
    Stuck,
}

impl JobCode {
    /// The integer that goes into `BUILD_EXIT_CODE_FILE`.
    pub fn number(self) -> i64 {
        match self {
            Self::Script(code) => code,
            Self::Refused => 110,
            Self::Malformed => 111,
            Self::ImageMissing => 112,
            Self::Leased => 113,
            Self::Undone => 114,
            Self::Stuck => 115,
        }
    }
}

/// One failure as a person reads it: a message, what caused it, and what to try.
#[derive(Debug)]
pub struct Failure {
    code: Option<JobCode>,
    message: String,
    hint: Option<String>,
}

impl Failure {
    /// The job's fault: reported with `code`.
    pub fn build(code: JobCode, error: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::new(Some(code), error)
    }

    /// The host's fault.
    pub fn system(error: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::new(None, error)
    }

    /// The user's script ended with a code of its own; there is nothing to add to its log.
    pub fn script(code: i64) -> Self {
        Self::build(JobCode::Script(code), String::new())
    }

    fn new(code: Option<JobCode>, error: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self {
            code,
            message: chain(&*error.into()),
            hint: None,
        }
    }

    /// Adds the next step a person can take.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Says what was being done when it happened.
    #[must_use]
    pub fn during(mut self, what: &str) -> Self {
        self.message = format!("{what}: {}", self.message);
        self
    }

    /// Whose turn it is.
    pub fn class(&self) -> Class {
        if self.code.is_some() {
            Class::Build
        } else {
            Class::System
        }
    }

    /// The job's exit code, for a build failure.
    pub fn code(&self) -> Option<JobCode> {
        self.code
    }

    /// True when the log already says it all, as after a user's script that failed.
    pub fn is_silent(&self) -> bool {
        self.message.is_empty()
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}", self.message)?;
        if let Some(hint) = &self.hint {
            write!(out, "\n  {hint}")?;
        }
        Ok(())
    }
}

/// An error and what caused it, in one line.
pub(crate) fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        // Libraries like to repeat their source in their own message.
        if !text.contains(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("cannot read /etc/x")]
    struct Outer(#[source] std::io::Error);

    #[test]
    fn a_failure_reads_as_one_line_of_causes_and_a_hint() {
        let failure = Failure::system(Outer(std::io::Error::other("disk on fire")))
            .during("loading the configuration")
            .hint("try: call the fire brigade");
        assert_eq!(
            failure.to_string(),
            "loading the configuration: cannot read /etc/x: disk on fire\n  try: call the fire brigade"
        );
        assert_eq!(failure.class(), Class::System);
    }

    #[test]
    fn only_a_failure_with_a_job_code_is_blamed_on_the_author() {
        assert_eq!(Failure::script(37).class(), Class::Build);
        assert_eq!(Failure::script(37).code().map(JobCode::number), Some(37));
        assert!(Failure::script(37).is_silent());
    }
}
