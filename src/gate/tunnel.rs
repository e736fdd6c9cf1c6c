//! gRPC between two ends that the gate holds: HTTP/2 on both, one stream at a time passed on or answered here.
//!
//! Data flows as fast as the slower end takes it, so a context of any size needs no more memory than a small one. Knows
//! no method and no message.

use std::future::poll_fn;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use h2::client::SendRequest;
use h2::server::SendResponse;
use h2::{RecvStream, SendStream};
use hyper::header::{CONTENT_TYPE, HeaderMap, HeaderValue};
use hyper::http::request::Parts;

use hyper::{Request, Response};
use tokio::io::{AsyncRead, AsyncWrite};

use super::refusal::Denied;

/// Messages are never larger: what `BuildKit` itself takes.
pub(super) const LARGEST: usize = 16 * 1024 * 1024;

/// How much may be on its way in one stream, and in all streams of a connection.
const WINDOW: u32 = 1024 * 1024;
const ALL_WINDOWS: u32 = 8 * 1024 * 1024;

pub(super) const UNKNOWN: u8 = 2;
pub(super) const PERMISSION_DENIED: u8 = 7;
pub(super) const UNIMPLEMENTED: u8 = 12;

pub(super) type Failed = Box<dyn std::error::Error + Send + Sync>;

/// Takes the calls of a client.
pub(super) async fn accept<T: AsyncRead + AsyncWrite + Unpin>(
    wire: T,
) -> Result<h2::server::Connection<T, Bytes>, h2::Error> {
    h2::server::Builder::new()
        .initial_window_size(WINDOW)
        .initial_connection_window_size(ALL_WINDOWS)
        .handshake(wire)
        .await
}

/// Speaks to a server; the connection has to be driven.
pub(super) async fn connect<T: AsyncRead + AsyncWrite + Unpin>(
    wire: T,
) -> Result<(SendRequest<Bytes>, h2::client::Connection<T, Bytes>), h2::Error> {
    h2::client::Builder::new()
        .initial_window_size(WINDOW)
        .initial_connection_window_size(ALL_WINDOWS)
        .handshake(wire)
        .await
}

/// How an answer is written for whoever asked.
pub(super) trait Outward {
    /// Whether messages are written anew, and not only the trailers.
    fn is_for_messages(&self) -> bool;
    fn message(&self, message: &[u8]) -> Vec<u8>;
    fn trailers(&self, trailers: HeaderMap) -> HeaderMap;
}

/// One call of a client.
pub(super) struct Call {
    pub(super) parts: Parts,
    pub(super) body: RecvStream,
    pub(super) respond: SendResponse<Bytes>,
}

impl Call {
    pub(super) fn new(request: Request<RecvStream>, respond: SendResponse<Bytes>) -> Self {
        let (parts, body) = request.into_parts();
        Self {
            parts,
            body,
            respond,
        }
    }

    pub(super) fn path(&self) -> &str {
        self.parts.uri.path()
    }

    /// Answers with a refusal, and takes what the client still says: it would read a reset as another failure.
    pub(super) async fn refuse(mut self, denied: &Denied, code: u8) -> Result<(), Failed> {
        refuse(&mut self.respond, denied, code)?;
        while let Some(data) = self.body.data().await {
            self.body.flow_control().release_capacity(data?.len())?;
        }
        Ok(())
    }

    /// Answers the call here, with so many messages that say nothing.
    pub(super) async fn tell_nothing(mut self, messages: usize) -> Result<(), Failed> {
        while take(&mut self.body).await?.is_some() {}
        let mut send = self.begin()?;
        for _ in 0..messages {
            send_all(&mut send, framed(&[])).await?;
        }
        Ok(send.send_trailers(ended(0, ""))?)
    }

    /// Answers with one message of our own.
    pub(super) async fn reply(mut self, message: &[u8]) -> Result<(), Failed> {
        let mut send = self.begin()?;
        send_all(&mut send, framed(message)).await?;
        Ok(send.send_trailers(ended(0, ""))?)
    }

    fn begin(&mut self) -> Result<SendStream<Bytes>, h2::Error> {
        let mut response = Response::new(());
        let kind = HeaderValue::from_static("application/grpc");
        response.headers_mut().insert(CONTENT_TYPE, kind);
        self.respond.send_response(response, false)
    }

    /// Reads the one message of a call.
    pub(super) async fn message(&mut self) -> Result<Bytes, Denied> {
        let malformed = || Denied::malformed("the build request is malformed");
        let mut inbox = Inbox::default();
        let message = inbox.next(&mut self.body).await;
        let message = message.map_err(|_| malformed())?;
        let rest = inbox.next(&mut self.body).await;
        let is_last = rest.map_err(|_| malformed())?.is_none();
        message.filter(|_| is_last).ok_or_else(malformed)
    }

    /// Asks a server with one message for one. The call stays to be answered.
    pub(super) async fn ask(
        &mut self,
        sender: SendRequest<Bytes>,
        message: &[u8],
    ) -> Result<Told, Failed> {
        let (response, mut send) = open(sender, &self.parts).await?;
        let respond = &mut self.respond;
        let asked = async {
            send_all(&mut send, framed(message)).await?;
            send.send_data(Bytes::new(), true)?;
            let (head, mut body) = response.await?.into_parts();
            let mut inbox = Inbox::default();
            let message = inbox.next(&mut body).await?;
            while inbox.next(&mut body).await?.is_some() {}
            let end = body.trailers().await?;
            Ok(Told {
                message,
                // An error may be told in the headers alone.
                end: end.unwrap_or(head.headers),
            })
        };
        tokio::select! {
            told = asked => told,
            () = given_up(respond) => Err("the client gave up".into()),
        }
    }

    /// Comes when the client gives the call up.
    pub(super) fn given_up(&mut self) -> impl Future<Output = ()> {
        given_up(&mut self.respond)
    }

    /// Answers with what a server told.
    pub(super) async fn tell(mut self, told: Told) -> Result<(), Failed> {
        let mut send = self.begin()?;
        if let Some(message) = &told.message {
            send_all(&mut send, framed(message)).await?;
        }
        Ok(send.send_trailers(told.end)?)
    }

    /// Passes the call on: with this message, or with whatever the client says.
    pub(super) async fn pass(
        mut self,
        sender: SendRequest<Bytes>,
        first: Option<Bytes>,
        outward: Option<&(dyn Outward + Send + Sync)>,
    ) -> Result<(), Failed> {
        let (response, mut send) = open(sender, &self.parts).await?;
        let (body, respond) = (&mut self.body, &mut self.respond);
        let upward = async {
            match first {
                Some(message) => {
                    send_all(&mut send, framed(&message)).await?;
                    Ok(send.send_data(Bytes::new(), true)?)
                }
                None => pump(body, &mut send, None).await,
            }
        };
        let downward = async {
            let response = tokio::select! {
                response = response => response?,
                reason = poll_fn(|context| respond.poll_reset(context)) => {
                    return Err(format!("the client gave up: {}", reason?).into());
                }
            };
            let (mut parts, mut body) = response.into_parts();
            let is_end = body.is_end_stream();
            if let Some(outward) = outward {
                parts.headers = outward.trailers(parts.headers);
            }
            let mut send = respond.send_response(Response::from_parts(parts, ()), is_end)?;
            if is_end {
                Ok(())
            } else {
                pump(&mut body, &mut send, outward).await
            }
        };
        // The answer ends the exchange, whether or not the client has said everything.
        tokio::pin!(upward, downward);
        tokio::select! {
            ended = &mut downward => ended,
            // A server that has answered may stop to listen: then the answer is what counts.
            written = &mut upward => {
                if let Err(error) = written {
                    tracing::debug!(%error, "the rest of a call was not taken");
                }
                downward.await
            }
        }
    }
}

/// The answer of one message, and how the call ended.
pub(super) struct Told {
    pub(super) message: Option<Bytes>,
    pub(super) end: HeaderMap,
}

impl Told {
    pub(super) fn is_good(&self) -> bool {
        let status = self.end.get("grpc-status");
        self.message.is_some() && status.is_none_or(|status| status == "0")
    }
}

async fn given_up(respond: &mut SendResponse<Bytes>) {
    let reason = poll_fn(|context| respond.poll_reset(context)).await;
    tracing::debug!(?reason, "a client gave a call up");
}

/// Begins a call like this one at a server.
pub(super) async fn open(
    sender: SendRequest<Bytes>,
    parts: &Parts,
) -> Result<(h2::client::ResponseFuture, SendStream<Bytes>), Failed> {
    let mut outgoing = Request::new(());
    outgoing.method_mut().clone_from(&parts.method);
    *outgoing.uri_mut() = format!("http://localhost{}", parts.uri.path()).parse()?;
    outgoing.headers_mut().clone_from(&parts.headers);
    Ok(sender.ready().await?.send_request(outgoing, false)?)
}

/// Copies data as fast as the receiver takes it, then the trailers.
async fn pump(
    from: &mut RecvStream,
    to: &mut SendStream<Bytes>,
    outward: Option<&(dyn Outward + Send + Sync)>,
) -> Result<(), Failed> {
    let mut inbox = Inbox::default();
    let messages = outward.filter(|outward| outward.is_for_messages());
    loop {
        let data = tokio::select! {
            data = inbox.read(from, messages) => data?,
            reason = poll_fn(|context| to.poll_reset(context)) => {
                return Err(format!("the receiver gave up: {}", reason?).into());
            }
        };
        match data {
            Some(data) => send_all(to, data).await?,
            None => break,
        }
    }
    match (from.trailers().await?, outward) {
        (Some(trailers), Some(outward)) => to.send_trailers(outward.trailers(trailers))?,
        (Some(trailers), None) => to.send_trailers(trailers)?,
        (None, _) => to.send_data(Bytes::new(), true)?,
    }
    Ok(())
}

pub(super) async fn send_all(to: &mut SendStream<Bytes>, mut data: Bytes) -> Result<(), Failed> {
    while !data.is_empty() {
        to.reserve_capacity(data.len());
        let room = poll_fn(|context| to.poll_capacity(context)).await;
        let room = room.ok_or("the stream is closed")??;
        to.send_data(data.split_to(room.min(data.len())), false)?;
    }
    Ok(())
}

/// A message as gRPC frames it: a byte that says it is not compressed, its length, itself.
pub(super) fn framed(message: &[u8]) -> Bytes {
    let mut out = BytesMut::with_capacity(message.len() + 5);
    out.put_u8(0);
    out.put_u32(u32::try_from(message.len()).unwrap_or(u32::MAX));
    out.extend_from_slice(message);
    out.freeze()
}

/// The messages of a stream, whole.
#[derive(Default)]
pub(super) struct Inbox {
    read: BytesMut,
}

impl Inbox {
    /// The next message; `None` at the end.
    pub(super) async fn next(&mut self, from: &mut RecvStream) -> Result<Option<Bytes>, Failed> {
        loop {
            if let Some(message) = self.whole()? {
                return Ok(Some(message));
            }
            match take(from).await? {
                Some(data) => self.read.extend_from_slice(&data),
                None if self.read.is_empty() => return Ok(None),
                None => return Err("a message is cut short".into()),
            }
        }
    }

    /// The next data: as it comes, or message by message where somebody rewrites them.
    async fn read(
        &mut self,
        from: &mut RecvStream,
        outward: Option<&(dyn Outward + Send + Sync)>,
    ) -> Result<Option<Bytes>, Failed> {
        let Some(outward) = outward else {
            return take(from).await;
        };
        let message = self.next(from).await?;
        Ok(message.map(|message| framed(&outward.message(&message))))
    }

    fn whole(&mut self) -> Result<Option<Bytes>, Failed> {
        let Some((head, rest)) = self.read.split_at_checked(5) else {
            return Ok(None);
        };
        let mut size = &head[1..];
        let size = size.get_u32() as usize;
        if head[0] != 0 || size > LARGEST {
            return Err("a message is compressed or too large".into());
        }
        if rest.len() < size {
            return Ok(None);
        }
        self.read.advance(5);
        Ok(Some(self.read.split_to(size).freeze()))
    }
}

async fn take(from: &mut RecvStream) -> Result<Option<Bytes>, Failed> {
    let Some(data) = from.data().await else {
        return Ok(None);
    };
    let data = data?;
    from.flow_control().release_capacity(data.len())?;
    Ok(Some(data))
}

/// An answer of headers alone, as gRPC shapes refusals.
pub(super) fn refuse(
    respond: &mut SendResponse<Bytes>,
    denied: &Denied,
    code: u8,
) -> Result<(), h2::Error> {
    let mut response = Response::new(());
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    headers.extend(ended(code, &format!("dockmaster: {}", denied.message)));
    respond.send_response(response, true)?;
    Ok(())
}

/// How a call ended, as headers.
pub(super) fn ended(code: u8, message: &str) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert("grpc-status", HeaderValue::from(u16::from(code)));
    let text: String = message
        .chars()
        .map(|letter| match letter {
            '%' => "%25".to_owned(),
            ' '..='~' => letter.to_string(),
            _ => "?".to_owned(),
        })
        .collect();
    if let Ok(text) = HeaderValue::from_str(&text)
        && !text.is_empty()
    {
        headers.insert("grpc-message", text);
    }
    headers
}
