//! One request of a job: found in the table, judged, completed, passed on.
//!
//! Reads as the list of what a job can do. Knows no sockets.

use std::collections::BTreeMap;
use std::sync::Arc;

use hyper::header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderValue};
use hyper::{Request, Response, body::Incoming};
use serde_json::{Value, json};
use tokio::sync::RwLock;

use super::alias;
use super::clean::clean;
use super::container::{self, link};
use super::daemon::{Body, Daemon, answer, full};
use super::forward::{Asked, Outgoing, Tasks};
use super::hide::hidden;
use super::info;
use super::object;
use super::own::Own;
use super::refusal::Denied;
use super::route::{self, Route};
use super::session::Folders;
use super::table::{Act, Payload, Reader};
use super::workspace::Binds;
use crate::docker::name::{BRIDGE, MTU, bridge};

/// Serves the requests of one job.
pub(super) struct Handler {
    pub(super) own: Arc<Own>,
    pub(super) binds: Binds,
    pub(super) tasks: Tasks,
    pub(super) folders: Arc<Folders>,
    /// Held while something is being made, so that closing can wait for its name.
    pub(super) making: Arc<RwLock<()>>,
}

/// A request that the table knows, and what came with it.
pub(super) struct Call {
    pub(super) route: Route,
    pub(super) asked: Asked,
}

impl Call {
    /// The request for the engine, without a body: `subject` is an id, or a name that was checked.
    pub(super) fn to(&self, subject: &str) -> Result<Outgoing, Denied> {
        let path = self.route.path_of(subject);
        Outgoing::new(self.asked.method.clone(), &path, &self.route.query)
    }

    async fn read(&self, reader: Reader) -> Result<Value, Denied> {
        reader(&self.asked.small().await?)
    }

    /// The body as the row's reader wrote it anew.
    pub(super) async fn json(&self) -> Result<Value, Denied> {
        match self.route.row.payload {
            Payload::Json(reader) | Payload::Stream(Some(reader)) => self.read(reader).await,
            Payload::Nothing | Payload::Archive | Payload::Stream(None) | Payload::ByAct => {
                Ok(Value::Null)
            }
        }
    }
}

impl Handler {
    /// The answer to a request; refusals are answers too.
    pub(super) async fn answer(self: Arc<Self>, request: Request<Incoming>) -> Response<Body> {
        let asked = Asked::new(request);
        let (method, target) = (asked.method.clone(), asked.target.clone());
        let body = asked.body.clone();
        let own = Arc::clone(&self.own);
        let response = match self.act(asked).await {
            Ok(response) => response,
            Err(denied) => {
                tracing::debug!(%method, target, status = denied.status, denied.message, "refused");
                body.drain().await;
                refusal(&denied)
            }
        };
        clean(&own.scope.names, hidden(&own.alias, response))
    }

    async fn act(self: Arc<Self>, asked: Asked) -> Result<Response<Body>, Denied> {
        let mut route = route::find(&asked.method, &asked.target)?;
        route.version = self.lifted(route.version).await?;
        let call = Call { route, asked };
        let name = call.route.name.clone();
        match call.route.row.act {
            Act::Pass => self.pass(call, "").await,
            Act::Info => self.info(&call).await,
            Act::List => self.list(call).await,
            Act::Login => self.log_in(call).await,
            Act::NotFound => Err(not_found(&name)),
            Act::Empty => Ok(answer(&json!([]))),
            Act::Version => self.version(&call).await,
            Act::Usage => self.usage(&call).await,
            Act::BuildPrune => Ok(Self::prune_builds()),
            Act::Build => self.build(call).await,
            Act::Session => self.session(call).await,
            Act::BuildKit => self.buildkit(call).await,
            Act::Image => self.look(&call).await,
            Act::ImageList => self.images(call).await,
            Act::ImagePull if call.route.query.get("fromSrc").is_some() => self.import(call).await,
            Act::ImagePull => self.pull(&call).await,
            Act::ImagePrune => self.prune_images(&call).await,
            Act::ImageSave => self.save(call).await,
            Act::ImageLoad => self.load(call).await,
            Act::Distribution => self.distribution(&call).await,
            Act::ImageTag => self.tag(&call).await,
            Act::ImagePush => self.push(&call).await,
            Act::ImageDelete => self.untag(&call).await,
            Act::Container => self.pass(call, &self.own.container(&name).await?).await,
            Act::ContainerCommit => self.commit(call).await,
            Act::ContainerPrune => self.prune_containers(&call).await,
            Act::ContainerCreate => self.create(call).await,
            Act::ContainerRename => self.rename(call).await,
            Act::ContainerDelete => self.delete(call).await,
            Act::ExecCreate => self.make_exec(call).await,
            Act::Exec => {
                self.own.exec(&name).await?;
                self.pass(call, &name).await
            }
            Act::Network => self.network(&call, &self.own.network(&name).await?).await,
            Act::NetworkCreate => self.make_network(&call).await,
            Act::NetworkMember => self.network_member(&call).await,
            Act::NetworkDelete => {
                let id = self.own.made_network(&name).await?;
                self.pass(call, &id).await
            }
            Act::NetworkPrune => self.prune_networks(&call).await,
            Act::VolumePrune => self.prune_volumes(&call).await,
            Act::Volume => {
                let name = self.own.volume(&name).await?;
                self.pass(call, &name).await
            }
            Act::VolumeCreate => self.make_volume(&call).await,
        }
    }

    /// Passes a request on with its payload as the table says.
    async fn pass(&self, call: Call, subject: &str) -> Result<Response<Body>, Denied> {
        let outgoing = call.to(subject)?;
        match call.route.row.payload {
            Payload::Nothing | Payload::ByAct => outgoing.send(self.engine()).await,
            Payload::Json(reader) => {
                let body = call.read(reader).await?;
                outgoing.json(&body).send(self.engine()).await
            }
            Payload::Archive => outgoing.stream(&call.asked.body).send(self.engine()).await,
            Payload::Stream(reader) => {
                let outgoing = match reader {
                    Some(reader) => outgoing.json(&call.read(reader).await?),
                    None => outgoing,
                };
                let upgrade = call.asked.upgrade;
                outgoing.join(self.engine(), upgrade, &self.tasks).await
            }
        }
    }

    async fn list(&self, mut call: Call) -> Result<Response<Body>, Denied> {
        self.translate(&mut call).await?;
        let given = call.route.query.text("filters");
        let filters = object::filters(given, self.own.label())?;
        let filters = self.own.alias.filters(&filters);
        call.route.query.set("filters", filters);
        if call.route.row.path.starts_with("/networks") {
            return self.network(&call, "").await;
        }
        if call.route.row.path.starts_with("/containers") {
            let (response, mut found) = call.to("")?.ask(self.engine()).await?;
            self.own.retain_own(&mut found);
            return Ok(response.map(|_| full(found.to_string())));
        }
        self.pass(call, "").await
    }

    /// Networks, without the option that is ours: compose takes one that it did not write for a change.
    async fn network(&self, call: &Call, subject: &str) -> Result<Response<Body>, Denied> {
        let (response, mut found) = call.to(subject)?.ask(self.engine()).await?;
        let list = match &mut found {
            Value::Array(list) => list.as_mut_slice(),
            one => std::slice::from_mut(one),
        };
        for options in list
            .iter_mut()
            .filter_map(|it| it.get_mut("Options")?.as_object_mut())
        {
            options.remove(BRIDGE);
            let usual = self.own.scope.usual.mtu.map(|mtu| json!(mtu.to_string()));
            if usual.is_some() && options.get(MTU) == usual.as_ref() {
                options.remove(MTU);
            }
        }
        Ok(response.map(|_| full(found.to_string())))
    }

    async fn info(&self, call: &Call) -> Result<Response<Body>, Denied> {
        let (response, engine) = call.to("")?.ask(self.engine()).await?;
        if !response.status().is_success() {
            return Ok(response);
        }
        Ok(response.map(|_| full(info::told(&engine).to_string())))
    }

    async fn rename(&self, mut call: Call) -> Result<Response<Body>, Denied> {
        let id = self.own.container(&call.route.name).await?;
        let name = call.route.query.text("name");
        object::new_name(name)?;
        let name = self.own.alias.inner(name);
        call.route.query.set("name", name);
        self.pass(call, &id).await
    }

    async fn make_exec(&self, call: Call) -> Result<Response<Body>, Denied> {
        let id = self.own.container(&call.route.name).await?;
        let body = call.json().await?;
        let (response, made) = call.to(&id)?.json(&body).ask(self.engine()).await?;
        if let Some(exec) = made["Id"].as_str() {
            self.own.remember_exec(exec);
        }
        Ok(response)
    }

    async fn delete(&self, mut call: Call) -> Result<Response<Body>, Denied> {
        let id = self.own.container(&call.route.name).await?;
        // Volumes without a name carry no label: they go with their container, or never.
        call.route.query.set("v", "1");
        self.pass(call, &id).await
    }

    async fn make_network(&self, call: &Call) -> Result<Response<Body>, Denied> {
        let mut body = call.json().await?;
        object::within(&body, &self.own.scope.subnets)?;
        container::label(&mut body, &self.own.scope.forced_labels());
        let name = self
            .own
            .alias
            .inner(body["Name"].as_str().unwrap_or_default());
        // The host's firewall knows networks of jobs by it.
        body["Options"][BRIDGE] = json!(bridge(&name));
        if let Some(mtu) = self.own.scope.usual.mtu
            && body["Options"][MTU].is_null()
        {
            body["Options"][MTU] = json!(mtu.to_string());
        }
        body["Name"] = json!(name);
        let _making = self.making.read().await;
        call.to("")?.json(&body).send(self.engine()).await
    }

    async fn network_member(&self, call: &Call) -> Result<Response<Body>, Denied> {
        let network = self.own.network(&call.route.name).await?;
        let mut body = call.json().await?;
        let container = body["Container"].as_str().unwrap_or_default();
        let id = self.own.container(container).await?;
        if let Some(settings) = body["EndpointConfig"].as_object_mut() {
            let name = self.own.container_name(&id).await?;
            let names = alias::known_as(&name).into_iter().map(str::to_owned);
            alias::add(settings, &names.collect::<Vec<_>>());
            let mut ids = BTreeMap::new();
            for name in link::containers(settings) {
                ids.insert(name.to_owned(), self.own.container(name).await?);
            }
            link::write(settings, |name| ids.get(name).cloned());
        }
        body["Container"] = json!(id);
        call.to(&network)?.json(&body).send(self.engine()).await
    }

    async fn make_volume(&self, call: &Call) -> Result<Response<Body>, Denied> {
        let mut body = call.json().await?;
        container::label(&mut body, &self.own.scope.forced_labels());
        let name = body["Name"].as_str().unwrap_or_default();
        body["Name"] = json!(self.own.alias.inner(name));
        let _making = self.making.read().await;
        let (response, made) = call.to("")?.json(&body).ask(self.engine()).await?;
        if response.status().is_success() && !self.own.is_labelled(&made["Labels"]) {
            let name = body["Name"].as_str().unwrap_or_default();
            return Err(Denied::conflict(format!(
                "the volume {name:?} is not this job's: choose another name"
            )));
        }
        Ok(response)
    }

    pub(super) fn engine(&self) -> &Daemon {
        &self.own.engine
    }
}

/// The answer to a look at a kind of thing that no job has.
fn not_found(name: &str) -> Denied {
    let name = name.split('/').next().unwrap_or_default();
    Denied::missing(format!("no such object: {name}"))
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
