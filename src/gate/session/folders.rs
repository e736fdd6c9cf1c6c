//! What a job's builds may be asked for on the way back to their clients: by the names of folders, and by sessions.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};

use bytes::Bytes;
use h2::client::SendRequest;
use hyper::header::HeaderMap;
use tokio::sync::watch;

use super::login;
use super::parcel::Coming;
use crate::gate::build::recipe::Recipe;
use crate::gate::logins::Logins;
use crate::gate::refusal::Denied;

/// What clients call the folder of the Dockerfile, and that of the context.
pub(super) const DOCKERFILE: &str = "dockerfile";
const CONTEXT: &str = "context";

/// What of a build a folder is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    Dockerfile,
    Context,
}

/// A job has far fewer builds that differ.
const MOST: usize = 4096;

/// Which Dockerfiles the engine may ask for, and how each is read.
#[derive(Debug, Default)]
pub(in crate::gate) struct Folders {
    known: Mutex<Known>,
    /// The sessions of builds that were refused.
    refused: watch::Sender<BTreeSet<String>>,
}

#[derive(Debug, Default)]
pub(super) struct Known {
    /// By the name that the gate gave to the folder.
    by_name: BTreeMap<String, Recipe>,
    /// By the session, where the request of a build cannot name the folder.
    by_session: BTreeMap<String, Recipe>,
    /// The sessions that are open, and the way to the client of each.
    open: BTreeMap<String, SendRequest<Bytes>>,
    /// The session of a build, by the build's own reference.
    sessions: BTreeMap<String, String>,
    /// Archives that came, or are coming, by their session and the word that the client has for each.
    pub(super) parcels: BTreeMap<(String, String), Coming>,
    /// And those of no session yet, by that word.
    pub(super) uploads: BTreeMap<String, Coming>,
}

/// The logins of a client by its session; none once that is closed.
pub(in crate::gate) struct SessionLogins(Option<SendRequest<Bytes>>);

impl Logins for SessionLogins {
    async fn header(&self, registry: &str) -> HeaderMap {
        match &self.0 {
            Some(client) => login::header(client.clone(), registry).await,
            None => HeaderMap::new(),
        }
    }
}

/// A session that is open until this is dropped.
pub(super) struct Entered<'a>(&'a Folders, &'a str);

impl Drop for Entered<'_> {
    fn drop(&mut self) {
        let mut known = self.0.lock();
        known.open.remove(self.1);
        known.parcels.retain(|(session, _), _| session != self.1);
    }
}

impl Folders {
    /// Remembers a build that names its folder.
    pub(in crate::gate) fn add(&self, recipe: Recipe) -> Result<(), Denied> {
        let mut known = self.lock();
        if known.by_name.len() >= MOST {
            return Err(Denied::forbidden(
                "too many builds in one job: build in a job of their own",
            ));
        }
        known.by_name.insert(recipe.folder.clone(), recipe);
        Ok(())
    }

    /// Remembers a build of a session. Two that differ cannot be told apart when the engine asks.
    pub(in crate::gate) fn bind(&self, session: &str, recipe: Recipe) -> Result<(), Denied> {
        let mut known = self.lock();
        match known.by_session.get(session) {
            Some(other) if *other != recipe => Err(Denied::conflict(
                "a session of the client serves one build only: use a session for each",
            )),
            _ if known.by_session.len() >= MOST => Err(Denied::forbidden(
                "too many builds in one job: build in a job of their own",
            )),
            _ => {
                known.by_session.insert(session.to_owned(), recipe);
                Ok(())
            }
        }
    }

    /// Remembers the session of a build.
    pub(in crate::gate) fn note(&self, reference: &str, session: &str) -> Result<(), Denied> {
        let mut known = self.lock();
        if known.sessions.len() >= MOST {
            return Err(Denied::forbidden(
                "too many builds in one job: build in a job of their own",
            ));
        }
        known
            .sessions
            .insert(reference.to_owned(), session.to_owned());
        Ok(())
    }

    /// The session of a build; the empty one, if it is not known.
    pub(in crate::gate) fn session_of(&self, reference: &str) -> String {
        self.lock()
            .sessions
            .get(reference)
            .cloned()
            .unwrap_or_default()
    }

    /// The logins of the client that has this session.
    pub(in crate::gate) fn logins(&self, session: &str) -> SessionLogins {
        SessionLogins(self.lock().open.get(session).cloned())
    }

    pub(super) fn enter<'a>(&'a self, session: &'a str, client: SendRequest<Bytes>) -> Entered<'a> {
        self.lock().open.insert(session.to_owned(), client);
        Entered(self, session)
    }

    /// The build that a folder is asked for, where the gate has to do with that folder.
    /// `has_folders`: the client itself has some to send.
    pub(super) fn find(
        &self,
        session: &str,
        folder: &str,
        has_folders: bool,
    ) -> Option<(Recipe, Part)> {
        let known = self.lock();
        let as_part = |part: Part| move |recipe: &Recipe| (recipe.clone(), part);
        let named = || known.by_name.get(folder).map(as_part(Part::Dockerfile));
        let bound = || {
            let recipe = known.by_session.get(session)?;
            let part = match folder {
                DOCKERFILE => Part::Dockerfile,
                CONTEXT if !recipe.upload.is_empty() => Part::Context,
                _ => return None,
            };
            Some((recipe.clone(), part))
        };
        // A context is asked for by its usual name alone.
        let only = || {
            let mut of_session = known.parcels.keys().filter(|(of, _)| of == session);
            let (_, word) = of_session.next()?;
            let is_it = folder == CONTEXT && !has_folders && of_session.next().is_none();
            let recipe = Recipe {
                upload: word.clone(),
                ..Recipe::default()
            };
            is_it.then_some((recipe, Part::Context))
        };
        named().or_else(bound).or_else(only)
    }

    pub(super) fn lock(&self) -> std::sync::MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends the session of a build that was refused, now or when it comes. Clients close it themselves, but Docker's
    /// own waits for ever where the refusal is quicker than the session: no engine answers a build before.
    pub(in crate::gate) fn refuse(&self, session: &str) {
        self.refused.send_modify(|refused| {
            if refused.len() >= MOST {
                refused.clear();
            }
            refused.insert(session.to_owned());
        });
    }

    /// Comes when the build of a session was refused.
    pub(super) async fn refusal(&self, session: &str) {
        let mut refused = self.refused.subscribe();
        // The sender lives as long as this.
        let _ = refused.wait_for(|refused| refused.contains(session)).await;
    }
}
