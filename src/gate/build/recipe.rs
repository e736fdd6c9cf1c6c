//! What the Dockerfile of a build is read with: kept from the request of the build until the engine asks for the
//! file.
//!
//! Pure.

use std::collections::BTreeMap;

use crate::docker::reference::Reference;

/// How a build reads its Dockerfile.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Recipe {
    /// The file's path in its folder.
    pub(crate) file: String,
    pub(crate) arguments: BTreeMap<String, String>,
    /// Names that stand for other contexts of the build, and what each is called in the Dockerfile
    /// that the engine reads.
    pub(crate) contexts: BTreeMap<String, String>,
    pub(crate) target: String,
    pub(crate) platform: String,
    /// The name under which the engine asks for the folder of the Dockerfile. Each recipe has its own, so that the
    /// gate knows which build a Dockerfile is for.
    pub(crate) folder: String,
    /// The context as the client uploads it, where it is an archive; empty, where it is a folder.
    pub(crate) upload: String,
}

impl Recipe {
    /// The path, with what is meant where none is given.
    pub(crate) fn path(&self) -> &str {
        if self.file.is_empty() {
            "Dockerfile"
        } else {
            &self.file
        }
    }

    /// What a name stands for in this build's Dockerfile, if it is one of its contexts.
    pub(crate) fn context(&self, name: &str) -> Option<&str> {
        let full = |name: &str| Reference::parse(name).map(|name| name.tagged());
        let is_same =
            |other: &str| other == name || full(other).is_ok_and(|it| full(name) == Ok(it));
        let mut contexts = self.contexts.iter();
        contexts
            .find(|(known, _)| is_same(known))
            .map(|(_, alias)| alias.as_str())
    }

    /// A text that is another for another recipe.
    pub(crate) fn text(&self) -> String {
        format!("{self:?}")
    }
}
