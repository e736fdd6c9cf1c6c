//! The two roads by which a job builds: the query of `/build`, and `BuildKit`'s own interface.
//!
//! Both are judged by what they name, as one [`Build`](super::build::Build).

use std::sync::Arc;

use futures_util::stream::unfold;
use http_body_util::{BodyExt, StreamBody};
use hyper::Response;
use hyper::body::Frame;
use serde_json::Value;

use super::build;
use super::daemon::Body;
use super::handle::{Call, Handler};
use super::own::Own;
use super::progress::Progress;
use super::refusal::Denied;
use crate::docker::reference;

impl Handler {
    pub(super) async fn build(&self, mut call: Call) -> Result<Response<Body>, Denied> {
        self.own.scope.ceiling.hold_build(&mut call.route.query);
        if build::form::is_buildkit(&call.route.query) {
            return self.form(call).await;
        }
        self.classic(call).await
    }
}

/// The same answer; what it says was made without a name becomes the job's before the client knows.
pub(super) fn kept(own: Arc<Own>, response: Response<Body>) -> Response<Body> {
    response.map(|body| {
        let stream = unfold((own, Progress::new(body)), |(own, mut progress)| async {
            let lines = progress.next().await.ok()??;
            for line in &lines {
                let made = serde_json::from_slice::<Value>(line).unwrap_or_default();
                let id = made["aux"]["ID"].as_str().filter(|id| reference::is_id(id));
                if let Some(id) = id
                    && let Err(denied) = own.keep(id).await
                {
                    tracing::warn!(id, denied.message, "an image of a build has no name");
                }
            }
            Some((Ok(Frame::data(lines.concat().into())), (own, progress)))
        });
        StreamBody::new(stream).boxed_unsync()
    })
}
