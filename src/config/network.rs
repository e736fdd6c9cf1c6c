//! `[lanes.NAME.network]`: what containers and builds of jobs may reach. The host's firewall holds it.

use serde::Deserialize;

use crate::subnet::Range;

/// What jobs may reach beyond their own network.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Network {
    /// Keeps jobs to the rest of this table; a job is not run where that cannot be had.
    #[serde(default)]
    pub firewall: bool,
    /// The bridge on which `BuildKit` runs its steps; empty leaves it alone.
    #[serde(default = "default_build_bridge")]
    pub build_bridge: String,
    /// Ports of this host that jobs may reach, beside that of the `registry`.
    #[serde(default = "default_host_ports")]
    pub host_ports: Vec<u16>,
    /// Whether jobs reach other machines at all.
    #[serde(default = "default_internet")]
    pub internet: bool,
    /// Ranges that jobs may reach whatever the next key and `internet` say.
    #[serde(default)]
    pub allow: Vec<Range>,
    /// Ranges that jobs may not reach.
    #[serde(default)]
    pub deny: Vec<Range>,
}

impl Default for Network {
    fn default() -> Self {
        Self {
            firewall: false,
            build_bridge: default_build_bridge(),
            host_ports: default_host_ports(),
            internet: default_internet(),
            allow: Vec::new(),
            deny: Vec::new(),
        }
    }
}

/// The engine's own bridge: steps of its builder run there.
fn default_build_bridge() -> String {
    "docker0".into()
}

/// What a code server shows to everybody anyway: the web, where GitLab and a registry are, and names.
fn default_host_ports() -> Vec<u16> {
    vec![53, 80, 443]
}

fn default_internet() -> bool {
    true
}
