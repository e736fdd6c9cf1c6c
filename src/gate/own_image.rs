//! Which images a job may use, and which names it may give.
//!
//! A built image has its job's label; a name has none, so names are in the record.

use hyper::{Method, StatusCode};
use serde_json::Value;

use super::build::Build;
use super::own::Own;
use super::record::{Entry, Kind};
use super::refusal::Denied;
use super::scope::image_key;
use crate::{
    docker::reference::{self, Reference},
    failure,
};

/// An image as the daemon knows it.
struct Image {
    id: String,
    names: Vec<String>,
    digests: Vec<String>,
    /// The job whose gate built it, if one did.
    owner: Option<String>,
}

impl Image {
    /// Built by a job and not in any registry yet: perhaps that job still works with it.
    fn is_fresh(&self) -> bool {
        self.owner.is_some() && self.digests.is_empty()
    }
}

impl Own {
    /// What to call an image that the job may use: its name, or its full id.
    pub(crate) async fn readable(&self, name: &str) -> Result<String, Denied> {
        let refused = || {
            Denied::forbidden(format!(
                "the image {name:?} is not open to this job: use an image that the operator allows"
            ))
        };
        if Reference::parse(name).is_err() && !reference::is_id(name) {
            return Err(Denied::malformed(format!(
                "the image name {name:?} is malformed"
            )));
        }
        if !reference::is_id(name) && (self.scope.images)(name) {
            return Ok(name.to_owned());
        }
        let Some(image) = self.image(name).await? else {
            return Err(Denied::missing(format!("No such image: {name}")));
        };
        let is_open =
            self.is_owner(&image) || image.names.iter().any(|name| (self.scope.images)(name));
        if is_open {
            Ok(image.id)
        } else {
            Err(refused())
        }
    }

    /// Checks the images that a build takes, and claims the names that it gives.
    pub(crate) async fn admit(&self, build: &Build) -> Result<(), Denied> {
        for image in &build.images {
            match self.readable(image).await {
                // A cache that is not there yet is no cache.
                Err(denied) if denied.status != 404 => return Err(denied),
                Ok(_) | Err(_) => {}
            }
        }
        for tag in &build.tags {
            self.claim(tag, Kind::Made, None).await?;
        }
        Ok(())
    }

    /// Writes down that the job pulls this name, or gives it to what it builds or (with its id)
    /// tags, if it may.
    pub(crate) async fn claim(
        &self,
        name: &Reference,
        kind: Kind,
        given: Option<String>,
    ) -> Result<(), Denied> {
        let tagged = name.tagged();
        let known = self.record.kind(&tagged);
        let mut before = None;
        if known != Some(Kind::Made)
            && let Some(image) = self
                .image(&tagged)
                .await?
                .filter(|image| !self.is_owner(image))
        {
            // Pulling changes nothing that whoever can push there could not change.
            let is_free = kind == Kind::Pulled || known.is_some();
            let is_movable = !image.is_fresh() && (self.scope.may_move)(&tagged);
            if !is_free && !is_movable {
                return Err(Denied::conflict(format!(
                    "the name {tagged} was on this host before this job: choose another tag, or \
                     pull it first"
                )));
            }
            before = Some(image.id);
        }
        if name.familiar().starts_with("dockmaster") {
            return Err(Denied::forbidden(format!(
                "the name {tagged} is ours: choose another"
            )));
        }
        let entry = Entry {
            name: tagged,
            kind,
            before,
            given,
        };
        self.record.add(entry).map_err(|error| {
            Denied::broken(format!(
                "the record of image names cannot be used: {}",
                failure::chain(&error)
            ))
        })
    }

    /// The id of the image that a name means, if the job built it or gave it the name.
    pub(crate) async fn made(&self, name: &Reference) -> Result<Option<String>, Denied> {
        let tagged = name.tagged();
        let image = self.image(&tagged).await?;
        let given = self.record.given(&tagged);
        let made = image.filter(|image| self.is_owner(image) || given.as_ref() == Some(&image.id));
        Ok(made.map(|image| image.id))
    }

    /// Whether the engine has this digest of a repository for an image: it does once it was pushed.
    pub(crate) async fn has_digest(
        &self,
        id: &str,
        name: &Reference,
        digest: &str,
    ) -> Result<bool, Denied> {
        let image = self.image(id).await?;
        let is_same = |known: &String| {
            Reference::parse(known).is_ok_and(|known| {
                known.repository == name.repository && known.digest.as_deref() == Some(digest)
            })
        };
        Ok(image.is_some_and(|image| image.digests.iter().any(is_same)))
    }

    /// The id of an image that the job may use.
    pub(crate) async fn readable_id(&self, name: &str) -> Result<String, Denied> {
        let name = self.readable(name).await?;
        let image = self.image(&name).await?;
        image
            .map(|image| image.id)
            .ok_or_else(|| Denied::missing(format!("No such image: {name}")))
    }

    /// Names of an image that the job may remove by its id: all of them are its own.
    pub(crate) async fn removable(&self, id: &str) -> Result<Option<String>, Denied> {
        let Some(image) = self.image(id).await? else {
            return Err(Denied::missing(format!("No such image: {id}")));
        };
        let is_made = |name: &String| {
            let name = Reference::parse(name).map(|name| name.tagged());
            name.is_ok_and(|name| self.record.kind(&name) == Some(Kind::Made))
        };
        let is_free = self.is_owner(&image) && image.names.iter().all(is_made);
        Ok(is_free.then_some(image.id))
    }

    async fn image(&self, name: &str) -> Result<Option<Image>, Denied> {
        let answer = self
            .engine
            .call(Method::GET, &format!("/images/{name}/json"), None)
            .await?;
        if answer.status == StatusCode::NOT_FOUND {
            return Ok(None);
        }
        let value = answer.value;
        let Some(id) = value["Id"].as_str().filter(|_| answer.status.is_success()) else {
            return Err(Denied::broken(format!(
                "the daemon does not tell about image {name}"
            )));
        };
        let owner = &value["Config"]["Labels"][image_key(&self.scope.label.0)];
        Ok(Some(Image {
            id: id.to_owned(),
            names: texts(&value["RepoTags"]),
            digests: texts(&value["RepoDigests"]),
            owner: owner.as_str().map(str::to_owned),
        }))
    }

    fn is_owner(&self, image: &Image) -> bool {
        image.owner.as_ref() == Some(&self.scope.label.1)
    }
}

fn texts(value: &Value) -> Vec<String> {
    let items = value.as_array().into_iter().flatten();
    items.filter_map(Value::as_str).map(str::to_owned).collect()
}
