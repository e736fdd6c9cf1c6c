//! Passing a judged request on, and its answer back: streamed, or as two joined pipes.
//!
//! Knows no endpoint.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream::unfold;
use http_body_util::{BodyExt, Limited, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::header::{
    CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue,
    TRANSFER_ENCODING, UPGRADE,
};
use hyper::upgrade::OnUpgrade;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::sync::mpsc::Receiver;
use tokio::task::JoinSet;

use super::daemon::{Body, Daemon, empty, full, incoming};
use super::query::Query;
use super::refusal::Denied;

/// Bodies that are read whole are never larger.
const SMALL: usize = 1024 * 1024;
/// How much of a refused body is read, and for how long.
const DRAINED: usize = 1024 * 1024 * 1024;
const PATIENCE: Duration = Duration::from_secs(30);

/// Work that goes on after an answer: joined pipes. Ended when the gate closes.
#[derive(Debug, Clone, Default)]
pub(super) struct Tasks(Arc<Mutex<JoinSet<()>>>);

impl Tasks {
    pub(super) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let mut tasks = self.lock();
        while tasks.try_join_next().is_some() {}
        tasks.spawn(task);
    }

    /// Ends every task.
    pub(super) fn abort(&self) {
        self.lock().abort_all();
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, JoinSet<()>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The body of a request, until somebody reads it.
#[derive(Clone)]
pub(super) struct Slot(Arc<Mutex<Option<Incoming>>>);

impl Slot {
    pub(super) fn take(&self) -> Body {
        let body = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        body.map_or_else(empty, incoming)
    }

    /// Reads what nobody read, for a while: a client that is still writing when the answer comes
    /// would report a broken pipe instead of it.
    pub(super) async fn drain(&self) {
        let mut body = Limited::new(self.take(), DRAINED);
        let reading = async { while let Some(Ok(_)) = body.frame().await {} };
        if tokio::time::timeout(PATIENCE, reading).await.is_err() {
            tracing::debug!("a refused client did not come to its end");
        }
    }
}

/// A request of a client, taken apart.
pub(super) struct Asked {
    pub(super) method: Method,
    pub(super) target: String,
    pub(super) headers: HeaderMap,
    pub(super) body: Slot,
    /// Set if the client asked to go on with another protocol.
    pub(super) upgrade: Option<(HeaderValue, OnUpgrade)>,
}

impl Asked {
    pub(super) fn new(mut request: Request<Incoming>) -> Self {
        let wanted = request.headers().get(UPGRADE).cloned();
        let upgrade = wanted.map(|protocol| (protocol, hyper::upgrade::on(&mut request)));
        let (parts, body) = request.into_parts();
        let target = parts
            .uri
            .path_and_query()
            .map_or("", |target| target.as_str())
            .to_owned();
        Self {
            method: parts.method,
            target,
            headers: parts.headers,
            body: Slot(Arc::new(Mutex::new(Some(body)))),
            upgrade,
        }
    }

    /// Reads a small body.
    pub(super) async fn small(&self) -> Result<Bytes, Denied> {
        let read = Limited::new(self.body.take(), SMALL).collect().await;
        let whole =
            read.map_err(|error| Denied::malformed(format!("the body cannot be read: {error}")))?;
        Ok(whole.to_bytes())
    }
}

/// A request to the daemon, written by us.
pub(super) struct Outgoing {
    request: Request<Body>,
}

impl Outgoing {
    /// `path` must be of our own making: ids, checked names.
    pub(super) fn new(method: Method, path: &str, query: &Query) -> Result<Self, Denied> {
        let mut request = Request::new(empty());
        *request.method_mut() = method;
        let target = format!("{path}{}", query.encode());
        *request.uri_mut() = target
            .parse()
            .map_err(|_| Denied::malformed("the path is malformed"))?;
        Ok(Self { request })
    }

    pub(super) fn json(self, value: &Value) -> Self {
        self.body(full(value.to_string()), "application/json")
    }

    pub(super) fn stream(self, body: &Slot) -> Self {
        // Never a form: the engine would let it override the query.
        self.raw(body.take())
    }

    /// An archive that the gate writes.
    pub(super) fn raw(self, body: Body) -> Self {
        self.body(body, "application/x-tar")
    }

    /// An archive that comes piece by piece.
    pub(super) fn archive(self, pieces: Receiver<Bytes>) -> Self {
        let stream = unfold(pieces, |mut pieces| async {
            let piece = pieces.recv().await?;
            Some((Ok(Frame::data(piece)), pieces))
        });
        self.body(StreamBody::new(stream).boxed_unsync(), "application/x-tar")
    }

    /// Copies one header of the client's, if it is there.
    pub(super) fn header(mut self, from: &HeaderMap, name: &str) -> Self {
        if let Ok(name) = HeaderName::from_bytes(name.as_bytes()) {
            for value in from.get_all(&name) {
                self.request
                    .headers_mut()
                    .append(name.clone(), value.clone());
            }
        }
        self
    }

    /// Adds headers of our own making.
    pub(super) fn headers(mut self, headers: HeaderMap) -> Self {
        self.request.headers_mut().extend(headers);
        self
    }

    /// Sets one header to a value of our own, or leaves it out.
    pub(super) fn set(mut self, name: &'static str, value: Option<HeaderValue>) -> Self {
        if let Some(value) = value {
            self.request.headers_mut().insert(name, value);
        }
        self
    }

    fn body(mut self, body: Body, kind: &'static str) -> Self {
        *self.request.body_mut() = body;
        self.request
            .headers_mut()
            .insert(CONTENT_TYPE, HeaderValue::from_static(kind));
        self
    }

    /// Sends it; the answer streams.
    pub(super) async fn send(self, engine: &Daemon) -> Result<Response<Body>, Denied> {
        let response = engine.send(self.request).await?;
        let (mut parts, body) = response.into_parts();
        for name in [CONNECTION, TRANSFER_ENCODING, UPGRADE] {
            parts.headers.remove(name);
        }
        if parts.status == StatusCode::SWITCHING_PROTOCOLS {
            return Err(Denied::broken(
                "the daemon went on with a protocol nobody asked for",
            ));
        }
        Ok(Response::from_parts(parts, incoming(body)))
    }

    /// Sends it and reads the whole answer.
    pub(super) async fn ask(self, engine: &Daemon) -> Result<(Response<Body>, Value), Denied> {
        let (mut parts, body) = self.send(engine).await?.into_parts();
        let read = body.collect().await;
        let bytes = read
            .map_err(|error| Denied::broken(error.to_string()))?
            .to_bytes();
        let value = serde_json::from_slice(&bytes).unwrap_or(Value::Null);
        parts.headers.remove(CONTENT_LENGTH);
        Ok((Response::from_parts(parts, full(bytes)), value))
    }

    /// Sends it asking to go on with another protocol; the two ends are joined only if the daemon
    /// agrees. A client that did not ask gets the answer as a stream.
    pub(super) async fn join(
        self,
        engine: &Daemon,
        upgrade: Option<(HeaderValue, OnUpgrade)>,
        tasks: &Tasks,
    ) -> Result<Response<Body>, Denied> {
        let (response, ends) = self.upgrade(engine, upgrade).await?;
        if let Some((client, daemon)) = ends {
            tasks.spawn(async move {
                if let Err(error) = pipe(client, daemon).await {
                    tracing::debug!(%error, "joined connection");
                }
            });
        }
        Ok(response)
    }

    /// Sends it asking to go on with another protocol; both ends come back only if the daemon
    /// agrees.
    pub(super) async fn upgrade(
        mut self,
        engine: &Daemon,
        upgrade: Option<(HeaderValue, OnUpgrade)>,
    ) -> Result<(Response<Body>, Option<(OnUpgrade, OnUpgrade)>), Denied> {
        let Some((protocol, client)) = upgrade else {
            return Ok((self.send(engine).await?, None));
        };
        let headers = self.request.headers_mut();
        headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
        headers.insert(UPGRADE, protocol);
        let mut response = engine.send(self.request).await?;
        if response.status() != StatusCode::SWITCHING_PROTOCOLS {
            let (mut parts, body) = response.into_parts();
            for name in [CONNECTION, TRANSFER_ENCODING, UPGRADE] {
                parts.headers.remove(name);
            }
            return Ok((Response::from_parts(parts, incoming(body)), None));
        }
        let daemon = hyper::upgrade::on(&mut response);
        let (parts, _) = response.into_parts();
        Ok((Response::from_parts(parts, empty()), Some((client, daemon))))
    }
}

async fn pipe(
    client: OnUpgrade,
    daemon: OnUpgrade,
) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let (client, daemon) = (client.await?, daemon.await?);
    let (mut client, mut daemon) = (TokioIo::new(client), TokioIo::new(daemon));
    tokio::io::copy_bidirectional(&mut client, &mut daemon).await?;
    Ok(())
}
