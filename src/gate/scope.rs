//! What one job may see and do, as plain values.
//!
//! Pure. Whoever opens a gate decides them.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use futures_util::future::BoxFuture;

use super::container::{Ceiling, Usual};
use super::names::Names;
use super::push::Pushed;
use super::registries::Registries;
use crate::docker::tenant::{Tenant, TenantSecret};
use crate::subnet::Subnet;

/// A yes or no about an image name or tag.
pub(crate) type ImageRule = Arc<dyn Fn(&str) -> bool + Send + Sync>;
/// Told of each digest that a registry took, before the client is; an error fails the push.
pub type PushSink = Arc<dyn Fn(&Pushed) -> BoxFuture<'static, Result<(), String>> + Send + Sync>;

/// What one job may see and do.
#[derive(Clone)]
pub struct Scope {
    /// The label that marks a thing as made through this job's gate. The job's own container,
    /// helper, network and volumes must *not* carry it: what does is the job's to remove.
    pub label: (String, String),
    /// Further labels forced on containers, networks and volumes that the job makes. Every key by
    /// which anybody finds *other* things of the job must be here with a value that finds nothing:
    /// a container takes labels over from its image, which may say anything.
    pub labels: BTreeMap<String, String>,
    /// The job's network, by a name that is unique on the daemon.
    pub network: String,
    /// Ranges from which the job may choose the addresses of its networks.
    pub subnets: Vec<Subnet>,
    /// Whose caches the job shares.
    pub tenant: Tenant,
    /// Makes names and keys that belong to the tenant and that no job can compute.
    pub secret: TenantSecret,
    /// How the job's images are called in the engine.
    pub names: Names,
    /// Globs of images that may read Dockerfiles in place of the engine.
    pub frontends: Vec<String>,
    pub cgroup_parent: Option<String>,
    /// The group in which steps of `BuildKit` run; always the same one for a tenant, for it is part of
    /// each step's cache key.
    pub build_group: Option<String>,
    /// The most that a container of the job gets.
    pub ceiling: Ceiling,
    /// What the operator gives to all containers of the lane.
    pub usual: Usual,
    /// Folders that the job and its containers share.
    pub workspaces: Vec<Workspace>,
    /// Where paths below a workspace are mounted for the daemon; a folder of root's, per job.
    pub binds_dir: PathBuf,
    /// Where it is written which names of the host are in use for a push or a pull.
    pub state_dir: PathBuf,
    /// Images that the job may use: asked with the name as the client wrote it.
    pub images: ImageRule,
    /// Images of the host that every job may use as they are: asked with the name and its tag.
    pub shared: ImageRule,
    /// Globs of sources that `ADD` of a Dockerfile may fetch.
    pub add_urls: Vec<String>,
    /// Where the use of kept layers is noted.
    pub layers: PathBuf,
    pub on_push: PushSink,
    /// Where images come from and go to, and with whose account.
    pub registries: Registries,
}

/// A folder of the job's containers that is a volume of the daemon.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Workspace {
    /// Where the job sees it: `/builds`.
    pub path: String,
    pub volume: String,
}

impl Scope {
    /// Every label forced on containers, networks and volumes that the job makes.
    pub fn forced_labels(&self) -> BTreeMap<String, String> {
        let mut labels = self.labels.clone();
        labels.insert(self.label.0.clone(), self.label.1.clone());
        labels
    }
}
