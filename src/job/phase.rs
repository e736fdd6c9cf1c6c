//! The phases of a job: the script that one `run` call carries.

/// What a `run` call is for. GitLab's names, with the steps of the user folded into two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    PrepareScript,
    GetSources,
    ClearWorktree,
    RestoreCache,
    DownloadArtifacts,
    /// `build_script`, `step_script`, `step_release` …: the user's own lines.
    Step,
    AfterScript,
    ArchiveCache,
    UploadArtifacts,
    CleanupFileVariables,
    /// A phase this version does not know: run beside the helper's phases, never in the user's image.
    Unknown,
}

impl Phase {
    /// Reads the last argument of a `run` call. The text may hold a step's name as the author wrote
    /// it, so it is only compared, never used in a path.
    pub(crate) fn parse(name: &str) -> Self {
        match name {
            "prepare_script" => Self::PrepareScript,
            "get_sources" => Self::GetSources,
            "clear_worktree" => Self::ClearWorktree,
            "restore_cache" => Self::RestoreCache,
            "download_artifacts" => Self::DownloadArtifacts,
            "after_script" => Self::AfterScript,
            "archive_cache" | "archive_cache_on_failure" => Self::ArchiveCache,
            "upload_artifacts_on_success" | "upload_artifacts_on_failure" => Self::UploadArtifacts,
            "cleanup_file_variables" => Self::CleanupFileVariables,
            // Until runner 19 the custom executor renames `step_script` to `build_script`.
            "build_script" => Self::Step,
            step if step.starts_with("step_") => Self::Step,
            _ => Self::Unknown,
        }
    }

    /// True for the author's own lines: they run in the job's image, everything else in the helper.
    pub(crate) fn is_author_s(self) -> bool {
        match self {
            Self::Step | Self::AfterScript => true,
            Self::PrepareScript
            | Self::GetSources
            | Self::ClearWorktree
            | Self::RestoreCache
            | Self::DownloadArtifacts
            | Self::ArchiveCache
            | Self::UploadArtifacts
            | Self::CleanupFileVariables
            | Self::Unknown => false,
        }
    }

    /// True for phases whose script silently succeeds where `gitlab-runner` is not on the PATH.
    pub(crate) fn needs_gitlab_runner(self) -> bool {
        match self {
            Self::RestoreCache
            | Self::DownloadArtifacts
            | Self::ArchiveCache
            | Self::UploadArtifacts => true,
            Self::PrepareScript
            | Self::GetSources
            | Self::ClearWorktree
            | Self::Step
            | Self::AfterScript
            | Self::CleanupFileVariables
            | Self::Unknown => false,
        }
    }
}
