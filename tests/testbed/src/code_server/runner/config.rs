//! The runner's `config.toml`, as far as the custom executor reads it. Unknown keys are ignored,
//! as the runner ignores them.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Deserialize;

#[derive(Clone, Debug, Deserialize)]
pub struct RunnerConfig {
    #[serde(default)]
    pub runners: Vec<Settings>,
}

/// One `[[runners]]` entry.
#[derive(Clone, Debug, Deserialize)]
pub struct Settings {
    pub name: String,
    #[serde(default)]
    pub url: String,
    pub token: String,
    pub executor: String,
    #[serde(default)]
    pub shell: Option<String>,
    #[serde(default)]
    pub builds_dir: String,
    #[serde(default)]
    pub cache_dir: String,
    #[serde(default)]
    pub environment: Vec<String>,
    #[serde(default)]
    pub feature_flags: BTreeMap<String, bool>,
    #[serde(default)]
    pub output_limit: Option<usize>,
    #[serde(default)]
    pub debug_trace_disabled: bool,
    #[serde(default)]
    pub pre_get_sources_script: String,
    #[serde(default)]
    pub post_get_sources_script: String,
    #[serde(default)]
    pub pre_build_script: String,
    #[serde(default)]
    pub post_build_script: String,
    #[serde(default)]
    pub custom: Custom,
}

/// `[runners.custom]`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Custom {
    pub config_exec: String,
    pub config_args: Vec<String>,
    pub config_exec_timeout: i64,
    pub prepare_exec: String,
    pub prepare_args: Vec<String>,
    pub prepare_exec_timeout: i64,
    pub run_exec: String,
    pub run_args: Vec<String>,
    pub cleanup_exec: String,
    pub cleanup_args: Vec<String>,
    pub cleanup_exec_timeout: i64,
    pub graceful_kill_timeout: i64,
    pub force_kill_timeout: i64,
}

/// Zero or less means the default.
fn seconds(configured: i64, default: u64) -> Duration {
    let configured = u64::try_from(configured).ok().filter(|&value| value > 0);
    Duration::from_secs(configured.unwrap_or(default))
}

impl Custom {
    pub(crate) fn config_limit(&self) -> Duration {
        seconds(self.config_exec_timeout, 3600)
    }

    pub(crate) fn prepare_limit(&self) -> Duration {
        seconds(self.prepare_exec_timeout, 3600)
    }

    pub(crate) fn cleanup_limit(&self) -> Duration {
        seconds(self.cleanup_exec_timeout, 3600)
    }

    pub(crate) fn graceful(&self) -> Duration {
        seconds(self.graceful_kill_timeout, 600)
    }

    pub(crate) fn force(&self) -> Duration {
        seconds(self.force_kill_timeout, 10)
    }
}

impl Settings {
    /// The first nine characters of the token after its known prefix.
    pub(crate) fn short_token(&self) -> String {
        let bare = self.token.strip_prefix("glrt-").unwrap_or(&self.token);
        bare.chars().take(9).collect()
    }

    pub(crate) fn log_limit(&self) -> usize {
        self.output_limit.filter(|&limit| limit > 0).unwrap_or(4096) * 1024
    }
}
