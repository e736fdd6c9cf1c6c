//! `BuildKit`'s own interface, as buildx speaks it: HTTP/2 on an upgraded connection.
//!
//! Each stream is judged by its method, and a build by its request; what passes is streamed both
//! ways. Knows no more of the messages than `solve` does.

use std::future::poll_fn;
use std::sync::Arc;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use h2::client::SendRequest;
use h2::server::SendResponse;
use h2::{RecvStream, SendStream};
use hyper::header::{CONTENT_TYPE, HeaderMap, HeaderValue};
use hyper::upgrade::OnUpgrade;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::task::JoinSet;

use super::build::solve::{self, Method};
use super::own::Own;
use super::refusal::Denied;

/// Definitions of builds are never larger: what `BuildKit` itself takes.
const LARGEST: usize = 16 * 1024 * 1024;

const PERMISSION_DENIED: u8 = 7;
const UNIMPLEMENTED: u8 = 12;

type Failed = Box<dyn std::error::Error + Send + Sync>;

/// Serves the streams of one connection until it ends.
pub(super) async fn serve(
    own: Arc<Own>,
    client: OnUpgrade,
    daemon: OnUpgrade,
) -> Result<(), Failed> {
    let mut client = h2::server::handshake(TokioIo::new(client.await?)).await?;
    let (sender, connection) = h2::client::handshake(TokioIo::new(daemon.await?)).await?;
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
            sender: sender.clone(),
        };
        tasks.spawn(async move {
            if let Err(error) = stream.answer(request, respond).await {
                tracing::debug!(%error, "stream of a build");
            }
        });
    }
    Ok(())
}

struct Stream {
    own: Arc<Own>,
    sender: SendRequest<Bytes>,
}

impl Stream {
    async fn answer(
        self,
        request: Request<RecvStream>,
        mut respond: SendResponse<Bytes>,
    ) -> Result<(), Failed> {
        let path = request.uri().path().to_owned();
        let (parts, mut body) = request.into_parts();
        if !solve::is_open(&path) {
            let denied = Denied::forbidden(format!("{path} is not open to jobs"));
            refuse(&mut respond, &denied, UNIMPLEMENTED)?;
            return drain(&mut body).await;
        }
        let first = if let Some(method) = Method::of(&path) {
            match self.judged(method, &mut body).await {
                Ok(message) => Some(message),
                Err(denied) => {
                    refuse(&mut respond, &denied, PERMISSION_DENIED)?;
                    return drain(&mut body).await;
                }
            }
        } else {
            None
        };
        let mut outgoing = Request::new(());
        *outgoing.method_mut() = parts.method;
        *outgoing.uri_mut() = format!("http://localhost{path}").parse()?;
        *outgoing.headers_mut() = parts.headers;
        let (response, mut send) = self.sender.ready().await?.send_request(outgoing, false)?;
        let upward = async {
            match first {
                Some(message) => {
                    send_all(&mut send, message).await?;
                    Ok(send.send_data(Bytes::new(), true)?)
                }
                None => pump(&mut body, &mut send).await,
            }
        };
        let downward = async {
            let response = tokio::select! {
                response = response => response?,
                reason = poll_fn(|context| respond.poll_reset(context)) => {
                    return Err(format!("the client gave up: {}", reason?).into());
                }
            };
            let (parts, mut body) = response.into_parts();
            let is_end = body.is_end_stream();
            let mut send = respond.send_response(Response::from_parts(parts, ()), is_end)?;
            if is_end {
                Ok(())
            } else {
                pump(&mut body, &mut send).await
            }
        };
        // The answer ends the exchange, whether or not the client has said everything.
        tokio::pin!(upward, downward);
        tokio::select! {
            ended = &mut downward => ended,
            written = &mut upward => {
                written?;
                downward.await
            }
        }
    }

    /// Reads the request of a build and writes it anew.
    async fn judged(&self, method: Method, body: &mut RecvStream) -> Result<Bytes, Denied> {
        let malformed = || Denied::malformed("the build request is malformed");
        let mut all = BytesMut::new();
        while let Some(data) = body.data().await {
            let data = data.map_err(|_| malformed())?;
            body.flow_control()
                .release_capacity(data.len())
                .map_err(|_| malformed())?;
            all.extend_from_slice(&data);
            if all.len() > LARGEST {
                return Err(Denied::malformed("the build request is too large"));
            }
        }
        // One message: a byte that says it is not compressed, its length, itself.
        let whole = all.len() >= 5 && all.get_u8() == 0 && all.get_u32() as usize == all.len();
        if !whole {
            return Err(malformed());
        }
        let (build, message) = solve::judge(method, &all, &self.own.scope.image_label())?;
        self.own.admit(&build).await?;
        let length = u32::try_from(message.len()).map_err(|_| malformed())?;
        let mut framed = BytesMut::with_capacity(message.len() + 5);
        framed.put_u8(0);
        framed.put_u32(length);
        framed.extend_from_slice(&message);
        Ok(framed.freeze())
    }
}

/// Takes what a refused client still says; it would read a reset as another failure.
async fn drain(body: &mut RecvStream) -> Result<(), Failed> {
    while let Some(data) = body.data().await {
        body.flow_control().release_capacity(data?.len())?;
    }
    Ok(())
}

/// Copies data as fast as the receiver takes it, then the trailers.
async fn pump(from: &mut RecvStream, to: &mut SendStream<Bytes>) -> Result<(), Failed> {
    loop {
        let data = tokio::select! {
            data = from.data() => data,
            reason = poll_fn(|context| to.poll_reset(context)) => {
                return Err(format!("the receiver gave up: {}", reason?).into());
            }
        };
        let Some(data) = data else { break };
        let data = data?;
        from.flow_control().release_capacity(data.len())?;
        send_all(to, data).await?;
    }
    match from.trailers().await? {
        Some(trailers) => to.send_trailers(trailers)?,
        None => to.send_data(Bytes::new(), true)?,
    }
    Ok(())
}

async fn send_all(to: &mut SendStream<Bytes>, mut data: Bytes) -> Result<(), Failed> {
    while !data.is_empty() {
        to.reserve_capacity(data.len());
        let room = poll_fn(|context| to.poll_capacity(context)).await;
        let room = room.ok_or("the stream is closed")??;
        to.send_data(data.split_to(room.min(data.len())), false)?;
    }
    Ok(())
}

/// An answer of headers alone, as gRPC shapes refusals.
fn refuse(respond: &mut SendResponse<Bytes>, denied: &Denied, code: u8) -> Result<(), h2::Error> {
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    headers.insert("grpc-status", HeaderValue::from(u16::from(code)));
    let text = format!("dockmaster: {}", denied.message);
    let text: String = text
        .chars()
        .map(|letter| match letter {
            '%' => "%25".to_owned(),
            ' '..='~' => letter.to_string(),
            _ => "?".to_owned(),
        })
        .collect();
    if let Ok(text) = HeaderValue::from_str(&text) {
        headers.insert("grpc-message", text);
    }
    let mut response = Response::new(());
    *response.headers_mut() = headers;
    respond.send_response(response, true)?;
    Ok(())
}
