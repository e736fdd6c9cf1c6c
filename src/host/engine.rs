//! A host's Docker Engine, as far as a rollout needs it, through a forwarded socket.

use std::{collections::HashMap, path::Path, rc::Rc, time::Duration};

use bollard::{
    Docker,
    errors::Error as BollardError,
    models::{ContainerInspectResponse, ContainerSummary, ImageInspect},
    query_parameters::{
        CreateImageOptionsBuilder, EventsOptionsBuilder, ListContainersOptionsBuilder,
        RemoveContainerOptionsBuilder, RenameContainerOptionsBuilder,
    },
};
use futures_util::StreamExt;
use tokio::time::timeout;

use super::{ENGINE_SOCKET, Events, Host, Link, container, error, error::RemoteError};
use crate::{
    docker::{
        engine::connect,
        fault::{is_answer, message, optional},
        pull::follow,
    },
    host::compose::{self, Compose},
    host::project::Labels,
    host::ssh::Script,
    rollout::port::{Container, Release},
};

/// What can change the verdict on a container. Each probe of a HEALTHCHECK is an event too (`exec_…`)
/// and changes nothing.
const CHANGES: [&str; 9] = [
    "create",
    "destroy",
    "die",
    "health_status",
    "pause",
    "rename",
    "restart",
    "start",
    "unpause",
];

/// Seconds the engine may take to answer one call. Streams are not bound by it.
const TIMEOUT: u64 = 60;

/// The service's containers, half-made ones among them.
pub(super) struct Containers(pub(super) Vec<ContainerSummary>);

impl Containers {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The version of the Compose that made the running container.
    pub(super) fn compose_version(&self) -> Option<String> {
        self.labels()?.get("com.docker.compose.version").cloned()
    }

    /// The labels of the service's container, or of any where none is whole.
    pub(super) fn labels(&self) -> Option<&Labels> {
        self.told()?.labels.as_ref()
    }

    /// The container that `labels` are of.
    pub(super) fn told(&self) -> Option<&ContainerSummary> {
        self.summary().or(self.0.first())
    }

    /// The names of half-made containers. One that runs where no whole one does is the service's: Compose
    /// from 2.40 on starts the one it was killed over, and leaves it its name.
    pub(super) fn leftovers(&self) -> Vec<String> {
        let current = self.current();
        let others = self.0.iter().filter(|it| it.id.as_deref() != current);
        let names = others.map(name);
        names
            .filter(|name| compose::is_half_made(name))
            .map(str::to_owned)
            .collect()
    }

    /// The id of the service's container: the running one when there are several.
    pub(super) fn current(&self) -> Option<&str> {
        self.summary()?.id.as_deref()
    }

    /// The service's container, as a list shows it.
    pub(super) fn summary(&self) -> Option<&ContainerSummary> {
        let is_whole = |it: &ContainerSummary| !compose::is_half_made(name(it));
        let mut all: Vec<_> = self
            .0
            .iter()
            .filter(|it| is_whole(it) || is_running(it))
            .collect();
        all.sort_by_key(|it| (is_running(it), is_whole(it), it.created));
        all.last().copied()
    }

    /// How many of them run.
    pub(super) fn running(&self) -> usize {
        self.0.iter().filter(|it| is_running(it)).count()
    }
}

/// A container's name, as people know it.
pub(super) fn name(container: &ContainerSummary) -> &str {
    let names = container.names.as_deref().unwrap_or_default();
    let name = names.first().map_or("", String::as_str);
    name.trim_start_matches('/')
}

pub(super) fn is_running(container: &ContainerSummary) -> bool {
    container
        .state
        .as_ref()
        .is_some_and(|state| state.to_string() == "running")
}

impl Host {
    /// The engine's API, over the connection there is now.
    async fn link(&self) -> Result<Rc<Link>, RemoteError> {
        let connection = self.session.connection().await?;
        let known = self.link.borrow().clone();
        if let Some(link) = known
            && Rc::ptr_eq(&link.connection, &connection)
        {
            return Ok(link);
        }
        let socket = connection.forward(Path::new(ENGINE_SOCKET)).await?;
        let path = socket.to_string_lossy();
        let docker = match connect(&path, TIMEOUT).await {
            Ok(docker) => docker,
            Err(error) => return Err(self.closed_engine(error).await),
        };
        let link = Rc::new(Link { connection, docker });
        *self.link.borrow_mut() = Some(Rc::clone(&link));
        Ok(link)
    }

    /// Says why the engine cannot be talked to, when the connection itself is alive.
    async fn closed_engine(&self, source: BollardError) -> RemoteError {
        let script = Script {
            what: "look at the engine's socket",
            text: "[ -S \"$1\" ] || { echo missing; exit; }; [ -w \"$1\" ] || echo closed",
            arguments: &[ENGINE_SOCKET],
            limit: super::LOOK,
        };
        let user = self.session.user();
        let (why, advice) = match self.session.script(&script).await {
            Err(error) => return error.into(),
            Ok(text) if text.contains("missing") => (
                "no Docker Engine listens at /var/run/docker.sock".to_owned(),
                "try: systemctl start docker".to_owned(),
            ),
            Ok(text) if text.contains("closed") => (
                format!("{user} may not use /var/run/docker.sock"),
                format!("try: usermod -aG docker {user}"),
            ),
            Ok(_) => {
                return RemoteError::Engine {
                    host: self.name.clone(),
                    what: "be reached at /var/run/docker.sock: it does not run, or sshd forbids to forward it (AllowTcpForwarding, AllowStreamLocalForwarding)".into(),
                    source,
                };
            }
        };
        RemoteError::NotReady {
            host: self.name.clone(),
            why,
            advice,
        }
    }

    /// Calls the engine.
    pub(super) async fn engine<T>(
        &self,
        what: &str,
        call: impl AsyncFn(&Docker) -> Result<T, BollardError>,
    ) -> Result<T, RemoteError> {
        let link = self.link().await?;
        match call(&link.docker).await {
            Ok(value) => Ok(value),
            Err(source) if is_answer(&source) => Err(self.engine_error(what, source)),
            Err(source) => Err(match link.connection.lost().await {
                Some(lost) => lost.into(),
                None => self.engine_error(what, source),
            }),
        }
    }

    fn engine_error(&self, what: &str, source: BollardError) -> RemoteError {
        RemoteError::Engine {
            host: self.name.clone(),
            what: what.to_owned(),
            source,
        }
    }

    /// Where the engine keeps its images.
    pub(super) async fn docker_root(&self) -> Result<&str, RemoteError> {
        let ask = async || {
            let info = self.engine("describe itself", Docker::info).await?;
            let root = info.docker_root_dir.filter(|root| !root.is_empty());
            Ok::<_, RemoteError>(root.unwrap_or_else(|| "/var/lib/docker".into()))
        };
        Ok(self.docker_root.get_or_try_init(ask).await?)
    }

    /// Compose 1 reads a field that engines from 25 on no longer tell: it would fail after the old
    /// container is gone.
    pub(super) async fn check_engine_suits_first_generation(
        &self,
        compose: &Compose,
    ) -> Result<(), RemoteError> {
        let version = self.engine("tell its version", Docker::version).await?;
        let version = version.version.unwrap_or_default();
        let major = version.split('.').next().and_then(|it| it.parse().ok());
        if major.unwrap_or(0_u32) < 25 {
            return Ok(());
        }
        Err(RemoteError::NotReady {
            host: self.name.clone(),
            why: format!("{compose} cannot replace containers of Docker Engine {version}"),
            advice: "install the Compose plugin (docker compose)".into(),
        })
    }

    /// All containers of the service, whatever state they are in.
    pub(super) async fn service_containers(&self) -> Result<Containers, RemoteError> {
        Ok(self.instances().await?.0)
    }

    /// All containers with these labels.
    pub(super) async fn list(
        &self,
        labels: &[String],
    ) -> Result<Vec<ContainerSummary>, RemoteError> {
        let filters = HashMap::from([("label", labels.to_vec())]);
        let options = ListContainersOptionsBuilder::new()
            .all(true)
            .filters(&filters)
            .build();
        let list = async |docker: &Docker| docker.list_containers(Some(options.clone())).await;
        self.engine("list containers", list).await
    }

    /// What every container of a service of that name has, in whichever project.
    pub(super) fn service_labels(&self) -> [String; 2] {
        [
            format!("com.docker.compose.service={}", self.service),
            "com.docker.compose.oneoff=False".to_owned(),
        ]
    }

    /// One container in detail; `None` when it is gone.
    pub(super) async fn container(&self, id: &str) -> Result<Option<Container>, RemoteError> {
        let Some(found) = self.inspect(id).await? else {
            return Ok(None);
        };
        let image = found.image.clone().unwrap_or_default();
        let digests = self.digests(&image).await?.unwrap_or_default();
        Ok(Some(container::read(found, image, digests)))
    }

    pub(super) async fn inspect(
        &self,
        id: &str,
    ) -> Result<Option<ContainerInspectResponse>, RemoteError> {
        let call = async |docker: &Docker| optional(docker.inspect_container(id, None).await);
        self.engine("inspect a container", call).await
    }

    /// The names by digest of a local image; `None` when it is not local.
    async fn digests(&self, image: &str) -> Result<Option<Vec<String>>, RemoteError> {
        let found = self.image(image).await?;
        Ok(found.map(|image| image.repo_digests.unwrap_or_default()))
    }

    /// A local image; `None` when there is none.
    pub(super) async fn image(&self, image: &str) -> Result<Option<ImageInspect>, RemoteError> {
        let call = async |docker: &Docker| optional(docker.inspect_image(image).await);
        self.engine("inspect an image", call).await
    }

    /// True when the engine has exactly that release.
    pub(super) async fn has(&self, release: &Release) -> Result<bool, RemoteError> {
        let reference = release.reference();
        let digests = self.digests(&reference).await?;
        Ok(digests.is_some_and(|digests| digests.contains(&reference)))
    }

    /// Pulls, with the account only where it belongs.
    pub(super) async fn fetch(
        &self,
        release: &Release,
        say: &dyn Fn(&str),
    ) -> Result<(), RemoteError> {
        let account = self.account.as_ref();
        let credentials = account.and_then(|account| account.of(&release.image));
        let reference = release.reference();
        let options = CreateImageOptionsBuilder::new()
            .from_image(&reference)
            .build();
        let call = async |docker: &Docker| {
            let progress = docker.create_image(Some(options.clone()), None, credentials.clone());
            follow(progress, async |line: &str| say(line)).await
        };
        match self.engine("pull", call).await {
            Err(RemoteError::Engine { source, .. }) if is_answer(&source) => {
                Err(error::pull_error(&self.name, &reference, &message(&source)))
            }
            result => result,
        }
    }

    /// Finishes or removes what an interrupted Compose left. Its first generation leaves the old
    /// container, stopped, under the half-made name; the second leaves the new one, never started, or
    /// started later where the old one is gone.
    /// Where a whole container stands beside it, the half-made one is superfluous, unless it alone runs;
    /// where none does, it gets its name back, so that Compose finds it and goes on from there.
    pub(super) async fn mend_leftovers(&self) -> Result<(), RemoteError> {
        let found = self.service_containers().await?;
        let (halves, wholes): (Vec<_>, Vec<_>) = found
            .0
            .iter()
            .partition(|it| compose::is_half_made(name(it)));
        let mut has_whole = !wholes.is_empty();
        for half in halves {
            let Some(final_name) = compose::final_name(name(half)) else {
                continue;
            };
            let serves_alone = is_running(half) && !wholes.iter().any(|it| is_running(it));
            if serves_alone {
                for whole in wholes.iter().filter(|it| name(it) == final_name) {
                    self.remove(whole).await?;
                }
            }
            if serves_alone || !has_whole {
                self.rename(half, final_name).await?;
                has_whole = true;
            } else if !is_running(half) {
                self.remove(half).await?;
            }
        }
        Ok(())
    }

    async fn rename(&self, it: &ContainerSummary, name: &str) -> Result<(), RemoteError> {
        let id = it.id.as_deref().unwrap_or_default();
        let options = RenameContainerOptionsBuilder::new().name(name).build();
        let call =
            async |docker: &Docker| optional(docker.rename_container(id, options.clone()).await);
        let renamed = self.engine("rename a half-made container", call).await;
        renamed.map(drop)
    }

    async fn remove(&self, it: &ContainerSummary) -> Result<(), RemoteError> {
        let id = it.id.as_deref().unwrap_or_default();
        let options = RemoveContainerOptionsBuilder::new().build();
        let call = async |docker: &Docker| {
            optional(docker.remove_container(id, Some(options.clone())).await)
        };
        let removed = self.engine("remove a half-made container", call).await;
        removed.map(drop)
    }

    /// Waits for the engine's next word about the service's containers. The stream is kept between
    /// calls and begins at the last survey, so nothing falls between two looks.
    pub(super) async fn wait_for_event(&self, limit: Duration) -> Result<(), RemoteError> {
        let kept = self.events.borrow_mut().take();
        let mut events = match kept {
            Some(events) => events,
            None => self.subscribe().await?,
        };
        let next = timeout(limit, events.next()).await;
        match next {
            // Nothing yet: the stream is good.
            Err(_) => *self.events.borrow_mut() = Some(events),
            Ok(Some(Ok(()))) => {
                skip_ready(&mut events);
                *self.events.borrow_mut() = Some(events);
            }
            // The stream ended with its connection: the next survey tells more.
            Ok(Some(Err(_)) | None) => {}
        }
        Ok(())
    }

    async fn subscribe(&self) -> Result<Events, RemoteError> {
        let name = self.known_name().await?;
        let mut labels = self.service_labels().to_vec();
        // The second instance is of another project.
        if self.bridge.is_none() {
            labels.push(format!("com.docker.compose.project={name}"));
        }
        let link = self.link().await?;
        let mut filters = HashMap::from([("label", labels)]);
        filters.insert("type", vec!["container".to_owned()]);
        filters.insert("event", CHANGES.map(str::to_owned).to_vec());
        let mut options = EventsOptionsBuilder::new().filters(&filters);
        if let Some(time) = self.surveyed.borrow().as_deref() {
            options = options.since(time);
        }
        let events = link.docker.events(Some(options.build()));
        Ok(Box::pin(events.map(|event| event.map(drop))))
    }
}

/// Takes what has come already: one look answers it all.
fn skip_ready(events: &mut Events) {
    use futures_util::FutureExt;
    while let Some(Some(Ok(()))) = events.next().now_or_never() {}
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(containers: &[(&str, &str, &str)]) -> Containers {
        let summary = |(id, name, state): &(&str, &str, &str)| {
            let text = format!(r#"{{"Id":"{id}","Names":["/{name}"],"State":"{state}"}}"#);
            serde_json::from_str(&text).unwrap()
        };
        Containers(containers.iter().map(summary).collect())
    }

    #[test]
    fn the_running_whole_container_is_the_service_s() {
        let found = found(&[
            ("1", "8e4ed551c6dd_shop_app_1", "running"),
            ("2", "shop_app_1", "running"),
            ("3", "shop_app_2", "exited"),
        ]);
        assert_eq!(found.current(), Some("2"));
        assert_eq!(found.leftovers(), ["8e4ed551c6dd_shop_app_1"]);
    }

    #[test]
    fn a_half_made_container_alone_is_the_service_s_only_while_it_runs() {
        let stopped = found(&[("1", "8e4ed551c6dd_shop_app_1", "exited")]);
        assert_eq!(stopped.current(), None);
        assert_eq!(stopped.leftovers().len(), 1);
        let running = found(&[
            ("1", "8e4ed551c6dd_shop-app-1", "running"),
            ("2", "shop-app-1", "exited"),
        ]);
        assert_eq!(running.current(), Some("1"));
        assert_eq!(running.leftovers(), Vec::<String>::new());
    }
}
