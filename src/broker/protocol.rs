//! What a job and its broker say to each other: JSON, one object a line.

use serde::{Deserialize, Serialize};

use super::commit::Object;
use crate::failure::{Class, Failure, JobCode};

/// The one thing that a job can ask for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "ask", rename_all = "kebab-case", deny_unknown_fields)]
pub(super) enum Request {
    /// A rollout of the job's commit; to the lane's only environment when none is named.
    Deploy { environment: Option<String> },
}

/// What a job hands over when it is asked for it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Handed {
    pub(super) objects: Vec<Object>,
}

/// Git objects that a broker wants to have.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Asked {
    pub(super) commit: String,
    /// Files of it.
    pub(super) paths: Vec<String>,
}

/// What a broker answers: any number of lines, then the ending.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub(super) enum Answer {
    Log { log: String },
    Asked(Asked),
    Report(Pages),
    Ending(Ending),
}

/// A report of a run, to be written into files by whoever asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Pages {
    pub(super) report_html: String,
    pub(super) report_json: String,
}

/// How a request ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Ending {
    /// True when this host, not the job, is to blame.
    pub(super) is_host_fault: bool,
    /// What `dockmaster deploy` exits with.
    pub(super) code: i32,
    /// One sentence; empty when the lines have said it.
    pub(super) message: String,
}

/// What a job's script ends with when this host, not the job, is at fault. The driver then tells
/// the runner so.
const HOST_FAULT: i32 = 1;

impl Ending {
    pub(super) fn done() -> Self {
        Self {
            is_host_fault: false,
            code: 0,
            message: String::new(),
        }
    }
}

impl From<&Failure> for Ending {
    fn from(failure: &Failure) -> Self {
        let code = failure.code().map(JobCode::number);
        let code = code.and_then(|code| i32::try_from(code).ok());
        Self {
            is_host_fault: failure.class() == Class::System,
            code: code.unwrap_or(HOST_FAULT),
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
        let report = Answer::Report(Pages {
            report_html: "<!doctype html>".into(),
            report_json: "{}".into(),
        });
        let text = serde_json::to_string(&report).unwrap();
        assert_eq!(serde_json::from_str::<Answer>(&text).unwrap(), report);
        let asked = Answer::Asked(Asked {
            commit: "01".into(),
            paths: vec!["deploy/docker-compose.yml".into()],
        });
        let text = serde_json::to_string(&asked).unwrap();
        assert_eq!(
            text,
            r#"{"commit":"01","paths":["deploy/docker-compose.yml"]}"#
        );
        assert_eq!(serde_json::from_str::<Answer>(&text).unwrap(), asked);
        let ending = Answer::Ending(Ending::done());
        let text = serde_json::to_string(&ending).unwrap();
        assert_eq!(text, r#"{"is_host_fault":false,"code":0,"message":""}"#);
        assert_eq!(serde_json::from_str::<Answer>(&text).unwrap(), ending);
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
        let check = |failure: Failure, is_host_fault, code| {
            let ending = Ending::from(&failure);
            assert_eq!((ending.is_host_fault, ending.code), (is_host_fault, code));
        };
        check(Failure::build(JobCode::Refused, "no"), false, 110);
        check(Failure::build(JobCode::Undone, "no"), false, 114);
        check(Failure::build(JobCode::Stuck, "no"), false, 115);
        check(Failure::system("no"), true, 1);
    }
}
