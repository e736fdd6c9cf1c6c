//! A Harbor that knows us: whoever holds one was recognised.

use std::path::Path;

use reqwest::Method;
use serde::Deserialize;

use super::{call::Api, error::HarborError};
use crate::config::Registry;

/// A Harbor that knows us.
pub(crate) struct Harbor {
    pub(super) api: Api,
}

/// What Harbor says of itself; the version only to whom it knows.
#[derive(Deserialize)]
struct SystemInfo {
    harbor_version: Option<String>,
}

impl Harbor {
    /// Reads the account and asks Harbor whether it knows it; a Harbor that makes robots.
    pub(crate) async fn log_in(registry: &Registry, account: &Path) -> Result<Self, HarborError> {
        let (harbor, version) = Self::look(registry, account).await?;
        if has_no_robots(&version) {
            let url = harbor.api.url();
            return Err(HarborError::TooOld { url, version });
        }
        Ok(harbor)
    }

    /// The same; any Harbor.
    pub(super) async fn recognised(
        registry: &Registry,
        account: &Path,
    ) -> Result<Self, HarborError> {
        Ok(Self::look(registry, account).await?.0)
    }

    /// With its version.
    async fn look(registry: &Registry, account: &Path) -> Result<(Self, String), HarborError> {
        let api = Api::open(registry, account)?;
        let info: SystemInfo = match api.get("systeminfo", &[]).await {
            // Before 2.0 the API had another address.
            Err(HarborError::Refused { status: 404, .. }) => {
                return Err(HarborError::NoApi { url: api.url() });
            }
            info => info?,
        };
        let Some(version) = info.harbor_version else {
            return Err(HarborError::Anonymous {
                url: api.url(),
                account: account.to_owned(),
            });
        };
        Ok((Self { api }, version))
    }

    /// Sends a request of which only the success counts.
    pub(super) async fn must(&self, method: Method, path: &str) -> Result<(), HarborError> {
        self.api.send(method, path, &[], None).await.map(drop)
    }
}

/// Robots of the second API came with 2.2. A version that cannot be read is a newer one.
pub(super) fn has_no_robots(version: &str) -> bool {
    let mut numbers = version
        .trim_start_matches('v')
        .split(['.', '-'])
        .map_while(|part| part.parse::<u32>().ok());
    match (numbers.next(), numbers.next()) {
        (Some(major), Some(minor)) => (major, minor) < (2, 2),
        _ => false,
    }
}
