//! What every build through `BuildKit` is judged against, and how closed tables of fields are read.
//!
//! Pure.

use std::collections::BTreeMap;

use super::Build;
use super::wire::{Field, fields};
use crate::docker::reference::Reference;
use crate::gate::refusal::Denied;

/// What one tenant's builds are held to.
#[derive(Clone, Copy)]
pub(crate) struct Realm<'a> {
    /// What the engine calls the result of a build that gets no name from the job: without one nothing
    /// says whose it is.
    pub(crate) unnamed: &'a str,
    /// A word that only this tenant's builds have. It stands in the cache key of each step as the
    /// name of a host, and before the name of each cache mount.
    pub(crate) word: &'a str,
    /// The control group of this tenant's steps.
    pub(crate) group: Option<&'a str>,
    /// Names of images that begin like this are the job's own, as the engine has them.
    pub(crate) prefixes: &'a [String],
    /// Which images may read Dockerfiles in place of the engine itself.
    pub(crate) is_frontend: &'a (dyn Fn(&str) -> bool + Send + Sync),
    /// A text that stands for another one and that nobody else can make.
    pub(crate) seal: &'a (dyn Fn(&str) -> String + Send + Sync),
}

impl Realm<'_> {
    /// The host that each step knows, so that no other tenant has its cache key. The engine leaves
    /// the address out of the key and keeps the name, on every version.
    pub(crate) fn host(&self) -> String {
        format!("dockmaster-{}.invalid", self.word)
    }

    /// What the frontend puts before the name of a cache mount.
    pub(crate) fn namespace(&self) -> String {
        format!("dockmaster-{}", self.word)
    }
}

/// How the names in a request are written for the engine. A request is read twice: once to learn
/// which names it has, and once to write what they are called.
pub(crate) trait Speak {
    /// A name that is given to what is built.
    fn tag(&mut self, name: &Reference) -> String;
    /// An image that is taken.
    fn image(&mut self, name: &str) -> String;
    /// A name that is pushed once it is built.
    fn push(&mut self, name: &Reference);
}

/// Collects.
impl Speak for Build {
    fn tag(&mut self, name: &Reference) -> String {
        self.tags.push(name.clone());
        name.tagged()
    }

    fn image(&mut self, name: &str) -> String {
        self.images.push(name.to_owned());
        name.to_owned()
    }

    fn push(&mut self, name: &Reference) {
        self.pushes.push(name.clone());
    }
}

/// What the names of a request are called in the engine.
#[derive(Debug, Default)]
pub(crate) struct Spoken {
    /// By the name in full.
    pub(crate) tags: BTreeMap<String, String>,
    /// By the name as it was written.
    pub(crate) images: BTreeMap<String, String>,
}

/// Fills in. A name that nobody collected is in no request that passes.
impl Speak for Spoken {
    fn tag(&mut self, name: &Reference) -> String {
        self.tags.get(&name.tagged()).cloned().unwrap_or_default()
    }

    fn image(&mut self, name: &str) -> String {
        self.images.get(name).cloned().unwrap_or_default()
    }

    fn push(&mut self, _: &Reference) {}
}

/// The fields of a message by number, each with its name in the proto file and its rule. What is not
/// here is refused if it says anything.
pub(crate) struct Table<R: 'static> {
    pub(crate) message: &'static str,
    pub(crate) fields: &'static [(u64, &'static str, R)],
}

impl<R> Table<R> {
    /// The rule of a field; `None` for one that is new and says nothing.
    pub(super) fn rule(&self, field: &Field<'_>) -> Result<Option<&'static R>, Denied> {
        let known = self.fields.iter().find(|known| known.0 == field.number);
        match known {
            Some((_, _, rule)) => Ok(Some(rule)),
            None if field.is_unset() => Ok(None),
            None => Err(Denied::forbidden(format!(
                "field {} of {} is not known here: use an older client",
                field.number, self.message
            ))),
        }
    }
}

/// The fields of a field that is a message.
pub(super) fn inside<'a>(field: &Field<'a>) -> Result<Vec<Field<'a>>, Denied> {
    field.bytes().and_then(fields).ok_or_else(malformed)
}

/// The text in a field that is one.
pub(super) fn text<'a>(field: &Field<'a>) -> Result<&'a str, Denied> {
    field.text().ok_or_else(malformed)
}

pub(super) fn malformed() -> Denied {
    Denied::malformed("the build request is malformed")
}
