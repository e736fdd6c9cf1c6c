//! What to ask the engine for: containers as values, made from the job. Pure.

use std::collections::HashMap;

use super::{
    environ,
    limit::Shape,
    name::{self, Names, Role},
    setting::{self, Settings},
    volume::{Mount, Slot},
};
use crate::{
    call::Call,
    config::DockerLane,
    job::{Image, Job},
};

/// One container to create.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Container {
    pub(crate) name: String,
    /// The image's id, so that a tag that moves later does not matter.
    pub(crate) image: String,
    /// `None` keeps the image's own.
    pub(crate) entrypoint: Option<Vec<String>>,
    /// `None` keeps the image's own.
    pub(crate) command: Option<Vec<String>>,
    pub(crate) environ: Vec<String>,
    pub(crate) user: Option<String>,
    pub(crate) hostname: Option<String>,
    pub(crate) labels: HashMap<String, String>,
    pub(crate) mounts: Vec<Mount>,
    pub(crate) network: Network,
    /// Standard input is open until the first attached client closes it.
    pub(crate) has_stdin: bool,
    /// Keeps its output for a warning later on; the job's own output is only ever streamed.
    pub(crate) keeps_log: bool,
    pub(crate) held: Held,
    pub(crate) settings: Settings,
}

/// What keeps a container within the job's share of the host.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Held {
    /// The job's group, as the engine names it; empty where there is none.
    pub(crate) group: String,
    pub(crate) shape: Shape,
}

/// Which network a container is on.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) enum Network {
    #[default]
    None,
    Named {
        network: String,
        aliases: Vec<String>,
    },
    /// In the network namespace of another container.
    Of(String),
}

/// Runs what follows it with bash, or with the best shell there is, reading the script from standard
/// input. Nothing is looked up but these paths, as GitLab's docker executor does.
const SHELL: &str = r#"for shell in /usr/local/bin/bash /usr/bin/bash /bin/bash /usr/local/bin/sh /usr/bin/sh /bin/sh /busybox/sh; do
  if [ -x "$shell" ]; then exec "$shell"; fi
done
echo "shell not found"
exit 1"#;

/// Keeps the helper alive until it is removed, and makes its volumes writable for every image's user.
const IDLE: &str = r#"umask 0000
chmod 0777 "$@" 2>/dev/null
if ! command -v gitlab-runner >/dev/null 2>&1 && command -v gitlab-runner-helper >/dev/null 2>&1; then
  ln -s "$(command -v gitlab-runner-helper)" /usr/local/bin/gitlab-runner
fi
trap 'exit 0' TERM
while :; do sleep 86400 & wait $!; done"#;

/// The exit code of a helper phase that needs a program which the helper image lacks.
pub(crate) const NO_GITLAB_RUNNER: i64 = 213;

/// The command of a phase in the user's image.
pub(crate) fn shell_command() -> Vec<String> {
    vec!["sh".into(), "-c".into(), SHELL.into()]
}

/// The command of a phase in the helper. Files are made writable for every image's user.
pub(crate) fn helper_command(needs_gitlab_runner: bool) -> Vec<String> {
    let check = if needs_gitlab_runner {
        format!("command -v gitlab-runner >/dev/null 2>&1 || exit {NO_GITLAB_RUNNER}\n")
    } else {
        String::new()
    };
    vec![
        "sh".into(),
        "-c".into(),
        format!("umask 0000\n{check}{SHELL}"),
    ]
}

/// A command that sends a signal to every process of a container but its first one and itself.
pub(crate) fn signal_command(signal: &str) -> Vec<String> {
    vec!["sh".into(), "-c".into(), format!("kill -{signal} -1")]
}

/// The helper: it holds the job's network and slot, and runs git, caches and artifacts.
pub(crate) fn helper(
    names: &Names,
    lane: &DockerLane,
    slot: &Slot,
    facts: &HelperFacts,
) -> Container {
    let mut labels = names.container_labels(Role::Helper);
    labels.insert(name::SLOT.into(), slot.name.clone());
    labels.insert(name::IMAGE.into(), facts.job_image.clone());
    labels.insert(name::GROUP.into(), facts.group.clone());
    let kept = slot.kept().map(|(_, place)| place.to_owned());
    let targets = [path(&lane.builds_dir), path(&lane.cache_dir)]
        .into_iter()
        .chain(kept);
    let own_name = || format!("dockmaster-{}", slot.name);
    let idle = ["sh".into(), "-c".into(), IDLE.into(), "idle".into()];
    Container {
        name: Names::helper(&slot.name),
        image: facts.image.clone(),
        entrypoint: Some(vec![]),
        command: Some(idle.into_iter().chain(targets).collect()),
        user: Some("0:0".into()),
        hostname: Some(
            lane.hostname
                .as_ref()
                .map_or_else(own_name, |name| name.0.clone()),
        ),
        labels,
        mounts: slot.mounts(lane),
        network: Network::Named {
            network: names.network(),
            aliases: vec!["build".into()],
        },
        held: held(lane, &facts.group),
        settings: setting::of_helper(lane),
        ..Container::default()
    }
}

/// What the helper is made from, and what it remembers for later calls.
#[derive(Debug, Clone)]
pub(crate) struct HelperFacts {
    /// The helper image's id.
    pub(crate) image: String,
    /// The id of the image that the job asked for.
    pub(crate) job_image: String,
    /// The job's group, as the engine names it.
    pub(crate) group: String,
}

/// What keeps the job's containers within its share.
pub(crate) fn held(lane: &DockerLane, group: &str) -> Held {
    Held {
        group: group.to_owned(),
        shape: Shape::new(lane),
    }
}

/// The user's container: created once, started again for each of the user's phases, so that files
/// stay and processes do not.
pub(crate) fn build(names: &Names, lane: &DockerLane, job: &Job, call: &Call) -> Container {
    let own = lane.user.as_ref().map(|account| account.0.clone());
    Container {
        name: names.container(Role::Build, 0),
        entrypoint: entrypoint(lane, &job.image),
        command: Some(shell_command()),
        environ: environ::of_job(lane, job, call),
        user: own.or_else(|| user(&job.image, call)),
        labels: names.container_labels(Role::Build),
        has_stdin: true,
        settings: setting::of_build(lane, call),
        ..Container::default()
    }
}

/// One service, under all its names that no earlier service has taken.
pub(crate) fn service(
    names: &Names,
    number: usize,
    service: &Image,
    environ: Vec<String>,
    call: &Call,
) -> Container {
    Container {
        name: names.container(Role::Service, number),
        entrypoint: service.entrypoint.clone(),
        command: service.command.clone(),
        environ,
        user: user(service, call),
        labels: names.container_labels(Role::Service),
        keeps_log: true,
        ..Container::default()
    }
}

/// The names of a service: both that derive from its image, then its aliases.
pub(crate) fn service_aliases(
    reference: &super::reference::Reference,
    service: &Image,
) -> Vec<String> {
    let given = service
        .alias
        .split([',', ' '])
        .filter(|alias| !alias.is_empty());
    let mut names = reference.aliases();
    for alias in given {
        if !names.iter().any(|name| name == alias) {
            names.push(alias.to_owned());
        }
    }
    names
}

/// What the author starts an image with, where the operator lets them.
pub(crate) fn entrypoint(lane: &DockerLane, image: &Image) -> Option<Vec<String>> {
    let given = image.entrypoint.clone();
    given.filter(|_| !lane.disable_entrypoint_overwrite)
}

/// Whom a container runs as, where the author says so: by a variable, too.
pub(crate) fn user(image: &Image, call: &Call) -> Option<String> {
    let user = environ::expand(&image.executor_opts.docker.user, &call.job_environ);
    (!user.is_empty()).then_some(user)
}

fn path(path: &std::path::Path) -> String {
    path.to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::docker::reference::Reference;

    #[test]
    fn a_service_answers_to_its_image_and_to_every_alias() {
        let service = Image {
            alias: "db,pg db".into(),
            ..Image::default()
        };
        let reference = Reference::parse("registry.example.com/group/postgres:16").unwrap();
        assert_eq!(
            service_aliases(&reference, &service),
            [
                "registry.example.com__group__postgres",
                "registry.example.com-group-postgres",
                "db",
                "pg"
            ]
        );
    }

    #[test]
    fn file_variables_are_paths_in_the_container() {
        let job: Job = serde_json::from_value(serde_json::json!({
            "id": 1,
            "git_info": {"repo_url": "https://gitlab.example.com/g/p.git"},
            "variables": [{"key": "F", "value": "content", "file": true}],
        }))
        .unwrap();
        let call = Call {
            job_environ: [("F".to_owned(), "content".to_owned())].into(),
            ..Call::default()
        };
        let lane: DockerLane = toml::from_str("").unwrap();
        let container = build(
            &Names::new(&job, String::new(), String::new()),
            &lane,
            &job,
            &call,
        );
        assert_eq!(container.environ, ["F=/builds/g/p.tmp/F"]);
    }
}
