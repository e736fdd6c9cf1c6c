//! The gate: a Docker API for one job, in front of a daemon that is everybody's.
//!
//! A request goes the same way each time: [`route`] finds it on a closed list or refuses it by
//! name; [`body`], [`object`] and [`build`] read what it asks for, refuse what would reach the host
//! or somebody else, and write it anew; [`own`] turns names into full ids of things that carry the
//! job's label; then [`serve`] passes it on and streams the answer back. The bytes of a client's
//! request line, query and small bodies never reach the daemon.
//!
//! What a job makes carries the labels of its [`Scope`], and the names it gives to images are in
//! its record; so [`sweep`] removes them with no memory of the gate that let them through.
//!
//! Must not know: GitLab, the runner, configuration files, policy. It takes plain values.

pub mod body;
pub mod build;
mod daemon;
mod field;
mod forward;
mod grpc;
mod handle;
pub mod json;
pub mod mount;
pub mod object;
pub mod own;
pub mod push;
pub mod query;
pub mod record;
pub mod refusal;
pub mod route;
pub mod serve;
pub mod solve;
pub mod sweep;
mod wire;
pub mod workspace;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use crate::failure::Class;

pub use daemon::DaemonError;
pub use push::Pushed;
pub use serve::Gate;
pub use sweep::sweep;

/// A yes or no about an image name or tag.
pub type ImageRule = Arc<dyn Fn(&str) -> bool + Send + Sync>;
/// Told of each digest that a registry took, before the client is; an error fails the push.
pub type PushSink = Arc<dyn Fn(&Pushed) -> Result<(), String> + Send + Sync>;

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
    pub cgroup_parent: Option<String>,
    /// Folders that the job and its containers share.
    pub workspaces: Vec<Workspace>,
    /// Where paths below a workspace are mounted for the daemon; a folder of root's, per job.
    pub binds_dir: PathBuf,
    /// The file in which names of images are written down; kept until the sweep, per job.
    pub record: PathBuf,
    /// Images that the job may use: asked with the name as the client wrote it.
    pub images: ImageRule,
    /// Image names that were on the host before the job and that it may move nevertheless: asked
    /// with the full name and tag. The sweep moves them back.
    pub may_move: ImageRule,
    pub on_push: PushSink,
}

/// The key of the label that built images carry, for a gate's own key.
fn image_key(key: &str) -> String {
    format!("{key}-image")
}

/// A folder of the job's containers that is a volume of the daemon.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Workspace {
    /// Where the job sees it: `/builds`.
    pub path: String,
    pub volume: String,
}

impl Scope {
    /// The label of images that the job builds. Not the same key as that of containers: those take
    /// over their image's labels, so whoever runs the image later would run a thing of this job's.
    pub fn image_label(&self) -> (String, String) {
        (image_key(&self.label.0), self.label.1.clone())
    }

    /// Every label forced on containers, networks and volumes that the job makes.
    pub fn forced_labels(&self) -> BTreeMap<String, String> {
        let mut labels = self.labels.clone();
        labels.insert(self.label.0.clone(), self.label.1.clone());
        labels
    }
}

/// What keeps a gate from opening, closing or being swept.
#[derive(Debug, thiserror::Error)]
pub enum GateError {
    #[error("the job's Docker socket {path} cannot be made")]
    Socket {
        path: PathBuf,
        source: std::io::Error,
    },
    #[error("the job's record of image names {path} cannot be used")]
    Record {
        path: PathBuf,
        source: std::io::Error,
    },
    #[error("the bind mount {path} cannot be removed")]
    Unmount {
        path: PathBuf,
        source: std::io::Error,
    },
    #[error(transparent)]
    Engine(#[from] DaemonError),
}

impl GateError {
    /// Always the operator's: what is the job's fault is an answer, not an error.
    pub fn class(&self) -> Class {
        match self {
            Self::Socket { .. } | Self::Record { .. } | Self::Unmount { .. } | Self::Engine(_) => {
                Class::System
            }
        }
    }
}
