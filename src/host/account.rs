//! The account that production hosts pull with, and the registry it is for.

use bollard::auth::DockerCredentials;
use serde::Deserialize;

use super::error::RemoteError;
use crate::{
    config,
    secret::{self, Secret, SecretFile},
};

/// Credentials that go to one registry only.
pub(super) struct Account {
    registry: String,
    credentials: DockerCredentials,
}

/// The file that the registry's `pull-account` names.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PullAccount {
    username: String,
    password: Secret,
}

impl SecretFile for PullAccount {
    const SHAPE: &'static str = "a JSON object with the keys \"username\" and \"password\"";
}

impl Account {
    /// Reads the registry's; `None` when it has none.
    pub(super) fn load(registry: Option<&config::Registry>) -> Result<Option<Self>, RemoteError> {
        let Some(registry) = registry else {
            return Ok(None);
        };
        let Some(path) = &registry.pull_account else {
            return Ok(None);
        };
        let account: PullAccount = secret::load(path).map_err(RemoteError::Account)?;
        Ok(Some(Self {
            registry: registry.host.clone(),
            credentials: DockerCredentials {
                username: Some(account.username),
                password: Some(account.password.expose().to_owned()),
                serveraddress: Some(registry.host.clone()),
                ..DockerCredentials::default()
            },
        }))
    }

    /// The credentials, when that image comes from this account's registry.
    pub(super) fn of(&self, image: &str) -> Option<DockerCredentials> {
        let rest = image.strip_prefix(self.registry.as_str())?;
        rest.starts_with('/').then(|| self.credentials.clone())
    }
}
