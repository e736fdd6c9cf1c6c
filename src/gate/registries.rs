//! The registries of one job, as plain values: which it may name, and who hands out accounts.
//!
//! Pure. Whoever opens a gate decides them.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures_util::future::BoxFuture;

use crate::secret::Secret;

/// A yes or no about a registry, asked with its `host[:port]`.
pub(crate) type HostRule = Arc<dyn Fn(&str) -> bool + Send + Sync>;

/// A name and password for a registry.
#[derive(Debug, Clone, Default)]
pub struct Login {
    pub username: String,
    pub password: Secret,
}

impl Login {
    pub(super) fn is(&self, username: &str, password: &str) -> bool {
        !self.password.is_empty() && self.username == username && self.password.expose() == password
    }
}

/// What an image is asked of a registry for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Errand {
    Pull,
    Push,
}

/// Hands out the accounts for the operator's registry. An error is a sentence for the job.
pub trait Accounts: Send + Sync {
    /// Whether the job may do this there at all, whoever's account it carries.
    fn allows(&self, repository: &str, errand: Errand) -> Result<(), String>;

    /// The account for a repository; `None` where nobody needs one, or dockmaster has none.
    fn account<'a>(
        &'a self,
        repository: &'a str,
        errand: Errand,
    ) -> BoxFuture<'a, Result<Option<Login>, String>>;

    /// An account for the registry as a whole: for builds, which are asked before they say what for.
    fn any_account(&self) -> BoxFuture<'_, Result<Option<Login>, String>>;
}

/// The registries of one job.
#[derive(Clone)]
pub struct Registries {
    /// The operator's, `host[:port]`.
    pub host: Option<String>,
    /// What the job logs in with there.
    pub local: Login,
    pub accounts: Arc<dyn Accounts>,
    /// Registries that the job may pull from and log in to, by `host[:port]`.
    pub may_pull: HostRule,
    /// And push to.
    pub may_push: HostRule,
    /// Where the images of a registry are pulled from instead.
    pub mirrors: BTreeMap<String, String>,
    /// Registries that the operator names by their full address: they may be on this host.
    pub is_named: HostRule,
}
