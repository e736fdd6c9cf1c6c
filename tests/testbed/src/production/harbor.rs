//! A stand-in for Harbor's core: its API, its token service, and what it does to requests for images before
//! the real registry behind it sees them. It answers as Harbor 2.16 was recorded, oddities included.
//!
//! No sockets here but the way to the registry behind. What Harbor has and dockmaster never asks for is
//! answered as an unknown path.

mod answer;
mod artifact;
mod images;
mod policy;
mod project;
mod robot;
mod state;
mod tokens;
mod who;

use std::future::Future;
use std::net::SocketAddr;
use std::path::Path;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::Result;
use bytes::Bytes;
use hyper::Method;
use hyper::http::request::Parts;

use crate::serve::Reply;
use answer::Answer;
pub use policy::{Quota, Vulnerabilities};
use state::State;
pub use state::{Access, Permission, RobotRow};
use tokens::Signer;
pub(crate) use tokens::{ISSUER, SERVICE};
use who::Who;

/// What a wrong password costs in Harbor; tests may have it cheaper.
const FAILED_LOGIN: Duration = Duration::from_millis(1500);

/// Harbor's core. Clones are the same one.
#[derive(Debug, Clone)]
pub struct Harbor {
    state: Arc<Mutex<State>>,
    signer: Option<Arc<Signer>>,
    storage: Option<SocketAddr>,
}

/// A request, taken apart once.
pub(crate) struct Asked {
    method: Method,
    /// As nginx hands it on: decoded once.
    path: String,
    query: Vec<(String, String)>,
    parts: Parts,
    body: Bytes,
}

impl Harbor {
    /// A Harbor with the admin's account and the project `library`. Without a registry behind it there are
    /// no images.
    pub fn new(admin_password: &str) -> Self {
        Self {
            state: Arc::new(Mutex::new(State::new(admin_password))),
            signer: None,
            storage: None,
        }
    }

    /// With the folder of the key that signs tokens, and the registry behind.
    pub(crate) fn with_images(mut self, keys: &Path, storage: SocketAddr) -> Result<Self> {
        self.signer = Some(Arc::new(Signer::new(keys)?));
        self.storage = Some(storage);
        Ok(self)
    }

    /// Makes a project, as its admin would.
    pub fn project(&self, name: &str) -> i64 {
        self.state().make_project(name, false)
    }

    /// Makes a user with a role in some projects.
    pub fn user(&self, name: &str, password: &str, role: Role, projects: &[&str]) {
        self.state().make_user(name, password, role, projects);
    }

    /// Makes a robot; its login name and secret.
    pub fn robot(&self, name: &str, level: &str, permissions: Vec<Permission>) -> (String, String) {
        self.state().make_robot(name, level, permissions)
    }

    /// The robots that there are, by login name.
    pub fn robots(&self) -> Vec<RobotRow> {
        self.state().robot_rows()
    }

    /// Every request so far: who, method, path.
    pub fn calls(&self) -> Vec<String> {
        self.state().calls.clone()
    }

    /// Changes what an admin can change.
    pub fn change(&self, change: impl FnOnce(&mut Settings)) {
        change(&mut self.state().settings);
    }

    /// Makes tags of a project immutable: a glob of tags.
    pub fn make_immutable(&self, project: &str, tags: &str) {
        self.state().make_immutable(project, tags);
    }

    pub fn set_quota(&self, project: &str, bytes: i64) {
        self.state().set_quota(project, bytes);
    }

    /// An image that lies there, without a registry behind; its digest.
    pub fn image(&self, repository: &str, tag: &str) -> String {
        self.state().make_image(repository, tag)
    }

    /// Gives Harbor a scanner, and says what it finds in a repository.
    pub fn set_scanner(&self, repository: &str, found: Vulnerabilities) {
        let mut state = self.state();
        let all = state.images.scanner.get_or_insert_default();
        all.insert(repository.to_owned(), found);
    }

    /// Sets a word of a project's metadata, as its admin would.
    pub fn metadata(&self, project: &str, name: &str, value: &str) {
        self.state().set_metadata(project, name, value);
    }

    /// Answers one request.
    pub fn handler(&self) -> impl Fn(Parts, Bytes) -> Answering + Send + Sync + 'static {
        let harbor = self.clone();
        move |parts, body| {
            let harbor = harbor.clone();
            Box::pin(async move { Some(harbor.answer(parts, body).await.into_response()) })
        }
    }

    async fn answer(&self, parts: Parts, body: Bytes) -> Answer {
        let asked = match Asked::new(parts, body) {
            Ok(asked) => asked,
            Err(answer) => return answer,
        };
        let who = self.who(&asked).await;
        let line = format!("{} {} {}", who.name(), asked.method, asked.path);
        self.state().calls.push(line);
        let forged = asked.has_sid() && asked.is_write();
        let answer = if forged {
            Answer::error(403, "FORBIDDEN", "CSRF token not found in request")
        } else if asked.path.starts_with("/service/token") {
            self.token(&asked, &who).await
        } else if asked.path.starts_with("/v2") {
            self.images(&asked, &who).await
        } else {
            self.api(&asked, &who)
        };
        answer.with_session()
    }

    /// Wrong credentials make a caller anonymous, late.
    async fn who(&self, asked: &Asked) -> Who {
        let Some((name, password)) = asked.basic() else {
            return Who::Nobody;
        };
        let (found, wait) = {
            let state = self.state();
            let found = state.log_in(&name, &password);
            (found, state.settings.failed_login)
        };
        if let Some(who) = found {
            return who;
        }
        self.state().lock_user(&name, wait);
        tokio::time::sleep(wait).await;
        Who::Refused
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a user is in a project.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    Admin,
    Developer,
    Guest,
}

/// What an admin can change in the whole of Harbor.
#[derive(Debug, Clone)]
pub struct Settings {
    pub version: String,
    pub robot_name_prefix: String,
    pub is_read_only: bool,
    /// How long a failed login takes.
    pub failed_login: Duration,
    /// Life of a token in minutes.
    pub token_expiration: i64,
    /// Answers of this status, with this Retry-After, before anything else is looked at.
    pub throttled: Vec<(u16, u64)>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            version: "v2.16.0-0000000".into(),
            robot_name_prefix: "robot$".into(),
            is_read_only: false,
            failed_login: FAILED_LOGIN,
            token_expiration: 30,
            throttled: Vec::new(),
        }
    }
}

pub type Answering = Pin<Box<dyn Future<Output = Reply> + Send>>;
