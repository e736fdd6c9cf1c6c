//! `--name value`, `--name=value` and `--name`, each as often as one likes.

use anyhow::{Result, bail};

const SWITCHES: [&str; 1] = ["untracked"];

#[derive(Debug)]
pub(super) struct Options(Vec<(String, String)>);

impl Options {
    pub(super) fn parse(arguments: &[String]) -> Result<Self> {
        let mut options = Vec::new();
        let mut rest = arguments.iter();
        while let Some(argument) = rest.next() {
            let Some(name) = argument.strip_prefix("--") else {
                bail!("unexpected {argument:?}")
            };
            let (name, value) = match name.split_once('=') {
                Some((name, value)) => (name, value.to_owned()),
                None if SWITCHES.contains(&name) => (name, "true".to_owned()),
                None => match rest.next() {
                    Some(value) => (name, value.clone()),
                    None => bail!("--{name} needs a value"),
                },
            };
            options.push((name.to_owned(), value));
        }
        Ok(Self(options))
    }

    pub(super) fn one(&self, name: &str) -> Option<&str> {
        let found = self.0.iter().rev().find(|(key, _)| key == name);
        found.map(|(_, value)| value.as_str())
    }

    pub(super) fn needed(&self, name: &str) -> Result<&str> {
        let Some(value) = self.one(name) else {
            bail!("--{name} is missing")
        };
        Ok(value)
    }

    pub(super) fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.0
            .iter()
            .filter(move |(key, _)| key == name)
            .map(|(_, value)| value.as_str())
    }

    pub(super) fn is_on(&self, name: &str) -> bool {
        self.one(name) == Some("true")
    }
}
