//! One call by gitlab-runner, as its environment describes it. Pure: the environment is passed in.
//!
//! `CUSTOM_ENV_*` is the author's text. It is handed to the author's own container and decides nothing.

use std::{collections::BTreeMap, ffi::OsString, path::PathBuf};

const JOB_PREFIX: &str = "CUSTOM_ENV_";

/// What the runner says beside the job itself.
#[derive(Debug, Clone, Default)]
pub(crate) struct Call {
    pub job_response_file: Option<PathBuf>,
    pub build_exit_code_file: Option<PathBuf>,
    /// What to end with when the job is at fault.
    pub build_failure: i32,
    /// What to end with when the host is at fault.
    pub system_failure: i32,
    /// The job's variables as the runner expanded them, without their prefix.
    pub job_environ: BTreeMap<String, String>,
}

impl Call {
    /// Reads the environment.
    pub(crate) fn from_environ(environ: impl IntoIterator<Item = (OsString, OsString)>) -> Self {
        let mut call = Self {
            build_failure: 1,
            system_failure: 2,
            ..Self::default()
        };
        for (key, value) in environ {
            let Some(key) = key.to_str() else { continue };
            let path = || Some(PathBuf::from(&value)).filter(|path| !path.as_os_str().is_empty());
            match key {
                "JOB_RESPONSE_FILE" => call.job_response_file = path(),
                "BUILD_EXIT_CODE_FILE" => call.build_exit_code_file = path(),
                "BUILD_FAILURE_EXIT_CODE" => set_code(&mut call.build_failure, &value),
                "SYSTEM_FAILURE_EXIT_CODE" => set_code(&mut call.system_failure, &value),
                _ => {
                    if let Some(name) = key.strip_prefix(JOB_PREFIX) {
                        let value = value.to_string_lossy().into_owned();
                        call.job_environ.insert(name.to_owned(), value);
                    }
                }
            }
        }
        call
    }
}

/// A code that is not a number leaves the documented default in place.
fn set_code(code: &mut i32, value: &OsString) {
    if let Some(number) = value.to_str().and_then(|text| text.parse().ok()) {
        *code = number;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(environ: &[(&str, &str)]) -> Call {
        Call::from_environ(
            environ
                .iter()
                .map(|(key, value)| (key.into(), value.into())),
        )
    }

    #[test]
    fn exit_codes_come_from_the_runner_and_default_to_one_and_two() {
        let plain = call(&[]);
        assert_eq!((plain.build_failure, plain.system_failure), (1, 2));
        let named = call(&[
            ("BUILD_FAILURE_EXIT_CODE", "8"),
            ("SYSTEM_FAILURE_EXIT_CODE", "x"),
        ]);
        assert_eq!((named.build_failure, named.system_failure), (8, 2));
    }

    #[test]
    fn empty_paths_count_as_absent() {
        let call = call(&[
            ("BUILD_EXIT_CODE_FILE", ""),
            ("JOB_RESPONSE_FILE", "/t/response.json"),
        ]);
        assert_eq!(call.build_exit_code_file, None);
        assert_eq!(call.job_response_file, Some("/t/response.json".into()));
    }

    #[test]
    fn only_the_job_s_own_variables_are_kept() {
        let call = call(&[
            ("PATH", "/bin"),
            ("CUSTOM_ENV_PATH", "/evil"),
            ("CUSTOM_ENV_A", "b=c"),
        ]);
        assert_eq!(call.job_environ.len(), 2);
        assert_eq!(call.job_environ["A"], "b=c");
    }
}
