//! Which images a job may use, and what the engine calls them.
//!
//! An image is the job's if it has one of the job's private names; the engine's names are all the
//! memory there is, for labels are what whoever made an image wrote. Beside them a job reads what the operator shares.

use std::collections::BTreeSet;

use hyper::Method;
use serde_json::Value;

use super::build::Build;
use super::error::GateError;
use super::host_name;
use super::json::texts;
use super::names;
use super::own::{Own, find};
use super::query::Query;
use super::refusal::Denied;
use crate::docker::reference::{self, Reference};
use crate::failure;

/// An image that a job may use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Found {
    pub id: String,
    /// The private name, where the job has one; or the id.
    pub name: String,
}

/// An image of the job's, with its private names.
#[derive(Debug)]
pub(crate) struct Mine {
    pub id: String,
    pub names: Vec<String>,
}

impl Own {
    /// The image that a text means to the job: its own, or one that the operator shares.
    pub(crate) async fn image(&self, text: &str) -> Result<Found, Denied> {
        let missing = || Denied::missing(format!("No such image: {text}"));
        let is_whole_id = reference::is_id(text) && (text.contains(':') || text.len() == 64);
        if !is_whole_id {
            let name = named(text)?;
            if let Some(found) = self.by_name(&name).await? {
                return Ok(found);
            }
            if !reference::is_id(text) {
                return Err(missing());
            }
        }
        let id = self.by_id(text).await?.ok_or_else(missing)?;
        Ok(Found {
            name: id.clone(),
            id,
        })
    }

    /// As [`Self::image`], with a private name for what the operator shares, so that the engine tells
    /// the name that the job knows.
    pub(crate) async fn usable(&self, text: &str) -> Result<Found, Denied> {
        let found = self.image(text).await?;
        if found.name != found.id || reference::is_id(text) {
            return Ok(found);
        }
        let name = self.scope.names.private(&named(text)?)?;
        host_name::tag(&self.engine, &found.id, &name).await?;
        Ok(Found { name, ..found })
    }

    /// The id of an image with a name of the job's own; not of one that the operator shares.
    pub(crate) async fn own_named(&self, name: &Reference) -> Result<Option<Found>, Denied> {
        if names::is_free(name).is_err() {
            return Ok(None);
        }
        let private = self.scope.names.private(name)?;
        let id = host_name::inspect(&self.engine, &private).await?;
        Ok(id.map(|id| Found { id, name: private }))
    }

    async fn by_name(&self, name: &Reference) -> Result<Option<Found>, Denied> {
        if let Some(found) = self.own_named(name).await? {
            return Ok(Some(found));
        }
        let written = name.exact();
        if names::is_free(name).is_err() || !(self.scope.shared)(&written) {
            return Ok(None);
        }
        let id = self.host.id(&written).await?;
        let found = |id: String| Found {
            name: id.clone(),
            id,
        };
        Ok(id.map(found))
    }

    /// The full id of the job's own image with this id, or with this beginning of one. What the
    /// operator shares counts where it has its name.
    async fn by_id(&self, text: &str) -> Result<Option<String>, Denied> {
        let digits = |id: &str| id.strip_prefix("sha256:").unwrap_or(id).to_owned();
        let whole = format!("sha256:{}", digits(text));
        if reference::is_digest(&whole) && self.is_named(&whole).await? {
            return Ok(Some(whole));
        }
        let mut all = Vec::new();
        for image in self.list_images().await? {
            if let Some(id) = image["Id"].as_str()
                && self.may_read(&image)
            {
                all.push(id.to_owned());
            }
        }
        let known: Vec<String> = all.iter().map(|id| digits(id)).collect();
        let found = find(
            &digits(text),
            known.iter().map(|id| (id.as_str(), Vec::new())),
        );
        Ok(found.map(|id| format!("sha256:{id}")))
    }

    /// Whether the image with this whole id has a name by which the job may read it. The list of all
    /// images would tell it too, but an engine with containerd's store takes long for one of hundreds.
    async fn is_named(&self, id: &str) -> Result<bool, Denied> {
        let before = self.host.lent()?;
        let target = format!("/images/{id}/json");
        let mut image = self.engine.call(Method::GET, &target, None).await?.value;
        self.without_lent(std::slice::from_mut(&mut image), before)?;
        Ok(image["Id"] == id && self.may_read(&image))
    }

    fn may_read(&self, image: &Value) -> bool {
        let names = texts(&image["RepoTags"]);
        names.iter().any(|name| self.is_shared(name)) || !self.own_names(image).is_empty()
    }

    /// The images of the job's.
    pub(crate) async fn images(&self) -> Result<Vec<Mine>, Denied> {
        let all = self.list_images().await?;
        let mine = all.iter().filter_map(|image| {
            let names = self.own_names(image);
            let id = image["Id"].as_str()?.to_owned();
            (!names.is_empty()).then_some(Mine { id, names })
        });
        Ok(mine.collect())
    }

    pub(crate) async fn list_images(&self) -> Result<Vec<Value>, Denied> {
        let before = self.host.lent()?;
        let all = self.engine.must(Method::GET, "/images/json", None).await?;
        let Value::Array(mut all) = all else {
            return Err(Denied::broken("the daemon does not list its images"));
        };
        self.without_lent(&mut all, before)?;
        Ok(all)
    }

    /// Takes the names away that images have for the length of a push: they are not the host's.
    pub(crate) fn without_lent(
        &self,
        images: &mut [Value],
        mut lent: BTreeSet<String>,
    ) -> Result<(), Denied> {
        lent.extend(self.host.lent()?);
        if lent.is_empty() {
            return Ok(());
        }
        let is_lent =
            |name: &str| Reference::parse(name).is_ok_and(|it| lent.contains(&it.tagged()));
        for image in images {
            let mut names = texts(&image["RepoTags"]);
            names.retain(|name| !is_lent(name));
            image["RepoTags"] = names.into();
        }
        Ok(())
    }

    pub(crate) fn own_names(&self, image: &Value) -> Vec<String> {
        let mut names = texts(&image["RepoTags"]);
        names.retain(|name| name.starts_with(self.scope.names.prefix()));
        names
    }

    /// Whether a name that the engine tells may be told to the job.
    pub(crate) fn is_shared(&self, name: &str) -> bool {
        !name.starts_with("dockmaster") && (self.scope.shared)(name)
    }

    /// Checks the images that a build takes, and makes its names free. The engine's names for both.
    pub(crate) async fn admit(&self, build: &Build) -> Result<Vec<String>, Denied> {
        for image in &build.images {
            match self.image(image).await {
                // A cache that is not there yet is no cache.
                Err(denied) if denied.status != 404 => return Err(denied),
                Ok(_) | Err(_) => {}
            }
        }
        let mut names = Vec::new();
        for tag in &build.tags {
            names.push(self.claim(tag).await?);
        }
        Ok(names)
    }

    /// The query of a build, with the engine's names for what it makes and for its caches.
    pub(crate) async fn translated(
        &self,
        mut query: Query,
        names: Vec<String>,
        build: &Build,
    ) -> Result<Query, Denied> {
        query.remove("t");
        for name in names {
            query.push("t", name);
        }
        let mut caches = Vec::new();
        for image in &build.images {
            match self.image(image).await {
                Ok(found) => caches.push(found.name),
                // BuildKit may find it in its registry.
                Err(_) => caches.push(image.clone()),
            }
        }
        if !caches.is_empty() {
            query.set("cachefrom", Value::from(caches).to_string());
        }
        Ok(query)
    }

    /// Makes a name free for another image; what the engine calls it. The image that had it stays
    /// the job's until the job ends.
    pub(crate) async fn claim(&self, name: &Reference) -> Result<String, Denied> {
        let private = self.scope.names.private(name)?;
        if let Some(image) = host_name::describe(&self.engine, &private).await?
            && !image.names.contains(&self.scope.names.hidden(&image.id))
        {
            self.keep(&image.id).await?;
        }
        Ok(private)
    }

    /// Makes an image the job's, whatever names it has: for what a build made without a name.
    pub(crate) async fn keep(&self, id: &str) -> Result<(), Denied> {
        let name = self.scope.names.hidden(id);
        Ok(host_name::tag(&self.engine, id, &name).await?)
    }

    /// Writes a described image as the job may see it: its own names, and shared ones.
    pub(crate) fn describe(&self, image: &mut Value) {
        let names = texts(&image["RepoTags"]);
        let mut tags: Vec<String> = names
            .iter()
            .filter_map(|name| self.scope.names.shown_tag(name))
            .collect();
        tags.extend(names.iter().filter(|name| self.is_shared(name)).cloned());
        tags.sort();
        tags.dedup();
        let mut digests: Vec<String> = names
            .iter()
            .filter_map(|name| self.scope.names.shown_digest(name))
            .collect();
        let others = texts(&image["RepoDigests"]);
        digests.extend(others.into_iter().filter(|name| self.is_shared(name)));
        digests.sort();
        digests.dedup();
        image["RepoTags"] = tags.into();
        image["RepoDigests"] = digests.into();
    }
}

impl From<GateError> for Denied {
    fn from(error: GateError) -> Self {
        match error {
            GateError::Engine(error) => error.into(),
            GateError::Socket { .. }
            | GateError::Record(_)
            | GateError::Folder { .. }
            | GateError::Unmount { .. } => Self::broken(failure::chain(&error)),
        }
    }
}

pub(crate) fn named(text: &str) -> Result<Reference, Denied> {
    Reference::parse(text)
        .map_err(|_| Denied::malformed(format!("the image name {text:?} is malformed")))
}
