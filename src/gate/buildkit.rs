//! The roads to `BuildKit`: the query of `/build`, its own interface, and its way back to the client.
//!
//! All are judged by what they name, as one [`Build`], by one set of rules.

use std::sync::Arc;

use hyper::Response;

use super::build::{Build, form};
use super::daemon::{Body, empty};
use super::grpc;
use super::handle::{Call, Handler};
use super::refusal::Denied;
use super::session::{self, Session};
use super::trace::told;

impl Handler {
    /// A build whose query asks for `BuildKit`.
    pub(super) async fn form(&self, call: Call) -> Result<Response<Body>, Denied> {
        let session = call.route.query.text("session").to_owned();
        let built = self.judged_form(call).await;
        if built.is_err() {
            self.folders.refuse(&session);
        }
        built
    }

    async fn judged_form(&self, mut call: Call) -> Result<Response<Body>, Denied> {
        if let Some(word) = form::uploaded(&call.route.query) {
            let body = call.asked.body.take();
            self.folders.upload(&self.own, word, body).await?;
            return Ok(Response::new(empty()));
        }
        let held = self.own.held();
        let mut build = Build::default();
        form::judge(&call.route.query, held.as_realm(), &mut build)?;
        let mut spoken = self.own.speak(&build).await?;
        let judged = form::judge(&call.route.query, held.as_realm(), &mut spoken)?;
        let upload = judged.recipe.upload.clone();
        self.folders.bind(&judged.session, judged.recipe)?;
        if !upload.is_empty() {
            self.folders.uploaded(&judged.session, &upload).await?;
        }
        call.route.query = judged.query;
        let outgoing = call
            .to("")?
            .header(&call.asked.headers, "x-registry-config");
        let response = outgoing.send(self.engine()).await?;
        Ok(told(Arc::clone(&self.own), response))
    }

    /// `BuildKit`'s way back to the client for files and logins: the engine asks, the client serves.
    pub(super) async fn session(&self, call: Call) -> Result<Response<Body>, Denied> {
        if call.asked.upgrade.is_none() {
            return Err(Denied::malformed("a session needs an upgraded connection"));
        }
        let headers = session::headers(&self.own, &call.asked.headers)?;
        let (own, folders) = (Arc::clone(&self.own), Arc::clone(&self.folders));
        let session = Session::new(own, folders, &call.asked.headers);
        let outgoing = call.to("")?.headers(headers);
        let (response, ends) = outgoing.upgrade(self.engine(), call.asked.upgrade).await?;
        if let Some((client, daemon)) = ends {
            self.tasks.spawn(async move {
                if let Err(error) = session.serve(client, daemon).await {
                    tracing::debug!(%error, "session of a job");
                }
            });
        }
        Ok(response)
    }

    /// `BuildKit` itself, as buildx speaks to it.
    pub(super) async fn buildkit(&self, call: Call) -> Result<Response<Body>, Denied> {
        let outgoing = call.to("")?;
        if call.asked.upgrade.is_none() {
            return Err(Denied::malformed("this needs an upgraded connection"));
        }
        let (response, ends) = outgoing.upgrade(self.engine(), call.asked.upgrade).await?;
        if let Some((client, daemon)) = ends {
            let (own, folders) = (Arc::clone(&self.own), Arc::clone(&self.folders));
            self.tasks.spawn(async move {
                if let Err(error) = grpc::serve(own, folders, client, daemon).await {
                    tracing::debug!(%error, "build connection of a job");
                }
            });
        }
        Ok(response)
    }
}
