//! A small HTTP server for simulators, which may also cut the connection instead of answering.

use std::future::Future;
use std::io::{self, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::sync::Arc;
use std::thread;

use anyhow::{Context, Result};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::http::request::Parts;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::task::{JoinHandle, JoinSet};

use crate::background::Background;

/// Answers everybody who asks at an address, for as long as the process lives; its port.
pub fn everybody(address: &str) -> Result<u16> {
    let listener =
        TcpListener::bind(address).with_context(|| format!("cannot listen on {address}"))?;
    let port = listener.local_addr()?.port();
    thread::spawn(move || {
        // A client that is gone before it is taken is none.
        for mut stream in listener.incoming().flatten() {
            let answer = b"HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\nhere\n";
            // Whoever hangs up early did not want to know.
            let _ = stream
                .read(&mut [0; 1024])
                .and_then(|_| stream.write_all(answer));
        }
    });
    Ok(port)
}

/// An answer, or none: then the connection is cut without one.
pub type Reply = Option<Response<Full<Bytes>>>;

/// A listening simulator; dropping it closes its socket and every connection.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    task: JoinHandle<()>,
}

impl Server {
    pub fn start<H, F>(background: &Background, ip: IpAddr, handler: H) -> Result<Self>
    where
        H: Fn(Parts, Bytes) -> F + Send + Sync + 'static,
        F: Future<Output = Reply> + Send + 'static,
    {
        let listener =
            TcpListener::bind((ip, 0)).with_context(|| format!("cannot listen on {ip}"))?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let task = background
            .handle()
            .spawn(accept(listener, Arc::new(handler)));
        Ok(Self { address, task })
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn accept<H, F>(listener: TcpListener, handler: Arc<H>)
where
    H: Fn(Parts, Bytes) -> F + Send + Sync + 'static,
    F: Future<Output = Reply> + Send + 'static,
{
    let Ok(listener) = tokio::net::TcpListener::from_std(listener) else {
        return;
    };
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        let handler = Arc::clone(&handler);
        connections.spawn(async move {
            let service = service_fn(move |request: Request<Incoming>| {
                let handler = Arc::clone(&handler);
                async move { answer(request, handler.as_ref()).await }
            });
            let builder = hyper::server::conn::http1::Builder::new();
            let _ = builder
                .serve_connection(TokioIo::new(stream), service)
                .await;
        });
        while connections.try_join_next().is_some() {}
    }
}

async fn answer<H, F>(request: Request<Incoming>, handler: &H) -> io::Result<Response<Full<Bytes>>>
where
    H: Fn(Parts, Bytes) -> F,
    F: Future<Output = Reply>,
{
    let (parts, body) = request.into_parts();
    let body = body.collect().await.map_err(io::Error::other)?.to_bytes();
    let reply = handler(parts, body).await;
    reply.ok_or_else(|| io::Error::from(io::ErrorKind::ConnectionReset))
}

/// An answer with a JSON body.
pub fn json(status: u16, value: &serde_json::Value) -> Response<Full<Bytes>> {
    let body = Full::new(Bytes::from(value.to_string()));
    let mut response = Response::new(body);
    if let Ok(status) = hyper::StatusCode::from_u16(status) {
        *response.status_mut() = status;
    }
    let kind = hyper::header::HeaderValue::from_static("application/json;charset=utf-8");
    response
        .headers_mut()
        .insert(hyper::header::CONTENT_TYPE, kind);
    response
}

/// A port nobody listens on now. Another program could take it before its user does; that is rare enough.
pub fn free_port(ip: IpAddr) -> Result<u16> {
    let listener = TcpListener::bind((ip, 0)).with_context(|| format!("cannot listen on {ip}"))?;
    Ok(listener.local_addr()?.port())
}

/// True once somebody accepts connections there.
pub fn accepts(address: SocketAddr) -> bool {
    std::net::TcpStream::connect_timeout(&address, std::time::Duration::from_millis(500)).is_ok()
}
