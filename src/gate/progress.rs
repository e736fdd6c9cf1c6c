//! Progress of the engine, line by line, on its way to a client that may be slow or gone.

use futures_util::{StreamExt, stream::unfold};
use http_body_util::{BodyExt, BodyStream, StreamBody};
use hyper::body::Frame;
use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::daemon::{Body, Broken};

/// A longer line is handed on in pieces.
const LONGEST: usize = 1024 * 1024;

/// The progress that a body tells.
pub(super) struct Progress {
    frames: BodyStream<Body>,
    lines: Lines,
}

impl Progress {
    pub(super) fn new(body: Body) -> Self {
        Self {
            frames: BodyStream::new(body),
            lines: Lines::default(),
        }
    }

    /// The next lines; nothing at the end. An error where the engine broke off.
    pub(super) async fn next(&mut self) -> Result<Option<Vec<Vec<u8>>>, Broken> {
        match self.frames.next().await {
            None => Ok(None),
            Some(Err(error)) => {
                tracing::debug!(%error, "progress of the engine");
                Err(error)
            }
            Some(Ok(frame)) => {
                let bytes = frame.into_data().unwrap_or_default();
                Ok(Some(self.lines.take(&bytes)))
            }
        }
    }
}

/// Whether a line says that something failed.
pub(super) fn is_error(line: &[u8]) -> bool {
    serde_json::from_slice::<Value>(line).is_ok_and(|value| value.get("error").is_some())
}

/// Cuts bytes into lines.
#[derive(Debug, Default)]
struct Lines(Vec<u8>);

impl Lines {
    /// The lines that end in these bytes, and an object that is whole without a line's end.
    fn take(&mut self, bytes: &[u8]) -> Vec<Vec<u8>> {
        let mut lines = Vec::new();
        for part in bytes.split_inclusive(|byte| *byte == b'\n') {
            self.0.extend_from_slice(part);
            if part.ends_with(b"\n") || self.0.len() > LONGEST || self.is_whole() {
                lines.push(std::mem::take(&mut self.0));
            }
        }
        lines
    }

    /// The engine does not end every object with a line.
    fn is_whole(&self) -> bool {
        self.0.ends_with(b"}") && serde_json::from_slice::<serde::de::IgnoredAny>(&self.0).is_ok()
    }
}

/// Where progress goes.
pub(super) struct Sender(mpsc::UnboundedSender<Vec<u8>>);

impl Sender {
    /// Never waits: a slow client holds up nobody else. What nobody hears is lost.
    pub(super) fn send(&self, line: Vec<u8>) {
        drop(self.0.send(line));
    }

    /// Comes when nobody listens any more.
    pub(super) async fn closed(&self) {
        self.0.closed().await;
    }
}

/// A sender, and the body of an answer that says what is sent.
pub(super) fn channel() -> (Sender, Body) {
    let (sender, receiver) = mpsc::unbounded_channel();
    let stream = unfold(receiver, |mut receiver| async {
        let line: Vec<u8> = receiver.recv().await?;
        Some((Ok(Frame::data(line.into())), receiver))
    });
    (Sender(sender), StreamBody::new(stream).boxed_unsync())
}

/// A line that ends an exchange in failure, as the engine writes it.
pub(super) fn error_line(error: &str) -> Vec<u8> {
    let message = format!("dockmaster: {error}");
    let line = json!({ "errorDetail": { "message": message }, "error": message });
    format!("{line}\r\n").into_bytes()
}
