//! Git over HTTP: git's own `http-backend`, called as a web server calls it.

use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result};
use bytes::Bytes;
use http_body_util::Full;
use hyper::http::request::Parts;
use hyper::{Response, StatusCode};

use crate::command::finish;

/// Answers a request for something below a repository.
pub(super) fn answer(
    repositories: &Path,
    parts: &Parts,
    body: &[u8],
) -> Result<Response<Full<Bytes>>> {
    let header = |name: &str| {
        parts
            .headers
            .get(name)
            .and_then(|value| value.to_str().ok())
    };
    let mut command = Command::new("git");
    command
        .arg("http-backend")
        .env("GIT_PROJECT_ROOT", repositories)
        .env("GIT_HTTP_EXPORT_ALL", "1")
        .env("REQUEST_METHOD", parts.method.as_str())
        .env("PATH_INFO", parts.uri.path())
        .env("QUERY_STRING", parts.uri.query().unwrap_or_default())
        .env("CONTENT_TYPE", header("content-type").unwrap_or_default())
        .env("CONTENT_LENGTH", body.len().to_string())
        .env("REMOTE_USER", "gitlab-ci-token")
        .env("REMOTE_ADDR", "127.0.0.1");
    for (name, variable) in [
        ("content-encoding", "HTTP_CONTENT_ENCODING"),
        ("git-protocol", "HTTP_GIT_PROTOCOL"),
    ] {
        if let Some(value) = header(name) {
            command.env(variable, value);
        }
    }
    let output = finish(command, body)?.stdout;
    let end = output
        .windows(4)
        .position(|four| four == b"\r\n\r\n")
        .context("no CGI answer")?;
    let mut response = Response::builder();
    for line in String::from_utf8_lossy(&output[..end]).lines() {
        let (name, value) = line.split_once(": ").context("a CGI header")?;
        if name == "Status" {
            let code = value.split(' ').next().unwrap_or("500");
            response = response.status(StatusCode::from_bytes(code.as_bytes())?);
        } else {
            response = response.header(name, value);
        }
    }
    let content = Bytes::from(output).slice(end + 4..);
    Ok(response.body(Full::new(content))?)
}
