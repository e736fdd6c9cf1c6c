//! The two roads by which a job builds: the query of `/build`, and `BuildKit`'s own interface.
//!
//! Both are judged by what they name, as one [`Build`](super::build::Build).

use std::sync::Arc;

use hyper::Response;

use super::build;
use super::daemon::Body;
use super::grpc;
use super::handle::{Call, Handler};
use super::refusal::Denied;

impl Handler {
    pub(super) async fn build(&self, mut call: Call) -> Result<Response<Body>, Denied> {
        let scope = &self.own.scope;
        let forced = build::Forced {
            label: scope.image_label(),
            network: &scope.network,
            cgroup_parent: scope.cgroup_parent.as_deref(),
        };
        let (build, query) = build::judge(&call.route.query, &forced)?;
        self.own.admit(&build).await?;
        call.route.query = query;
        let outgoing = call
            .to("")?
            .header(&call.asked.headers, "x-registry-config");
        outgoing.stream(&call.asked.body).send(self.engine()).await
    }

    /// `BuildKit`'s way back to the client for files and logins: the daemon asks, the client serves.
    pub(super) async fn session(&self, call: Call) -> Result<Response<Body>, Denied> {
        let mut outgoing = call.to("")?;
        for name in ["uuid", "name", "sharedkey", "grpc-method"] {
            let header = format!("x-docker-expose-session-{name}");
            outgoing = outgoing.header(&call.asked.headers, &header);
        }
        if call.asked.upgrade.is_none() {
            return Err(Denied::malformed("a session needs an upgraded connection"));
        }
        outgoing
            .join(self.engine(), call.asked.upgrade, &self.tasks)
            .await
    }

    /// `BuildKit` itself, as buildx speaks to it.
    pub(super) async fn buildkit(&self, call: Call) -> Result<Response<Body>, Denied> {
        let outgoing = call.to("")?;
        if call.asked.upgrade.is_none() {
            return Err(Denied::malformed("this needs an upgraded connection"));
        }
        let (response, ends) = outgoing.upgrade(self.engine(), call.asked.upgrade).await?;
        if let Some((client, daemon)) = ends {
            let own = Arc::clone(&self.own);
            self.tasks.spawn(async move {
                if let Err(error) = grpc::serve(own, client, daemon).await {
                    tracing::debug!(%error, "build connection of a job");
                }
            });
        }
        Ok(response)
    }
}
