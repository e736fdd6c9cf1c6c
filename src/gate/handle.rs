//! One request of a job: found, judged, completed, passed on.
//!
//! Reads as the list of what a job can do. Knows no sockets.

use std::sync::Arc;

use futures_util::StreamExt;
use futures_util::stream::unfold;
use http_body_util::{BodyExt, BodyStream, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderValue};
use hyper::{Request, Response};
use serde_json::{Value, json};
use tokio::sync::RwLock;

use super::body::{self, Creation, Resolution};
use super::build;
use super::daemon::{Body, Daemon, full};
use super::forward::{Asked, Outgoing, Tasks};
use super::grpc;
use super::mount::{Mount, Place, Source};
use super::object;
use super::own::Own;
use super::push::Watch;
use super::query::Query;
use super::record::Kind;
use super::refusal::Denied;
use super::route::{Endpoint, Route, classify};
use super::workspace::Binds;
use crate::docker::reference::{self, Reference};

const REGISTRY_AUTH: &str = "x-registry-auth";

/// Serves the requests of one job.
pub(super) struct Handler {
    pub(super) own: Own,
    pub(super) binds: Binds,
    pub(super) tasks: Tasks,
    /// Held while something is being made, so that closing can wait for its name.
    pub(super) making: Arc<RwLock<()>>,
}

/// A judged request and what it came with.
struct Call {
    route: Route,
    asked: Asked,
}

impl Call {
    /// The path for the daemon, under the client's own version.
    fn path(&self, rest: &str) -> String {
        let version = self.route.version.map(|minor| format!("/v1.{minor}"));
        format!("{}{rest}", version.unwrap_or_default())
    }

    fn to(&self, rest: &str) -> Result<Outgoing, Denied> {
        self.with(rest, &self.route.query)
    }

    fn with(&self, rest: &str, query: &Query) -> Result<Outgoing, Denied> {
        Outgoing::new(self.asked.method.clone(), &self.path(rest), query)
    }
}

impl Handler {
    /// The answer to a request; refusals are answers too.
    pub(super) async fn answer(self: Arc<Self>, request: Request<Incoming>) -> Response<Body> {
        let asked = Asked::new(request);
        let (method, target) = (asked.method.clone(), asked.target.clone());
        let body = asked.body.clone();
        match self.dispatch(asked).await {
            Ok(response) => response,
            Err(denied) => {
                tracing::debug!(%method, target, status = denied.status, denied.message, "refused");
                body.drain().await;
                refusal(&denied)
            }
        }
    }

    async fn dispatch(self: Arc<Self>, asked: Asked) -> Result<Response<Body>, Denied> {
        let route = classify(&asked.method, &asked.target)?;
        let call = Call { route, asked };
        match call.route.endpoint {
            Endpoint::Ping => call.to("/_ping")?.send(self.engine()).await,
            Endpoint::Version => call.to("/version")?.send(self.engine()).await,
            Endpoint::Info => call.to("/info")?.send(self.engine()).await,
            Endpoint::Events => self.list(&call, "/events").await,
            Endpoint::Auth => self.login(call).await,
            Endpoint::Build => self.build(call).await,
            Endpoint::BuildCancel => call.to("/build/cancel")?.send(self.engine()).await,
            Endpoint::Session => self.session(call).await,
            Endpoint::Grpc => self.grpc(call).await,
            Endpoint::ImageList
            | Endpoint::ImagePull
            | Endpoint::ImageInspect
            | Endpoint::ImageHistory
            | Endpoint::ImageTag
            | Endpoint::ImagePush
            | Endpoint::ImageDelete => self.image(call).await,
            Endpoint::NetworkList
            | Endpoint::NetworkCreate
            | Endpoint::NetworkInspect
            | Endpoint::NetworkConnect
            | Endpoint::NetworkDisconnect
            | Endpoint::NetworkDelete => self.network(call).await,
            Endpoint::VolumeList
            | Endpoint::VolumeCreate
            | Endpoint::VolumeInspect
            | Endpoint::VolumeDelete => self.volume(call).await,
            Endpoint::ExecStart | Endpoint::Exec(_) => self.exec(call).await,
            _ => self.container(call).await,
        }
    }

    async fn container(self: Arc<Self>, mut call: Call) -> Result<Response<Body>, Denied> {
        match call.route.endpoint {
            Endpoint::ContainerList => return self.list(&call, "/containers/json").await,
            Endpoint::ContainerCreate => return self.create(call).await,
            _ => {}
        }
        let path = format!(
            "/containers/{}",
            self.own.container(&call.route.name).await?
        );
        match call.route.endpoint {
            Endpoint::Container(last) => {
                call.to(&format!("{path}/{last}"))?
                    .send(self.engine())
                    .await
            }
            Endpoint::ContainerRename => {
                object::new_name(call.route.query.text("name"))?;
                call.to(&format!("{path}/rename"))?
                    .send(self.engine())
                    .await
            }
            Endpoint::ContainerAttach => {
                let outgoing = call.to(&format!("{path}/attach"))?;
                outgoing
                    .join(self.engine(), call.asked.upgrade, &self.tasks)
                    .await
            }
            Endpoint::ContainerCopyOut => {
                call.to(&format!("{path}/archive"))?
                    .send(self.engine())
                    .await
            }
            Endpoint::ContainerCopyIn => {
                let outgoing = call.to(&format!("{path}/archive"))?;
                outgoing.stream(&call.asked.body).send(self.engine()).await
            }
            Endpoint::ContainerDelete => {
                // Volumes without a name carry no label: they go with their container, or never.
                call.route.query.set("v", "1");
                call.to(&path)?.send(self.engine()).await
            }
            Endpoint::ExecCreate => {
                let outgoing = call.to(&format!("{path}/exec"))?;
                let body = object::exec(&call.asked.small().await?)?;
                outgoing.json(&body).send(self.engine()).await
            }
            _ => Err(Denied::forbidden("this request is not open to jobs")),
        }
    }

    async fn exec(&self, call: Call) -> Result<Response<Body>, Denied> {
        self.own.exec(&call.route.name).await?;
        let path = format!("/exec/{}", call.route.name);
        if let Endpoint::Exec(last) = call.route.endpoint {
            return call
                .to(&format!("{path}/{last}"))?
                .send(self.engine())
                .await;
        }
        let outgoing = call.to(&format!("{path}/start"))?;
        let mut asked = call.asked;
        let upgrade = asked.upgrade.take();
        let body = object::exec_start(&asked.small().await?)?;
        outgoing
            .json(&body)
            .join(self.engine(), upgrade, &self.tasks)
            .await
    }

    /// Makes a container. It is made to the end even if the client goes away, so that what is made
    /// has a name before the gate is closed.
    async fn create(self: Arc<Self>, call: Call) -> Result<Response<Body>, Denied> {
        object::new_name(call.route.query.text("name"))?;
        let outgoing = call.to("/containers/create")?;
        let creation = body::read(&call.asked.small().await?)?;
        let making = Arc::clone(&self.making).read_owned().await;
        let made = tokio::spawn(async move {
            let warnings = creation.warnings.clone();
            let resolution = self.resolve(&creation).await?;
            let body = creation.write(&resolution);
            let (response, mut answer) = outgoing.json(&body).ask(self.engine()).await?;
            if let Some(id) = answer["Id"].as_str() {
                self.own.remember(id);
            }
            drop(making);
            if warnings.is_empty() || !response.status().is_success() {
                return Ok(response);
            }
            let known = answer["Warnings"].as_array().cloned().unwrap_or_default();
            answer["Warnings"] = known
                .into_iter()
                .chain(warnings.into_iter().map(Value::from))
                .collect();
            Ok(response.map(|_| full(answer.to_string())))
        });
        made.await
            .map_err(|error| Denied::broken(error.to_string()))?
    }

    async fn resolve(&self, creation: &Creation) -> Result<Resolution, Denied> {
        let mut resolution = Resolution {
            image: self.own.readable(&creation.image).await?,
            labels: self.own.scope.forced_labels(),
            cgroup_parent: self.own.scope.cgroup_parent.clone(),
            ..Resolution::default()
        };
        for name in creation.containers() {
            let id = self.own.container(name).await.map_err(not_the_image)?;
            resolution.containers.insert(name.to_owned(), id);
        }
        for name in creation.networks() {
            let network = self.own.network(name).await.map_err(not_the_image)?;
            resolution.networks.insert(name.to_owned(), network);
        }
        let labels = json!(resolution.labels);
        for mount in &creation.mounts {
            let place = self.place(mount).await?;
            resolution.mounts.push(mount.write(&place, &labels));
        }
        Ok(resolution)
    }

    async fn place(&self, mount: &Mount) -> Result<Place, Denied> {
        Ok(match &mount.source {
            Source::Anonymous => Place::Anonymous,
            Source::Memory(options) => Place::Memory(options.clone()),
            Source::Volume(name) => {
                object::new_name(name)?;
                self.own.make_volume(name).await?;
                Place::Volume(name.clone())
            }
            Source::Path(path) => {
                self.binds
                    .place(&self.own, path, mount.makes_folder)
                    .await?
            }
        })
    }

    async fn network(&self, call: Call) -> Result<Response<Body>, Denied> {
        match call.route.endpoint {
            Endpoint::NetworkList => return self.list(&call, "/networks").await,
            Endpoint::NetworkCreate => {
                let outgoing = call.to("/networks/create")?;
                let labels = self.own.scope.forced_labels();
                let body = object::network(&call.asked.small().await?, &labels)?;
                let _making = self.making.read().await;
                return outgoing.json(&body).send(self.engine()).await;
            }
            _ => {}
        }
        let name = &call.route.name;
        let id = match call.route.endpoint {
            Endpoint::NetworkDelete => self.own.made_network(name).await?,
            _ => self.own.network(name).await?,
        };
        let path = format!("/networks/{id}");
        match call.route.endpoint {
            Endpoint::NetworkConnect => {
                let outgoing = call.to(&format!("{path}/connect"))?;
                let (container, settings) = object::connect(&call.asked.small().await?)?;
                let container = self.own.container(&container).await?;
                let body = json!({ "Container": container, "EndpointConfig": settings });
                outgoing.json(&body).send(self.engine()).await
            }
            Endpoint::NetworkDisconnect => {
                let outgoing = call.to(&format!("{path}/disconnect"))?;
                let (container, force) = object::disconnect(&call.asked.small().await?)?;
                let container = self.own.container(&container).await?;
                let body = json!({ "Container": container, "Force": force });
                outgoing.json(&body).send(self.engine()).await
            }
            _ => call.to(&path)?.send(self.engine()).await,
        }
    }

    async fn volume(&self, call: Call) -> Result<Response<Body>, Denied> {
        match call.route.endpoint {
            Endpoint::VolumeList => self.list(&call, "/volumes").await,
            Endpoint::VolumeCreate => {
                let outgoing = call.to("/volumes/create")?;
                let labels = self.own.scope.forced_labels();
                let (name, body) = object::volume(&call.asked.small().await?, &labels)?;
                let _making = self.making.read().await;
                let (response, made) = outgoing.json(&body).ask(self.engine()).await?;
                if response.status().is_success() && !self.own.is_labelled(&made["Labels"]) {
                    return Err(Denied::conflict(format!(
                        "the volume {name:?} is not this job's: choose another name"
                    )));
                }
                Ok(response)
            }
            _ => {
                self.own.volume(&call.route.name).await?;
                call.to(&format!("/volumes/{}", call.route.name))?
                    .send(self.engine())
                    .await
            }
        }
    }

    async fn list(&self, call: &Call, path: &str) -> Result<Response<Body>, Denied> {
        let mut query = call.route.query.clone();
        query.set(
            "filters",
            object::filters(query.text("filters"), self.own.label())?,
        );
        call.with(path, &query)?.send(self.engine()).await
    }

    async fn login(&self, call: Call) -> Result<Response<Body>, Denied> {
        let outgoing = call.to("/auth")?;
        let body = object::login(&call.asked.small().await?)?;
        outgoing.json(&body).send(self.engine()).await
    }

    async fn build(&self, call: Call) -> Result<Response<Body>, Denied> {
        let scope = &self.own.scope;
        let forced = build::Forced {
            label: scope.image_label(),
            network: &scope.network,
            cgroup_parent: scope.cgroup_parent.as_deref(),
        };
        let query = build::rewrite(&call.route.query, &forced)?;
        for image in build::cache(&query)? {
            self.own
                .readable(&image)
                .await
                .or_else(|denied| match denied.status {
                    // A cache that is not there yet is no cache.
                    404 => Ok(image),
                    _ => Err(denied),
                })?;
        }
        for tag in build::tags(&query)? {
            self.own.claim(&tag, Kind::Made, None).await?;
        }
        let outgoing = call
            .with("/build", &query)?
            .header(&call.asked.headers, "x-registry-config");
        outgoing.stream(&call.asked.body).send(self.engine()).await
    }

    /// `BuildKit`'s way back to the client for files and logins: the daemon asks, the client serves.
    async fn session(&self, call: Call) -> Result<Response<Body>, Denied> {
        let mut outgoing = call.to("/session")?;
        for name in ["uuid", "name", "sharedkey", "grpc-method"] {
            let header = format!("x-docker-expose-session-{name}");
            outgoing = outgoing.header(&call.asked.headers, &header);
        }
        if call.asked.upgrade.is_none() {
            return Err(Denied::malformed("a session needs an upgraded connection"));
        }
        outgoing
            .join(self.engine(), call.asked.upgrade, &self.tasks)
            .await
    }

    /// `BuildKit` itself, as buildx speaks to it.
    async fn grpc(self: Arc<Self>, call: Call) -> Result<Response<Body>, Denied> {
        let outgoing = call.to("/grpc")?;
        if call.asked.upgrade.is_none() {
            return Err(Denied::malformed("this needs an upgraded connection"));
        }
        let (response, ends) = outgoing.upgrade(self.engine(), call.asked.upgrade).await?;
        if let Some((client, daemon)) = ends {
            let handler = Arc::clone(&self);
            self.tasks.spawn(async move {
                if let Err(error) = grpc::serve(handler, client, daemon).await {
                    tracing::debug!(%error, "build connection of a job");
                }
            });
        }
        Ok(response)
    }

    async fn image(self: Arc<Self>, call: Call) -> Result<Response<Body>, Denied> {
        match call.route.endpoint {
            Endpoint::ImageList => self.images(&call).await,
            Endpoint::ImagePull => self.pull(&call).await,
            Endpoint::ImageTag => self.tag(&call).await,
            Endpoint::ImagePush => self.push(&call).await,
            Endpoint::ImageDelete => self.untag(&call).await,
            endpoint => {
                let last = if endpoint == Endpoint::ImageHistory {
                    "history"
                } else {
                    "json"
                };
                let name = self.own.readable(&call.route.name).await?;
                call.to(&format!("/images/{name}/{last}"))?
                    .send(self.engine())
                    .await
            }
        }
    }

    /// Images that the job built, and names that it gave or pulled.
    async fn images(&self, call: &Call) -> Result<Response<Body>, Denied> {
        let (response, all) = call.to("/images/json")?.ask(self.engine()).await?;
        let Value::Array(all) = all else {
            return Ok(response);
        };
        let is_known = |name: &Value| {
            let name = name
                .as_str()
                .and_then(|text| Reference::parse(text).ok())
                .map(|name| name.tagged());
            name.is_some_and(|name| self.own.record.kind(&name).is_some())
        };
        let own: Vec<Value> = all
            .into_iter()
            .filter_map(|mut image| {
                let tags = image["RepoTags"].as_array().cloned().unwrap_or_default();
                let tags: Vec<Value> = tags.into_iter().filter(is_known).collect();
                let is_own = self.own.is_built(&image["Labels"]) || !tags.is_empty();
                image["RepoTags"] = if tags.is_empty() {
                    Value::Null
                } else {
                    Value::Array(tags)
                };
                is_own.then_some(image)
            })
            .collect();
        Ok(response.map(|_| full(Value::Array(own).to_string())))
    }

    async fn pull(&self, call: &Call) -> Result<Response<Body>, Denied> {
        let query = &call.route.query;
        let (image, tag) = (query.text("fromImage"), query.text("tag"));
        let whole = match tag {
            "" => image.to_owned(),
            digest if digest.starts_with("sha256:") => format!("{image}@{digest}"),
            tag => format!("{image}:{tag}"),
        };
        let name = named(&whole)?;
        if !(self.own.scope.images)(&whole) {
            return Err(Denied::forbidden(format!(
                "the image {whole:?} is not open to this job: use an image that the operator allows"
            )));
        }
        if name.digest.is_none() {
            self.own.claim(&name, Kind::Pulled, None).await?;
        }
        let outgoing = call
            .to("/images/create")?
            .header(&call.asked.headers, REGISTRY_AUTH);
        outgoing.send(self.engine()).await
    }

    async fn tag(&self, call: &Call) -> Result<Response<Body>, Denied> {
        let query = &call.route.query;
        let (repository, tag) = (query.text("repo"), query.text("tag"));
        let name = named(&if tag.is_empty() {
            repository.to_owned()
        } else {
            format!("{repository}:{tag}")
        })?;
        let source = self.own.readable_id(&call.route.name).await?;
        self.own
            .claim(&name, Kind::Made, Some(source.clone()))
            .await?;
        call.to(&format!("/images/{source}/tag"))?
            .send(self.engine())
            .await
    }

    /// Pushes one name. Whole repositories are not: each digest must be known to be the job's.
    async fn push(self: Arc<Self>, call: &Call) -> Result<Response<Body>, Denied> {
        let mut name = named(&call.route.name)?;
        match call.route.query.text("tag") {
            "" if name.tag.is_some() => {}
            "" => {
                return Err(Denied::forbidden(
                    "pushing all tags at once is not open to jobs: push each by its name",
                ));
            }
            tag => name = named(&format!("{}:{tag}", name.repository))?,
        }
        let Some(id) = self.own.made(&name).await? else {
            return Err(Denied::forbidden(format!(
                "{} was not made by this job: build or tag it here, then push it",
                name.tagged()
            )));
        };
        let outgoing = call.to(&format!("/images/{}/push", call.route.name))?;
        let outgoing = outgoing.header(&call.asked.headers, REGISTRY_AUTH);
        let response = outgoing.send(self.engine()).await?;
        let watch = Watch::new(name.familiar());
        let watching = Watching {
            handler: self,
            watch,
            id,
            name,
        };
        Ok(response.map(|body| watching.body(body)))
    }

    async fn untag(&self, call: &Call) -> Result<Response<Body>, Denied> {
        let name = &call.route.name;
        if reference::is_id(name)
            && let Some(id) = self.own.removable(name).await?
        {
            return call.to(&format!("/images/{id}"))?.send(self.engine()).await;
        }
        let made = match Reference::parse(name) {
            Ok(name) if self.own.record.kind(&name.tagged()) == Some(Kind::Made) => Some(name),
            Ok(_) | Err(_) => None,
        };
        let Some(made) = made else {
            return Err(Denied::forbidden(format!(
                "the image {name} was not made by this job, so it stays; what the job made is \
                 removed when it ends"
            )));
        };
        call.to(&format!("/images/{}", made.tagged()))?
            .send(self.engine())
            .await
    }

    fn engine(&self) -> &Daemon {
        &self.own.engine
    }
}

/// The progress of a push, and what the gate knows of the image that is pushed.
struct Watching {
    handler: Arc<Handler>,
    watch: Watch,
    id: String,
    name: Reference,
}

impl Watching {
    /// The same bytes, each digest reported before the client sees it. If that fails, the client
    /// sees the failure instead.
    fn body(self, body: Body) -> Body {
        let stream = unfold(
            (self, BodyStream::new(body)),
            |(mut watching, mut frames)| async {
                let frame = match frames.next().await? {
                    Ok(frame) => frame,
                    Err(error) => return Some((Err(error), (watching, frames))),
                };
                let error = match frame.data_ref() {
                    Some(bytes) => watching.report(&bytes.clone()).await.err(),
                    None => None,
                };
                let frame = error.map_or(frame, |error| Frame::data(failure(&error).into()));
                Some((Ok(frame), (watching, frames)))
            },
        );
        StreamBody::new(stream).boxed_unsync()
    }

    async fn report(&mut self, bytes: &[u8]) -> Result<(), String> {
        let own = &self.handler.own;
        for pushed in self.watch.take(bytes) {
            // The name could have been moved between our look and the push.
            let known = own.has_digest(&self.id, &self.name, &pushed.digest).await;
            if !known.map_err(|denied| denied.message)? {
                return Err(format!(
                    "{} is not the digest of the image made here",
                    pushed.digest
                ));
            }
            (own.scope.on_push)(&pushed)?;
        }
        Ok(())
    }
}

/// Clients read "not found" here as a missing image, and pull it.
fn not_the_image(denied: Denied) -> Denied {
    match denied.status {
        404 => Denied::malformed(denied.message),
        _ => denied,
    }
}

fn named(text: &str) -> Result<Reference, Denied> {
    Reference::parse(text)
        .map_err(|_| Denied::malformed(format!("the image name {text:?} is malformed")))
}

/// A line of progress that ends a push in failure, as the engine writes it.
fn failure(error: &str) -> String {
    let message = format!("dockmaster: the pushed digest cannot be recorded: {error}");
    format!(
        "{}\r\n",
        json!({ "errorDetail": { "message": message }, "error": message })
    )
}

fn refusal(denied: &Denied) -> Response<Body> {
    let body = denied.body();
    let length = HeaderValue::from(body.len());
    let mut response = Response::new(full(body));
    let status = hyper::StatusCode::from_u16(denied.status);
    *response.status_mut() = status.unwrap_or(hyper::StatusCode::FORBIDDEN);
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response.headers_mut().insert(CONTENT_LENGTH, length);
    response
}
