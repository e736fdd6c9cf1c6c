//! Docker's API without a client, so that the client's own start is not measured.

use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;

use anyhow::{Context as _, Result, ensure};

/// Makes an exec of `true`, starts it, and reads until it ends.
pub(super) fn exec(socket: &Path, container: &str) -> Result<()> {
    let body = r#"{"Cmd":["true"],"AttachStdout":true}"#;
    let path = format!("/containers/{container}/exec");
    let mut made = ask(socket, &path, "Connection: close\r\n", body)?;
    let mut answer = String::new();
    made.read_to_string(&mut answer)?;
    let id = answer
        .split_once("\"Id\":\"")
        .and_then(|(_, rest)| rest.split('"').next());
    let id = id.with_context(|| format!("no exec: {answer}"))?;
    let path = format!("/exec/{id}/start");
    let body = r#"{"Detach":false,"Tty":false}"#;
    let mut started = ask(socket, &path, UPGRADE, body)?;
    head(&mut started)?;
    started.read_to_end(&mut Vec::new())?;
    Ok(())
}

/// A connection to a container's input and output.
pub(super) fn attach(socket: &Path, container: &str) -> Result<UnixStream> {
    let path = format!("/containers/{container}/attach?stream=1&stdin=1&stdout=1");
    let mut stream = ask(socket, &path, UPGRADE, "")?;
    head(&mut stream)?;
    Ok(stream)
}

/// One line there and back, from a container that says what it hears.
pub(super) fn ping(attached: &mut UnixStream) -> Result<()> {
    attached.write_all(b"x\n")?;
    // Eight bytes say how many follow.
    let mut frame = [0; 10];
    attached.read_exact(&mut frame)?;
    ensure!(&frame[8..] == b"x\n", "another answer: {frame:?}");
    Ok(())
}

const UPGRADE: &str = "Connection: Upgrade\r\nUpgrade: tcp\r\n";

fn ask(socket: &Path, path: &str, headers: &str, body: &str) -> Result<UnixStream> {
    let mut stream = UnixStream::connect(socket)?;
    write!(
        stream,
        "POST /v1.41{path} HTTP/1.1\r\nHost: docker\r\n{headers}Content-Type: application/json\r\n\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    )?;
    Ok(stream)
}

/// Reads the head of an answer that goes on with another protocol.
fn head(stream: &mut UnixStream) -> Result<()> {
    let (mut head, mut byte) = (Vec::new(), [0]);
    while !head.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte)?;
        head.extend(byte);
    }
    let head = String::from_utf8_lossy(&head);
    ensure!(head.starts_with("HTTP/1.1 101"), "no upgrade: {head}");
    Ok(())
}
