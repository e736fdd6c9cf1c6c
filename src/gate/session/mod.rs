//! `BuildKit`'s way back to the client, for files, secrets and logins: the engine asks, the client serves, and the gate
//! stands between the two.
//!
//! Only services that bring files or secrets to a step are open. The folder of a Dockerfile is not passed on but read
//! here; the files of the context stream through.

mod auth;
mod folder;
mod login;
mod packet;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use h2::client::SendRequest;
use hyper::header::{HeaderMap, HeaderName, HeaderValue};
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::task::JoinSet;

use super::build::proto::session::{FOLDER, OPEN};
use super::build::recipe::Recipe;
use super::logins::Logins;
use super::own::Own;
use super::refusal::Denied;
use super::tunnel::{self, Call, Failed, PERMISSION_DENIED, UNIMPLEMENTED};
use auth::Reply;

const UUID: &str = "x-docker-expose-session-uuid";
const SHARED_KEY: &str = "x-docker-expose-session-sharedkey";
const METHOD: &str = "x-docker-expose-session-grpc-method";
/// The folder that the engine asks for.
const FOLDER_NAME: HeaderName = HeaderName::from_static("dir-name");
/// What clients call the folder of the Dockerfile.
const DOCKERFILE: &str = "dockerfile";

/// A job has far fewer builds that differ.
const MOST: usize = 4096;

/// Which Dockerfiles the engine may ask for, and how each is read.
#[derive(Debug, Default)]
pub(super) struct Folders(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    /// By the name that the gate gave to the folder.
    by_name: BTreeMap<String, Recipe>,
    /// By the session, where the request of a build cannot name the folder.
    by_session: BTreeMap<String, Recipe>,
}

impl Folders {
    /// Remembers a build that names its folder.
    pub(super) fn add(&self, recipe: Recipe) -> Result<(), Denied> {
        let mut known = self.lock();
        if known.by_name.len() >= MOST {
            return Err(Denied::forbidden(
                "too many builds in one job: build in a job of their own",
            ));
        }
        known.by_name.insert(recipe.folder.clone(), recipe);
        Ok(())
    }

    /// Remembers a build of a session. Two that differ cannot be told apart when the engine asks.
    pub(super) fn bind(&self, session: &str, recipe: Recipe) -> Result<(), Denied> {
        let mut known = self.lock();
        match known.by_session.get(session) {
            Some(other) if *other != recipe => Err(Denied::conflict(
                "a session of the client serves one build only: use a session for each",
            )),
            _ if known.by_session.len() >= MOST => Err(Denied::forbidden(
                "too many builds in one job: build in a job of their own",
            )),
            _ => {
                known.by_session.insert(session.to_owned(), recipe);
                Ok(())
            }
        }
    }

    fn find(&self, session: &str, folder: &str) -> Option<Recipe> {
        let known = self.lock();
        let bound = || {
            known
                .by_session
                .get(session)
                .filter(|_| folder == DOCKERFILE)
        };
        known.by_name.get(folder).or_else(bound).cloned()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The headers by which a session is told to the engine.
pub(super) fn headers(own: &Own, given: &HeaderMap) -> Result<HeaderMap, Denied> {
    let mut headers = HeaderMap::new();
    for name in [UUID, "x-docker-expose-session-name"] {
        if let Some(value) = given.get(name) {
            headers.insert(HeaderName::from_static(name), value.clone());
        }
    }
    for value in given.get_all(METHOD) {
        if value.to_str().is_ok_and(is_open) {
            headers.append(HeaderName::from_static(METHOD), value.clone());
        }
    }
    // By this key the engine finds the files that it was sent before: each tenant has its own.
    let key = given.get(SHARED_KEY).map(HeaderValue::as_bytes);
    let key = own.seal("session", &String::from_utf8_lossy(key.unwrap_or_default()));
    let key = HeaderValue::from_str(&key);
    let malformed = |_| Denied::malformed("the session's key is malformed");
    headers.insert(HeaderName::from_static(SHARED_KEY), key.map_err(malformed)?);
    Ok(headers)
}

fn is_open(path: &str) -> bool {
    // The engine compares them so.
    OPEN.iter().any(|known| known.eq_ignore_ascii_case(path))
}

/// One session of a client.
pub(super) struct Session {
    pub(super) own: Arc<Own>,
    pub(super) folders: Arc<Folders>,
    pub(super) id: String,
}

impl Session {
    pub(super) fn new(own: Arc<Own>, folders: Arc<Folders>, headers: &HeaderMap) -> Self {
        let id = headers.get(UUID).and_then(|id| id.to_str().ok());
        let id = id.unwrap_or_default().to_owned();
        Self { own, folders, id }
    }

    /// Serves it until either end closes.
    pub(super) async fn serve(self, client: OnUpgrade, daemon: OnUpgrade) -> Result<(), Failed> {
        let (client, daemon) = (client.await?, daemon.await?);
        Arc::new(self)
            .join(TokioIo::new(client), TokioIo::new(daemon))
            .await
    }

    async fn join<C, D>(self: Arc<Self>, client: C, daemon: D) -> Result<(), Failed>
    where
        C: AsyncRead + AsyncWrite + Unpin + Send + 'static,
        D: AsyncRead + AsyncWrite + Unpin,
    {
        let mut daemon = tunnel::accept(daemon).await?;
        let (sender, connection) = tunnel::connect(client).await?;
        let mut tasks = JoinSet::new();
        tokio::pin!(connection);
        loop {
            let accepted = tokio::select! {
                accepted = daemon.accept() => accepted,
                ended = &mut connection => return Ok(ended?),
            };
            let Some(accepted) = accepted else {
                return Ok(());
            };
            let (request, respond) = accepted?;
            let (session, sender) = (Arc::clone(&self), sender.clone());
            while tasks.try_join_next().is_some() {}
            tasks.spawn(async move {
                let answered = session.answer(Call::new(request, respond), sender).await;
                if let Err(error) = answered {
                    tracing::debug!(%error, "stream of a session");
                }
            });
        }
    }

    async fn answer(&self, mut call: Call, client: SendRequest<Bytes>) -> Result<(), Failed> {
        let path = call.path().to_owned();
        if !OPEN.contains(&path.as_str()) {
            let denied = Denied::forbidden(format!("{path} is not open to builds of jobs"));
            return call.refuse(&denied, UNIMPLEMENTED).await;
        }
        if auth::is_question(&path) {
            return self.account(call, client).await;
        }
        let name = call
            .parts
            .headers
            .get(FOLDER_NAME)
            .and_then(|name| name.to_str().ok());
        let recipe = name.and_then(|name| self.folders.find(&self.id, name));
        match recipe {
            Some(recipe) if path == FOLDER => {
                let name = HeaderValue::from_static(DOCKERFILE);
                call.parts.headers.insert(FOLDER_NAME, name);
                let reader = Reader {
                    own: &self.own,
                    recipe: &recipe,
                    client: client.clone(),
                };
                folder::answer(call, client, &reader).await
            }
            // In another form nobody would read it here.
            Some(_) => {
                let denied = Denied::forbidden(
                    "the folder of a Dockerfile is sent as files: use a newer client",
                );
                call.refuse(&denied, UNIMPLEMENTED).await
            }
            None => call.pass(client, None, None).await,
        }
    }
}

impl Session {
    /// Answers a question for an account.
    async fn account(&self, mut call: Call, client: SendRequest<Bytes>) -> Result<(), Failed> {
        let path = call.path().to_owned();
        let asked = async {
            let message = call.message().await?;
            let reply = auth::reply(&path, &message, &self.own.scope.registries).await;
            Ok((message, reply?))
        };
        match asked.await {
            Ok((message, Reply::Client)) => call.pass(client, Some(message), None).await,
            Ok((_, Reply::Gate(answer))) => call.reply(&answer).await,
            Ok((_, Reply::Nobody)) => {
                let denied = Denied::forbidden("the engine asks for this account itself");
                call.refuse(&denied, UNIMPLEMENTED).await
            }
            Err(denied) => call.refuse(&denied, PERMISSION_DENIED).await,
        }
    }
}

/// Reads Dockerfiles as one build does.
struct Reader<'a> {
    own: &'a Own,
    recipe: &'a Recipe,
    client: SendRequest<Bytes>,
}

impl Logins for Reader<'_> {
    async fn header(&self, registry: &str) -> HeaderMap {
        login::header(self.client.clone(), registry).await
    }
}

impl folder::Rewrite for Reader<'_> {
    fn is_wanted(&self, path: &str) -> bool {
        let wanted = self.recipe.path();
        let parts = wanted.split('/').filter(|part| !matches!(*part, "" | "."));
        parts.eq(path.split('/'))
    }

    async fn rewrite(&self, content: &[u8]) -> Result<Vec<u8>, Denied> {
        self.own.dockerfile(self.recipe, content, self).await
    }

    fn mark(&self, content: &[u8]) -> u64 {
        let text: String = content.iter().map(|byte| char::from(*byte)).collect();
        let hex = self.own.seal("content", &text);
        u64::from_str_radix(&hex[..15], 16).unwrap_or_default()
    }
}
