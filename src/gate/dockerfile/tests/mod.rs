mod corpus;
mod random;
mod refuse;

use std::collections::BTreeMap;

use super::{Cache, Dockerfile, Given, Image, Road, read, write};
use crate::gate::refusal::Denied;

/// What the tests say beside a Dockerfile.
pub(super) struct Case {
    pub(super) road: Road,
    pub(super) args: BTreeMap<String, String>,
    pub(super) target: &'static str,
}

impl Case {
    pub(super) fn new(road: Road) -> Self {
        Self {
            road,
            args: BTreeMap::new(),
            target: "",
        }
    }

    pub(super) fn read(&self, text: &[u8]) -> Result<Dockerfile, Denied> {
        let predefined = [("BUILDPLATFORM", "linux/amd64"), ("TARGETARCH", "amd64")];
        let predefined: BTreeMap<String, String> = predefined
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into();
        let list = |items: &[&str]| {
            items
                .iter()
                .map(|item| (*item).to_owned())
                .collect::<Vec<_>>()
        };
        let given = Given {
            road: self.road,
            args: &self.args,
            predefined: &predefined,
            target: self.target,
            contexts: &list(&["assets", "base"]),
            urls: &list(&["https://dl.example.com/**", "git@git.example.com:group/**"]),
            frontends: &list(&["harbor.example.com/frontends/*"]),
        };
        read(text, &given)
    }

    /// The text for the engine, each image named by where it stands in the list.
    pub(super) fn rewritten(&self, text: &[u8]) -> Result<String, Denied> {
        let file = self.read(text)?;
        let names: BTreeMap<Image, String> = file
            .images()
            .into_iter()
            .enumerate()
            .map(|(place, image)| (image.clone(), format!("image.invalid/{place}")))
            .collect();
        let cache = (self.road == Road::Classic).then_some(Cache {
            key: "dockmaster.cache",
            tenant: "42-protected",
            once: "1",
        });
        write(&file, &names, cache).map(|bytes| String::from_utf8(bytes).unwrap())
    }
}
