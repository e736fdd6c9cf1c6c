//! Images of a job: listed, pulled, named, pushed, removed.
//!
//! Whose an image is, `own` says.

use std::sync::Arc;

use futures_util::StreamExt;
use futures_util::stream::unfold;
use http_body_util::{BodyExt, BodyStream, StreamBody};
use hyper::body::Frame;
use hyper::{Method, Response};
use serde_json::{Value, json};

use super::advice::explained;
use super::credential::REGISTRY_AUTH;
use super::daemon::{Body, full};
use super::handle::{Call, Handler};
use super::own::Own;
use super::push::Watch;
use super::record::Kind;
use super::refusal::Denied;
use super::registries::Errand;
use crate::docker::reference::{self, Reference};

impl Handler {
    /// Images that the job built, and names that it gave or pulled.
    pub(super) async fn images(&self, call: &Call) -> Result<Response<Body>, Denied> {
        let (response, all) = call.to("")?.ask(self.engine()).await?;
        let Value::Array(all) = all else {
            return Ok(response);
        };
        Ok(response.map(|_| full(Value::Array(self.owned(all)).to_string())))
    }

    /// The same, for the gate itself.
    pub(super) async fn own_images(&self) -> Result<Vec<Value>, Denied> {
        let all = self
            .engine()
            .must(Method::GET, "/images/json", None)
            .await?;
        Ok(self.owned(all.as_array().cloned().unwrap_or_default()))
    }

    fn owned(&self, all: Vec<Value>) -> Vec<Value> {
        let is_known = |name: &Value| {
            let name = name
                .as_str()
                .and_then(|text| Reference::parse(text).ok())
                .map(|name| name.tagged());
            name.is_some_and(|name| self.own.record.kind(&name).is_some())
        };
        all.into_iter()
            .filter_map(|mut image| {
                let tags = image["RepoTags"].as_array().cloned().unwrap_or_default();
                let tags: Vec<Value> = tags.into_iter().filter(is_known).collect();
                let is_own = self.own.is_built(&image["Labels"]) || !tags.is_empty();
                image["RepoTags"] = if tags.is_empty() {
                    Value::Null
                } else {
                    Value::Array(tags)
                };
                is_own.then_some(image)
            })
            .collect()
    }

    /// What a registry has under a name, asked with the job's own credentials.
    pub(super) async fn distribution(&self, call: &Call) -> Result<Response<Body>, Denied> {
        let name = &call.route.name;
        let reference = named(name)?;
        if !(self.own.scope.images)(name) {
            return Err(Denied::forbidden(format!(
                "the image {name:?} is not open to this job: use an image that the operator allows"
            )));
        }
        let registries = &self.own.scope.registries;
        let auth = registries.header(&call.asked.headers, &reference, Errand::Pull);
        let outgoing = call.to(name)?.set(REGISTRY_AUTH, auth.await?);
        Ok(explained(outgoing.send(self.engine()).await?))
    }

    pub(super) async fn pull(&self, call: &Call) -> Result<Response<Body>, Denied> {
        let query = &call.route.query;
        let (image, tag) = (query.text("fromImage"), query.text("tag"));
        let whole = match tag {
            "" => image.to_owned(),
            digest if digest.starts_with("sha256:") => format!("{image}@{digest}"),
            tag => format!("{image}:{tag}"),
        };
        let name = named(&whole)?;
        if !(self.own.scope.images)(&whole) {
            return Err(Denied::forbidden(format!(
                "the image {whole:?} is not open to this job: use an image that the operator allows"
            )));
        }
        let registries = &self.own.scope.registries;
        let auth = registries.header(&call.asked.headers, &name, Errand::Pull);
        let auth = auth.await?;
        if name.digest.is_none() {
            self.own.claim(&name, Kind::Pulled, None).await?;
        }
        let outgoing = call.to("")?.set(REGISTRY_AUTH, auth);
        Ok(explained(outgoing.send(self.engine()).await?))
    }

    pub(super) async fn tag(&self, call: &Call) -> Result<Response<Body>, Denied> {
        let query = &call.route.query;
        let (repository, tag) = (query.text("repo"), query.text("tag"));
        let name = named(&if tag.is_empty() {
            repository.to_owned()
        } else {
            format!("{repository}:{tag}")
        })?;
        let source = self.own.readable_id(&call.route.name).await?;
        self.own
            .claim(&name, Kind::Made, Some(source.clone()))
            .await?;
        call.to(&source)?.send(self.engine()).await
    }

    /// Pushes one name. Whole repositories are not: each digest must be known to be the job's.
    pub(super) async fn push(&self, call: &Call) -> Result<Response<Body>, Denied> {
        let mut name = named(&call.route.name)?;
        match call.route.query.text("tag") {
            "" if name.tag.is_some() => {}
            "" => {
                return Err(Denied::forbidden(
                    "pushing all tags at once is not open to jobs: push each by its name",
                ));
            }
            tag => name = named(&format!("{}:{tag}", name.repository))?,
        }
        let Some(id) = self.own.made(&name).await? else {
            return Err(Denied::forbidden(format!(
                "{} was not made by this job: build or tag it here, then push it",
                name.tagged()
            )));
        };
        let outgoing = call.to(&call.route.name)?;
        let registries = &self.own.scope.registries;
        let auth = registries.header(&call.asked.headers, &name, Errand::Push);
        let outgoing = outgoing.set(REGISTRY_AUTH, auth.await?);
        let response = outgoing.send(self.engine()).await?;
        let watch = Watch::new(name.familiar());
        let watching = Watching {
            own: Arc::clone(&self.own),
            watch,
            id,
            name,
        };
        if !response.status().is_success() {
            return Ok(explained(response));
        }
        Ok(explained(response.map(|body| watching.body(body))))
    }

    pub(super) async fn untag(&self, call: &Call) -> Result<Response<Body>, Denied> {
        let name = &call.route.name;
        if reference::is_id(name)
            && let Some(id) = self.own.removable(name).await?
        {
            return call.to(&id)?.send(self.engine()).await;
        }
        let made = match Reference::parse(name) {
            Ok(name) if self.own.record.kind(&name.tagged()) == Some(Kind::Made) => Some(name),
            Ok(_) | Err(_) => None,
        };
        let Some(made) = made else {
            return Err(Denied::forbidden(format!(
                "the image {name} was not made by this job, so it stays; what the job made is \
                 removed when it ends"
            )));
        };
        call.to(&made.tagged())?.send(self.engine()).await
    }
}

/// The progress of a push, and what the gate knows of the image that is pushed.
struct Watching {
    own: Arc<Own>,
    watch: Watch,
    id: String,
    name: Reference,
}

impl Watching {
    /// The same bytes, each digest reported before the client sees it. If that fails, the client
    /// sees the failure instead.
    fn body(self, body: Body) -> Body {
        let stream = unfold(
            (self, BodyStream::new(body)),
            |(mut watching, mut frames)| async {
                let frame = match frames.next().await {
                    Some(Ok(frame)) => frame,
                    Some(Err(error)) => return Some((Err(error), (watching, frames))),
                    None => {
                        let frame = Frame::data(watching.last_words()?.into());
                        return Some((Ok(frame), (watching, frames)));
                    }
                };
                let error = match frame.data_ref() {
                    Some(bytes) => watching.report(&bytes.clone()).await.err(),
                    None => None,
                };
                let frame = error.map_or(frame, |error| Frame::data(failure(&error).into()));
                Some((Ok(frame), (watching, frames)))
            },
        );
        StreamBody::new(stream).boxed_unsync()
    }

    /// What the client is told at the end of a push that told of no digest: it would ship what nobody
    /// wrote down.
    fn last_words(&mut self) -> Option<String> {
        self.watch.is_silent().then(|| {
            let words = failure("the engine told of no digest");
            self.watch.take(words.as_bytes());
            words
        })
    }

    async fn report(&mut self, bytes: &[u8]) -> Result<(), String> {
        let own = &self.own;
        for pushed in self.watch.take(bytes) {
            // The name could have been moved between our look and the push.
            let known = own.has_digest(&self.id, &self.name, &pushed.digest).await;
            if !known.map_err(|denied| denied.message)? {
                return Err(format!(
                    "{} is not the digest of the image made here",
                    pushed.digest
                ));
            }
            (own.scope.on_push)(&pushed)?;
        }
        Ok(())
    }
}

fn named(text: &str) -> Result<Reference, Denied> {
    Reference::parse(text)
        .map_err(|_| Denied::malformed(format!("the image name {text:?} is malformed")))
}

/// A line of progress that ends a push in failure, as the engine writes it.
fn failure(error: &str) -> String {
    let message = format!("dockmaster: the pushed digest cannot be recorded: {error}");
    format!(
        "{}\r\n",
        json!({ "errorDetail": { "message": message }, "error": message })
    )
}
