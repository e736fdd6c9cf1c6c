//! A push for one job: the image has its real name as long as the push goes on, and no longer.

use std::sync::Arc;

use hyper::Response;
use hyper::header::{CONTENT_LENGTH, HeaderValue, TRANSFER_ENCODING};

use super::advice::explained;
use super::credential::REGISTRY_AUTH;
use super::daemon::Body;
use super::handle::{Call, Handler};
use super::host_name::{self, Lent};
use super::own::Own;
use super::own_image::named;
use super::progress::{Progress, channel, error_line, is_error};
use super::push::{Pushed, Watch};
use super::refusal::Denied;
use super::registries::Errand;
use crate::docker::reference::Reference;

/// An account of nobody: engines before 28 refuse a push without any, and not every client sends one.
const NOBODY: &str = "e30=";

impl Handler {
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
        let Some(found) = self.own.own_named(&name).await? else {
            return Err(Denied::missing(format!(
                "An image does not exist locally with the tag: {} (a job pushes what it built, \
                 tagged or pulled itself)",
                name.tagged()
            )));
        };
        let registries = &self.own.scope.registries;
        let account = registries.header(&call.asked.headers, &name, Errand::Push);
        let account = account.await?;
        let account = account.or_else(|| Some(HeaderValue::from_static(NOBODY)));
        let making = Arc::clone(&self.making).read_owned().await;
        let lent = self.own.host.lend(&name.tagged(), &found.id).await?;
        let mut query = call.route.query.clone();
        query.set("tag", name.tag.as_deref().unwrap_or("latest"));
        let path = call.route.path_of(&name.repository);
        let outgoing = super::forward::Outgoing::new(call.asked.method.clone(), &path, &query)?;
        let sent = outgoing
            .set(REGISTRY_AUTH, account)
            .send(self.engine())
            .await;
        let response = match sent {
            Ok(response) if response.status().is_success() => response,
            other => {
                lent.give_back().await?;
                return other.map(explained);
            }
        };
        let (mut parts, body) = response.into_parts();
        parts.headers.remove(CONTENT_LENGTH);
        parts.headers.remove(TRANSFER_ENCODING);
        let (sender, told) = channel();
        let push = Push {
            own: Arc::clone(&self.own),
            watch: Watch::new(name.familiar()),
            id: found.id,
            name,
            lent,
        };
        // It goes on when the client does not, to give the name back.
        tokio::spawn(async move {
            push.follow(body, sender.closed(), |line| sender.send(line))
                .await;
            drop(making);
        });
        Ok(explained(Response::from_parts(parts, told)))
    }
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
    /// Stops when nobody listens any more.
    async fn follow(mut self, body: Body, gone: impl Future<Output = ()>, tell: impl Fn(Vec<u8>)) {
        let mut progress = Progress::new(body);
        tokio::pin!(gone);
        let mut is_failed = false;
        let whole = loop {
            let lines = tokio::select! {
                lines = progress.next() => lines,
                () = &mut gone => Err(()),
            };
            let lines = match lines {
                Ok(Some(lines)) => lines,
                Ok(None) => break true,
                Err(()) => break false,
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
        };
        drop(progress);
        if whole && !is_failed && !self.watch.has_digest() {
            tell(unrecorded("the engine did not tell it"));
        }
        if let Err(error) = self.lent.give_back().await {
            tell(error_line(&Denied::from(error).message));
        }
    }

    async fn report(&mut self, line: &[u8]) -> Result<(), String> {
        let Some(pushed) = self.watch.take(line) else {
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
        (self.own.scope.on_push)(&pushed)?;
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
