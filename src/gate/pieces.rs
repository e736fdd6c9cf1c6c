//! Bodies as readers and writers for another thread, where what is streamed is read by who cannot wait.

use std::io::{self, Read, Write};

use bytes::{Buf, Bytes};
use futures_util::StreamExt;
use futures_util::stream::unfold;
use http_body_util::{BodyExt, BodyStream, StreamBody};
use hyper::body::Frame;
use tokio::sync::mpsc;

use super::daemon::{Body, Broken};

/// Pieces between the two sides, and how large ours are.
const PIECES: usize = 4;
const PIECE: usize = 256 * 1024;

/// A body as a reader for another thread, and the task that feeds it.
pub(super) fn incoming(body: Body) -> (impl Read + Send, impl Future<Output = ()> + Send) {
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

/// A writer for another thread, and the body that it fills. A body whose end nobody tells breaks off.
pub(super) fn outgoing() -> (impl Write + Send, End, Body) {
    let (sender, pieces) = mpsc::channel(PIECES);
    let body = unfold(Some(pieces), |pieces| async {
        let mut pieces: mpsc::Receiver<Option<Bytes>> = pieces?;
        match pieces.recv().await {
            Some(piece) => Some((Ok(Frame::data(piece?)), Some(pieces))),
            None => Some((Err(Broken::Cut("the archive broke off")), None)),
        }
    });
    let end = End(sender.clone());
    let writer = io::BufWriter::with_capacity(PIECE, Sender(sender));
    (writer, end, StreamBody::new(body).boxed_unsync())
}

/// The end of a body, once everything was written.
pub(super) struct End(mpsc::Sender<Option<Bytes>>);

impl End {
    pub(super) fn tell(self) {
        // Nobody reads it any more: nobody needs its end.
        self.0.blocking_send(None).ok();
    }
}

struct Sender(mpsc::Sender<Option<Bytes>>);

impl Write for Sender {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let piece = Bytes::copy_from_slice(bytes);
        let sent = self.0.blocking_send(Some(piece));
        sent.map_err(|_| io::ErrorKind::BrokenPipe)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
