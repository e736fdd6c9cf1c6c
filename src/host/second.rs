//! What the environment says of a host's second instance.

use super::{error::RemoteError, http::Http};
use crate::config::{Environment, HostEntry, Order};

/// What a host's second instance needs to be told.
pub(super) struct Bridge {
    /// On the host.
    pub(super) port: u16,
    /// False where hosts stop first: what is there is only removed.
    pub(super) is_wanted: bool,
    pub(super) allows_sisters: bool,
    pub(super) probe: Option<Http>,
}

impl Bridge {
    /// `None` where there is no second port.
    pub(super) fn open(
        environment: &Environment,
        host: &HostEntry,
    ) -> Result<Option<Self>, RemoteError> {
        let compose = &environment.compose;
        let Some(port) = compose.bridge_port else {
            return Ok(None);
        };
        Ok(Some(Self {
            port,
            is_wanted: environment.rollout.order == Order::StartFirst,
            allows_sisters: compose.allow_sisters,
            probe: Http::open(environment, host, Some(port))?,
        }))
    }
}
