//! What a job and its broker say to each other: JSON, one object a line.

use serde::{Deserialize, Serialize};

use crate::failure::{Class, Failure, JobCode};

/// The one thing that a job can ask for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "ask", rename_all = "kebab-case", deny_unknown_fields)]
pub(super) enum Request {
    /// A rollout of the job's commit; to the lane's only environment when none is named.
    Deploy { environment: Option<String> },
}

/// What a broker answers: any number of lines, then the verdict.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub(super) enum Answer {
    Log { log: String },
    Verdict(Verdict),
}

/// How a request ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Verdict {
    pub(super) outcome: Outcome,
    /// What `dockmaster deploy` exits with.
    pub(super) code: i32,
    /// One sentence; empty when the lines have said it.
    pub(super) message: String,
}

/// How it is with the environment now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Outcome {
    /// The release runs everywhere.
    Done,
    /// Nothing was begun: the request is the job's own fault.
    Refused,
    /// Nothing was begun: this host could not.
    Unable,
    /// It failed and everything is as before.
    Undone,
    /// It failed and an operator is needed.
    Stuck,
}

/// What a job's script ends with when this host, not the job, is at fault. The driver then tells
/// the runner so.
const UNABLE: i32 = 1;

impl Verdict {
    pub(super) fn done() -> Self {
        Self {
            outcome: Outcome::Done,
            code: 0,
            message: String::new(),
        }
    }
}

impl From<&Failure> for Verdict {
    fn from(failure: &Failure) -> Self {
        let (outcome, code) = match (failure.class(), failure.code()) {
            (Class::Build, Some(code)) => {
                let outcome = match code {
                    JobCode::Undone => Outcome::Undone,
                    JobCode::Stuck => Outcome::Stuck,
                    JobCode::Script(_)
                    | JobCode::Refused
                    | JobCode::Malformed
                    | JobCode::ImageMissing
                    | JobCode::Leased => Outcome::Refused,
                };
                (outcome, i32::try_from(code.number()).unwrap_or(UNABLE))
            }
            (Class::Build | Class::System, _) => (Outcome::Unable, UNABLE),
        };
        Self {
            outcome,
            code,
            message: failure.to_string(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lines_are_these() {
        let request = Request::Deploy {
            environment: Some("production".into()),
        };
        let text = serde_json::to_string(&request).unwrap();
        assert_eq!(text, r#"{"ask":"deploy","environment":"production"}"#);
        assert_eq!(serde_json::from_str::<Request>(&text).unwrap(), request);
        let log = Answer::Log {
            log: "app-1: weight 0".into(),
        };
        assert_eq!(
            serde_json::to_string(&log).unwrap(),
            r#"{"log":"app-1: weight 0"}"#
        );
        let verdict = Answer::Verdict(Verdict::done());
        let text = serde_json::to_string(&verdict).unwrap();
        assert_eq!(text, r#"{"outcome":"done","code":0,"message":""}"#);
        assert_eq!(serde_json::from_str::<Answer>(&text).unwrap(), verdict);
    }

    #[test]
    fn anything_else_is_refused() {
        for text in [
            r#"{"ask":"keys"}"#,
            r#"{"ask":"deploy","weight":0}"#,
            "[]",
            "",
        ] {
            assert!(serde_json::from_str::<Request>(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_failure_becomes_the_code_of_its_kind() {
        let check = |failure: Failure, outcome, code| {
            let verdict = Verdict::from(&failure);
            assert_eq!((verdict.outcome, verdict.code), (outcome, code));
        };
        check(
            Failure::build(JobCode::Refused, "no"),
            Outcome::Refused,
            110,
        );
        check(Failure::build(JobCode::Undone, "no"), Outcome::Undone, 114);
        check(Failure::build(JobCode::Stuck, "no"), Outcome::Stuck, 115);
        check(Failure::system("no"), Outcome::Unable, 1);
    }
}
