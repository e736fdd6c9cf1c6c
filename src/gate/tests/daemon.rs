//! A daemon that answers as told and writes down what it was asked, behind a gate.

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use http_body_util::{BodyExt, StreamBody};
use hyper::body::{Bytes, Frame, Incoming};
use hyper::{Request, Response, StatusCode, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};

use crate::docker::tenant::{HostSecret, Tenant, TenantSecret};
use crate::gate::daemon::{Body, Broken, full};
use crate::gate::own::Own;
use crate::gate::query::Query;
use crate::gate::{
    Accounts, Ceiling, Errand, Gate, Login, Names, Pushed, Registries, Scope, Usual, Workspace,
};
use crate::store::host_secret;

/// What the daemon answers, by `METHOD /path` without query; anything else is not there.
pub(super) type Answers = Vec<(&'static str, Value)>;
/// The names that images were given, with their ids.
type Given = Arc<Mutex<BTreeMap<String, String>>>;

/// The image that every pull brings.
pub(super) const PULLED: &str =
    "sha256:9999999999999999999999999999999999999999999999999999999999999999";
/// Instead of a request: the host moves a name that is pushed to this image.
pub(super) const MOVES: &str = "moves what is pushed";

/// As a key of an answer: its text is sent, and then the answer breaks off.
pub(super) const BREAKS: &str = "breaks off after";
/// Instead of a request: the manifests of every image.
pub(super) const MANIFESTS: &str = "manifests of images";

/// A gate in front of a daemon that answers as told.
pub(super) struct Fixture {
    folder: tempfile::TempDir,
    gate: Gate,
    pub(super) names: Names,
    /// What the gate's parts know of the job.
    pub(super) own: Arc<Own>,
    asked: Arc<Mutex<Vec<String>>>,
    given: Given,
    pushed: Arc<Mutex<Vec<Pushed>>>,
}

impl Fixture {
    pub(super) fn open(answers: Answers) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let engine = folder.path().join("engine");
        let asked = Arc::<Mutex<Vec<String>>>::default();
        let pushed = Arc::<Mutex<Vec<Pushed>>>::default();
        let given = Given::default();
        let daemon = Daemon {
            answers: Arc::new(answers),
            asked: Arc::clone(&asked),
            given: Arc::clone(&given),
        };
        tokio::spawn(serve(UnixListener::bind(&engine).unwrap(), daemon));
        let told = Arc::clone(&pushed);
        let names = Names::new(
            &host_secret(folder.path()).unwrap().of_job("7"),
            &"b".repeat(32),
        );
        let scope = Scope {
            label: ("dockmaster.made-by".to_owned(), "7".to_owned()),
            labels: BTreeMap::from([("dockmaster.job".to_owned(), "7".to_owned())]),
            network: "job-network".to_owned(),
            tenant: Tenant::new("gitlab.example.com", 42, true),
            secret: secret(),
            names: names.clone(),
            frontends: Vec::new(),
            subnets: vec!["10.213.0.0/16".parse().unwrap()],
            ceiling: Ceiling::default(),
            usual: Usual::default(),
            cgroup_parent: Some("/jobs/7".to_owned()),
            build_group: None,
            workspaces: vec![Workspace {
                path: "/builds".to_owned(),
                volume: "job-builds".to_owned(),
            }],
            binds_dir: folder.path().join("binds"),
            state_dir: folder.path().to_owned(),
            images: Arc::new(|name| name.starts_with("open") || name.starts_with("app")),
            shared: Arc::new(|name| name.contains("shared")),
            add_urls: Vec::new(),
            layers: folder.path().join("layers"),
            on_push: Arc::new(move |push| {
                told.lock().unwrap().push(push.clone());
                Box::pin(async { Ok(()) })
            }),
            registries: Registries {
                host: None,
                local: Login::default(),
                accounts: Arc::new(NoAccounts),
                may_pull: Arc::new(|_| true),
                may_push: Arc::new(|host| host != "closed.test"),
                mirrors: BTreeMap::new(),
                is_named: Arc::new(|_| true),
            },
        };
        let own = Arc::new(Own::new(&engine, scope.clone()));
        let gate = Gate::bind(folder.path().join("socket"), scope, engine).unwrap();
        Self {
            folder,
            gate,
            names,
            own,
            asked,
            given,
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
            .filter(|line| {
                !["GET ", "HEAD "]
                    .iter()
                    .any(|looks| line.starts_with(looks))
            })
            .collect()
    }

    pub(super) fn pushed(&self) -> Vec<Pushed> {
        self.pushed.lock().unwrap().clone()
    }

    /// The daemon's socket.
    pub(super) fn engine(&self) -> PathBuf {
        self.folder.path().join("engine")
    }

    /// The folder in which the gate keeps what outlives it.
    pub(super) fn state(&self) -> &Path {
        self.folder.path()
    }

    /// Gives an image of the daemon's a name.
    pub(super) fn give(&self, name: &str, id: &str) {
        let mut given = self.given.lock().unwrap();
        given.insert(name.to_owned(), id.to_owned());
    }

    /// What a name means to the daemon.
    pub(super) fn id(&self, name: &str) -> Option<String> {
        self.given.lock().unwrap().get(name).cloned()
    }

    /// The files of names of the host that are lent.
    pub(super) fn lent(&self) -> usize {
        let names = fs::read_dir(self.folder.path().join("names"));
        let engines = names.into_iter().flatten().flatten();
        engines
            .flat_map(|it| fs::read_dir(it.path()).into_iter().flatten())
            .count()
    }

    /// Everything that the daemon was asked.
    pub(super) fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
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

/// The daemon itself.
#[derive(Clone)]
struct Daemon {
    answers: Arc<Answers>,
    asked: Arc<Mutex<Vec<String>>>,
    given: Given,
}

async fn serve(listener: UnixListener, daemon: Daemon) {
    while let Ok((stream, _)) = listener.accept().await {
        let daemon = daemon.clone();
        let service = service_fn(move |request: Request<Incoming>| daemon.clone().answer(request));
        tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
    }
}

impl Daemon {
    async fn answer(self, request: Request<Incoming>) -> Result<Response<Body>, Infallible> {
        let (method, uri) = (request.method().clone(), request.uri().clone());
        let account = request.headers().get("x-registry-auth").cloned();
        let body = request.into_body().collect().await.unwrap().to_bytes();
        let body = String::from_utf8_lossy(&body);
        let account = account.map(|it| format!(" as {}", it.to_str().unwrap()));
        let account = account.unwrap_or_default();
        self.asked
            .lock()
            .unwrap()
            .push(format!("{method} {uri} {body}{account}"));
        let query = Query::parse(uri.query().unwrap_or_default());
        let wanted = format!("{method} {}", uri.path());
        let whole = format!("{method} {uri}");
        let told = self.image(&wanted, &query).or_else(|| {
            let is_asked = |it: &&(&str, Value)| it.0 == wanted || it.0 == whole;
            let found = self.answers.iter().find(is_asked);
            found.map(|(_, value)| value.clone())
        });
        let (status, text) = match told {
            // As the engine does, a list has only what the filter lets through.
            Some(list) if query.get("filters").is_some_and(|it| it.contains("label")) => {
                let filters = query.text("filters");
                let is_filtered = filters.contains("made-by=7");
                let list = if is_filtered { list } else { json!([]) };
                (StatusCode::OK, list.to_string())
            }
            Some(Value::String(text)) => (StatusCode::OK, text),
            Some(value) => (StatusCode::OK, value.to_string()),
            None => (
                StatusCode::NOT_FOUND,
                json!({ "message": format!("not here: {}", uri.path()) }).to_string(),
            ),
        };
        let broken: Value = serde_json::from_str(&text).unwrap_or_default();
        let mut response = Response::new(match broken[BREAKS].as_str() {
            Some(text) => {
                let start = Ok(Frame::data(Bytes::from(text.to_owned())));
                let end = async {
                    // What stands before is sent first.
                    tokio::task::yield_now().await;
                    Err(Broken::Cut("the daemon is gone"))
                };
                let start = futures_util::stream::once(std::future::ready(start));
                let end = futures_util::stream::once(end);
                StreamBody::new(start.chain(end)).boxed_unsync()
            }
            None => full(text),
        });
        *response.status_mut() = status;
        let kind = if uri.path().ends_with("/get") {
            "application/x-tar"
        } else {
            "application/json"
        };
        let json = hyper::header::HeaderValue::from_static(kind);
        response
            .headers_mut()
            .insert(hyper::header::CONTENT_TYPE, json);
        Ok(response)
    }

    /// What names of images mean, which were given here.
    fn image(&self, wanted: &str, query: &Query) -> Option<Value> {
        let mut given = self.given.lock().unwrap();
        let is_static = self.answers.iter().any(|(request, _)| *request == wanted);
        if wanted == "GET /images/json" && !is_static {
            if query.text("filters").contains("label") {
                return Some(json!([]));
            }
            let ids: BTreeSet<&String> = given.values().collect();
            let all: Vec<Value> = ids.iter().map(|id| described(&given, id)).collect();
            return Some(all.into());
        }
        if wanted == "POST /images/create" {
            let name = format!("{}@{}", query.text("fromImage"), query.text("tag"));
            given.insert(name, PULLED.to_owned());
            return None;
        }
        let (method, path) = wanted.split_once(" /images/")?;
        let moved = self.answers.iter().find(|(what, _)| *what == MOVES);
        if let (Some(name), Some((_, id))) = (path.strip_suffix("/push"), moved) {
            let name = format!("{name}:{}", query.text("tag"));
            given.insert(name, id.as_str().unwrap().to_owned());
        }
        let (name, act) = match path.rsplit_once('/') {
            Some((name, act @ ("json" | "tag" | "history"))) => (name, act),
            _ => (path, ""),
        };
        let id = given.get(name).cloned();
        let is_known = |id: &&str| given.values().any(|it| it == id);
        let id = id.or_else(|| Some(name).filter(is_known).map(str::to_owned));
        match (method, act) {
            ("GET", "json") => {
                let mut image = described(&given, &id?);
                let told = self.answers.iter().find(|(what, _)| *what == MANIFESTS);
                if let Some((_, manifests)) = told.filter(|_| query.get("manifests").is_some()) {
                    image["Manifests"] = manifests.clone();
                }
                Some(image)
            }
            ("POST", "tag") => {
                let tagged = format!("{}:{}", query.text("repo"), query.text("tag"));
                given.insert(tagged, id.unwrap_or_else(|| name.to_owned()));
                Some(Value::Null)
            }
            ("DELETE", "") => {
                given.remove(name)?;
                Some(json!([{ "Untagged": name }]))
            }
            _ => None,
        }
    }
}

fn described(given: &BTreeMap<String, String>, id: &str) -> Value {
    let names = given.iter().filter(|(_, it)| *it == id);
    let names: Vec<&String> = names.map(|(name, _)| name).collect();
    json!({ "Id": id, "RepoTags": names, "RepoDigests": [], "Size": 3 })
}
