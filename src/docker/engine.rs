//! A Docker Engine: the connection, and the containers and networks that it holds.

use std::{collections::HashMap, net::IpAddr, path::Path, sync::Arc, time::Duration};

use bollard::{
    Docker,
    container::LogOutput,
    errors::Error as BollardError,
    models::NetworkCreateRequest,
    query_parameters::{
        CreateContainerOptionsBuilder, ListContainersOptionsBuilder, ListNetworksOptionsBuilder,
        LogsOptionsBuilder, RemoveContainerOptionsBuilder,
    },
};
use futures_util::TryStreamExt;
use tokio::{sync::RwLock, time};

use super::{
    convert,
    fault::{EngineError, create_error, failed, optional, unless},
    name::{self, is_ours},
    ping,
    spec::Container,
};

/// Seconds the engine may take to answer one call. Streams are not bound by it.
const TIMEOUT: u64 = 120;
/// How long the engine may take to finish what it is creating.
const LAST_CREATION: Duration = Duration::from_secs(30);

/// A connection to the engine.
#[derive(Debug, Clone)]
pub(crate) struct Engine {
    pub(super) docker: Docker,
    host: String,
    /// Held by each creation while it goes on.
    creations: Arc<RwLock<()>>,
}

/// A container or a network that exists.
#[derive(Debug, Clone)]
pub(crate) struct Object {
    pub(crate) id: String,
    pub(crate) labels: HashMap<String, String>,
}

impl Object {
    /// The text of a label; empty where it is not set.
    pub(crate) fn label(&self, name: &str) -> &str {
        self.labels.get(name).map_or("", String::as_str)
    }
}

/// Where a service listens.
#[derive(Debug, Clone)]
pub(crate) struct Endpoint {
    pub(crate) address: Option<IpAddr>,
    /// The TCP port that its `HEALTHCHECK_TCP_PORT` names; without that all exposed ones, lowest first.
    pub(crate) ports: Vec<u16>,
}

/// Connects to a socket and agrees on a version of the API.
pub(crate) async fn connect(socket: &str, seconds: u64) -> Result<Docker, BollardError> {
    let newest = bollard::API_DEFAULT_VERSION;
    let ping = time::timeout(Duration::from_secs(seconds), ping::version(socket));
    match ping.await {
        Ok(Some(told)) if told < *newest => Docker::connect_with_unix(socket, seconds, &told),
        Ok(Some(_)) => Docker::connect_with_unix(socket, seconds, newest),
        // Why it does not answer is told by the next call.
        Ok(None) => {
            let docker = Docker::connect_with_unix(socket, seconds, newest)?;
            docker.negotiate_version().await
        }
        Err(_) => Err(BollardError::RequestTimeoutError),
    }
}

impl Engine {
    pub(crate) async fn connect(host: &str) -> Result<Self, EngineError> {
        let unreachable = |source| EngineError::Unreachable {
            host: host.to_owned(),
            source,
        };
        Ok(Self {
            docker: connect(host, TIMEOUT).await.map_err(unreachable)?,
            host: host.to_owned(),
            creations: Arc::default(),
        })
    }

    /// The path of the engine's socket, for those that speak to it themselves.
    pub(crate) fn socket(&self) -> &Path {
        Path::new(self.host.strip_prefix("unix://").unwrap_or(&self.host))
    }

    /// Creates a container; its id.
    pub(crate) async fn create(&self, container: Container) -> Result<String, EngineError> {
        let name = container.name.clone();
        let options = CreateContainerOptionsBuilder::new().name(&name).build();
        let (docker, body) = (self.docker.clone(), convert::container(container));
        let create = async move { docker.create_container(Some(options), body).await };
        match self.to_its_end(create).await {
            Ok(created) => Ok(created.id),
            Err(source) => Err(create_error(name, source)),
        }
    }

    /// Creates the job's network.
    pub(crate) async fn create_network(
        &self,
        name: &str,
        labels: HashMap<String, String>,
        mtu: Option<u16>,
    ) -> Result<(), EngineError> {
        let mut options = HashMap::from([(name::BRIDGE.to_owned(), name::bridge(name))]);
        options.extend(mtu.map(|mtu| (name::MTU.to_owned(), mtu.to_string())));
        let request = NetworkCreateRequest {
            name: name.to_owned(),
            driver: Some("bridge".into()),
            labels: Some(labels),
            options: Some(options),
            ..NetworkCreateRequest::default()
        };
        let docker = self.docker.clone();
        let create = async move { docker.create_network(request).await };
        self.to_its_end(create)
            .await
            .map(drop)
            .map_err(failed(format!("make the network {name}")))
    }

    /// Goes on with a creation even if the caller stops waiting: the engine creates the object in
    /// any case, and cleanup must be able to find it.
    async fn to_its_end<T: Send + 'static>(
        &self,
        creation: impl Future<Output = Result<T, BollardError>> + Send + 'static,
    ) -> Result<T, BollardError> {
        let held = Arc::clone(&self.creations).read_owned().await;
        let task = tokio::spawn(async move {
            let result = creation.await;
            drop(held);
            result
        });
        task.await.unwrap_or_else(|error| {
            let error = error.to_string();
            Err(BollardError::DockerStreamError { error })
        })
    }

    /// Waits for the end of every creation that was begun, whoever waited for it. False when the
    /// engine takes too long.
    pub(crate) async fn finish_creations(&self) -> bool {
        time::timeout(LAST_CREATION, self.creations.write())
            .await
            .is_ok()
    }

    /// Our containers that carry a label, running or not.
    pub(crate) async fn containers(&self, label: &str) -> Result<Vec<Object>, EngineError> {
        let filters = HashMap::from([("label", vec![label])]);
        let options = ListContainersOptionsBuilder::new()
            .all(true)
            .filters(&filters)
            .build();
        let list = self.docker.list_containers(Some(options)).await;
        let list = list.map_err(failed("list containers"))?;
        let ours = list
            .into_iter()
            .filter(|item| is_ours(item.names.as_deref().unwrap_or_default()));
        Ok(objects(ours.map(|item| (item.id, item.labels))))
    }

    /// The networks that carry a label.
    pub(crate) async fn networks(&self, label: &str) -> Result<Vec<Object>, EngineError> {
        let filters = HashMap::from([("label", vec![label])]);
        let options = ListNetworksOptionsBuilder::new().filters(&filters).build();
        let list = self.docker.list_networks(Some(options)).await;
        let list = list.map_err(failed("list networks"))?;
        Ok(objects(list.into_iter().map(|item| (item.id, item.labels))))
    }

    /// Removes a container with its anonymous volumes, running or not. Gone already is fine.
    pub(crate) async fn remove(&self, id: &str) -> Result<(), EngineError> {
        let options = RemoveContainerOptionsBuilder::new()
            .force(true)
            .v(true)
            .build();
        let removed = self.docker.remove_container(id, Some(options)).await;
        // 409: somebody else is removing it, which is as good.
        unless(&[404, 409], removed)
            .map(drop)
            .map_err(failed(format!("remove the container {id}")))
    }

    /// True if the kernel killed something in the container because its memory was used up.
    pub(crate) async fn is_out_of_memory(&self, id: &str) -> bool {
        let inspect = self.docker.inspect_container(id, None).await.ok();
        let state = inspect.and_then(|inspect| inspect.state);
        state.and_then(|state| state.oom_killed).unwrap_or(false)
    }

    /// Removes a network. Gone already is fine.
    pub(crate) async fn remove_network(&self, id: &str) -> Result<(), EngineError> {
        optional(self.docker.remove_network(id).await)
            .map(drop)
            .map_err(failed(format!("remove the network {id}")))
    }

    /// Where a service can be reached from this host.
    pub(crate) async fn endpoint(&self, id: &str, network: &str) -> Result<Endpoint, EngineError> {
        let inspect = self.docker.inspect_container(id, None).await;
        let inspect = inspect.map_err(failed("look at a service"))?;
        let config = inspect.config.unwrap_or_default();
        let address = inspect
            .network_settings
            .and_then(|settings| settings.networks)
            .and_then(|mut networks| networks.remove(network))
            .and_then(|endpoint| endpoint.ip_address)
            .and_then(|address| address.parse().ok());
        let mut ports: Vec<u16> = config
            .exposed_ports
            .unwrap_or_default()
            .iter()
            .filter_map(|port| port.strip_suffix("/tcp")?.parse().ok())
            .collect();
        ports.sort_unstable();
        let chosen = config.env.unwrap_or_default().iter().find_map(|entry| {
            let (key, value) = entry.split_once('=')?;
            let is_chosen = key.eq_ignore_ascii_case("HEALTHCHECK_TCP_PORT");
            is_chosen.then(|| value.parse().ok())?
        });
        if let Some(chosen) = chosen {
            ports = vec![chosen];
        }
        Ok(Endpoint { address, ports })
    }

    /// The last lines that a service wrote.
    pub(crate) async fn last_lines(&self, id: &str) -> Result<String, EngineError> {
        let options = LogsOptionsBuilder::new()
            .stdout(true)
            .stderr(true)
            .tail("50")
            .build();
        let lines: Result<Vec<LogOutput>, _> =
            self.docker.logs(id, Some(options)).try_collect().await;
        let lines = lines.map_err(failed("read a service's log"))?;
        Ok(lines.iter().map(ToString::to_string).collect())
    }
}

fn objects(
    items: impl Iterator<Item = (Option<String>, Option<HashMap<String, String>>)>,
) -> Vec<Object> {
    let object = |(id, labels): (Option<_>, Option<_>)| {
        Some(Object {
            id: id?,
            labels: labels.unwrap_or_default(),
        })
    };
    items.filter_map(object).collect()
}

/// The label filter of one job.
pub(crate) fn job_label(key: &str) -> String {
    format!("{}={key}", name::JOB)
}
