//! A daemon that answers as told and writes down what it was asked, behind a gate.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::fs;
use std::sync::{Arc, Mutex};

use futures_util::future::BoxFuture;
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::{Request, Response, StatusCode, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};

use crate::docker::tenant::{HostSecret, Tenant, TenantSecret};
use crate::gate::{
    Accounts, Ceiling, Errand, Gate, Login, Names, Pushed, Registries, Scope, Workspace,
};

/// What the daemon answers, by `METHOD /path` without query; anything else is not there.
pub(super) type Answers = Vec<(&'static str, Value)>;

/// A gate in front of a daemon that answers as told.
pub(super) struct Fixture {
    folder: tempfile::TempDir,
    gate: Gate,
    asked: Arc<Mutex<Vec<String>>>,
    pushed: Arc<Mutex<Vec<Pushed>>>,
}

impl Fixture {
    pub(super) fn open(answers: Answers) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (engine, record) = (folder.path().join("engine"), folder.path().join("names"));
        let asked = Arc::<Mutex<Vec<String>>>::default();
        let pushed = Arc::<Mutex<Vec<Pushed>>>::default();
        tokio::spawn(serve(
            UnixListener::bind(&engine).unwrap(),
            Arc::new(answers),
            Arc::clone(&asked),
        ));
        let told = Arc::clone(&pushed);
        let scope = Scope {
            label: ("dockmaster.made-by".to_owned(), "7".to_owned()),
            labels: BTreeMap::from([("dockmaster.job".to_owned(), "7".to_owned())]),
            network: "job-network".to_owned(),
            subnets: vec!["10.213.0.0/16".parse().unwrap()],
            tenant: Tenant::new("gitlab.example.com", 42, true),
            secret: secret(),
            names: Names::new(&"a".repeat(32), &"b".repeat(32)),
            frontends: Vec::new(),
            cgroup_parent: Some("/jobs/7".to_owned()),
            ceiling: Ceiling::default(),
            workspaces: vec![Workspace {
                path: "/builds".to_owned(),
                volume: "job-builds".to_owned(),
            }],
            binds_dir: folder.path().join("binds"),
            record,
            images: Arc::new(|name| name.starts_with("open")),
            may_move: Arc::new(|_| false),
            on_push: Arc::new(move |push| {
                told.lock().unwrap().push(push.clone());
                Ok(())
            }),
            registries: Registries {
                host: None,
                local: Login::default(),
                accounts: Arc::new(NoAccounts),
                may_pull: Arc::new(|_| true),
                may_push: Arc::new(|_| true),
                is_named: Arc::new(|_| true),
            },
        };
        let gate = Gate::bind(folder.path().join("socket"), scope, engine).unwrap();
        Self {
            folder,
            gate,
            asked,
            pushed,
        }
    }

    /// The status and the body of the gate's answer.
    pub(super) async fn ask(&self, request: &str, body: &str) -> (u16, String) {
        let mut stream = UnixStream::connect(self.gate.socket()).await.unwrap();
        let length = body.len();
        let text = format!(
            "{request} HTTP/1.1\r\nHost: docker\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{body}"
        );
        stream.write_all(text.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        (answer[9..12].parse().unwrap(), answer)
    }

    /// What the daemon was asked to change, and the bodies.
    pub(super) fn changes(&self) -> Vec<String> {
        let asked = self.asked.lock().unwrap().clone();
        asked
            .into_iter()
            .filter(|line| !line.starts_with("GET "))
            .collect()
    }

    pub(super) fn pushed(&self) -> Vec<Pushed> {
        self.pushed.lock().unwrap().clone()
    }

    pub(super) fn names(&self) -> String {
        fs::read_to_string(self.folder.path().join("names")).unwrap_or_default()
    }
}

/// Every registry is the job's own affair.
struct NoAccounts;

impl Accounts for NoAccounts {
    fn allows(&self, _: &str, _: Errand) -> Result<(), String> {
        Ok(())
    }

    fn account<'a>(
        &'a self,
        _: &'a str,
        _: Errand,
    ) -> BoxFuture<'a, Result<Option<Login>, String>> {
        Box::pin(async { Ok(None) })
    }

    fn any_account(&self) -> BoxFuture<'_, Result<Option<Login>, String>> {
        Box::pin(async { Ok(None) })
    }
}

fn secret() -> TenantSecret {
    HostSecret::new([7; 32]).of_tenant(&Tenant::new("gitlab.example.com", 42, true))
}

async fn serve(listener: UnixListener, answers: Arc<Answers>, asked: Arc<Mutex<Vec<String>>>) {
    while let Ok((stream, _)) = listener.accept().await {
        let (answers, asked) = (Arc::clone(&answers), Arc::clone(&asked));
        let service = service_fn(move |request: Request<Incoming>| {
            answer(request, Arc::clone(&answers), Arc::clone(&asked))
        });
        tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
    }
}

async fn answer(
    request: Request<Incoming>,
    answers: Arc<Answers>,
    asked: Arc<Mutex<Vec<String>>>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let (method, uri) = (request.method().clone(), request.uri().clone());
    let body = request.into_body().collect().await.unwrap().to_bytes();
    let body = String::from_utf8_lossy(&body);
    asked.lock().unwrap().push(format!("{method} {uri} {body}"));
    let wanted = format!("{method} {}", uri.path());
    let found = answers.iter().find(|(request, _)| *request == wanted);
    let (status, text) = match found {
        // As the engine does, a list has only what the filter lets through.
        Some((_, list)) if uri.query().is_some_and(|query| query.contains("filters")) => {
            let is_filtered = uri.query().is_some_and(|query| {
                query.contains("made-by%3D7") || query.contains("made-by-image%3D7")
            });
            let all = json!([]);
            let list = if is_filtered { list } else { &all };
            (StatusCode::OK, list.to_string())
        }
        Some((_, Value::String(text))) => (StatusCode::OK, text.clone()),
        Some((_, value)) => (StatusCode::OK, value.to_string()),
        None => (
            StatusCode::NOT_FOUND,
            json!({ "message": "not here" }).to_string(),
        ),
    };
    let mut response = Response::new(Full::new(Bytes::from(text)));
    *response.status_mut() = status;
    let json = hyper::header::HeaderValue::from_static("application/json");
    response
        .headers_mut()
        .insert(hyper::header::CONTENT_TYPE, json);
    Ok(response)
}
