//! The version of its API that an engine tells with each answer, also to a ping. `/version` tells it too, but Docker
//! 20.10 starts three programs to answer that, and every call of the runner would wait for them.

use bollard::ClientVersion;
use http_body_util::Empty;
use hyper::{Method, Request, body::Bytes, client::conn::http1, header::HOST};
use hyper_util::rt::TokioIo;
use tokio::net::UnixStream;

/// Asks the engine at this socket; nothing where it does not answer, or not as engines do.
pub(super) async fn version(socket: &str) -> Option<ClientVersion> {
    let path = socket.strip_prefix("unix://").unwrap_or(socket);
    let stream = UnixStream::connect(path).await.ok()?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.ok()?;
    let ping = Request::builder()
        .method(Method::HEAD)
        .uri("/_ping")
        .header(HOST, "docker");
    // Whatever ends the connection ends the request, too.
    tokio::spawn(connection);
    let ping = ping.body(Empty::<Bytes>::new()).ok()?;
    let answer = sender.send_request(ping).await.ok()?;
    parse(answer.headers().get("api-version")?.to_str().ok()?)
}

/// The numbers of `1.41`.
fn parse(text: &str) -> Option<ClientVersion> {
    let (major, minor) = text.split_once('.')?;
    Some(ClientVersion {
        major_version: major.parse().ok()?,
        minor_version: minor.parse().ok()?,
    })
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};

    use super::*;

    /// What is said of an engine that answers with these headers.
    async fn told(headers: &'static str) -> Option<(usize, usize)> {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("engine");
        let listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
        let engine = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut asked = [0; 1024];
            let count = stream.read(&mut asked).unwrap();
            write!(stream, "HTTP/1.1 200 OK\r\n{headers}\r\n").unwrap();
            String::from_utf8_lossy(&asked[..count]).into_owned()
        });
        let version = version(&format!("unix://{}", socket.display())).await;
        assert!(engine.join().unwrap().starts_with("HEAD /_ping HTTP/1.1"));
        version.map(|it| (it.major_version, it.minor_version))
    }

    #[tokio::test]
    async fn the_version_is_what_the_engine_says() {
        assert_eq!(told("Api-Version: 1.41\r\n").await, Some((1, 41)));
        assert_eq!(told("").await, None);
        assert_eq!(told("Api-Version: new\r\n").await, None);
        assert!(version("/nowhere").await.is_none());
    }
}
