//! The host's firewall around jobs: what their networks and their builds may reach.
//!
//! `plan` decides every rule, as text that the kernel's tools print back the same way; so looking whether
//! the firewall stands is comparing texts, and a second `apply` finds nothing to do. Docker's own rules are left alone:
//! ours hang in the chains that it leaves to the operator.

mod error;
mod plan;
mod table;
mod tool;

use crate::config::{Config, Lane, Network};
pub(crate) use error::FirewallError;
use plan::Plan;
use table::Family;
use tool::Tool;

/// The firewall that the configuration asks for.
pub(crate) struct Firewall {
    plans: Vec<(Tool, Plan)>,
}

/// What one address family lacks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    Held,
    Missing,
}

impl Firewall {
    /// For the lanes that ask for one.
    pub(crate) fn new(config: &Config) -> Result<Self, FirewallError> {
        let network = wanted(config)?.ok_or_else(|| FirewallError::Unwanted {
            path: config.path.display().to_string(),
        })?;
        let mut ports = network.host_ports.clone();
        ports.extend(
            config
                .registry
                .as_ref()
                .map(|registry| port(&registry.host)),
        );
        Ok(Self::of(network, &ports))
    }

    fn of(network: &Network, ports: &[u16]) -> Self {
        let plan = |family| (Tool::of(family), Plan::new(network, ports, family));
        let families = [Family::Four, Family::Six].into_iter();
        let plans = families.filter(|family| tool::is_used(*family)).map(plan);
        Self {
            plans: plans.collect(),
        }
    }

    /// Every rule, as text.
    pub(crate) fn text(&self) -> String {
        self.plans
            .iter()
            .map(|(tool, plan)| plan.text(tool.name()))
            .collect()
    }

    /// Whether each family's rules stand as planned.
    pub(crate) async fn look(&self) -> Result<State, FirewallError> {
        for (tool, plan) in &self.plans {
            if !plan.stands(&tool.table().await?) {
                return Ok(State::Missing);
            }
        }
        Ok(State::Held)
    }

    /// Makes the rules stand; what was missing before.
    pub(crate) async fn apply(&self) -> Result<State, FirewallError> {
        let mut before = State::Held;
        for (tool, plan) in &self.plans {
            let table = tool.table().await?;
            if plan.stands(&table) {
                continue;
            }
            before = State::Missing;
            tool.restore(&plan.changes(&table)).await?;
            if !plan.stands(&tool.table().await?) {
                return Err(FirewallError::NotHeld {
                    program: tool.name().to_owned(),
                });
            }
        }
        Ok(before)
    }
}

/// Takes every rule of ours away, whatever the configuration says; whether there was one.
pub(crate) async fn remove() -> Result<bool, FirewallError> {
    let mut found = false;
    for family in [Family::Four, Family::Six] {
        if !tool::is_used(family) {
            continue;
        }
        let tool = Tool::of(family);
        let changes = plan::removal(&tool.table().await?);
        if !changes.is_empty() {
            found = true;
            tool.restore(&changes).await?;
        }
    }
    Ok(found)
}

/// The network of the lanes that want a firewall: one for all, because a job's network does not tell its lane.
fn wanted(config: &Config) -> Result<Option<&Network>, FirewallError> {
    let mut found: Option<(&String, &Network)> = None;
    for (name, lane) in &config.lanes {
        let Lane::Docker(lane) = lane else { continue };
        if !lane.network.firewall {
            continue;
        }
        match found {
            Some((first, network)) if *network != lane.network => {
                return Err(FirewallError::Divided {
                    first: first.clone(),
                    second: name.clone(),
                });
            }
            _ => found = Some((name, &lane.network)),
        }
    }
    Ok(found.map(|(_, network)| network))
}

/// The port of a registry, as image names begin.
fn port(host: &str) -> u16 {
    let port = host
        .rsplit_once(':')
        .and_then(|(_, port)| port.parse().ok());
    port.unwrap_or(443)
}
