//! The Docker Engine. The only file of the docker lane that knows bollard.

use std::{
    collections::HashMap,
    net::IpAddr,
    path::Path,
    pin::Pin,
    sync::Arc,
    time::{Duration, Instant},
};

use bollard::{
    Docker,
    auth::DockerCredentials,
    container::LogOutput,
    errors::Error as BollardError,
    exec::{CreateExecOptions, StartExecOptions, StartExecResults},
    models::{
        ContainerCreateBody, EndpointSettings, HostConfig, HostConfigLogConfig, Mount as ApiMount,
        MountType, NetworkCreateRequest, NetworkingConfig,
    },
    query_parameters::{
        AttachContainerOptionsBuilder, CreateContainerOptionsBuilder, CreateImageOptionsBuilder,
        ListContainersOptionsBuilder, ListNetworksOptionsBuilder, LogsOptionsBuilder,
        RemoveContainerOptionsBuilder, StopContainerOptionsBuilder, WaitContainerOptionsBuilder,
    },
};
use bytes::Bytes;
use futures_util::{Stream, StreamExt, TryStreamExt};
use tokio::{
    io::{AsyncWrite, AsyncWriteExt},
    sync::RwLock,
    time,
};

use super::{
    name,
    reference::Reference,
    spec::{Container, Mount, Network},
};
use crate::{
    failure::{Failure, JobCode},
    secret::Secret,
};

/// How long the engine may take to answer one call. Streams are not bound by it.
const TIMEOUT: u64 = 120;
/// How often a long pull says how far it is.
const PROGRESS: Duration = Duration::from_secs(3);
/// How long to wait for what the engine is just making.
const LAST_MADE: Duration = Duration::from_secs(30);

/// What went wrong with the engine.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    #[error("the Docker Engine at {host} cannot be reached")]
    Unreachable {
        host: String,
        #[source]
        source: BollardError,
    },
    #[error("the image {image} does not exist, or this project may not pull it")]
    ImageMissing {
        image: String,
        #[source]
        source: BollardError,
    },
    #[error("the image {image} cannot be pulled")]
    Pull {
        image: String,
        #[source]
        source: BollardError,
    },
    #[error("the name {name} is taken")]
    NameTaken { name: String },
    #[error("the container cannot run what it was given: {why}")]
    CannotRun { why: String },
    #[error("the Docker Engine refuses the container's settings: {why}")]
    BadSetting { why: String },
    #[error("the Docker Engine could not {what}")]
    Failed {
        what: String,
        #[source]
        source: BollardError,
    },
}

impl EngineError {
    /// Whose turn it is, with the next step.
    pub fn into_failure(self) -> Failure {
        match self {
            Self::ImageMissing { .. } => Failure::build(JobCode::ImageMissing, self),
            Self::CannotRun { .. } | Self::BadSetting { .. } => {
                Failure::build(JobCode::Malformed, self)
            }
            Self::Unreachable { .. } => {
                Failure::system(self).hint("try: systemctl status docker, on the runner's host")
            }
            Self::Pull { .. } => Failure::system(self)
                .hint("the registry may be down or its certificate unknown to this host's engine"),
            Self::NameTaken { .. } | Self::Failed { .. } => Failure::system(self),
        }
    }
}

/// A connection to the engine.
#[derive(Debug, Clone)]
pub struct Engine {
    docker: Docker,
    host: String,
    /// Held while something is being made.
    making: Arc<RwLock<()>>,
}

/// Who pulls.
#[derive(Debug, Clone)]
pub struct Account {
    pub username: String,
    pub password: Secret,
    /// `host[:port]`.
    pub registry: String,
}

/// A container or a network that exists.
#[derive(Debug, Clone)]
pub struct Found {
    pub id: String,
    pub labels: HashMap<String, String>,
}

/// The two ends of a running process: its output, both streams as one, and its input.
pub struct Session {
    pub output: Pin<Box<dyn Stream<Item = Result<Bytes, EngineError>>>>,
    pub input: Pin<Box<dyn AsyncWrite + Send>>,
}

/// Where a service listens.
#[derive(Debug, Clone)]
pub struct Endpoint {
    pub address: Option<IpAddr>,
    /// Exposed TCP ports, lowest first.
    pub ports: Vec<u16>,
    /// The port that its `HEALTHCHECK_TCP_PORT` names.
    pub chosen: Option<u16>,
}

impl Engine {
    /// Connects and agrees on a version of the API.
    pub async fn connect(host: &str) -> Result<Self, EngineError> {
        let unreachable = |source| EngineError::Unreachable {
            host: host.to_owned(),
            source,
        };
        let docker = Docker::connect_with_unix(host, TIMEOUT, bollard::API_DEFAULT_VERSION)
            .map_err(unreachable)?;
        let docker = docker.negotiate_version().await.map_err(unreachable)?;
        Ok(Self {
            docker,
            host: host.to_owned(),
            making: Arc::default(),
        })
    }

    /// The path of the engine's socket, for those that speak to it themselves.
    pub fn socket(&self) -> &Path {
        Path::new(self.host.strip_prefix("unix://").unwrap_or(&self.host))
    }

    /// The id of a local image.
    pub async fn image_id(&self, image: &str) -> Result<Option<String>, EngineError> {
        match self.docker.inspect_image(image).await {
            Ok(inspect) => Ok(inspect.id),
            Err(BollardError::DockerResponseServerError {
                status_code: 404, ..
            }) => Ok(None),
            Err(source) => Err(failed(format!("look at the image {image}"), source)),
        }
    }

    /// Pulls an image. `say` hears how far it is every few seconds.
    pub async fn pull(
        &self,
        image: &Reference,
        account: Option<Account>,
        say: impl AsyncFn(&str),
    ) -> Result<(), EngineError> {
        let name = &image.text();
        let options = CreateImageOptionsBuilder::default()
            .from_image(name)
            .build();
        let mut steps = self
            .docker
            .create_image(Some(options), None, account.map(credentials));
        let mut layers: HashMap<String, (i64, i64)> = HashMap::new();
        let mut said = Instant::now();
        while let Some(step) = steps.next().await {
            let step = step.map_err(|source| pull_error(name, source))?;
            if let (Some(layer), Some(detail)) = (step.id, step.progress_detail)
                && let (Some(current), Some(total)) = (detail.current, detail.total)
            {
                layers.insert(layer, (current, total));
            }
            if said.elapsed() >= PROGRESS {
                said = Instant::now();
                say(&progress(name, &layers)).await;
            }
        }
        Ok(())
    }

    /// Makes an image from a root file system in a tar archive.
    pub async fn import(
        &self,
        archive: impl Stream<Item = std::io::Result<Bytes>> + Send + 'static,
        tag: &str,
    ) -> Result<(), EngineError> {
        let (repo, tag) = tag.rsplit_once(':').unwrap_or((tag, "latest"));
        let options = CreateImageOptionsBuilder::default()
            .from_src("-")
            .repo(repo)
            .tag(tag)
            .build();
        self.docker
            .create_image(Some(options), Some(bollard::body_try_stream(archive)), None)
            .try_for_each(|_| async { Ok(()) })
            .await
            .map_err(|source| failed(format!("make the image {repo}:{tag}"), source))
    }

    /// Makes the job's network.
    pub async fn create_network(
        &self,
        name: &str,
        labels: HashMap<String, String>,
    ) -> Result<(), EngineError> {
        let request = NetworkCreateRequest {
            name: name.to_owned(),
            driver: Some("bridge".into()),
            labels: Some(labels),
            ..NetworkCreateRequest::default()
        };
        let docker = self.docker.clone();
        self.to_the_end(async move { docker.create_network(request).await })
            .await
            .map(|_| ())
            .map_err(|source| failed(format!("make the network {name}"), source))
    }

    /// Does what makes something, even if the caller stops waiting: the engine makes it in any case,
    /// and who removes it must be able to find it.
    async fn to_the_end<T: Send + 'static>(
        &self,
        work: impl Future<Output = Result<T, BollardError>> + Send + 'static,
    ) -> Result<T, BollardError> {
        let making = Arc::clone(&self.making).read_owned().await;
        let made = tokio::spawn(async move {
            let result = work.await;
            drop(making);
            result
        });
        made.await.unwrap_or_else(|error| {
            Err(BollardError::DockerStreamError {
                error: error.to_string(),
            })
        })
    }

    /// Waits until all that was begun to be made is there, whoever waited for it. False when the
    /// engine takes too long.
    pub async fn finish(&self) -> bool {
        time::timeout(LAST_MADE, self.making.write()).await.is_ok()
    }

    /// Creates a container; its id.
    pub async fn create(&self, container: Container) -> Result<String, EngineError> {
        let name = container.name.clone();
        let options = CreateContainerOptionsBuilder::default().name(&name).build();
        let docker = self.docker.clone();
        let body = convert(container);
        match self
            .to_the_end(async move { docker.create_container(Some(options), body).await })
            .await
        {
            Ok(created) => Ok(created.id),
            Err(BollardError::DockerResponseServerError {
                status_code: 409, ..
            }) => Err(EngineError::NameTaken { name }),
            Err(BollardError::DockerResponseServerError {
                status_code: 400,
                message,
            }) => Err(EngineError::BadSetting { why: message }),
            Err(source) => Err(failed(format!("create the container {name}"), source)),
        }
    }

    /// Starts a container.
    pub async fn start(&self, id: &str) -> Result<(), EngineError> {
        match self.docker.start_container(id, None).await {
            Ok(()) => Ok(()),
            Err(BollardError::DockerResponseServerError { message, .. })
                if is_cannot_run(&message) =>
            {
                Err(EngineError::CannotRun { why: message })
            }
            Err(source) => Err(failed("start the container".into(), source)),
        }
    }

    /// Attaches to a container that is not started yet: nothing of its output is lost.
    pub async fn attach(&self, id: &str) -> Result<Session, EngineError> {
        let options = AttachContainerOptionsBuilder::default()
            .stream(true)
            .stdin(true)
            .stdout(true)
            .stderr(true)
            .build();
        let results = self
            .docker
            .attach_container(id, Some(options))
            .await
            .map_err(|source| failed("attach to the container".into(), source))?;
        Ok(Session {
            output: bytes(results.output),
            input: results.input,
        })
    }

    /// Starts a process in a running container; the id of the exec and its two ends.
    pub async fn exec(
        &self,
        container: &str,
        command: Vec<String>,
    ) -> Result<(String, Session), EngineError> {
        let error = |source| failed("start a process in the container".into(), source);
        let options = CreateExecOptions {
            attach_stdin: Some(true),
            attach_stdout: Some(true),
            attach_stderr: Some(true),
            cmd: Some(command),
            ..CreateExecOptions::default()
        };
        let exec = self
            .docker
            .create_exec(container, options)
            .await
            .map_err(error)?;
        let capacity = Some(64 * 1024);
        let start = StartExecOptions {
            output_capacity: capacity,
            ..StartExecOptions::default()
        };
        match self
            .docker
            .start_exec(&exec.id, Some(start))
            .await
            .map_err(error)?
        {
            StartExecResults::Attached { output, input } => Ok((
                exec.id,
                Session {
                    output: bytes(output),
                    input,
                },
            )),
            StartExecResults::Detached => Err(error(BollardError::DockerStreamError {
                error: "not attached".into(),
            })),
        }
    }

    /// Runs a command whose output nobody needs, to its end.
    pub async fn exec_silently(
        &self,
        container: &str,
        command: Vec<String>,
    ) -> Result<(), EngineError> {
        let (_, mut session) = self.exec(container, command).await?;
        while session.output.next().await.is_some() {}
        Ok(())
    }

    /// The exit code of an exec that has ended.
    pub async fn exec_code(&self, exec: &str) -> Result<i64, EngineError> {
        let inspect = self
            .docker
            .inspect_exec(exec)
            .await
            .map_err(|source| failed("ask for an exit code".into(), source))?;
        inspect.exit_code.ok_or_else(|| {
            let error = "the process has not ended".to_owned();
            failed(
                "ask for an exit code".into(),
                BollardError::DockerStreamError { error },
            )
        })
    }

    /// Waits for a container's end; its exit code.
    pub async fn wait(&self, id: &str) -> Result<i64, EngineError> {
        let options = WaitContainerOptionsBuilder::default()
            .condition("not-running")
            .build();
        match self.docker.wait_container(id, Some(options)).next().await {
            Some(Ok(response)) => Ok(response.status_code),
            Some(Err(BollardError::DockerContainerWaitError { code, .. })) => Ok(code),
            Some(Err(source)) => Err(failed("wait for the container".into(), source)),
            None => Err(failed(
                "wait for the container".into(),
                BollardError::DockerStreamError {
                    error: "no answer".into(),
                },
            )),
        }
    }

    /// Stops a container: SIGTERM to its first process, SIGKILL after `grace`.
    pub async fn stop(&self, id: &str, grace: Duration) -> Result<(), EngineError> {
        let seconds = i32::try_from(grace.as_secs()).unwrap_or(i32::MAX);
        let options = StopContainerOptionsBuilder::default().t(seconds).build();
        ignoring(
            &[304, 404],
            self.docker.stop_container(id, Some(options)).await,
        )
        .map_err(|source| failed("stop the container".into(), source))
    }

    /// The containers that carry a label, running or not.
    pub async fn find(&self, label: &str) -> Result<Vec<Found>, EngineError> {
        let filters = HashMap::from([("label", vec![label])]);
        let options = ListContainersOptionsBuilder::default()
            .all(true)
            .filters(&filters)
            .build();
        let list = self
            .docker
            .list_containers(Some(options))
            .await
            .map_err(|source| failed("list containers".into(), source))?;
        Ok(list
            .into_iter()
            .filter_map(|item| {
                Some(Found {
                    id: item.id?,
                    labels: item.labels.unwrap_or_default(),
                })
            })
            .collect())
    }

    /// Removes a container with its anonymous volumes, running or not. Gone already is fine.
    pub async fn remove(&self, id: &str) -> Result<(), EngineError> {
        let options = RemoveContainerOptionsBuilder::default()
            .force(true)
            .v(true)
            .build();
        // 409: somebody else is removing it, which is as good.
        ignoring(
            &[404, 409],
            self.docker.remove_container(id, Some(options)).await,
        )
        .map_err(|source| failed(format!("remove the container {id}"), source))
    }

    /// The networks that carry a label.
    pub async fn find_networks(&self, label: &str) -> Result<Vec<Found>, EngineError> {
        let filters = HashMap::from([("label", vec![label])]);
        let options = ListNetworksOptionsBuilder::default()
            .filters(&filters)
            .build();
        let list = self
            .docker
            .list_networks(Some(options))
            .await
            .map_err(|source| failed("list networks".into(), source))?;
        let found = |item: bollard::models::Network| {
            Some(Found {
                id: item.id?,
                labels: item.labels.unwrap_or_default(),
            })
        };
        Ok(list.into_iter().filter_map(found).collect())
    }

    /// Removes a network. Gone already is fine.
    pub async fn remove_network(&self, id: &str) -> Result<(), EngineError> {
        ignoring(&[404], self.docker.remove_network(id).await)
            .map_err(|source| failed(format!("remove the network {id}"), source))
    }

    /// Where a service can be reached from this host.
    pub async fn endpoint(&self, id: &str, network: &str) -> Result<Endpoint, EngineError> {
        let inspect = self
            .docker
            .inspect_container(id, None)
            .await
            .map_err(|source| failed("look at a service".into(), source))?;
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
            key.eq_ignore_ascii_case("HEALTHCHECK_TCP_PORT")
                .then(|| value.parse().ok())?
        });
        Ok(Endpoint {
            address,
            ports,
            chosen,
        })
    }

    /// The last lines that a service wrote.
    pub async fn last_lines(&self, id: &str) -> Result<String, EngineError> {
        let options = LogsOptionsBuilder::default()
            .stdout(true)
            .stderr(true)
            .tail("50")
            .build();
        let lines: Vec<LogOutput> = self
            .docker
            .logs(id, Some(options))
            .try_collect()
            .await
            .map_err(|source| failed("read a service's log".into(), source))?;
        Ok(lines.iter().map(ToString::to_string).collect())
    }
}

/// Writes a script into a process and closes its input.
pub async fn feed(mut input: Pin<Box<dyn AsyncWrite + Send>>, script: &[u8]) {
    // A process that does not read its input to the end is the author's choice, not an error.
    if input.write_all(script).await.is_ok() {
        let _ = input.shutdown().await;
    }
}

fn bytes(
    output: impl Stream<Item = Result<LogOutput, BollardError>> + 'static,
) -> Pin<Box<dyn Stream<Item = Result<Bytes, EngineError>>>> {
    Box::pin(
        output
            .map_ok(LogOutput::into_bytes)
            .map_err(|source| failed("stream the job's output".into(), source)),
    )
}

fn credentials(account: Account) -> DockerCredentials {
    DockerCredentials {
        username: Some(account.username),
        password: Some(account.password.expose().to_owned()),
        serveraddress: Some(account.registry),
        ..DockerCredentials::default()
    }
}

fn failed(what: String, source: BollardError) -> EngineError {
    EngineError::Failed { what, source }
}

fn ignoring(codes: &[u16], result: Result<(), BollardError>) -> Result<(), BollardError> {
    match result {
        Err(BollardError::DockerResponseServerError { status_code, .. })
            if codes.contains(&status_code) =>
        {
            Ok(())
        }
        other => other,
    }
}

/// Tells an image that is not there from a registry that is not.
fn pull_error(image: &str, source: BollardError) -> EngineError {
    let text = source.to_string();
    let missing = [
        "manifest unknown",
        "not found",
        "pull access denied",
        "repository does not exist",
        "unauthorized",
        "denied:",
        "invalid reference",
    ];
    let image = image.to_owned();
    if missing.iter().any(|sign| text.contains(sign)) {
        EngineError::ImageMissing { image, source }
    } else {
        EngineError::Pull { image, source }
    }
}

/// True for what engine and runc say of a command or a user that the image does not have.
fn is_cannot_run(message: &str) -> bool {
    let user = ["unable to find user", "unable to find group"];
    if user.iter().any(|sign| message.contains(sign)) {
        return true;
    }
    [
        "executable file not found",
        "no such file or directory",
        "permission denied",
        "exec format",
    ]
    .iter()
    .any(|sign| message.contains(sign))
        && message.contains("exec")
}

#[expect(clippy::cast_precision_loss, reason = "megabytes for people")]
fn progress(image: &str, layers: &HashMap<String, (i64, i64)>) -> String {
    let (current, total) = layers
        .values()
        .fold((0, 0), |(a, b), (current, total)| (a + current, b + total));
    let megabytes = |bytes: i64| bytes as f64 / 1e6;
    format!(
        "  {image}: {:.1} of {:.1} MB",
        megabytes(current),
        megabytes(total)
    )
}

fn convert(container: Container) -> ContainerCreateBody {
    let (network_mode, networking_config) = match container.network {
        Network::None => ("none".to_owned(), None),
        Network::Of(id) => (format!("container:{id}"), None),
        Network::Named { network, aliases } => {
            let endpoint = EndpointSettings {
                aliases: Some(aliases),
                ..EndpointSettings::default()
            };
            let endpoints = HashMap::from([(network.clone(), endpoint)]);
            (
                network,
                Some(NetworkingConfig {
                    endpoints_config: Some(endpoints),
                }),
            )
        }
    };
    let log = if container.keeps_log {
        HostConfigLogConfig {
            typ: Some("json-file".into()),
            config: Some(HashMap::from([("max-size".into(), "1m".into())])),
        }
    } else {
        HostConfigLogConfig {
            typ: Some("none".into()),
            config: None,
        }
    };
    ContainerCreateBody {
        image: Some(container.image),
        entrypoint: container.entrypoint,
        cmd: container.command,
        env: Some(container.environ),
        user: container.user,
        hostname: container.hostname,
        labels: Some(container.labels),
        open_stdin: Some(container.has_stdin),
        stdin_once: Some(container.has_stdin),
        attach_stdin: Some(container.has_stdin),
        attach_stdout: Some(true),
        attach_stderr: Some(true),
        host_config: Some(HostConfig {
            network_mode: Some(network_mode),
            mounts: Some(container.mounts.into_iter().map(convert_mount).collect()),
            log_config: Some(log),
            ..HostConfig::default()
        }),
        networking_config,
        ..ContainerCreateBody::default()
    }
}

fn convert_mount(mount: Mount) -> ApiMount {
    let (typ, source, target) = match mount {
        Mount::Volume { name, target } => (MountType::VOLUME, name, target),
        Mount::Socket { source, target } => (MountType::BIND, source, target),
    };
    ApiMount {
        typ: Some(typ),
        source: Some(source),
        target: Some(target),
        ..ApiMount::default()
    }
}

/// The label filter of one job.
pub fn job_label(key: &str) -> String {
    format!("{}={key}", name::JOB)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_image_lacks_is_the_author_s_to_put_right() {
        for message in [
            "unable to find user nosuch: no matching entries in passwd file",
            "OCI runtime create failed: exec: \"/nope\": stat /nope: no such file or directory",
            "exec: \"sh\": executable file not found in $PATH",
            "exec /bin/sh: exec format error",
        ] {
            assert!(is_cannot_run(message), "{message}");
        }
        for message in [
            "no space left on device",
            "error mounting \"/run/x\": no such file or directory",
        ] {
            assert!(!is_cannot_run(message), "{message}");
        }
    }
}
