//! The Docker daemon behind its unix socket, as plain HTTP: one connection per request.
//!
//! A connection is never used twice, so that a request cannot smuggle a second one behind it.
//! Knows no endpoint.

use std::path::PathBuf;

use bytes::Bytes;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Empty, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper::header::{CONTENT_TYPE, HOST};
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::UnixStream;

/// Why a body has no end. A server that is handed one cuts the connection, so that its client does not take what came
/// for the whole.
#[derive(Debug, thiserror::Error)]
pub(super) enum Broken {
    #[error(transparent)]
    Connection(#[from] hyper::Error),
    #[error("{0}")]
    Cut(&'static str),
}

/// A body of any origin.
pub(super) type Body = UnsyncBoxBody<Bytes, Broken>;

/// A body that comes over a connection.
pub(super) fn incoming(body: Incoming) -> Body {
    body.map_err(Broken::from).boxed_unsync()
}

/// No bytes.
pub(super) fn empty() -> Body {
    Empty::new().map_err(|never| match never {}).boxed_unsync()
}

/// These bytes.
pub(super) fn full(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into())
        .map_err(|never| match never {})
        .boxed_unsync()
}

/// An answer of the gate's own, in the engine's form.
pub(super) fn answer(body: &Value) -> Response<Body> {
    let mut response = Response::new(full(body.to_string()));
    let json = hyper::header::HeaderValue::from_static("application/json");
    response.headers_mut().insert(CONTENT_TYPE, json);
    response
}

/// What can go wrong on the way to the daemon.
#[derive(Debug, thiserror::Error)]
pub enum DaemonError {
    #[error("the Docker daemon at {socket} does not answer")]
    Unreachable {
        socket: PathBuf,
        source: std::io::Error,
    },
    #[error("the Docker daemon broke off the request {request}")]
    BrokenOff {
        request: String,
        source: hyper::Error,
    },
    #[error("the Docker daemon answered {request} with {status}: {message}")]
    Refused {
        request: String,
        status: StatusCode,
        message: String,
    },
}

/// The daemon.
#[derive(Debug, Clone)]
pub(crate) struct Daemon {
    socket: PathBuf,
}

/// A whole small answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub status: StatusCode,
    /// `null` where the answer was not JSON.
    pub value: Value,
}

impl Daemon {
    pub(crate) fn new(socket: impl Into<PathBuf>) -> Self {
        Self {
            socket: socket.into(),
        }
    }

    /// Sends a request and hands back the answer as soon as its head is there.
    pub(crate) async fn send(
        &self,
        mut request: Request<Body>,
    ) -> Result<Response<Incoming>, DaemonError> {
        let name = format!("{} {}", request.method(), request.uri().path());
        let broken = |source| DaemonError::BrokenOff {
            request: name.clone(),
            source,
        };
        let stream =
            UnixStream::connect(&self.socket)
                .await
                .map_err(|source| DaemonError::Unreachable {
                    socket: self.socket.clone(),
                    source,
                })?;
        request
            .headers_mut()
            .insert(HOST, hyper::header::HeaderValue::from_static("docker"));
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream))
            .await
            .map_err(broken)?;
        tokio::spawn(async move {
            if let Err(error) = connection.with_upgrades().await {
                tracing::debug!(%error, "connection to the daemon");
            }
        });
        sender.send_request(request).await.map_err(broken)
    }

    /// Sends a small request and reads the whole answer, whatever its status.
    pub(crate) async fn call(
        &self,
        method: Method,
        target: &str,
        body: Option<&Value>,
    ) -> Result<Answer, DaemonError> {
        let mut request = Request::new(body.map_or_else(empty, |value| full(value.to_string())));
        if body.is_some() {
            let json = hyper::header::HeaderValue::from_static("application/json");
            request.headers_mut().insert(CONTENT_TYPE, json);
        }
        let name = format!("{method} {target}");
        *request.method_mut() = method;
        *request.uri_mut() = target.parse().map_err(|_| DaemonError::Refused {
            request: name.clone(),
            status: StatusCode::BAD_REQUEST,
            message: "this is no address".to_owned(),
        })?;
        self.ask(request).await
    }

    /// Sends a request and reads the whole answer, whatever its status.
    pub(crate) async fn ask(&self, request: Request<Body>) -> Result<Answer, DaemonError> {
        let name = format!("{} {}", request.method(), request.uri());
        let response = self.send(request).await?;
        let status = response.status();
        let collected = response.into_body().collect().await;
        let bytes = collected
            .map_err(|source| DaemonError::BrokenOff {
                request: name,
                source,
            })?
            .to_bytes();
        let value = serde_json::from_slice(&bytes).unwrap_or(Value::Null);
        Ok(Answer { status, value })
    }

    /// As [`Self::call`], with anything but success an error.
    pub(crate) async fn must(
        &self,
        method: Method,
        target: &str,
        body: Option<&Value>,
    ) -> Result<Value, DaemonError> {
        let request = format!("{method} {target}");
        let answer = self.call(method, target, body).await?;
        if answer.status.is_success() {
            return Ok(answer.value);
        }
        let message = answer.value["message"]
            .as_str()
            .unwrap_or_default()
            .to_owned();
        Err(DaemonError::Refused {
            request,
            status: answer.status,
            message,
        })
    }
}
