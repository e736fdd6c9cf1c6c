//! Images made of a container, or of an archive of files.
//!
//! Both have a name of the job's own, whether or not the client gives one.

use hyper::Response;

use super::change;
use super::container;
use super::daemon::Body;
use super::handle::{Call, Handler};
use super::own_image::named;
use super::refusal::Denied;

impl Handler {
    /// Makes an image of a container of the job's.
    pub(super) async fn commit(&self, mut call: Call) -> Result<Response<Body>, Denied> {
        let query = &mut call.route.query;
        change::judge(query.all("changes"))?;
        let id = self.own.container(query.text("container")).await?;
        query.set("container", id);
        let mut body = call.json().await?;
        // The container's own labels say whose it is: of an image they would say nothing that is so.
        let mut labels = self.own.scope.forced_labels();
        labels.values_mut().for_each(String::clear);
        container::label(&mut body, &labels);
        let _making = self.making.read().await;
        self.name_image(&mut call).await?;
        call.to("")?.json(&body).send(self.engine()).await
    }

    /// Makes an image of an archive that the client sends.
    pub(super) async fn import(&self, mut call: Call) -> Result<Response<Body>, Denied> {
        let query = &call.route.query;
        if query.text("fromSrc") != "-" {
            return Err(Denied::forbidden(
                "the engine fetches nothing for a job: download the file, then import it",
            ));
        }
        change::judge(query.all("changes"))?;
        let _making = self.making.read().await;
        self.name_image(&mut call).await?;
        let outgoing = call.to("")?.stream(&call.asked.body);
        outgoing.send(self.engine()).await
    }

    /// Makes the name free that a new image gets, and writes the engine's. One without a name gets one that
    /// is not shown: nothing else says whose it is.
    async fn name_image(&self, call: &mut Call) -> Result<(), Denied> {
        let query = &mut call.route.query;
        let (repository, tag) = (query.text("repo"), query.text("tag"));
        let private = match (repository, tag) {
            ("", _) => self.own.unnamed(),
            (repository, "") => self.own.claim(&named(repository)?).await?,
            (repository, tag) => {
                let name = named(&format!("{repository}:{tag}"))?;
                self.own.claim(&name).await?
            }
        };
        let (repository, tag) = private.rsplit_once(':').unwrap_or((&private, "latest"));
        query.set("repo", repository);
        query.set("tag", tag);
        Ok(())
    }
}
