//! Names and labels: all derived from the job, so that all of it can be found again without memory.

use std::collections::HashMap;

use sha2::{Digest, Sha256};

use crate::job::Job;

/// On everything that is made for a job: its key.
pub(crate) const JOB: &str = "dockmaster.job";
/// On every container: what it is for.
pub(crate) const ROLE: &str = "dockmaster.role";
/// On the helper: the id of the image that the job asked for.
pub(crate) const IMAGE: &str = "dockmaster.image";
/// On everything too: the runner process that drives the job.
pub(crate) const RUNNER: &str = "dockmaster.runner";
/// On everything too, and on helper images that were made here: the installation that made it.
pub(crate) const INSTALLATION: &str = "dockmaster.installation";
/// On the helper: the slot whose volumes the job holds.
pub(crate) const SLOT: &str = "dockmaster.slot";
/// On a service: its names, with `-` between.
pub(crate) const NAMES: &str = "dockmaster.names";
/// On the helper: the group that holds all of the job, as the engine names it.
pub(crate) const GROUP: &str = "dockmaster.cgroup";

/// On what a job made through its gate: its key. The job may set every other label itself.
pub(crate) const MADE: &str = "dockmaster.made-by";

/// What the names of all our containers begin with. An image may bring any label along, and no name.
const OURS: &str = "dockmaster-";

/// Whether a container that carries a label of ours was made by us. The engine tells no name of one
/// that is dead already.
pub(crate) fn is_ours(names: &[String]) -> bool {
    let is_ours = |name: &String| {
        let name = name.trim_start_matches('/');
        // A name with `/` is a link to it from another container.
        name.starts_with(OURS) && !name.contains('/')
    };
    names.is_empty() || names.iter().any(is_ours)
}

/// The repository of helper images that were made on the spot.
pub(crate) const HELPER_IMAGE: &str = "dockmaster-helper";
/// The engine's option for what a network's bridge is called.
pub(crate) const BRIDGE: &str = "com.docker.network.bridge.name";

/// And for how large its packets are.
pub(crate) const MTU: &str = "com.docker.network.driver.mtu";

/// The bridge of a job's network: the host's firewall knows it by its beginning. The kernel takes 15 letters.
pub(crate) fn bridge(network: &str) -> String {
    let digest = Sha256::digest(network);
    let number = digest
        .iter()
        .take(6)
        .fold(0_u64, |number, byte| number << 8 | u64::from(*byte));
    format!("{BRIDGES}{number:012x}")
}

/// What each of them begins with.
pub(crate) const BRIDGES: &str = "dm-";

/// What a container is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    Helper,
    Build,
    Service,
}

impl Role {
    /// As in labels and names.
    pub(crate) fn text(self) -> &'static str {
        match self {
            Self::Helper => "helper",
            Self::Build => "build",
            Self::Service => "service",
        }
    }
}

/// The names of one job's things.
#[derive(Debug, Clone)]
pub(crate) struct Names {
    key: String,
    project: i64,
    server: String,
    is_protected: bool,
    runner: String,
    mark: String,
    gitlab: Vec<(String, String)>,
}

impl Names {
    /// Names for `job`, driven by the process `runner`; `mark` is the installation's.
    pub(crate) fn new(job: &Job, runner: String, mark: String) -> Self {
        let key = job.key();
        let server = key.rsplit('-').next().unwrap_or_default().to_owned();
        // The labels of GitLab's docker executor: operators' dashboards and prune scripts use them.
        let gitlab = [
            ("managed", "true".to_owned()),
            ("job.id", job.id.to_string()),
            ("job.sha", job.git_info.sha.clone()),
            ("job.ref", job.git_info.reference.clone()),
            ("project.id", job.job_info.project_id.to_string()),
            ("pipeline.id", job.job_info.pipeline_id.to_string()),
        ]
        .map(|(name, value)| (format!("com.gitlab.gitlab-runner.{name}"), value));
        Self {
            key,
            project: job.job_info.project_id,
            server,
            is_protected: job.is_protected(),
            runner,
            mark,
            gitlab: gitlab.into(),
        }
    }

    /// What everything of the job is labelled with.
    pub(crate) fn key(&self) -> &str {
        &self.key
    }

    /// The installation's mark.
    pub(crate) fn mark(&self) -> &str {
        &self.mark
    }

    /// The job's network.
    pub(crate) fn network(&self) -> String {
        format!("dockmaster-{}", self.key)
    }

    /// The job's control group. It says whose it is, for it carries no label.
    pub(crate) fn group(&self) -> String {
        format!("{}.{}", self.key, self.runner)
    }

    /// A container of the job other than the helper.
    pub(crate) fn container(&self, role: Role, number: usize) -> String {
        match role {
            Role::Service => format!("dockmaster-{}-service-{number}", self.key),
            Role::Build | Role::Helper => format!("dockmaster-{}-{}", self.key, role.text()),
        }
    }

    /// A slot: volumes that one job at a time uses, and its next one finds again. Volumes of
    /// protected refs are never mounted for others, who could poison them.
    pub(crate) fn slot(&self, number: usize) -> String {
        let tier = if self.is_protected { "-protected" } else { "" };
        let Self {
            project,
            server,
            mark,
            ..
        } = self;
        format!("p{project}-{server}-{mark}-s{number}{tier}")
    }

    /// The helper of the slot. The engine gives a name to one container only: that is the lock.
    pub(crate) fn helper(slot: &str) -> String {
        format!("dockmaster-{slot}-helper")
    }

    /// A volume of the slot.
    pub(crate) fn volume(slot: &str, what: &str) -> String {
        format!("dockmaster-{slot}-{what}")
    }

    /// How the names of all slots' volumes begin.
    pub(crate) const SLOT_VOLUMES: &str = "dockmaster-p";

    /// The slot of the installation `mark` that a volume belongs to, by its name; none if it is no slot's.
    pub(crate) fn slot_of<'a>(volume: &'a str, mark: &str) -> Option<&'a str> {
        let slot = volume.strip_prefix("dockmaster-")?;
        let (slot, what) = slot.rsplit_once('-')?;
        let is_digits =
            |digits: &str| digits.len() == 8 && digits.bytes().all(|it| it.is_ascii_hexdigit());
        if !matches!(what, "builds" | "cache") && !what.strip_prefix('v').is_some_and(is_digits) {
            return None;
        }
        let (project, rest) = slot.strip_prefix('p')?.split_once('-')?;
        let is_number = !project.is_empty() && project.bytes().all(|byte| byte.is_ascii_digit());
        (is_number && rest.contains(&format!("-{mark}-s"))).then_some(slot)
    }

    /// The labels of the job's network.
    pub(crate) fn labels(&self) -> HashMap<String, String> {
        let own = [
            (JOB.to_owned(), self.key.clone()),
            (RUNNER.to_owned(), self.runner.clone()),
            (INSTALLATION.to_owned(), self.mark.clone()),
        ];
        self.gitlab.iter().cloned().chain(own).collect()
    }

    /// The labels of a container of the job.
    pub(crate) fn container_labels(&self, role: Role) -> HashMap<String, String> {
        let gitlab_type = match role {
            Role::Helper => "predefined",
            Role::Build => "build",
            Role::Service => "service",
        };
        let mut labels = self.labels();
        labels.insert(ROLE.to_owned(), role.text().to_owned());
        // Containers inherit the labels of their image, and the image is the author's.
        labels.insert(MADE.to_owned(), String::new());
        labels.insert(
            "com.gitlab.gitlab-runner.type".to_owned(),
            gitlab_type.to_owned(),
        );
        labels
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(protected: bool) -> Names {
        let job: Job = serde_json::from_value(serde_json::json!({
            "id": 7,
            "job_info": {"project_id": 42, "name": "../../evil"},
            "git_info": {"ref": "v1", "protected": protected},
        }))
        .unwrap();
        Names::new(&job, "1-1".into(), "0a1b2c3d".into())
    }

    #[test]
    fn protected_and_unprotected_jobs_share_no_volume() {
        let volume = |protected| Names::volume(&names(protected).slot(0), "builds");
        assert_ne!(volume(true), volume(false));
        assert!(volume(true).ends_with("-s0-protected-builds"));
    }

    #[test]
    fn a_volume_tells_its_slot_and_others_have_none() {
        let slot = names(true).slot(3);
        let volume = Names::volume(&slot, "cache");
        assert_eq!(Names::slot_of(&volume, "0a1b2c3d"), Some(slot.as_str()));
        assert_eq!(Names::slot_of(&volume, "ffffffff"), None);
        let volume = Names::volume(&slot, "v0a1b2c3d");
        assert_eq!(Names::slot_of(&volume, "0a1b2c3d"), Some(slot.as_str()));
        for foreign in [
            "dockmaster-pg-data-cache",
            "dockmaster-p1-cache-x",
            "p1-a-s0-builds",
            "dockmaster-p1-a-a-s0-v1",
            "dockmaster-p1-a-a-s0-other",
        ] {
            assert_eq!(Names::slot_of(foreign, "a"), None, "{foreign}");
        }
    }

    #[test]
    fn a_container_is_ours_by_its_name() {
        let check = |names: &[&str], expect| {
            let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
            assert_eq!(is_ours(&names), expect, "{names:?}");
        };
        check(&["/dockmaster-p1-j2-a-build"], true);
        check(
            &["/dockmaster-p1-j2-a.web", "/dockmaster-p1-j2-a.app/db"],
            true,
        );
        check(&[], true);
        check(&["/production-app-1"], false);
        check(&["/db", "/dockmaster-p1-j2-a.app/db"], false);
    }

    #[test]
    fn no_name_holds_the_author_s_text() {
        let names = names(false);
        for name in [
            names.network(),
            names.container(Role::Build, 0),
            names.slot(3),
        ] {
            assert!(!name.contains("evil"), "{name}");
        }
    }
}
