//! From the end of a driver call to what GitLab is told.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use super::call::Exit;

/// GitLab's word for why a job failed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Reason {
    ScriptFailure,
    RunnerSystemFailure,
    JobExecutionTimeout,
    JobCanceled,
    /// The runner died; GitLab would see the job running until it gives it up.
    RunnerGone,
}

impl Reason {
    pub fn word(self) -> &'static str {
        match self {
            Self::ScriptFailure => "script_failure",
            Self::RunnerSystemFailure => "runner_system_failure",
            Self::JobExecutionTimeout => "job_execution_timeout",
            Self::JobCanceled => "job_canceled",
            Self::RunnerGone => "runner_gone",
        }
    }
}

/// What GitLab shows of the job.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Verdict {
    Success,
    Failed {
        reason: Reason,
        exit_code: Option<i64>,
    },
}

/// Why the job did not succeed, inside the runner.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Failure {
    /// The job's author is to blame: never retried.
    Build {
        text: String,
        code: i64,
    },
    /// The runner's configuration is: never retried, told to GitLab as a script failure.
    Configuration(String),
    System(String),
    Timeout(String),
    Canceled,
    Gone,
}

impl Failure {
    pub(crate) fn text(&self) -> String {
        match self {
            Self::Build { text, .. }
            | Self::Configuration(text)
            | Self::System(text)
            | Self::Timeout(text) => text.clone(),
            Self::Canceled => "canceled".to_owned(),
            Self::Gone => "the runner is gone".to_owned(),
        }
    }

    /// Whether a new attempt may be made after it.
    pub(crate) fn is_retried(&self) -> bool {
        matches!(self, Self::System(_))
    }

    pub(crate) fn with_text(self, wrap: impl FnOnce(&str) -> String) -> Self {
        match self {
            Self::Build { text, code } => Self::Build {
                text: wrap(&text),
                code,
            },
            Self::System(text) => Self::System(wrap(&text)),
            other => other,
        }
    }

    pub(crate) fn verdict(&self) -> Verdict {
        let (reason, exit_code) = match self {
            // GitLab is told no code at all where the driver wrote 0.
            Self::Build { code, .. } => (Reason::ScriptFailure, Some(*code).filter(|&it| it != 0)),
            Self::Configuration(_) => (Reason::ScriptFailure, None),
            Self::System(_) => (Reason::RunnerSystemFailure, None),
            Self::Timeout(_) => (Reason::JobExecutionTimeout, None),
            Self::Canceled => (Reason::JobCanceled, None),
            Self::Gone => (Reason::RunnerGone, None),
        };
        Verdict::Failed { reason, exit_code }
    }

    /// The last line of the job log.
    pub(crate) fn line(&self) -> String {
        let kind = match self {
            Self::System(_) => " (system failure)",
            _ => "",
        };
        format!("ERROR: Job failed{kind}: {}", self.text())
    }
}

/// What the runner makes of a driver's end.
pub(crate) fn judge(exit: &Exit, code_file: &Path) -> Result<(), Failure> {
    match exit {
        Exit::Code(0) => Ok(()),
        Exit::Code(1) => Err(build_failure(code_file)),
        Exit::Code(2) => Err(Failure::System("exit status 2".to_owned())),
        Exit::Code(code) => Err(unknown(i64::from(*code), &format!("exit status {code}"))),
        Exit::Signal(signal) => Err(unknown(-1, &format!("signal: {signal}"))),
        Exit::NotStarted(why) => Err(Failure::System(format!("failed to start command: {why}"))),
        Exit::Dormant(pid) => Err(Failure::System(format!(
            "failed to kill process PID={pid}, likely process is dormant"
        ))),
    }
}

fn unknown(code: i64, status: &str) -> Failure {
    Failure::System(format!(
        "unknown Custom executor executable exit code {code}; \
         executable execution terminated with: {status}"
    ))
}

fn build_failure(code_file: &Path) -> Failure {
    let Ok(mut file) = File::open(code_file) else {
        return Failure::Build {
            text: "exit status 1".to_owned(),
            code: 1,
        };
    };
    let mut content = Vec::new();
    let read = file.read_to_end(&mut content).is_ok();
    match read.then(|| first_number(&content)).flatten() {
        Some(code) => Failure::Build {
            text: format!("exit status {code}"),
            code,
        },
        None => unknown(2, "exit status 1"),
    }
}

/// The first line as a number, the way Go's `Atoi` reads one.
fn first_number(content: &[u8]) -> Option<i64> {
    let line = content.split(|&byte| byte == b'\n').next()?;
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    if line.len() >= 64 * 1024 {
        return None;
    }
    let digits = line
        .strip_prefix(b"+")
        .or_else(|| line.strip_prefix(b"-"))
        .unwrap_or(line);
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(line).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::{Exit, Failure, judge};

    #[track_caller]
    fn check(content: Option<&str>, expected: Option<i64>) {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("build_exit_code");
        if let Some(content) = content {
            std::fs::write(&file, content).unwrap();
        }
        match (judge(&Exit::Code(1), &file), expected) {
            (Err(Failure::Build { code, .. }), Some(wanted)) => assert_eq!(code, wanted),
            (Err(Failure::System(text)), None) => assert!(text.contains("exit code 2")),
            (other, _) => panic!("{content:?} gave {other:?}"),
        }
    }

    #[test]
    fn exit_1_reads_the_code_file_as_go_reads_a_number() {
        check(None, Some(1));
        check(Some("37\n"), Some(37));
        check(Some("010"), Some(10));
        check(Some("3\n4"), Some(3));
        check(Some("37\r\n"), Some(37));
        check(Some("-5\n"), Some(-5));
        check(Some("+5\n"), Some(5));
        check(Some("0\n"), Some(0));
        for wrong in [
            "",
            " 37",
            "37 ",
            "0x10",
            "1_0",
            "\n37",
            "99999999999999999999",
        ] {
            check(Some(wrong), None);
        }
    }

    #[test]
    fn a_code_file_that_is_a_directory_is_a_system_failure() {
        let directory = tempfile::tempdir().unwrap();
        let judged = judge(&Exit::Code(1), directory.path());
        assert!(matches!(judged, Err(Failure::System(_))));
    }

    #[test]
    fn every_other_end_is_a_system_failure_that_names_its_code() {
        let nowhere = std::path::Path::new("/nonexistent/build_exit_code");
        for code in [2, 3, 37, 126, 127, 137, 255] {
            let Err(Failure::System(text)) = judge(&Exit::Code(code), nowhere) else {
                panic!("{code}");
            };
            assert!(text.contains(&code.to_string()), "{text}");
        }
        assert!(matches!(
            judge(&Exit::Signal(9), nowhere),
            Err(Failure::System(_))
        ));
    }
}
