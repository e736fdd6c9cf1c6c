//! `BuildKit`'s own interface, as buildx speaks it: HTTP/2 on an upgraded connection.
//!
//! Each stream is judged by its method, and a build by its request; what passes is streamed both
//! ways. Knows no more of the messages than `solve` does.

use std::pin::pin;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use bytes::Bytes;
use h2::client::SendRequest;
use hyper::header::{HeaderMap, HeaderValue};
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio::task::JoinSet;

use super::build::Build;
use super::build::proto::control;
use super::build::solve::{self, Method};
use super::build::status;
use super::own::Own;
use super::publish::publish;
use super::refusal::Denied;
use super::session::Folders;
use super::tunnel::{self, Call, Failed, Outward, PERMISSION_DENIED, UNIMPLEMENTED, UNKNOWN};
use crate::docker::reference::Reference;

/// Serves the streams of one connection until it ends.
pub(super) async fn serve(
    own: Arc<Own>,
    folders: Arc<Folders>,
    client: OnUpgrade,
    daemon: OnUpgrade,
) -> Result<(), Failed> {
    let mut client = tunnel::accept(TokioIo::new(client.await?)).await?;
    let (sender, connection) = tunnel::connect(TokioIo::new(daemon.await?)).await?;
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        if let Err(error) = connection.await {
            tracing::debug!(%error, "connection to BuildKit");
        }
    });
    while let Some(accepted) = client.accept().await {
        let (request, respond) = accepted?;
        let stream = Stream {
            own: Arc::clone(&own),
            folders: Arc::clone(&folders),
            sender: sender.clone(),
        };
        tasks.spawn(async move {
            if let Err(error) = stream.answer(Call::new(request, respond)).await {
                tracing::debug!(%error, "stream of a build");
            }
        });
    }
    Ok(())
}

struct Stream {
    own: Arc<Own>,
    folders: Arc<Folders>,
    sender: SendRequest<Bytes>,
}

impl Stream {
    async fn answer(self, mut call: Call) -> Result<(), Failed> {
        let path = call.path().to_owned();
        if let Some(messages) = solve::messages_here(&path) {
            return call.tell_nothing(messages).await;
        }
        if !solve::is_open(&path) {
            let denied = Denied::forbidden(format!("{path} is not open to jobs"));
            return call.refuse(&denied, UNIMPLEMENTED).await;
        }
        let outward = Names {
            own: &self.own,
            rewrite: match path.as_str() {
                control::STATUS => Some(status::rewrite),
                control::SOLVE => Some(status::solved),
                _ => None,
            },
        };
        let Some(method) = Method::of(&path) else {
            return call.pass(self.sender, None, Some(&outward)).await;
        };
        match self.judged(method, &mut call).await {
            Ok(asked) if asked.pushes.is_empty() => {
                let message = Some(asked.message);
                call.pass(self.sender, message, Some(&outward)).await
            }
            Ok(asked) => self.pushed(call, asked, &outward).await,
            Err(denied) => call.refuse(&denied, PERMISSION_DENIED).await,
        }
    }

    /// Builds, then pushes what was built, before the client is told of either.
    async fn pushed(
        &self,
        mut call: Call,
        asked: Asked,
        outward: &Names<'_>,
    ) -> Result<(), Failed> {
        let mut told = call.ask(self.sender.clone(), &asked.message).await?;
        told.end = outward.trailers(told.end);
        let built = match &told.message {
            Some(built) if told.is_good() => built.clone(),
            _ => return call.tell(told).await,
        };
        let logins = self.folders.logins(&asked.session);
        let pushed = {
            let gone = pin!(call.given_up());
            publish(&self.own, &asked.pushes, &built, &logins, gone).await
        };
        if let Err(denied) = pushed {
            return call.refuse(&denied, UNKNOWN).await;
        }
        told.message = Some(outward.message(&built).into());
        call.tell(told).await
    }

    /// Reads the request of a build and writes it anew: once to learn its names, once with what they are called.
    async fn judged(&self, method: Method, call: &mut Call) -> Result<Asked, Denied> {
        let message = call.message().await?;
        let held = self.own.held();
        let mut build = Build::default();
        solve::judge(method, &message, held.as_realm(), &mut build)?;
        let pushes = std::mem::take(&mut build.pushes);
        let pushes = self.own.published(pushes).await?;
        let mut spoken = self.own.speak(&build).await?;
        let judged = solve::judge(method, &message, held.as_realm(), &mut spoken)?;
        let session = match method {
            Method::Control => {
                self.folders.note(&judged.reference, &judged.session)?;
                judged.session
            }
            Method::Gateway => {
                let build = call.parts.headers.get(BUILD);
                let build = build.and_then(|build| build.to_str().ok());
                self.folders.session_of(build.unwrap_or_default())
            }
        };
        if !judged.recipe.upload.is_empty() {
            self.folders.expect(&session, &judged.recipe.upload)?;
        }
        self.folders.add(judged.recipe)?;
        Ok(Asked {
            message: judged.written.into(),
            pushes,
            session,
        })
    }
}

/// A build that passed.
struct Asked {
    /// For the engine.
    message: Bytes,
    /// What the gate pushes afterwards.
    pushes: Vec<Reference>,
    session: String,
}

/// Writes a message with other names.
type Rewrite = fn(&[u8], &dyn Fn(&str) -> String) -> Vec<u8>;

/// Answers for the job: images as it calls them.
struct Names<'a> {
    own: &'a Own,
    rewrite: Option<Rewrite>,
}

/// The build that a part of a build belongs to.
const BUILD: &str = "buildkit-controlapi-buildid";

/// What an error says beside its message, in base64.
const DETAILS: &str = "grpc-status-details-bin";

impl Names<'_> {
    fn details(&self, value: &[u8]) -> Option<HeaderValue> {
        let unpadded = value
            .strip_suffix(b"==")
            .or(value.strip_suffix(b"="))
            .unwrap_or(value);
        let read = STANDARD_NO_PAD.decode(unpadded).ok()?;
        let written = status::details(&read, &|text| self.own.shown(text))?;
        HeaderValue::from_str(&STANDARD_NO_PAD.encode(written)).ok()
    }
}

impl Outward for Names<'_> {
    fn is_for_messages(&self) -> bool {
        self.rewrite.is_some()
    }

    fn message(&self, message: &[u8]) -> Vec<u8> {
        match self.rewrite {
            Some(rewrite) => rewrite(message, &|text| self.own.shown(text)),
            None => message.to_vec(),
        }
    }

    fn trailers(&self, mut trailers: HeaderMap) -> HeaderMap {
        let said = trailers
            .get("grpc-message")
            .and_then(|text| text.to_str().ok());
        let said = said.map(|text| HeaderValue::from_str(&self.own.shown(text)));
        if let Some(Ok(said)) = said {
            trailers.insert("grpc-message", said);
        }
        if let Some(value) = trailers.remove(DETAILS)
            && let Some(details) = self.details(value.as_bytes())
        {
            trailers.insert(DETAILS, details);
        }
        trailers
    }
}
