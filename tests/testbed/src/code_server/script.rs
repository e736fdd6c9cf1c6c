//! The shell scripts that the runner generates, one for each phase of a job.
//!
//! Their shape is the real runner's: a frame that traps TERM and evaluates one quoted string;
//! in it the job's variables, then what the phase does. It knows no driver and starts nothing.

mod git;
mod quote;
mod store;
#[cfg(test)]
mod tests;
mod writer;

use crate::spec::{Job, Variable};

pub use quote::quote;
pub(crate) use store::{has_artifact_content, has_cache_content, is_due};
use writer::Writer;

/// One script that `run` carries to the driver.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Phase {
    Prepare,
    GetSources,
    ClearWorktree,
    RestoreCache,
    DownloadArtifacts,
    /// A step of the job, by its name; the user's script is called `script`.
    Step(String),
    AfterScript,
    ArchiveCache {
        success: bool,
    },
    UploadArtifacts {
        success: bool,
    },
    CleanupFileVariables,
}

impl Phase {
    /// The last argument of the driver's call.
    pub fn argument(&self) -> String {
        match self {
            Self::Step(name) if name == "script" => "build_script".to_owned(),
            other => other.section(),
        }
    }

    /// The name of the section in the job log.
    pub fn section(&self) -> String {
        let name = match self {
            Self::Prepare => "prepare_script",
            Self::GetSources => "get_sources",
            Self::ClearWorktree => "clear_worktree",
            Self::RestoreCache => "restore_cache",
            Self::DownloadArtifacts => "download_artifacts",
            Self::Step(name) => return format!("step_{}", name.to_lowercase()),
            Self::AfterScript => "after_script",
            Self::ArchiveCache { success: true } => "archive_cache",
            Self::ArchiveCache { success: false } => "archive_cache_on_failure",
            Self::UploadArtifacts { success: true } => "upload_artifacts_on_success",
            Self::UploadArtifacts { success: false } => "upload_artifacts_on_failure",
            Self::CleanupFileVariables => "cleanup_file_variables",
        };
        name.to_owned()
    }

    /// The line over the section.
    pub fn heading(&self) -> String {
        let text = match self {
            Self::Prepare => "Preparing environment",
            Self::GetSources => "Getting source from Git repository",
            Self::ClearWorktree => {
                "Deleting all tracked and untracked files due to source fetch failure"
            }
            Self::RestoreCache => "Restoring cache",
            Self::DownloadArtifacts => "Downloading artifacts",
            Self::Step(_) => {
                return format!("Executing \"{}\" stage of the job script", self.section());
            }
            Self::AfterScript => "Running after_script",
            Self::ArchiveCache { success: true } => "Saving cache for successful job",
            Self::ArchiveCache { success: false } => "Saving cache for failed job",
            Self::UploadArtifacts { success: true } => "Uploading artifacts for successful job",
            Self::UploadArtifacts { success: false } => "Uploading artifacts for failed job",
            Self::CleanupFileVariables => "Cleaning up project directory and file based variables",
        };
        text.to_owned()
    }
}

/// Where things lie inside the place in which the job runs.
#[derive(Clone, Debug, Default)]
pub struct Directories {
    pub builds: String,
    pub build: String,
    pub cache: String,
}

impl Directories {
    /// Beside the checkout: file variables, git's template, the runner's own files.
    pub fn temporary(&self) -> String {
        format!("{}.tmp", self.build)
    }
}

/// Scripts that the admin put into the runner's configuration.
#[derive(Clone, Debug, Default)]
pub struct Hooks {
    pub pre_get_sources: String,
    pub post_get_sources: String,
    pub pre_build: String,
    pub post_build: String,
}

/// All a script is made of.
#[derive(Clone, Debug)]
pub struct Scene<'a> {
    pub job: &'a Job,
    /// Every variable, in the runner's order and already expanded.
    pub variables: &'a [Variable],
    pub directories: &'a Directories,
    /// What the driver's config stage called the host.
    pub hostname: Option<&'a str>,
    pub shell: &'a str,
    pub hooks: &'a Hooks,
    /// Tells requests to GitLab apart in its log.
    pub correlation: &'a str,
}

impl Scene<'_> {
    /// The value a job variable has.
    pub(crate) fn value(&self, key: &str) -> Option<&str> {
        self.variables
            .iter()
            .rev()
            .find(|one| one.key == key)
            .map(|one| one.value.as_str())
    }

    pub(crate) fn is_on(&self, flag: &str) -> bool {
        self.value(flag) == Some("true")
    }
}

/// The whole script of one phase.
pub fn generate(phase: &Phase, scene: &Scene<'_>) -> String {
    let mut writer = Writer::default();
    match phase {
        Phase::Prepare => prepare(&mut writer, scene),
        Phase::ClearWorktree => git::clear_worktree(&mut writer, scene),
        Phase::GetSources => {
            preamble(&mut writer, scene, FileVariables::Written);
            git::get_sources(&mut writer, scene);
        }
        Phase::RestoreCache => {
            preamble(&mut writer, scene, FileVariables::Written);
            store::restore_cache(&mut writer, scene);
        }
        Phase::DownloadArtifacts => {
            preamble(&mut writer, scene, FileVariables::Written);
            store::download_artifacts(&mut writer, scene);
        }
        Phase::Step(name) => {
            preamble(&mut writer, scene, FileVariables::Written);
            step(&mut writer, scene, name);
        }
        Phase::AfterScript => {
            preamble(&mut writer, scene, FileVariables::Written);
            after_script(&mut writer, scene);
        }
        Phase::ArchiveCache { success } => {
            preamble(&mut writer, scene, FileVariables::Written);
            store::archive_cache(&mut writer, scene, *success);
        }
        Phase::UploadArtifacts { success } => {
            preamble(&mut writer, scene, FileVariables::Written);
            store::upload_artifacts(&mut writer, scene, *success);
        }
        Phase::CleanupFileVariables => {
            preamble(&mut writer, scene, FileVariables::Named);
            cleanup_file_variables(&mut writer, scene);
        }
    }
    frame(scene, &writer.finish())
}

fn frame(scene: &Scene<'_>, body: &str) -> String {
    let trace = if scene.is_on("CI_DEBUG_TRACE") {
        "set -o xtrace\n"
    } else {
        ""
    };
    format!(
        "#!/usr/bin/env {shell}\n\ntrap 'exit 1' TERM\n\n{trace}\
         case \"$(set -o)\" in *\"pipefail\"*) set -o pipefail;; esac; set -o errexit\n\
         set +o noclobber\n\
         (trap 'exit 1' TERM; eval {body}) < /dev/null\nexit 0\n",
        shell = scene.shell,
        body = quote(body),
    )
}

#[derive(Clone, Copy, Eq, PartialEq)]
enum FileVariables {
    Written,
    /// Only their paths are exported.
    Named,
}

fn preamble(writer: &mut Writer, scene: &Scene<'_>, files: FileVariables) {
    let temporary = scene.directories.temporary();
    for variable in scene.variables {
        let path = format!("{temporary}/{}", variable.key);
        match (variable.file, files) {
            (false, _) => writer.export(&variable.key, &variable.value),
            (true, FileVariables::Named) => writer.export(&variable.key, &path),
            (true, FileVariables::Written) => {
                writer.make_directory(&temporary);
                writer.line(&format!(
                    "printf '%s' {} > \"{path}\"",
                    quote(&variable.value)
                ));
                writer.line(&format!("export {}=\"{path}\"", variable.key));
            }
        }
    }
    let environ = format!("{temporary}/gitlab_runner_env");
    writer.export("GITLAB_ENV", &environ);
    writer.make_directory(&temporary);
    writer.line(&format!("touch \"{environ}\""));
    writer.line(&format!(
        "while read -r line; do export \"$line\"; done < \"{environ}\""
    ));
}

fn prepare(writer: &mut Writer, scene: &Scene<'_>) {
    let via = scene
        .hostname
        .map_or_else(String::new, |name| format!(" via {name}"));
    writer.line(&format!("echo \"Running on $(hostname){via}...\""));
    let temporary = scene.directories.temporary();
    writer.remove(&format!("{temporary}/gitlab_runner_env"));
    writer.remove(&format!("{temporary}/masking.db"));
}

fn step(writer: &mut Writer, scene: &Scene<'_>, name: &str) {
    writer.change_directory(&scene.directories.build);
    let lines = scene
        .job
        .steps
        .iter()
        .find(|step| step.name == name)
        .map(|step| &step.script);
    user_lines(writer, std::slice::from_ref(&scene.hooks.pre_build));
    user_lines(writer, lines.map_or(&[], Vec::as_slice));
    user_lines(writer, std::slice::from_ref(&scene.hooks.post_build));
}

fn after_script(writer: &mut Writer, scene: &Scene<'_>) {
    writer.change_directory(&scene.directories.build);
    writer.notice("Running after script...");
    let after = scene
        .job
        .steps
        .iter()
        .find(|step| step.name == "after_script");
    user_lines(writer, after.map_or(&[], |step| step.script.as_slice()));
}

/// Each line of the user's script, announced before it runs.
pub(crate) fn user_lines(writer: &mut Writer, lines: &[String]) {
    for line in lines
        .iter()
        .map(|line| line.trim())
        .filter(|line| !line.is_empty())
    {
        match line.split_once('\n') {
            Some((first, _)) => {
                writer.notice(&format!("$ {first} # collapsed multi-line command"));
            }
            None => writer.notice(&format!("$ {line}")),
        }
        writer.verbatim(line);
    }
}

fn cleanup_file_variables(writer: &mut Writer, scene: &Scene<'_>) {
    git::reject_credential(writer, scene);
    let temporary = scene.directories.temporary();
    for name in [
        "gitlab_runner_env",
        "masking.db",
        ".gitlab-runner.ext.conf",
        ".glr.gconf",
    ] {
        writer.remove(&format!("{temporary}/{name}"));
    }
    for variable in scene.variables.iter().filter(|variable| variable.file) {
        writer.remove(&format!("{temporary}/{}", variable.key));
    }
    git::remove_locks(writer, scene);
    git::remove_configuration(writer, scene);
    writer.remove(&format!(
        "{}/.gitlab-build-uid-gid",
        scene.directories.builds
    ));
}
