//! What the engine says of itself, asked once a gate: Docker 20.10 starts three programs to tell all of it.

use hyper::{Method, Request, Uri};
use tokio::sync::OnceCell;

use super::daemon::{Daemon, DaemonError, empty};

/// What is known so far.
#[derive(Debug, Default)]
pub(super) struct Facts {
    all: OnceCell<All>,
    newest: OnceCell<Option<u32>>,
}

/// All of it.
#[derive(Debug)]
pub(super) struct All {
    /// The oldest version of the API that it takes.
    pub(super) oldest: Option<u32>,
    /// Such as `linux/amd64`.
    pub(super) platform: String,
}

impl Facts {
    pub(super) async fn all(&self, engine: &Daemon) -> Result<&All, DaemonError> {
        let ask = async || {
            let told = engine.must(Method::GET, "/version", None).await?;
            let text = |name: &str| told[name].as_str().unwrap_or_default();
            Ok(All {
                oldest: minor(text("MinAPIVersion")),
                platform: format!("{}/{}", text("Os"), text("Arch")),
            })
        };
        self.all.get_or_try_init(ask).await
    }

    /// The newest version of the API that it speaks, where it says so with a ping.
    pub(super) async fn newest(&self, engine: &Daemon) -> Result<Option<u32>, DaemonError> {
        let ask = async || {
            let mut ping = Request::new(empty());
            *ping.method_mut() = Method::HEAD;
            *ping.uri_mut() = Uri::from_static("/_ping");
            let told = engine.send(ping).await?;
            let version = told.headers().get("api-version");
            Ok(version.and_then(|text| minor(text.to_str().ok()?)))
        };
        self.newest.get_or_try_init(ask).await.copied()
    }
}

/// The second part of `1.44`.
fn minor(text: &str) -> Option<u32> {
    text.strip_prefix("1.")?.parse().ok()
}
