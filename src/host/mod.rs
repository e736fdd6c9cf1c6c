//! A production host as the rollout's [`Remote`]: its Docker Engine through a socket forwarded over
//! SSH, and docker-compose by a script sent over the same connection. Nothing is installed on the
//! host, and no registry credential stays there.
//!
//! The SSH user must be allowed to use `/var/run/docker.sock` and to write the compose folder.

pub mod compose;
mod engine;
mod error;
mod socket;
pub mod ssh;

use std::{cell::RefCell, pin::Pin, rc::Rc, time::Duration};

use bollard::{Docker, auth::DockerCredentials, errors::Error as EngineFault};
use futures_util::Stream;
use serde::Deserialize;
use tokio::sync::OnceCell;

use crate::{
    config::{self, Environment},
    rollout::port::{self, Release, Survey},
    secret::{self, Secret, SecretFile},
};
use compose::{Answer, Compose, SCRIPT};
pub use error::RemoteError;
use ssh::{Connection, Script, Session};

/// Where every engine listens unless somebody moved it.
const ENGINE_SOCKET: &str = "/var/run/docker.sock";
/// How long a look at the host may take.
const LOOK: Duration = Duration::from_mins(1);
/// How long Compose may take to replace the container, and another attempt to end before.
const SWITCH: Duration = Duration::from_mins(15);

/// One host.
pub struct Host {
    name: String,
    session: Session,
    project: String,
    service: String,
    directory: String,
    /// The port inside the container.
    port: u16,
    /// For pulls, and the registry they are meant for.
    account: Option<(String, DockerCredentials)>,
    link: RefCell<Option<Rc<Link>>>,
    compose: OnceCell<Option<Compose>>,
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

/// The account that production hosts pull with.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PullAccount {
    username: String,
    password: Secret,
}

impl SecretFile for PullAccount {
    const SHAPE: &'static str = "a JSON object with the keys \"username\" and \"password\"";
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
            project: environment.project().to_owned(),
            service: environment.compose.service.clone(),
            directory: environment.compose.directory.clone(),
            port: environment.compose.port,
            account: pull_account(registry)?,
            link: RefCell::default(),
            compose: OnceCell::new(),
            docker_root: OnceCell::new(),
            surveyed: RefCell::default(),
            events: RefCell::default(),
        })
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
            text: SCRIPT,
            arguments,
            limit,
        };
        Ok(compose::answers(&self.session.script(&script).await?))
    }

    /// The Compose to use here, found once.
    async fn compose(&self, made_by: Option<&str>) -> Result<Option<&Compose>, RemoteError> {
        let find = async || {
            let answers = self.ask("find docker-compose", &["find"], LOOK).await?;
            Ok::<_, RemoteError>(Compose::choose(&answers, made_by))
        };
        Ok(self.compose.get_or_try_init(find).await?.as_ref())
    }

    /// As `compose`, when there is no going on without it.
    async fn needed_compose(&self) -> Result<&Compose, RemoteError> {
        let made_by = self.service_containers().await?.compose_version();
        self.compose(made_by.as_deref())
            .await?
            .ok_or_else(|| RemoteError::NotReady {
                host: self.name.clone(),
                why: "it has neither docker compose nor docker-compose".into(),
                advice: "try: apt install docker-compose".into(),
            })
    }

    /// Finds before any weight moves what would stop a switch.
    async fn check_project(&self) -> Result<(), RemoteError> {
        let compose = self.needed_compose().await?;
        if compose.major() == Some(1) {
            self.check_engine_suits_first_generation(compose).await?;
        }
        let arguments = ["check", self.directory.as_str()];
        let answers = self.ask("look at the compose project", &arguments, LOOK);
        self.refusal(&answers.await?).map_or(Ok(()), Err)
    }

    fn refusal(&self, answers: &[Answer]) -> Option<RemoteError> {
        answers.iter().find_map(|answer| match answer {
            Answer::Refuse { why, file } => Some(error::not_ready(&self.name, why, file)),
            _ => None,
        })
    }

    /// What became of an attempt; `None` when it was not made yet.
    fn ended(&self, answers: &[Answer], command: &str) -> Option<Result<(), RemoteError>> {
        let unfinished = |why| {
            Err(RemoteError::Unfinished {
                host: self.name.clone(),
                command: command.to_owned(),
                why,
            })
        };
        answers.iter().find_map(|answer| match answer {
            Answer::Ended(0) => Some(Ok(())),
            Answer::Ended(code) => Some(Err(RemoteError::Compose {
                host: self.name.clone(),
                command: command.to_owned(),
                code: *code,
                log: log_lines(answers),
            })),
            Answer::Busy => Some(unfinished("it, or one before it, still runs there")),
            Answer::Died => Some(unfinished("it was killed")),
            Answer::Refuse { why, file } => Some(Err(error::not_ready(&self.name, why, file))),
            Answer::Time(_)
            | Answer::FreeKilobytes(_)
            | Answer::Switching
            | Answer::Compose(_)
            | Answer::Free
            | Answer::Log(_) => None,
        })
    }
}

impl port::Remote for Host {
    type Error = RemoteError;

    async fn survey(&self) -> Result<Survey, RemoteError> {
        let root = self.docker_root().await?;
        let arguments = ["look", &self.directory, &self.project, root];
        let look = self.ask("look around", &arguments, LOOK);
        let (answers, found) = tokio::join!(look, self.service_containers());
        let (answers, found) = (answers?, found?);
        let compose = self.compose(found.compose_version().as_deref()).await?;
        let compose = compose.map_or_else(|| "no docker-compose".into(), ToString::to_string);
        let mut survey = Survey {
            container: None,
            leftovers: found.leftovers(),
            compose,
            free_bytes: 0,
            is_switching: false,
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
        Ok(survey)
    }

    async fn pull(&self, release: &Release, say: &dyn Fn(&str)) -> Result<(), RemoteError> {
        self.check_project().await?;
        if !self.has(release).await? {
            self.fetch(release, say).await?;
        }
        if self.has(release).await? {
            return Ok(());
        }
        Err(error::pull_error(
            &self.name,
            &release.reference(),
            "after the pull the engine does not know the image by that digest",
        ))
    }

    async fn connections(&self, container: &str) -> Result<u64, RemoteError> {
        let Some((pid, is_own_namespace)) = self.namespace(container).await? else {
            return Ok(0);
        };
        let script = Script {
            what: "count connections",
            // The process may end at any moment: no table is no connection.
            text: "cat \"/proc/$1/net/tcp\" \"/proc/$1/net/tcp6\" 2>/dev/null; exit 0",
            arguments: &[&pid.to_string()],
            limit: LOOK,
        };
        let tables = self.session.script(&script).await?;
        Ok(socket::established(&tables, self.port, is_own_namespace))
    }

    async fn switch(&self, attempt: &str, reference: &str) -> Result<(), RemoteError> {
        let compose = self.needed_compose().await?;
        let line = compose.up(&self.project, &self.service);
        let command = line.join(" ");
        let text = compose::override_text(&self.service, reference);
        let text = text.ok_or_else(|| RemoteError::NotReady {
            host: self.name.clone(),
            why: format!("`{reference}` cannot name the image of `{}`", self.service),
            advice: "look at compose.service and release.image".into(),
        })?;
        let seconds = SWITCH.as_secs().to_string();
        let what = "switch the release";
        let limit = SWITCH.saturating_mul(2) + LOOK;
        let wait = ["await", &self.project, attempt, &seconds];
        let answers = self.ask(what, &wait, limit).await?;
        if let Some(result) = self.ended(&answers, &command) {
            return result;
        }
        self.mend_leftovers().await?;
        let start = [
            "start",
            &self.directory,
            &self.project,
            attempt,
            &seconds,
            &text,
        ];
        let words = line.iter().map(String::as_str);
        let start: Vec<_> = start.into_iter().chain(words).collect();
        let answers = self.ask(what, &start, limit).await?;
        let unknown = || {
            Err(RemoteError::Unfinished {
                host: self.name.clone(),
                command: command.clone(),
                why: "the host did not say how it ended",
            })
        };
        self.ended(&answers, &command).unwrap_or_else(unknown)
    }

    async fn change(&self, limit: Duration) -> Result<(), RemoteError> {
        self.wait_for_event(limit).await
    }
}

fn log_lines(answers: &[Answer]) -> String {
    let lines: Vec<_> = answers
        .iter()
        .filter_map(|answer| match answer {
            Answer::Log(line) => Some(format!("    {line}")),
            _ => None,
        })
        .collect();
    lines.join("\n")
}

fn pull_account(
    registry: Option<&config::Registry>,
) -> Result<Option<(String, DockerCredentials)>, RemoteError> {
    let Some(registry) = registry else {
        return Ok(None);
    };
    let Some(path) = &registry.pull_account else {
        return Ok(None);
    };
    let account: PullAccount = secret::load(path).map_err(RemoteError::Account)?;
    let credentials = DockerCredentials {
        username: Some(account.username),
        password: Some(account.password.expose().to_owned()),
        serveraddress: Some(registry.host.clone()),
        ..DockerCredentials::default()
    };
    Ok(Some((registry.host.clone(), credentials)))
}
