//! A build by the classic builder: its context passes through, its Dockerfile is written anew.
//!
//! The engine reads images by their ids, and each stage begins with a label of the tenant: what the
//! builder keeps of a step belongs to one tenant, for it looks for it among what was made after that
//! label. The layers stay after the job.

mod base;
mod context;
mod feed;
mod ignore;
mod kept;
mod output;

use std::collections::BTreeMap;
use std::sync::Arc;

use futures_util::StreamExt;
use futures_util::stream::unfold;
use http_body_util::{BodyExt, BodyStream, StreamBody};
use hyper::Response;
use hyper::body::Frame;
use hyper::header::{CONTENT_LENGTH, HeaderMap};
use serde_json::Value;
use tokio::sync::mpsc;

use super::build::{Build, Forced, judge};
use super::daemon::Body;
use super::dockerfile::{self, Cache, Given, Road};
use super::handle::{Call, Handler};
use super::json;
use super::own::Own;
use super::query::Query;
use super::refusal::Denied;
use context::{Context, Found};
pub(in crate::gate) use kept::CACHE;
use output::Output;

pub use kept::{Layers, Trimmed};

/// How many pieces of a context may wait for the engine.
const WAITING: usize = 16;

/// What a build says beside its context.
struct Asked {
    build: Build,
    /// As the client named it.
    dockerfile: String,
    args: BTreeMap<String, String>,
    target: String,
    platform: Option<String>,
    is_quiet: bool,
    headers: HeaderMap,
}

impl Handler {
    pub(super) async fn classic(&self, mut call: Call) -> Result<Response<Body>, Denied> {
        let scope = &self.own.scope;
        let forced = Forced {
            network: &scope.network,
            cgroup_parent: scope.cgroup_parent.as_deref(),
        };
        let (build, mut query) = judge(&call.route.query, &forced)?;
        let asked = Asked::new(build, &query, &call.asked.headers)?;
        let names = self.own.admit(&asked.build).await?;
        query = self.own.translated(query, names, &asked.build).await?;
        // No context can hold a file of that name already.
        let name = format!("{}{}", context::OURS, self.own.digits());
        query.set("dockerfile", name.as_str());
        // The gate itself asks the registries.
        query.remove("pull");
        // An image that is loaded or pulled can claim to be any step's result.
        query.remove("cachefrom");
        call.route.query = query;

        let (sender, receiver) = mpsc::channel(WAITING);
        let sending = call.to("")?.archive(receiver).send(self.engine());
        let mut context = Context::new(&asked.dockerfile);
        let feeding = async {
            let found = feed::feed(call.asked.body.take(), &mut context, &sender).await?;
            let (text, output) = self.own.rewritten(&found, &asked).await?;
            let end = context.end(&found, &name, &text);
            let end = end.map_err(Denied::malformed)?;
            sender.send(end).await.map_err(|_| feed::broken_off())?;
            drop(sender);
            Ok::<_, Denied>(output)
        };
        let (output, mut response) = {
            tokio::pin!(sending, feeding);
            let output = tokio::select! {
                fed = &mut feeding => fed?,
                early = &mut sending => return early,
            };
            (output, sending.await?)
        };
        response.headers_mut().remove(CONTENT_LENGTH);
        let told = Told {
            own: Arc::clone(&self.own),
            build: asked.build,
            output,
        };
        Ok(response.map(|body| told.body(body)))
    }
}

impl Asked {
    fn new(build: Build, query: &Query, headers: &HeaderMap) -> Result<Self, Denied> {
        let args = match query.text("buildargs") {
            "" => Value::Null,
            text => json::value(text.as_bytes())?,
        };
        let args = args.as_object().into_iter().flatten();
        let set = args.filter_map(|(name, value)| Some((name.clone(), value.as_str()?.to_owned())));
        let platform = query.text("platform");
        Ok(Self {
            build,
            dockerfile: query.text("dockerfile").to_owned(),
            args: set.collect(),
            target: query.text("target").to_owned(),
            platform: (!platform.is_empty()).then(|| platform.to_owned()),
            is_quiet: query.get("q") == Some("1"),
            headers: headers.clone(),
        })
    }
}

impl Own {
    /// The Dockerfile for the engine, and how its progress is told.
    async fn rewritten(&self, found: &Found, asked: &Asked) -> Result<(Vec<u8>, Output), Denied> {
        let given = Given {
            road: Road::Classic,
            args: &asked.args,
            predefined: &BTreeMap::new(),
            target: &asked.target,
            contexts: &[],
            urls: &self.scope.add_urls,
            frontends: &[],
        };
        let file = dockerfile::read(&found.content, &given)?;
        let (mut names, mut shown) = (BTreeMap::new(), BTreeMap::new());
        for image in file.images() {
            let id = self.base(image, asked).await?;
            shown.insert(id.clone(), image.name.clone());
            names.insert(image.clone(), id);
        }
        self.begin_layers()?;
        let tenant = self.scope.secret.layers();
        let cache = Cache {
            key: CACHE,
            tenant: &tenant,
            once: &self.digits(),
        };
        let text = dockerfile::write(&file, &names, Some(cache))?;
        let label = format!("LABEL {CACHE}={tenant}");
        let output = Output::new(shown, label, file.bases(), asked.is_quiet);
        Ok((text, output))
    }

    /// Makes what a build made the job's, and keeps its layers for the tenant's next job.
    async fn built(&self, build: &Build, output: &Output) -> Result<(), Denied> {
        let Some(result) = output.made().last().filter(|_| output.is_good()) else {
            return Ok(());
        };
        if build.tags.is_empty() {
            self.keep(result).await?;
        }
        for id in output.made() {
            self.keep_layers(id).await?;
        }
        Ok(())
    }
}

/// The progress of a build, on its way to the client.
struct Told {
    own: Arc<Own>,
    build: Build,
    output: Output,
}

impl Told {
    fn body(self, body: Body) -> Body {
        let state = Some((self, BodyStream::new(body)));
        let stream = unfold(state, |state| async {
            let (mut told, mut frames) = state?;
            let bytes = match frames.next().await {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(bytes) => told.output.take(&bytes),
                    Err(_) => Vec::new(),
                },
                Some(Err(error)) => return Some((Err(error), None)),
                None => {
                    let last = told.end().await;
                    return Some((Ok(Frame::data(last.into())), None));
                }
            };
            Some((Ok(Frame::data(bytes.into())), Some((told, frames))))
        });
        StreamBody::new(stream).boxed_unsync()
    }

    async fn end(&mut self) -> Vec<u8> {
        let mut last = self.output.finish();
        if let Err(denied) = self.own.built(&self.build, &self.output).await {
            let message = format!("dockmaster: the image cannot be kept: {}", denied.message);
            let error =
                serde_json::json!({ "errorDetail": { "message": message }, "error": message });
            last.extend_from_slice(format!("{error}\r\n").as_bytes());
        }
        last
    }
}
