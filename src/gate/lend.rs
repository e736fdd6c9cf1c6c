//! A push for one job: the image has its real name as long as the push goes on, and no longer.

use std::collections::VecDeque;
use std::pin::{Pin, pin};
use std::sync::Arc;

use http_body_util::BodyExt;
use hyper::header::{CONTENT_LENGTH, HeaderValue, TRANSFER_ENCODING};
use hyper::{Method, Response};
use serde_json::Value;

use super::advice::explained;
use super::credential::{REGISTRY_AUTH, no_account};
use super::daemon::Body;
use super::forward::Outgoing;
use super::handle::{Call, Handler};
use super::host_name::{self, Lent};
use super::own::Own;
use super::own_image::named;
use super::progress::{Progress, channel, error_line, is_error};
use super::push::{Pushed, Watch, manifest};
use super::query::Query;
use super::refusal::Denied;
use super::registries::Errand;
use crate::docker::reference::Reference;

impl Handler {
    /// Pushes one name, or each that the job has given in a repository, one after the other.
    pub(super) async fn push(&self, call: &Call) -> Result<Response<Body>, Denied> {
        let mut wishes = self.own.wishes(call).await?;
        let making = Arc::clone(&self.making).read_owned().await;
        let own = Arc::clone(&self.own);
        let first = wishes.pop_front();
        let first = first.ok_or_else(|| Denied::missing("there is nothing to push"))?;
        let (mut parts, body, push) = match first.begin(Arc::clone(&own)).await? {
            Begun::Going(response, push) => {
                let (parts, body) = response.into_parts();
                (parts, body, push)
            }
            Begun::Refused(response) => return Ok(explained(response)),
        };
        parts.headers.remove(CONTENT_LENGTH);
        parts.headers.remove(TRANSFER_ENCODING);
        let (sender, told) = channel();
        // It goes on when the client does not, to give the name back.
        tokio::spawn(async move {
            let mut gone = pin!(sender.closed());
            let mut tell = |line: Vec<u8>| sender.send(line);
            let mut is_good = push.follow(body, gone.as_mut(), &mut tell).await.is_some();
            while let Some(wish) = wishes.pop_front().filter(|_| is_good) {
                let pushed = wish.send(Arc::clone(&own), gone.as_mut(), &mut tell);
                is_good = pushed.await.is_some();
            }
            drop(making);
        });
        Ok(explained(Response::from_parts(parts, told)))
    }
}

impl Own {
    /// What a push asks for, with the account for it.
    async fn wishes(&self, call: &Call) -> Result<VecDeque<Wish>, Denied> {
        let mut wishes = VecDeque::new();
        for (name, id) in self.pushed_names(call).await? {
            let registries = &self.scope.registries;
            let account = registries.header(&call.asked.headers, &name, Errand::Push);
            let account = account.await?;
            let platform = call.route.query.text("platform").to_owned();
            wishes.push_back(Wish {
                name,
                id,
                platform,
                account,
            });
        }
        Ok(wishes)
    }

    /// The names that a push asks for, with the ids of their images; never none.
    async fn pushed_names(&self, call: &Call) -> Result<Vec<(Reference, String)>, Denied> {
        let mut name = named(&call.route.name)?;
        if name.digest.is_some() {
            return Err(Denied::malformed("cannot push a digest reference"));
        }
        let names = match call.route.query.text("tag") {
            "" if name.tag.is_none() => self.tags_of(&name).await?,
            tag => {
                if !tag.is_empty() {
                    name = named(&format!("{}:{tag}", name.repository))?;
                }
                let found = self.own_named(&name).await?;
                found
                    .map(|found| (name.clone(), found.id))
                    .into_iter()
                    .collect()
            }
        };
        if names.is_empty() {
            return Err(Denied::missing(format!(
                "An image does not exist locally with the tag: {} (a job pushes what it built, \
                 tagged or pulled itself)",
                name.text()
            )));
        }
        Ok(names)
    }

    /// Every name that the job has given in a repository.
    async fn tags_of(&self, repository: &Reference) -> Result<Vec<(Reference, String)>, Denied> {
        let mut tags = Vec::new();
        for image in self.images().await? {
            let names = image.names.iter();
            let names = names.filter_map(|name| self.scope.names.shown_tag(name));
            for name in names.filter_map(|name| Reference::parse(&name).ok()) {
                if name.repository == repository.repository {
                    tags.push((name, image.id.clone()));
                }
            }
        }
        tags.sort_by(|one, other| one.0.tag.cmp(&other.0.tag));
        Ok(tags)
    }
}

/// A name that goes to its registry.
pub(super) struct Wish {
    pub(super) name: Reference,
    pub(super) id: String,
    /// As clients ask for it; the empty one is the image as it is.
    pub(super) platform: String,
    pub(super) account: Option<HeaderValue>,
}

/// What the engine says to a push.
enum Begun {
    Going(Response<Body>, Box<Push>),
    Refused(Response<Body>),
}

impl Wish {
    async fn begin(self, own: Arc<Own>) -> Result<Begun, Denied> {
        let lent = own.host.lend(&self.name.tagged(), &self.id).await?;
        let mut query = Query::default();
        query.push("tag", self.name.tag.as_deref().unwrap_or("latest"));
        if !self.platform.is_empty() {
            query.push("platform", self.platform.as_str());
        }
        let path = format!("/images/{}/push", self.name.repository);
        let outgoing = Outgoing::new(Method::POST, &path, &query)?
            // Engines before 28 refuse a push without any, and not every client sends one.
            .set(REGISTRY_AUTH, Some(self.account.unwrap_or_else(no_account)));
        let response = match outgoing.send(&own.engine).await {
            Ok(response) if response.status().is_success() => response,
            other => {
                lent.give_back().await?;
                return other.map(Begun::Refused);
            }
        };
        let push = Push {
            own,
            watch: Watch::new(self.name.familiar()),
            id: self.id,
            name: self.name,
            lent,
        };
        Ok(Begun::Going(response, Box::new(push)))
    }

    /// Pushes, and tells all of it as progress; the digest, if all went well.
    pub(super) async fn send(
        self,
        own: Arc<Own>,
        gone: Pin<&mut impl Future<Output = ()>>,
        tell: &mut impl FnMut(Vec<u8>),
    ) -> Option<String> {
        let refused = match self.begin(own).await {
            Ok(Begun::Going(response, push)) => {
                return push.follow(response.into_body(), gone, tell).await;
            }
            Ok(Begun::Refused(response)) => said(response).await,
            Err(denied) => denied.message,
        };
        tell(error_line(&refused));
        None
    }
}

/// The sentence of a refusal of the engine's.
async fn said(response: Response<Body>) -> String {
    let status = response.status();
    let bytes = response.into_body().collect().await;
    let bytes = bytes
        .map(http_body_util::Collected::to_bytes)
        .unwrap_or_default();
    let value: Value = serde_json::from_slice(&bytes).unwrap_or_default();
    let message = value["message"].as_str().map(str::to_owned);
    message.unwrap_or_else(|| format!("the engine answers a push with {status}"))
}

/// A push that goes on.
struct Push {
    own: Arc<Own>,
    watch: Watch,
    id: String,
    name: Reference,
    lent: Lent,
}

impl Push {
    /// Tells every line, each digest reported before the client sees it; what fails is told instead.
    /// Stops when nobody listens any more. The digest, if all went well.
    async fn follow(
        mut self,
        body: Body,
        mut gone: Pin<&mut impl Future<Output = ()>>,
        tell: &mut impl FnMut(Vec<u8>),
    ) -> Option<String> {
        let mut progress = Progress::new(body);
        let mut is_failed = false;
        loop {
            let lines = tokio::select! {
                lines = progress.next() => lines,
                () = &mut gone => {
                    is_failed = true;
                    break;
                }
            };
            let lines = match lines {
                Ok(Some(lines)) => lines,
                Ok(None) => break,
                Err(error) => {
                    is_failed = true;
                    tell(error_line(&format!(
                        "the engine broke off the push: {error}"
                    )));
                    break;
                }
            };
            for line in lines {
                is_failed |= is_error(&line);
                match self.report(&line).await {
                    Ok(()) => tell(line),
                    Err(error) => {
                        is_failed = true;
                        tell(unrecorded(&error));
                    }
                }
            }
        }
        drop(progress);
        let digest = self.watch.digest();
        if !is_failed && digest.is_none() {
            tell(unrecorded("the engine did not tell it"));
        }
        if let Err(error) = self.lent.give_back().await {
            tell(error_line(&Denied::from(error).message));
            return None;
        }
        digest.filter(|_| !is_failed)
    }

    async fn report(&mut self, line: &[u8]) -> Result<(), String> {
        let Some(mut pushed) = self.watch.take(line) else {
            return Ok(());
        };
        // Somebody of the host could have moved the name between our look and the push.
        let now = self.lent.id().await.map_err(|error| error.to_string())?;
        if now.as_ref() != Some(&self.id) {
            return Err(format!(
                "{} is not the digest of the image made here",
                pushed.digest
            ));
        }
        let image = format!("/images/{}/json?manifests=1", self.id);
        let image = self.own.engine.must(Method::GET, &image, None).await;
        let image = image.map_err(|error| error.to_string())?;
        pushed.manifest = manifest(&image, &pushed.digest);
        (self.own.scope.on_push)(&pushed).await?;
        self.keep(&pushed).await.map_err(|denied| denied.message)
    }

    /// Lets the job find its image by the digest that it was pushed with.
    async fn keep(&self, pushed: &Pushed) -> Result<(), Denied> {
        let private = self.own.scope.names.digest(&self.name, &pushed.digest)?;
        Ok(host_name::tag(&self.own.engine, &self.id, &private).await?)
    }
}

fn unrecorded(error: &str) -> Vec<u8> {
    error_line(&format!("the pushed digest cannot be recorded: {error}"))
}
