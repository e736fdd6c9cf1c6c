//! The two roads by which a job builds: the query of `/build`, and `BuildKit`'s own interface.
//!
//! Both are judged by what they name, as one [`Build`](super::build::Build).

use hyper::Response;

use super::build;
use super::credential::REGISTRY_CONFIG;
use super::daemon::Body;
use super::handle::{Call, Handler};
use super::refusal::Denied;

impl Handler {
    pub(super) async fn build(&self, mut call: Call) -> Result<Response<Body>, Denied> {
        if build::form::is_buildkit(&call.route.query) {
            return self.form(call).await;
        }
        let scope = &self.own.scope;
        let forced = build::Forced {
            label: scope.image_label(),
            network: &scope.network,
            cgroup_parent: scope.cgroup_parent.as_deref(),
        };
        let (build, query) = build::judge(&call.route.query, &forced)?;
        self.own.admit(&build).await?;
        call.route.query = query;
        let accounts = self.own.scope.registries.config(&call.asked.headers);
        let outgoing = call.to("")?.set(REGISTRY_CONFIG, accounts.await?);
        outgoing.stream(&call.asked.body).send(self.engine()).await
    }
}
