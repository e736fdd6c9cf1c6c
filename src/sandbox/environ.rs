//! The environment of a job's shell, built from nothing. Pure.
//!
//! The generated script exports the job's own variables itself, inside the sandbox. Nothing of
//! the runner's, of the driver's or of `CUSTOM_ENV_*` is put in here.

use std::{collections::BTreeMap, path::Path};

use super::plan::Plan;

/// The account's name as the job sees it; its number is leased for the job.
pub(super) const ACCOUNT: &str = "dockmaster-job";

const SYSTEM_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// The whole environment.
pub(super) fn environ(plan: &Plan) -> BTreeMap<String, String> {
    let text = str::to_owned;
    let file = |path: &Path| path.to_string_lossy().into_owned();
    let path = format!("{}:{SYSTEM_PATH}", file(&plan.programs));
    [
        ("DOCKMASTER_SOCKET", file(&plan.socket)),
        ("HOME", file(&plan.home)),
        ("LANG", text("C.UTF-8")),
        ("LOGNAME", text(ACCOUNT)),
        ("PATH", path),
        ("SHELL", text("/bin/bash")),
        ("TMPDIR", text("/tmp")),
        ("USER", text(ACCOUNT)),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .into()
}

/// A line of /etc/passwd for the job: programs such as ssh refuse to work for a uid without a name.
pub(super) fn account_line(plan: &Plan, uid: u32) -> String {
    let home = plan.home.display();
    format!("{ACCOUNT}:x:{uid}:{uid}:a job of dockmaster:{home}:/bin/bash\n")
}

/// A line of /etc/group for the job.
pub(super) fn group_line(uid: u32) -> String {
    format!("{ACCOUNT}:x:{uid}:\n")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{config::Config, job::Job};

    fn plan(variables: &serde_json::Value) -> Plan {
        let mut config: Config = toml::from_str("").unwrap();
        config.path = "/etc/dockmaster/config.toml".into();
        let job: Job =
            serde_json::from_value(serde_json::json!({"id": 7, "variables": variables})).unwrap();
        Plan::new(&config, &job)
    }

    #[test]
    fn the_environment_is_this_and_nothing_else() {
        let environ = environ(&plan(&serde_json::json!([])));
        let names: Vec<_> = environ.keys().map(String::as_str).collect();
        let expected = [
            "DOCKMASTER_SOCKET",
            "HOME",
            "LANG",
            "LOGNAME",
            "PATH",
            "SHELL",
            "TMPDIR",
            "USER",
        ];
        assert_eq!(names, expected);
        let path = &environ["PATH"];
        assert!(
            path.starts_with("/var/lib/dockmaster/jobs/p0-j7-"),
            "{path}"
        );
    }

    proptest! {
        #[test]
        fn no_variable_of_the_job_gets_in(name in "[A-Z_]{1,24}", value in ".*") {
            let forged = serde_json::json!([{"key": name, "value": value}, {"key": "PATH", "value": value}]);
            prop_assert_eq!(environ(&plan(&forged)), environ(&plan(&serde_json::json!([]))));
        }
    }
}
