//! `BuildKit`'s way back to the client, for files, secrets and logins: the engine asks, the client serves, and the gate
//! stands between the two.
//!
//! Only services that bring files or secrets to a step are open. The folder of a Dockerfile is not passed on but read
//! here; the files of the context stream through.

mod auth;
mod folder;
mod folders;
mod login;
mod packet;
pub(super) mod parcel;
#[cfg(test)]
mod tests;
mod upload;

use std::sync::Arc;

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
use folders::DOCKERFILE;
pub(super) use folders::Folders;

const UUID: &str = "x-docker-expose-session-uuid";
const SHARED_KEY: &str = "x-docker-expose-session-sharedkey";
const METHOD: &str = "x-docker-expose-session-grpc-method";
/// The folder that the engine asks for.
const FOLDER_NAME: HeaderName = HeaderName::from_static("dir-name");
/// The headers by which a session is told to the engine.
pub(super) fn headers(own: &Own, given: &HeaderMap) -> Result<HeaderMap, Denied> {
    let mut headers = HeaderMap::new();
    for name in [UUID, "x-docker-expose-session-name"] {
        if let Some(value) = given.get(name) {
            headers.insert(HeaderName::from_static(name), value.clone());
        }
    }
    // Folders may be the gate's to send, if the client has none.
    headers.append(
        HeaderName::from_static(METHOD),
        HeaderValue::from_static(FOLDER),
    );
    for value in given.get_all(METHOD) {
        let is_new = |it: &str| is_open(it) && !it.eq_ignore_ascii_case(FOLDER);
        if value.to_str().is_ok_and(is_new) {
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
    /// Whether the client itself sends folders.
    has_folders: bool,
}

impl Session {
    /// The session that a client asks for with these headers.
    pub(super) fn new(own: Arc<Own>, folders: Arc<Folders>, given: &HeaderMap) -> Self {
        let id = given.get(UUID).and_then(|id| id.to_str().ok());
        let id = id.unwrap_or_default().to_owned();
        let is_folder =
            |path: &HeaderValue| path.as_bytes().eq_ignore_ascii_case(FOLDER.as_bytes());
        Self {
            own,
            folders,
            id,
            has_folders: given.get_all(METHOD).iter().any(is_folder),
        }
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
        let _entered = self.folders.enter(&self.id, sender.clone());
        let mut tasks = JoinSet::new();
        let refusal = self.folders.refusal(&self.id);
        tokio::pin!(connection, refusal);
        loop {
            let accepted = tokio::select! {
                accepted = daemon.accept() => accepted,
                ended = &mut connection => return Ok(ended?),
                () = &mut refusal => return Ok(()),
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
        let found = name.and_then(|name| self.folders.find(&self.id, name, self.has_folders));
        match found {
            Some((recipe, part)) if path == FOLDER && !recipe.upload.is_empty() => {
                self.unpacked(call, client, &recipe, part).await
            }
            Some((recipe, _)) if path == FOLDER => {
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
