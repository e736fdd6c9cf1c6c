//! Making a container: what its body names is found, then the body is written anew.
//!
//! Knows what a container may be from `body` only.

use std::sync::Arc;

use hyper::Response;
use hyper::header::{HeaderMap, USER_AGENT};
use serde_json::{Value, json};

use super::alias;
use super::container::mount::{Mount, Place, Source};
use super::container::{self, Creation, Resolution};
use super::daemon::{Body, full};
use super::handle::{Call, Handler};
use super::object;
use super::refusal::Denied;

impl Handler {
    /// Makes a container. It is made to the end even if the client goes away, so that what is made
    /// has a name before the gate is closed.
    pub(super) async fn create(self: Arc<Self>, mut call: Call) -> Result<Response<Body>, Denied> {
        let mut name = call.route.query.text("name").to_owned();
        object::new_name(&name)?;
        if name.is_empty() {
            // The engine's choice would not say whose it is.
            name = format!("job_{:.8}", self.own.digits());
        }
        call.route.query.set("name", self.own.alias.inner(&name));
        let outgoing = call.to("")?;
        let mut creation = container::read(&call.asked.small().await?)?;
        if creation.is_published && needs_ports(&call.asked.headers) {
            return Err(Denied::forbidden(NO_PORTS));
        }
        creation.hold(&self.own.scope.ceiling);
        creation.fill(&self.own.scope.usual);
        let making = Arc::clone(&self.making).read_owned().await;
        let made = tokio::spawn(async move {
            let warnings = creation.warnings.clone();
            let mut resolution = self.resolve(&creation).await?;
            let names = alias::known_as(&name).into_iter();
            resolution.names = names.map(str::to_owned).collect();
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
            image: self.own.usable(&creation.image).await?.name,
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

    /// What the engine calls a volume: one that is there already, or a new one.
    async fn volume(&self, name: &str) -> Result<String, Denied> {
        match self.own.volume(name).await {
            Err(denied) if denied.status == 404 => Ok(self.own.alias.inner(name)),
            found => found,
        }
    }

    async fn place(&self, mount: &Mount) -> Result<Place, Denied> {
        Ok(match &mount.source {
            Source::Anonymous => Place::Anonymous,
            Source::Memory(options) => Place::Memory(options.clone()),
            Source::Volume(name) => {
                object::new_name(name)?;
                let name = self.volume(name).await?;
                self.own.make_volume(&name).await?;
                Place::Volume(name)
            }
            Source::Path(path) => {
                self.binds
                    .place(&self.own, path, mount.makes_folder)
                    .await?
            }
        })
    }
}

const NO_PORTS: &str = "Testcontainers looks for published ports on the host, and a job has none there: name the \
     container under services: in .gitlab-ci.yml and reach it by its name, or use Testcontainers for Python";

/// Whether a client can do nothing with a container whose ports are not on the host. Testcontainers for Python can: it
/// has a mode in which it asks for the container's own address.
fn needs_ports(headers: &HeaderMap) -> bool {
    let agent = headers.get(USER_AGENT);
    let is_python = agent.is_some_and(|it| it.as_bytes().starts_with(b"tc-python/"));
    headers.contains_key("x-tc-sid") && !is_python
}

/// Clients read "not found" here as a missing image, and pull it.
fn not_the_image(denied: Denied) -> Denied {
    match denied.status {
        404 => Denied::malformed(denied.message),
        _ => denied,
    }
}
