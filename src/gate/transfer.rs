//! Images that go to a client as an archive, and come from one.
//!
//! Knows how streams are joined; what an archive may hold is in `archive`.

use std::sync::Arc;

use hyper::Response;
use hyper::header::CONTENT_LENGTH;
use tokio::runtime::Handle;

use super::archive;
use super::daemon::Body;
use super::handle::{Call, Handler};
use super::own::Own;
use super::pieces::{incoming, outgoing};
use super::refusal::Denied;
use super::unpack;
use crate::docker::reference::Reference;

/// What a packed archive of images may become.
const MOST_LOADED: u64 = 64 << 30;

impl Handler {
    /// Images that the job may use, as an archive with the names that the job knows.
    pub(super) async fn save(&self, mut call: Call) -> Result<Response<Body>, Denied> {
        let given: Vec<String> = match call.route.name.as_str() {
            "" => call.route.query.all("names").map(str::to_owned).collect(),
            name => vec![name.to_owned()],
        };
        let mut names = Vec::new();
        for name in given.iter().flat_map(|name| name.split(',')) {
            names.push(self.saved_name(name).await?);
        }
        let path = if call.route.name.is_empty() {
            call.route.query.remove("names");
            for name in &names {
                call.route.query.push("names", name.as_str());
            }
            String::new()
        } else {
            names.pop().unwrap_or_default()
        };
        let mut response = call.to(&path)?.send(self.engine()).await?;
        if !response.status().is_success() {
            return Ok(response);
        }
        response.headers_mut().remove(CONTENT_LENGTH);
        let own = Arc::clone(&self.own);
        Ok(response.map(|body| {
            let (reader, feed) = incoming(body);
            let (writer, end, written) = outgoing();
            tokio::spawn(feed);
            tokio::task::spawn_blocking(move || {
                let mut rename = |name: &str| Ok(own.scope.names.shown_tag(name));
                match archive::rewrite(reader, writer, &mut rename) {
                    Ok(()) => end.tell(),
                    // Without an end, so that the client does not take it for a whole one.
                    Err(denied) => tracing::debug!(denied.message, "an archive for a job"),
                }
            });
            written
        }))
    }

    /// What the engine shall call an image that is saved.
    async fn saved_name(&self, name: &str) -> Result<String, Denied> {
        Ok(self.own.usable(name).await?.name)
    }

    /// Images of an archive become the job's own.
    pub(super) async fn load(&self, mut call: Call) -> Result<Response<Body>, Denied> {
        // Only the names are wanted of the answer.
        call.route.query.set("quiet", "1");
        let _making = self.making.read().await;
        let (reader, feed) = incoming(call.asked.body.take());
        let (writer, end, written) = outgoing();
        let (own, runtime) = (Arc::clone(&self.own), Handle::current());
        let rewriting = tokio::task::spawn_blocking(move || {
            let mut rename = |name: &str| runtime.block_on(claimed(&own, name)).map(Some);
            let rewritten = unpack::plain(reader, MOST_LOADED)
                .and_then(|reader| archive::rewrite(reader, writer, &mut rename));
            // The engine says what it thinks of what came; a fault of ours is told instead of that.
            end.tell();
            rewritten
        });
        let asking = call.to("")?.raw(written).ask(self.engine());
        let (answered, rewritten, ()) = tokio::join!(asking, rewriting, feed);
        let (response, _) = answered?;
        if !response.status().is_success() {
            return Ok(response);
        }
        rewritten.map_err(|error| Denied::broken(error.to_string()))??;
        Ok(response)
    }
}

async fn claimed(own: &Own, name: &str) -> Result<String, Denied> {
    if name.is_empty() {
        // Nobody could tell later whose it is.
        return Err(Denied::malformed(
            "the archive holds an image without a name: save it by its name",
        ));
    }
    let name = Reference::parse(name)
        .map_err(|_| Denied::malformed(format!("the image name {name:?} is malformed")))?;
    own.claim(&name).await
}
