//! Images that go to a client as an archive, and come from one.
//!
//! Knows how streams are joined; what an archive may hold is in `archive`.

use std::io::{self, Read, Write};
use std::sync::Arc;

use bytes::{Buf, Bytes};
use futures_util::StreamExt;
use futures_util::stream::unfold;
use http_body_util::{BodyExt, BodyStream, StreamBody};
use hyper::Response;
use hyper::body::Frame;
use hyper::header::CONTENT_LENGTH;
use tokio::runtime::Handle;
use tokio::sync::mpsc;

use super::archive;
use super::daemon::Body;
use super::handle::{Call, Handler};
use super::own::Own;
use super::refusal::Denied;
use crate::docker::reference::Reference;

/// Pieces between the two sides, and how large ours are.
const PIECES: usize = 4;
const PIECE: usize = 256 * 1024;

impl Handler {
    /// Images that the job may use, as an archive with the names that the job knows.
    pub(super) async fn save(&self, mut call: Call) -> Result<Response<Body>, Denied> {
        let given: Vec<String> = match call.route.name.as_str() {
            "" => call.route.query.all("names").map(str::to_owned).collect(),
            name => vec![name.to_owned()],
        };
        let mut names = Vec::new();
        for name in given.iter().flat_map(|name| name.split(',')) {
            names.push(self.saved_name(name).await?);
        }
        let path = if call.route.name.is_empty() {
            call.route.query.remove("names");
            for name in &names {
                call.route.query.push("names", name.as_str());
            }
            String::new()
        } else {
            names.pop().unwrap_or_default()
        };
        let mut response = call.to(&path)?.send(self.engine()).await?;
        if !response.status().is_success() {
            return Ok(response);
        }
        response.headers_mut().remove(CONTENT_LENGTH);
        let own = Arc::clone(&self.own);
        Ok(response.map(|body| {
            let (reader, feed) = incoming(body);
            let (writer, written) = outgoing();
            tokio::spawn(feed);
            tokio::task::spawn_blocking(move || {
                let mut rename = |name: &str| Ok(own.scope.names.shown_tag(name));
                if let Err(denied) = archive::rewrite(reader, writer, &mut rename) {
                    tracing::debug!(denied.message, "an archive for a job");
                }
            });
            written
        }))
    }

    /// What the engine shall call an image that is saved.
    async fn saved_name(&self, name: &str) -> Result<String, Denied> {
        Ok(self.own.usable(name).await?.name)
    }

    /// Images of an archive become the job's own.
    pub(super) async fn load(&self, mut call: Call) -> Result<Response<Body>, Denied> {
        // Only the names are wanted of the answer.
        call.route.query.set("quiet", "1");
        let _making = self.making.read().await;
        let (reader, feed) = incoming(call.asked.body.take());
        let (writer, written) = outgoing();
        let (own, runtime) = (Arc::clone(&self.own), Handle::current());
        let rewriting = tokio::task::spawn_blocking(move || {
            let mut rename = |name: &str| runtime.block_on(claimed(&own, name)).map(Some);
            archive::rewrite(reader, writer, &mut rename)
        });
        let asking = call.to("")?.raw(written).ask(self.engine());
        let (answered, rewritten, ()) = tokio::join!(asking, rewriting, feed);
        let (response, _) = answered?;
        if !response.status().is_success() {
            return Ok(response);
        }
        rewritten.map_err(|error| Denied::broken(error.to_string()))??;
        Ok(response)
    }
}

async fn claimed(own: &Own, name: &str) -> Result<String, Denied> {
    if name.is_empty() {
        // Nobody could tell later whose it is.
        return Err(Denied::malformed(
            "the archive holds an image without a name: save it by its name",
        ));
    }
    let name = Reference::parse(name)
        .map_err(|_| Denied::malformed(format!("the image name {name:?} is malformed")))?;
    own.claim(&name).await
}

/// A body as a reader for another thread, and the task that feeds it.
fn incoming(body: Body) -> (impl Read + Send, impl Future<Output = ()> + Send) {
    let (sender, pieces) = mpsc::channel::<Option<Bytes>>(PIECES);
    let feed = async move {
        let mut frames = BodyStream::new(body);
        loop {
            let piece = match frames.next().await {
                // A stream that breaks off has no end, and so is no whole archive.
                Some(Err(_)) => return,
                Some(Ok(frame)) => frame.into_data().ok(),
                None => None,
            };
            if piece.is_none() {
                sender.send(None).await.ok();
                return;
            }
            // What nobody wants any more is read nevertheless: the client would see a broken pipe.
            sender.send(piece).await.ok();
        }
    };
    let reader = Pieces {
        coming: pieces,
        piece: Bytes::new(),
        is_done: false,
    };
    (reader, feed)
}

struct Pieces {
    coming: mpsc::Receiver<Option<Bytes>>,
    piece: Bytes,
    is_done: bool,
}

impl Read for Pieces {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        while self.piece.is_empty() && !self.is_done {
            match self.coming.blocking_recv() {
                Some(Some(piece)) => self.piece = piece,
                Some(None) => self.is_done = true,
                None => return Err(io::ErrorKind::UnexpectedEof.into()),
            }
        }
        let length = self.piece.len().min(into.len());
        self.piece.copy_to_slice(&mut into[..length]);
        Ok(length)
    }
}

/// A writer for another thread, and the body that it fills.
fn outgoing() -> (impl Write + Send, Body) {
    let (sender, pieces) = mpsc::channel::<Bytes>(PIECES);
    let body = unfold(pieces, |mut pieces| async {
        let piece = pieces.recv().await?;
        Some((Ok(Frame::data(piece)), pieces))
    });
    let writer = io::BufWriter::with_capacity(PIECE, Sender(sender));
    (writer, StreamBody::new(body).boxed_unsync())
}

struct Sender(mpsc::Sender<Bytes>);

impl Write for Sender {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let piece = Bytes::copy_from_slice(bytes);
        let sent = self.0.blocking_send(piece);
        sent.map_err(|_| io::ErrorKind::BrokenPipe)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
