//! Images made of a container, or of an archive of files.
//!
//! Both carry the job's own label, whatever the container or the client says.

use hyper::Response;
use serde_json::json;

use super::change;
use super::container;
use super::daemon::Body;
use super::handle::{Call, Handler};
use super::refusal::Denied;
use crate::docker::reference::Reference;

impl Handler {
    /// Makes an image of a container of the job's.
    pub(super) async fn commit(&self, mut call: Call) -> Result<Response<Body>, Denied> {
        let query = &mut call.route.query;
        change::judge(query.all("changes"))?;
        let id = self.own.container(query.text("container")).await?;
        query.set("container", id);
        let mut body = call.json().await?;
        // The container's own labels would say that the image is a thing of this job's gate.
        let mut labels = self.own.scope.forced_labels();
        labels.values_mut().for_each(String::clear);
        labels.extend([self.own.scope.image_label()]);
        container::label(&mut body, &labels);
        let _making = self.making.read().await;
        self.name_image(&mut call).await?;
        call.to("")?.json(&body).send(self.engine()).await
    }

    /// Makes an image of an archive that the client sends.
    pub(super) async fn import(&self, mut call: Call) -> Result<Response<Body>, Denied> {
        let query = &mut call.route.query;
        if query.text("fromSrc") != "-" {
            return Err(Denied::forbidden(
                "the engine fetches nothing for a job: download the file, then import it",
            ));
        }
        let given: Vec<String> = query.all("changes").map(str::to_owned).collect();
        change::judge(given.iter().map(String::as_str))?;
        let (key, value) = self.own.scope.image_label();
        // Before the client's: a line of it that goes on would swallow ours.
        query.set("changes", format!("LABEL {}={}", json!(key), json!(value)));
        for change in given {
            query.push("changes", change);
        }
        let _making = self.making.read().await;
        self.name_image(&mut call).await?;
        let outgoing = call.to("")?.stream(&call.asked.body);
        outgoing.send(self.engine()).await
    }

    /// Makes the name free that a new image gets, if it gets one, and writes the engine's.
    async fn name_image(&self, call: &mut Call) -> Result<(), Denied> {
        let query = &mut call.route.query;
        let (repository, tag) = (query.text("repo"), query.text("tag"));
        let whole = match (repository, tag) {
            ("", _) => return Ok(()),
            (repository, "") => repository.to_owned(),
            (repository, tag) => format!("{repository}:{tag}"),
        };
        let name = Reference::parse(&whole)
            .map_err(|_| Denied::malformed(format!("the image name {whole:?} is malformed")))?;
        let private = self.own.claim(&name).await?;
        let (repository, tag) = private.rsplit_once(':').unwrap_or((&private, "latest"));
        query.set("repo", repository);
        query.set("tag", tag);
        Ok(())
    }
}
