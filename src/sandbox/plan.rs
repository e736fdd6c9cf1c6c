//! Where a deploy job's folders are, as data. Pure: computed from trusted facts, so that every stage
//! finds the same folders again without having been told.

use std::path::{Component, Path, PathBuf};

use crate::{config::Config, job::Job};

/// The folders that belong to the system: hiding one whole would leave nothing to work with.
const SYSTEM_FOLDERS: [&str; 8] = [
    "/", "/etc", "/usr", "/var", "/opt", "/srv", "/run", "/var/lib",
];

/// Folders that are no job's business, whatever the configuration says.
const PRIVATE_FOLDERS: [&str; 3] = ["/root", "/home", "/etc/gitlab-runner"];

/// A job's folders, and what it must not see.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Plan {
    /// Names all that is made for the job.
    pub(super) key: String,
    /// The job's own folder below the state directory. Root's, as what is beside the next three.
    pub(super) folder: PathBuf,
    /// `builds_dir`, as the runner is told it.
    pub(crate) builds: PathBuf,
    pub(super) home: PathBuf,
    /// The job's /tmp.
    pub(super) temporary: PathBuf,
    /// The checkout.
    pub(super) project: PathBuf,
    /// Programs that the job is given, `dockmaster` first.
    pub(super) programs: PathBuf,
    /// Held while a process of the job may be started.
    pub(super) lock: PathBuf,
    /// The folder of the broker's socket.
    pub(super) sockets: PathBuf,
    /// Where the job reaches the broker.
    pub(super) socket: PathBuf,
    /// The files that say which job has which uid.
    pub(super) uids: PathBuf,
    /// What the job finds empty.
    pub(super) hidden: Vec<PathBuf>,
}

impl Plan {
    /// The folders of `job`.
    pub(crate) fn new(config: &Config, job: &Job) -> Self {
        Self::of(config, job.key(), &job.project_path())
    }

    /// The folders of the job that `key` names, whose checkout is `project` below its `builds_dir`.
    pub(super) fn of(config: &Config, key: String, project: &str) -> Self {
        let folder = config.state_dir.join("jobs").join(&key);
        let sockets = config.run_dir.join("jobs").join(&key);
        let builds = folder.join("builds");
        Self {
            project: builds.join(inner_path(project)),
            builds,
            home: folder.join("home"),
            temporary: folder.join("tmp"),
            programs: folder.join("bin"),
            lock: folder.join("lock"),
            socket: sockets.join("broker.sock"),
            uids: config.state_dir.join("uids"),
            hidden: hidden(config),
            key,
            folder,
            sockets,
        }
    }
}

/// The path without anything that could lead out of the folder it is appended to.
fn inner_path(path: &str) -> PathBuf {
    Path::new(path)
        .components()
        .filter(|component| matches!(component, Component::Normal(_)))
        .collect()
}

fn hidden(config: &Config) -> Vec<PathBuf> {
    let mut folders: Vec<PathBuf> = PRIVATE_FOLDERS.iter().map(PathBuf::from).collect();
    folders.push(config.state_dir.clone());
    folders.push(config.run_dir.clone());
    if let Some(folder) = config.path.parent() {
        if SYSTEM_FOLDERS
            .iter()
            .any(|system| folder == Path::new(system))
        {
            folders.push(folder.join("environments"));
            folders.push(folder.join("secrets"));
        } else {
            folders.push(folder.to_owned());
        }
    }
    folders
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn config() -> Config {
        let mut config: Config = toml::from_str("").unwrap();
        config.path = "/etc/dockmaster/config.toml".into();
        config
    }

    fn job(url: &str, variables: &serde_json::Value) -> Job {
        serde_json::from_value(serde_json::json!({
            "id": 7, "job_info": {"project_id": 42},
            "git_info": {"repo_url": url}, "variables": variables,
        }))
        .unwrap()
    }

    #[test]
    fn everything_is_below_folders_named_after_the_job() {
        let job = job(
            "https://gitlab.example.com/group/app.git",
            &serde_json::json!([]),
        );
        let plan = Plan::new(&config(), &job);
        let folder = Path::new("/var/lib/dockmaster/jobs").join(job.key());
        assert_eq!(plan.project, folder.join("builds/group/app"));
        assert_eq!(
            plan.socket,
            Path::new("/run/dockmaster/jobs")
                .join(job.key())
                .join("broker.sock")
        );
        assert!(plan.hidden.contains(&"/etc/dockmaster".into()));
        assert!(plan.hidden.contains(&"/var/lib/dockmaster".into()));
    }

    #[test]
    fn an_address_of_no_host_does_not_lead_out_of_the_builds_folder_either() {
        let plan = Plan::new(&config(), &job("x:../../../etc", &serde_json::json!([])));
        assert_eq!(plan.project, plan.builds.join("etc"));
    }

    #[test]
    fn a_configuration_beside_the_system_s_own_does_not_hide_that() {
        let mut config = config();
        config.path = "/etc/dockmaster.toml".into();
        let hidden = hidden(&config);
        assert!(!hidden.contains(&"/etc".into()));
        assert!(hidden.contains(&"/etc/secrets".into()));
    }

    proptest! {
        #[test]
        fn no_variable_changes_a_path(key in "(CI|GIT)_[A-Z_]{1,20}", value in ".*") {
            let url = "https://gitlab.example.com/group/app.git";
            let plain = Plan::new(&config(), &job(url, &serde_json::json!([])));
            let forged = serde_json::json!([{"key": key, "value": value}]);
            prop_assert_eq!(plain, Plan::new(&config(), &job(url, &forged)));
        }

        #[test]
        fn no_repository_leads_out_of_the_builds_folder(path in ".*") {
            let plan = Plan::new(&config(), &job(&format!("https://h/{path}"), &serde_json::json!([])));
            prop_assert!(plan.project.starts_with(&plan.builds));
            let is_plain = |part: Component<'_>| !matches!(part, Component::ParentDir);
            prop_assert!(plan.project.components().all(is_plain));
        }
    }
}
