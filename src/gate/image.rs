//! Images of a job: listed, looked at, named, removed.
//!
//! Whose an image is, `own_image` says.

use std::collections::BTreeSet;

use hyper::{Method, Response};
use serde_json::{Value, json};

use super::advice::explained;
use super::credential::REGISTRY_AUTH;
use super::daemon::{Body, full};
use super::handle::{Call, Handler};
use super::json::texts;
use super::object;
use super::own_image::{Found, named};
use super::refusal::Denied;
use super::registries::Errand;
use crate::docker::reference::{self, Reference};

impl Handler {
    /// The job's own images, and those that the operator shares, under the names that the job knows.
    pub(super) async fn images(&self, mut call: Call) -> Result<Response<Body>, Denied> {
        let mut filters = object::words(call.route.query.text("filters"))?;
        let is_dangling = filters.remove("dangling").map(|words| {
            words
                .iter()
                .all(|word| matches!(word.as_str(), "true" | "1"))
        });
        for name in ["before", "since"] {
            if let Some(words) = filters.remove(name) {
                let mut ids = BTreeSet::new();
                for word in words {
                    ids.insert(self.own.image(&word).await?.id);
                }
                filters.insert(name.to_owned(), ids);
            }
        }
        if let Some(words) = filters.remove("reference") {
            let own = words.iter().map(|word| self.own.scope.names.pattern(word));
            let all = own.chain(words.iter().cloned()).collect();
            filters.insert("reference".to_owned(), all);
        }
        call.route.query.set("filters", object::written(&filters));
        let lent = self.own.host.lent()?;
        let (response, all) = call.to("")?.ask(self.engine()).await?;
        let Value::Array(mut all) = all else {
            return Ok(response);
        };
        self.own.without_lent(&mut all, lent)?;
        all.retain_mut(|image| self.is_listed(image, is_dangling));
        Ok(response.map(|_| full(Value::Array(all).to_string())))
    }

    /// The images of the job's own, for the gate itself.
    pub(super) async fn own_images(&self) -> Result<Vec<Value>, Denied> {
        let prefix = self.own.scope.names.prefix();
        let mut all = self.own.list_images().await?;
        all.retain_mut(|image| {
            let mut names = texts(&image["RepoTags"]).into_iter();
            let is_own = names.any(|name| name.starts_with(prefix));
            self.own.describe(image);
            is_own
        });
        Ok(all)
    }

    /// What a registry has under a name, asked with the job's own credentials.
    pub(super) async fn distribution(&self, call: &Call) -> Result<Response<Body>, Denied> {
        let name = &call.route.name;
        let reference = named(name)?;
        if !(self.own.scope.images)(name) {
            return Err(Denied::forbidden(format!(
                "the image {name:?} is not open to this job: use an image that the operator allows"
            )));
        }
        let registries = &self.own.scope.registries;
        let auth = registries.header(&call.asked.headers, &reference, Errand::Pull);
        let outgoing = call.to(name)?.set(REGISTRY_AUTH, auth.await?);
        Ok(explained(outgoing.send(self.engine()).await?))
    }

    /// Whether an image belongs in a list of the job's; written as the job may see it.
    fn is_listed(&self, image: &mut Value, is_dangling: Option<bool>) -> bool {
        let prefix = self.own.scope.names.prefix();
        let is_own = texts(&image["RepoTags"])
            .iter()
            .any(|name| name.starts_with(prefix));
        self.own.describe(image);
        let is_nameless = texts(&image["RepoTags"]).is_empty();
        let is_asked = is_dangling.is_none_or(|wanted| wanted == is_nameless);
        // Clients older than 28 show these two for an image without a name.
        if is_nameless {
            image["RepoTags"] = json!(["<none>:<none>"]);
        }
        if texts(&image["RepoDigests"]).is_empty() {
            image["RepoDigests"] = json!(["<none>@<none>"]);
        }
        (is_own || !is_nameless) && is_asked
    }

    /// A description of an image, with the names that the job knows.
    pub(super) async fn look(&self, call: &Call) -> Result<Response<Body>, Denied> {
        let found = self.own.image(&call.route.name).await?;
        let (response, mut value) = call.to(&found.id)?.ask(self.engine()).await?;
        if !response.status().is_success() {
            return Ok(response);
        }
        match &mut value {
            Value::Array(steps) => {
                for step in steps {
                    let mut image = json!({ "RepoTags": step["Tags"] });
                    self.own.describe(&mut image);
                    let tags = texts(&image["RepoTags"]);
                    step["Tags"] = if tags.is_empty() {
                        Value::Null
                    } else {
                        tags.into()
                    };
                }
            }
            image => {
                self.own
                    .without_lent(std::slice::from_mut(image), BTreeSet::new())?;
                self.own.describe(image);
            }
        }
        Ok(response.map(|_| full(value.to_string())))
    }

    pub(super) async fn tag(&self, call: &Call) -> Result<Response<Body>, Denied> {
        let query = &call.route.query;
        let (repository, tag) = (query.text("repo"), query.text("tag"));
        let name = named(&if tag.is_empty() {
            repository.to_owned()
        } else {
            format!("{repository}:{tag}")
        })?;
        if name.digest.is_some() {
            let what = "refusing to create a tag with a digest reference";
            return Err(Denied::malformed(what));
        }
        let source = self.own.image(&call.route.name).await?;
        let private = self.own.claim(&name).await?;
        let (repository, tag) = private.rsplit_once(':').unwrap_or((&private, "latest"));
        let mut outgoing = call.route.query.clone();
        outgoing.set("repo", repository);
        outgoing.set("tag", tag);
        let path = call.route.path_of(&source.id);
        super::forward::Outgoing::new(Method::POST, &path, &outgoing)?
            .send(self.engine())
            .await
    }

    /// Takes a name of the job's away, or all names of an image that is named by its id.
    pub(super) async fn untag(&self, call: &Call) -> Result<Response<Body>, Denied> {
        let text = &call.route.name;
        let Found { id, name } = self.own.image(text).await?;
        let mine = self.own.images().await?.into_iter().find(|it| it.id == id);
        let Some(mine) = mine else {
            return Err(Denied::forbidden(format!(
                "the image {text} was not made by this job, so it stays; what the job made is \
                 removed when it ends"
            )));
        };
        let names = &self.own.scope.names;
        let visible = |it: &&String| names.shown_tag(it).is_some();
        let is_forced = call.route.query.get("force") == Some("1");
        let others = mine.names.iter().filter(visible).filter(|it| **it != name);
        let gone: Vec<String> = match (name == id, others.count()) {
            (true, 2..) if !is_forced => {
                return Err(Denied::conflict(format!(
                    "conflict: unable to delete {text} (must be forced) - image is referenced in \
                     multiple repositories"
                )));
            }
            (false, 1..) => vec![name],
            _ => mine.names,
        };
        self.remove_names(call, &gone).await
    }

    async fn remove_names(&self, call: &Call, gone: &[String]) -> Result<Response<Body>, Denied> {
        let mut records = Vec::new();
        let mut last = None;
        for name in gone {
            let (response, value) = call.to(name)?.ask(self.engine()).await?;
            let Value::Array(told) = value else {
                return Ok(response);
            };
            records.extend(told.into_iter().filter(|it| self.is_told(it)));
            last = Some(response);
        }
        let response = last.ok_or_else(|| Denied::missing("No such image"))?;
        Ok(response.map(|_| full(Value::Array(records).to_string())))
    }

    /// Hidden names go without a word.
    fn is_told(&self, record: &Value) -> bool {
        let names = &self.own.scope.names;
        record["Untagged"]
            .as_str()
            .is_none_or(|name| names.shown(name).is_none() || names.shown_tag(name).is_some())
    }

    /// The engine's name for what a filter of another list names; one that nothing has, if the job has
    /// no such image.
    pub(super) async fn filter_image(&self, text: &str) -> Result<String, Denied> {
        match self.own.image(text).await {
            Ok(found) => Ok(found.id),
            Err(denied) if denied.status == 404 => Ok(self.own.scope.names.hidden("nothing")),
            Err(denied) => Err(denied),
        }
    }

    /// Writes the images that filters of a list name as the engine knows them.
    pub(super) async fn translate(&self, call: &mut Call) -> Result<(), Denied> {
        let mut filters = object::words(call.route.query.text("filters"))?;
        if let Some(words) = filters.remove("ancestor") {
            let mut ids = BTreeSet::new();
            for word in words {
                ids.insert(self.filter_image(&word).await?);
            }
            filters.insert("ancestor".to_owned(), ids);
        }
        if let Some(words) = filters.remove("image") {
            let names = &self.own.scope.names;
            let known = words.iter().map(|word| match Reference::parse(word) {
                Ok(_) if !reference::is_id(word) => names.pattern(word),
                Ok(_) | Err(_) => word.clone(),
            });
            filters.insert("image".to_owned(), known.collect());
        }
        if !filters.is_empty() {
            call.route.query.set("filters", object::written(&filters));
        }
        Ok(())
    }
}
