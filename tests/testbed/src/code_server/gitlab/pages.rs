//! What GitLab answers over HTTP: repositories to jobs that run, artifacts to jobs that may.

use std::path::{Path, PathBuf};
use std::pin::Pin;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use http_body_util::Full;
use hyper::http::request::Parts;
use hyper::{Method, Response, StatusCode};

use super::{Shared, lock, multipart, repository};
use crate::serve::{Reply, json};

type Page = Response<Full<Bytes>>;

pub(super) fn handler(
    shared: Shared,
    repositories: PathBuf,
) -> impl Fn(Parts, Bytes) -> Pin<Box<dyn Future<Output = Reply> + Send>> + Send + Sync + 'static {
    move |parts, body| {
        let (shared, repositories) = (shared.clone(), repositories.clone());
        Box::pin(async move {
            let work = move || page(&shared, &repositories, &parts, &body);
            // git is a process to wait for, so it must not hold up the other connections.
            tokio::task::spawn_blocking(work).await.ok()
        })
    }
}

fn page(shared: &Shared, repositories: &Path, parts: &Parts, body: &Bytes) -> Page {
    let path = parts.uri.path().trim_start_matches('/');
    if let Some((project, _)) = path.split_once(".git/") {
        return clone_page(shared, (repositories, project), parts, body);
    }
    let words: Vec<&str> = path.split('/').collect();
    match words[..] {
        ["api", "v4", "jobs", id, "artifacts"] => artifacts_page(shared, id, parts, body),
        _ => message(404, "404 Not Found"),
    }
}

fn message(status: u16, text: &str) -> Page {
    json(status, &serde_json::json!({ "message": text }))
}

fn clone_page(shared: &Shared, place: (&Path, &str), parts: &Parts, body: &Bytes) -> Page {
    let (repositories, project) = place;
    let Some(token) = basic_token(parts) else {
        let mut page = message(401, "HTTP Basic: Access denied");
        let realm = hyper::header::HeaderValue::from_static("Basic realm=\"GitLab\"");
        page.headers_mut()
            .insert(hyper::header::WWW_AUTHENTICATE, realm);
        return page;
    };
    let may_read = lock(shared)
        .jobs
        .values()
        .any(|job| job.token == token && job.project == project && job.is_running);
    let is_push = parts.uri.path().ends_with("git-receive-pack")
        || parts
            .uri
            .query()
            .is_some_and(|query| query.contains("git-receive-pack"));
    if !may_read || is_push {
        return message(403, "the job token does not open this repository");
    }
    match repository::answer(repositories, parts, body) {
        Ok(page) => page,
        Err(error) => message(500, &format!("{error:#}")),
    }
}

/// The password of `gitlab-ci-token:TOKEN`.
fn basic_token(parts: &Parts) -> Option<String> {
    let header = parts
        .headers
        .get(hyper::header::AUTHORIZATION)?
        .to_str()
        .ok()?;
    let decoded = BASE64_STANDARD
        .decode(header.strip_prefix("Basic ")?)
        .ok()?;
    let text = String::from_utf8(decoded).ok()?;
    text.strip_prefix("gitlab-ci-token:").map(str::to_owned)
}

fn artifacts_page(shared: &Shared, id: &str, parts: &Parts, body: &Bytes) -> Page {
    let token = parts
        .headers
        .get("JOB-TOKEN")
        .and_then(|value| value.to_str().ok());
    let mut state = lock(shared);
    let job = id.parse().ok().and_then(|id: i64| state.jobs.get_mut(&id));
    let Some(job) = job.filter(|job| Some(job.token.as_str()) == token) else {
        return message(403, "403 Forbidden");
    };
    if parts.method == Method::POST {
        let kind = parts.headers.get(hyper::header::CONTENT_TYPE);
        let kind = kind
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default();
        let Some(file) = multipart::file(kind, body) else {
            return message(400, "400 Bad request - file is missing");
        };
        job.artifacts = Some(file);
        return message(201, "201 Created");
    }
    match job.artifacts.clone() {
        None => message(404, "404 Not Found"),
        Some(file) => {
            let mut page = Response::new(Full::new(file.content));
            *page.status_mut() = StatusCode::OK;
            page
        }
    }
}
