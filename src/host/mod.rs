//! A production host as the rollout's `Remote`: its Docker Engine through a socket forwarded over
//! SSH, and docker-compose by a script sent over the same connection. Nothing is installed on the
//! host, and no registry credential stays there.
//!
//! The SSH user must be allowed to use `/var/run/docker.sock` and to write the compose folder.

mod account;
mod bridge;
mod change;
mod compose;
mod composed;
mod container;
mod engine;
mod error;
mod http;
mod keep;
mod label;
mod pin;
mod place;
mod preflight;
mod probe;
mod project;
mod refers;
mod release;
mod released;
mod replace;
mod said;
mod script;
mod second;
mod socket;
pub mod ssh;
mod swap;
mod words;

use std::{
    cell::{Cell, RefCell},
    pin::Pin,
    rc::Rc,
    time::Duration,
};

use bollard::{Docker, errors::Error as EngineFault};
use futures_util::Stream;
use tokio::sync::OnceCell;

use crate::{
    config::{self, Environment},
    rollout::port::{self, ComposeFile, Release, Slot, Survey},
};
use account::Account;
use compose::Compose;
pub use composed::Composed;
pub use error::RemoteError;
use http::Http;
use project::Project;
use script::Answer;
use second::Bridge;
use ssh::{Connection, Script, Session};

/// Where every engine listens unless somebody moved it.
const ENGINE_SOCKET: &str = "/var/run/docker.sock";
/// How long a look at the host may take.
const LOOK: Duration = Duration::from_mins(1);
/// One host.
pub struct Host {
    name: String,
    session: Session,
    /// The project's name, where the environment says it.
    configured_project: Option<String>,
    project_name: OnceCell<String>,
    project: RefCell<Option<Project>>,
    service: String,
    /// The folder of the project's files, unless what runs says another.
    directory: String,
    /// Where the balancer sends requests to.
    public_port: u16,
    /// The port inside the container.
    port: u16,
    probe: Option<Http>,
    /// The second instance's; `None` where there is no second port.
    bridge: Option<Bridge>,
    /// False where nobody sends requests to a port: a worker may listen nowhere.
    has_balancer: bool,
    account: Option<Account>,
    /// False where a release that the host does not have is not pulled.
    may_pull: bool,
    link: RefCell<Option<Rc<Link>>>,
    compose: OnceCell<Option<Compose>>,
    /// The files that come with a release.
    composed: RefCell<Option<Rc<Composed>>>,
    /// True where the environment says so.
    brings_files: bool,
    /// Whether it has others, while it runs that release: looked at once.
    is_outdated: Cell<Option<bool>>,
    /// Whether all other services run as those say, once Compose was asked.
    has_held_others: Cell<bool>,
    /// Whether the files give the service a health check, once Compose was asked.
    has_composed_check: Cell<Option<bool>>,
    docker_root: OnceCell<String>,
    /// The host's clock at the last survey.
    surveyed: RefCell<Option<String>>,
    events: RefCell<Option<Events>>,
}

type Events = Pin<Box<dyn Stream<Item = Result<(), EngineFault>>>>;

/// The engine's API over one connection.
struct Link {
    connection: Rc<Connection>,
    docker: Docker,
}

impl Host {
    /// One of the environment's hosts; does not connect yet.
    pub fn open(
        environment: &Environment,
        host: &config::HostEntry,
        registry: Option<&config::Registry>,
    ) -> Result<Self, RemoteError> {
        Ok(Self {
            name: host.name.clone(),
            session: Session::new(host, &environment.ssh.key),
            configured_project: environment.compose.project.clone(),
            project_name: OnceCell::new(),
            project: RefCell::default(),
            public_port: environment.host_port(),
            service: environment.compose.service.clone(),
            directory: environment.compose.directory.clone(),
            port: environment.compose.port,
            has_balancer: environment.balancer.kind != "none",
            probe: Http::open(environment, host, None)?,
            bridge: Bridge::open(environment, host)?,
            account: Account::load(registry)?,
            may_pull: true,
            link: RefCell::default(),
            compose: OnceCell::new(),
            composed: RefCell::default(),
            brings_files: !environment.compose.file.is_empty(),
            is_outdated: Cell::default(),
            has_held_others: Cell::default(),
            has_composed_check: Cell::default(),
            docker_root: OnceCell::new(),
            surveyed: RefCell::default(),
            events: RefCell::default(),
        })
    }

    /// A host that makes do with the images that it has.
    #[must_use]
    pub fn without_registry(self) -> Self {
        Self {
            may_pull: false,
            ..self
        }
    }

    /// A host on which these files come with the release.
    #[must_use]
    pub fn with_files(self, composed: Option<Composed>) -> Self {
        let composed = RefCell::new(composed.map(Rc::new));
        Self { composed, ..self }
    }

    /// Asks the script on the host; `what` is for messages.
    async fn ask(
        &self,
        what: &str,
        arguments: &[&str],
        limit: Duration,
    ) -> Result<Vec<Answer>, RemoteError> {
        let script = Script {
            what,
            text: script::TEXT,
            arguments,
            limit,
        };
        Ok(script::answers(&self.session.script(&script).await?))
    }

    /// The Compose to use here, found once.
    async fn compose(&self, made_by: Option<&str>) -> Result<Option<&Compose>, RemoteError> {
        let find = async || {
            let answers = self.ask("find docker-compose", &["find"], LOOK).await?;
            let found = answers.into_iter().filter_map(|answer| match answer {
                Answer::Compose(compose) => Some(compose),
                _ => None,
            });
            let found: Vec<_> = found.collect();
            Ok::<_, RemoteError>(Compose::choose(&found, made_by))
        };
        Ok(self.compose.get_or_try_init(find).await?.as_ref())
    }
}

impl port::Remote for Host {
    type Error = RemoteError;

    fn bring(&self, release: &Release, files: &[ComposeFile]) {
        let composed = Composed::new(release, files.to_vec());
        self.composed.replace(composed.map(Rc::new));
        // All that was found out about other files.
        self.is_outdated.take();
        self.has_held_others.take();
        self.has_composed_check.take();
    }

    async fn survey(&self) -> Result<Survey, RemoteError> {
        let root = self.docker_root().await?;
        let project = self.known_name().await?;
        let arguments = ["look", &self.directory, project, root];
        let look = self.ask("look around", &arguments, LOOK);
        let (answers, found) = tokio::join!(look, self.instances());
        let (answers, (found, second)) = (answers?, found?);
        let compose = self.compose(found.compose_version().as_deref()).await?;
        let compose = compose.map_or_else(|| "no docker-compose".into(), ToString::to_string);
        let mut survey = Survey {
            container: None,
            bridge: None,
            leftovers: found.leftovers(),
            compose,
            free_bytes: 0,
            is_switching: false,
            is_outdated: false,
        };
        for answer in answers {
            match answer {
                Answer::Time(time) => *self.surveyed.borrow_mut() = Some(time),
                Answer::FreeKilobytes(free) => survey.free_bytes = free.saturating_mul(1024),
                Answer::Switching => survey.is_switching = true,
                _ => {}
            }
        }
        survey.container = match found.current() {
            Some(id) => self.container(id).await?,
            None => None,
        };
        survey.is_outdated = match &survey.container {
            Some(container) => self.is_outdated(container).await?,
            None => false,
        };
        survey.bridge = match second.current().filter(|_| self.bridge.is_some()) {
            Some(id) => self.container(id).await?,
            None => None,
        };
        Ok(survey)
    }

    async fn pull(&self, release: &Release, say: &dyn Fn(&str)) -> Result<(), RemoteError> {
        self.check_project(&release.reference(), say).await?;
        self.check_bridge(&release.reference(), say).await?;
        self.check_sight().await?;
        if !self.has(release).await? {
            if !self.may_pull {
                return Err(error::not_kept(&self.name, release));
            }
            self.fetch(release, say).await?;
        }
        if !self.has(release).await? {
            return Err(error::pull_error(
                &self.name,
                &release.reference(),
                "after the pull the engine does not know the image by that digest",
            ));
        }
        self.check_labels(release).await?;
        self.keep(release).await?;
        self.check_health_check(release).await
    }

    async fn connections(&self, container: &str) -> Result<u64, RemoteError> {
        let sockets = self.sockets(container).await?;
        Ok(sockets.map_or(0, |sockets| sockets.established))
    }

    async fn probe(&self, slot: Slot, container: &str) -> Result<(), RemoteError> {
        self.probe_container(slot, container).await
    }

    async fn last_words(&self, slot: Slot) -> Result<Vec<String>, RemoteError> {
        self.words(slot).await
    }

    async fn clear(&self) -> Result<(), RemoteError> {
        self.clear_beside().await
    }

    async fn mend(&self) -> Result<(), RemoteError> {
        self.mend_files().await
    }

    async fn switch(&self, slot: Slot, attempt: &str, reference: &str) -> Result<(), RemoteError> {
        match slot {
            Slot::Own => self.switch_release(attempt, reference).await,
            Slot::Bridge => self.start_beside(attempt, reference).await,
        }
    }

    async fn change(&self, limit: Duration) -> Result<(), RemoteError> {
        self.wait_for_event(limit).await
    }
}
