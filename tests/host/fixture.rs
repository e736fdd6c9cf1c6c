//! The fleet, the registry, and what the tests ask of both.

use std::{
    fmt::Write,
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use dockmaster::{
    config::{Environment, Registry},
    host::{Host, RemoteError},
    rollout::port::{Container, Fault, Health, Release, Remote, Retry, Survey},
};
use testbed::{
    application::Application,
    command::{DOCKER, feed},
    fleet::{self, DIRECTORY},
    image,
    infrastructure::{Infrastructure, REPOSITORY},
};

/// How long anything may take that is waited for.
pub(crate) const PATIENCE: Duration = Duration::from_mins(1);

pub(crate) struct Fixture {
    pub(crate) infrastructure: Infrastructure,
    /// A release that is in the registry and on no host.
    pub(crate) new: Release,
    scratch: PathBuf,
}

impl Fixture {
    pub(crate) fn boot() -> anyhow::Result<Self> {
        let infrastructure = Infrastructure::boot()?;
        let scratch = infrastructure.machine.directory("host-tests")?;
        let mut fixture = Self {
            infrastructure,
            new: Release {
                image: String::new(),
                digest: String::new(),
                version: String::new(),
            },
            scratch,
        };
        fixture.new = fixture.release("v1.0.0");
        for host in &fixture.infrastructure.fleet.hosts {
            host.log_out()?;
        }
        Ok(fixture)
    }

    /// Builds and pushes a release.
    pub(crate) fn release(&self, version: &str) -> Release {
        let directory = self.scratch.join(version);
        let application = Application::new(version);
        let images = &self.infrastructure.images;
        application
            .write(&directory, &images.application_base)
            .unwrap();
        self.push(&directory, version)
    }

    /// Builds and pushes what lies in a folder.
    pub(crate) fn push(&self, directory: &Path, version: &str) -> Release {
        let registry = &self.infrastructure.registry;
        let image = registry.image(REPOSITORY);
        let tag = format!("{image}:{version}");
        image::build(directory, &tag).unwrap();
        let settings = self.scratch.join("docker-config");
        let settings = settings.to_string_lossy();
        let account = &registry.push_account;
        let login = ["--config", &settings, "login", "-u", &account.username];
        let login = [&login[..], &["--password-stdin", &registry.host]].concat();
        feed(DOCKER, &login, account.password.as_bytes()).unwrap();
        feed(DOCKER, &["--config", &settings, "push", "-q", &tag], b"").unwrap();
        Release {
            image,
            digest: registry.digest(REPOSITORY, version).unwrap(),
            version: version.to_owned(),
        }
    }

    pub(crate) fn host(&self, name: &str) -> &fleet::Host {
        self.infrastructure.fleet.host(name).unwrap()
    }

    /// The fleet as an environment's file describes it.
    pub(crate) fn environment(&self) -> Environment {
        let mut text = format!(
            "[policy]\nprojects = [42]\n[release]\nimage = \"{}\"\n[ssh]\nkey = \"{}\"\n\
             [compose]\ndirectory = \"{DIRECTORY}\"\nservice = \"{}\"\nport = 3131\n\
             [balancer]\nkind = \"none\"\n",
            self.new.image,
            self.infrastructure.fleet.key.display(),
            fleet::SERVICE,
        );
        for host in &self.infrastructure.fleet.hosts {
            let _ = write!(
                text,
                "[[hosts]]\nname = \"{}\"\nssh = \"{}@{}\"\nhost-key = \"{}\"\n",
                host.name,
                fleet::USER,
                host.ip,
                host.host_key().unwrap()
            );
        }
        toml::from_str(&text).unwrap()
    }

    /// The registry with the account that hosts pull with.
    pub(crate) fn registry(&self) -> Registry {
        let registry = &self.infrastructure.registry;
        let account = &registry.pull_account;
        let path = self.scratch.join("registry.json");
        let text = serde_json::json!({
            "username": account.username, "password": account.password,
        });
        fs::write(&path, text.to_string()).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        Registry {
            host: registry.host.clone(),
            pull_account: Some(path),
            ..Registry::default()
        }
    }

    /// A host as the rollout sees it.
    pub(crate) fn remote(&self, name: &str) -> Host {
        let environment = self.environment();
        let host = environment.hosts.iter().find(|host| host.name == name);
        Host::open(&environment, host.unwrap(), Some(&self.registry())).unwrap()
    }
}

/// Runs what is asynchronous, as the program does: on one thread.
pub(crate) fn run<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
        .block_on(future)
}

/// Repeats a call while its error says that this helps, as the rollout does.
pub(crate) async fn again<T>(call: impl AsyncFn() -> Result<T, RemoteError>) -> T {
    let start = Instant::now();
    loop {
        match call().await {
            Ok(value) => return value,
            Err(error) => {
                assert_eq!(error.retry(), Retry::SOON, "{error}");
                assert!(start.elapsed() < PATIENCE, "{error}");
            }
        }
    }
}

/// Looks until the host looks as it should, woken by the engine's events.
pub(crate) async fn survey_until(remote: &Host, is_so: impl Fn(&Survey) -> bool) -> Survey {
    let start = Instant::now();
    loop {
        let survey = remote.survey().await.unwrap();
        if is_so(&survey) {
            return survey;
        }
        assert!(start.elapsed() < PATIENCE, "{survey:?}");
        remote.change(Duration::from_secs(5)).await.unwrap();
    }
}

pub(crate) fn is_healthy(survey: &Survey) -> bool {
    let container = survey.container.as_ref();
    container.is_some_and(|it| it.is_running && it.health == Health::Healthy)
}

pub(crate) async fn container(remote: &Host) -> Container {
    survey_until(remote, is_healthy).await.container.unwrap()
}

/// Waits for something outside that nobody tells of.
pub(crate) fn wait_until(what: &str, is_so: impl Fn() -> bool) {
    let start = Instant::now();
    while !is_so() {
        assert!(start.elapsed() < PATIENCE, "waited in vain: {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// The error's text with its causes.
pub(crate) fn story(error: &RemoteError) -> String {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        let _ = write!(text, ": {cause}");
        source = cause.source();
    }
    text
}

#[track_caller]
pub(crate) fn assert_says(error: &RemoteError, words: &[&str]) {
    let story = story(error);
    for word in words {
        assert!(story.contains(word), "`{word}` is not in: {story}");
    }
}
