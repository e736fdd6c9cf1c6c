//! The two roads by which a job builds: the query of `/build`, and `BuildKit`'s own interface.
//!
//! Both are judged by what they name, as one [`Build`](super::build::Build).

use hyper::Response;

use super::build;
use super::daemon::Body;
use super::handle::{Call, Handler};
use super::refusal::Denied;

impl Handler {
    pub(super) async fn build(&self, mut call: Call) -> Result<Response<Body>, Denied> {
        self.own.scope.ceiling.hold_build(&mut call.route.query);
        if build::form::is_buildkit(&call.route.query) {
            return self.form(call).await;
        }
        self.classic(call).await
    }
}
