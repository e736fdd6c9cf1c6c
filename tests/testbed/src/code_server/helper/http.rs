//! As much of an HTTP client as GitLab's artifacts need.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    reason: String,
    pub(super) body: Vec<u8>,
}

impl Answer {
    pub(super) fn line(&self) -> String {
        format!("{} {}", self.status, self.reason)
    }
}

pub(super) fn get(url: &str, token: &str) -> Result<Answer> {
    exchange("GET", url, &format!("JOB-TOKEN: {token}\r\n"), &[])
}

/// Posts a file as a browser's form does, which is what GitLab expects.
pub(super) fn send_file(url: &str, token: &str, name: &str, content: &[u8]) -> Result<Answer> {
    const BOUNDARY: &str = "----dockmaster-testbed-7d9f3e21";
    let mut body = format!(
        "--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"file\"; filename=\"{}\"\r\n\
         Content-Type: application/octet-stream\r\n\r\n",
        name.replace('"', "%22")
    )
    .into_bytes();
    body.extend_from_slice(content);
    body.extend_from_slice(format!("\r\n--{BOUNDARY}--\r\n").as_bytes());
    let headers =
        format!("JOB-TOKEN: {token}\r\nContent-Type: multipart/form-data; boundary={BOUNDARY}\r\n");
    exchange("POST", url, &headers, &body)
}

fn exchange(method: &str, url: &str, headers: &str, body: &[u8]) -> Result<Answer> {
    let Some(rest) = url.strip_prefix("http://") else {
        bail!("{url} is not plain http")
    };
    let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
    let address = if host.contains(':') {
        host.to_owned()
    } else {
        format!("{host}:80")
    };
    let mut stream =
        TcpStream::connect(&address).with_context(|| format!("cannot reach {address}"))?;
    stream.set_read_timeout(Some(Duration::from_mins(10)))?;
    let head = format!(
        "{method} /{path} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: gitlab-runner 19.4.0\r\n\
         Connection: close\r\n{headers}Content-Length: {}\r\n\r\n",
        body.len()
    );
    stream
        .write_all(head.as_bytes())
        .and_then(|()| stream.write_all(body))
        .context("sending")?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).context("receiving")?;
    parse(&answer)
}

fn parse(answer: &[u8]) -> Result<Answer> {
    let end = answer
        .windows(4)
        .position(|four| four == b"\r\n\r\n")
        .context("no HTTP answer")?;
    let head = String::from_utf8_lossy(&answer[..end]).into_owned();
    let body = &answer[end + 4..];
    let mut lines = head.lines();
    let mut words = lines.next().unwrap_or_default().splitn(3, ' ').skip(1);
    let status = words
        .next()
        .and_then(|code| code.parse().ok())
        .context("no HTTP status")?;
    let reason = words.next().unwrap_or_default().to_owned();
    let is_chunked = lines.any(|line| {
        let line = line.to_ascii_lowercase();
        line.starts_with("transfer-encoding:") && line.contains("chunked")
    });
    let body = if is_chunked {
        join_chunks(body)?
    } else {
        body.to_vec()
    };
    Ok(Answer {
        status,
        reason,
        body,
    })
}

fn join_chunks(mut rest: &[u8]) -> Result<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let end = rest
            .windows(2)
            .position(|two| two == b"\r\n")
            .context("a chunk is cut off")?;
        let size = std::str::from_utf8(&rest[..end])?
            .split(';')
            .next()
            .unwrap_or_default();
        let size = usize::from_str_radix(size.trim(), 16).context("a chunk without size")?;
        if size == 0 {
            return Ok(body);
        }
        let start = end + 2;
        body.extend_from_slice(
            rest.get(start..start + size)
                .context("a chunk is cut off")?,
        );
        rest = rest.get(start + size + 2..).context("a chunk is cut off")?;
    }
}
