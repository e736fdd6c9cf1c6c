//! What the builds of one job are held to, and how their images are called in the engine.

use std::collections::BTreeMap;

use hyper::Method;
use serde_json::Value;

use super::build::Build;
use super::build::known::{Realm, Spoken};
use super::build::recipe::Recipe;
use super::dockerfile::{self, Given, Road};
use super::logins::{Logins, NoLogins};
use super::own::Own;
use super::own_image::named;
use super::pull::{Wish, provide};
use super::refusal::Denied;
use crate::docker::reference::Reference;

/// The values that a [`Realm`] points at.
pub(crate) struct Held<'a> {
    unnamed: String,
    word: String,
    group: Option<&'a str>,
    prefixes: Vec<String>,
    is_frontend: Box<dyn Fn(&str) -> bool + Send + Sync + 'a>,
    seal: Box<dyn Fn(&str) -> String + Send + Sync + 'a>,
}

impl Held<'_> {
    pub(crate) fn as_realm(&self) -> Realm<'_> {
        Realm {
            unnamed: &self.unnamed,
            word: &self.word,
            group: self.group,
            prefixes: &self.prefixes,
            is_frontend: &self.is_frontend,
            seal: &self.seal,
        }
    }
}

impl Own {
    /// What this job's builds are held to.
    pub(crate) fn held(&self) -> Held<'_> {
        let names = &self.scope.names;
        let globs = &self.scope.frontends;
        Held {
            unnamed: self.unnamed(),
            word: self.seal("build", ""),
            group: self.scope.build_group.as_deref(),
            prefixes: names.prefixes().map(str::to_owned).to_vec(),
            is_frontend: Box::new(move |name| {
                Reference::parse(name).is_ok_and(|name| name.is_allowed(globs))
            }),
            seal: Box::new(|text| self.seal("dockerfile", text)),
        }
    }

    /// A text that stands for another one for this tenant, and that no job can compute.
    pub(crate) fn seal(&self, purpose: &str, text: &str) -> String {
        self.scope.secret.keyed(purpose, text)
    }

    /// A text of the engine's, with images as the job calls them.
    pub(crate) fn shown(&self, text: &str) -> String {
        self.scope.names.clean(text)
    }

    /// Claims the names that a build gives and looks up those that it takes.
    pub(crate) async fn speak(&self, build: &Build) -> Result<Spoken, Denied> {
        let mut spoken = Spoken::default();
        for tag in &build.tags {
            spoken.tags.insert(tag.tagged(), self.claim(tag).await?);
        }
        for image in &build.images {
            spoken
                .images
                .insert(image.clone(), self.taken(image, "", &NoLogins).await?);
        }
        Ok(spoken)
    }

    /// A Dockerfile as the engine shall read it for a build through `BuildKit`.
    pub(crate) async fn dockerfile(
        &self,
        recipe: &Recipe,
        content: &[u8],
        logins: &impl Logins,
    ) -> Result<Vec<u8>, Denied> {
        let predefined = self.platform(recipe).await?;
        let given = Given {
            road: Road::BuildKit,
            args: &recipe.arguments,
            predefined: &predefined,
            target: &recipe.target,
            contexts: &[],
            urls: &self.scope.add_urls,
            frontends: &self.scope.frontends,
        };
        let file = dockerfile::read(content, &given)?;
        let mut names = BTreeMap::new();
        for image in file.images() {
            let name = if let Some(alias) = recipe.context(&image.name) {
                alias.to_owned()
            } else {
                let one = Some(&recipe.platform).filter(|text| !text.contains(','));
                let platform = image.platform.as_ref().or(one);
                let platform = platform.map(String::as_str).unwrap_or_default();
                self.taken(&image.name, platform, logins).await?
            };
            names.insert(image.clone(), name);
        }
        dockerfile::write(&file, &names, None)
    }

    /// What the engine calls an image that a build takes. What the image puts off to this build is judged as well.
    async fn taken(
        &self,
        name: &str,
        platform: &str,
        logins: &impl Logins,
    ) -> Result<String, Denied> {
        let name = match self.usable(name).await {
            Ok(found) if self.is_for(&found.id, platform).await? => found.name,
            Err(denied) if denied.status != 404 => return Err(denied),
            // The builder itself would take what the host has under this name, whosever it is.
            Ok(_) | Err(_) => self.fetched(named(name)?, platform, logins).await?,
        };
        let path = format!("/images/{name}/json");
        let image = self.engine.call(Method::GET, &path, None).await?.value;
        let triggers = image["Config"]["OnBuild"].as_array().into_iter().flatten();
        for trigger in triggers.filter_map(Value::as_str) {
            dockerfile::judge_trigger(trigger, Road::BuildKit)?;
        }
        Ok(name)
    }

    /// What the engine calls an image that is pulled for a build.
    async fn fetched(
        &self,
        name: Reference,
        platform: &str,
        logins: &impl Logins,
    ) -> Result<String, Denied> {
        let registry = name.repository.split('/').next().unwrap_or_default();
        let (registries, given) = (&self.scope.registries, logins.header(registry).await);
        let (source, account) = registries.source(&given, &name).await?;
        let wish = Wish {
            account,
            source,
            name,
            platform: platform.to_owned(),
        };
        Ok(provide(self, wish).await?.name)
    }

    /// The arguments that the engine sets of itself, as far as one platform is built for.
    async fn platform(&self, recipe: &Recipe) -> Result<BTreeMap<String, String>, Denied> {
        let own = &self.facts.all(&self.engine).await?.platform;
        let mut all = BTreeMap::new();
        set(&mut all, "BUILD", own);
        match recipe.platform.as_str() {
            "" => set(&mut all, "TARGET", own),
            several if several.contains(',') => {}
            one => set(&mut all, "TARGET", one),
        }
        Ok(all)
    }
}

fn set(all: &mut BTreeMap<String, String>, side: &str, platform: &str) {
    let mut parts = platform.split('/');
    all.insert(format!("{side}PLATFORM"), platform.to_owned());
    for name in ["OS", "ARCH", "VARIANT"] {
        let part = parts.next().unwrap_or_default();
        all.insert(format!("{side}{name}"), part.to_owned());
    }
}
