//! Which value a variable has at a place of the file.
//!
//! What a base image sets is not known here, so a variable is known only where the file itself
//! gives it a value.

use std::collections::BTreeMap;

use super::lex::{self, Value};

/// The variables of one stage.
#[derive(Debug, Clone, Default)]
pub(super) struct Scope {
    /// `None` for a value that cannot be told.
    env: BTreeMap<String, Option<String>>,
    args: BTreeMap<String, Option<String>>,
}

impl Scope {
    pub(super) fn get(&self, name: &str) -> Value {
        let value = self.env.get(name).or_else(|| self.args.get(name));
        match value {
            Some(Some(text)) => Value::Set(text.clone()),
            Some(None) | None => Value::Unknown,
        }
    }

    /// What a stage that is built on this one begins with.
    pub(super) fn child(&self) -> Self {
        Self {
            env: self.env.clone(),
            args: BTreeMap::new(),
        }
    }

    /// `ENV`, each value resolved with what was set before the instruction.
    pub(super) fn env(&mut self, pairs: &[(String, String)], escape: char) {
        let before = self.clone();
        for (name, value) in pairs {
            self.env.insert(name.clone(), before.resolve(value, escape));
        }
    }

    /// `ARG` with what it is in the end: given, its default, or the file's own.
    pub(super) fn arg(&mut self, name: &str, value: Option<String>) {
        self.args.insert(name.to_owned(), value);
    }

    pub(super) fn resolve(&self, text: &str, escape: char) -> Option<String> {
        let word = lex::expand(text, escape, &|name| self.get(name)).ok()?;
        (!word.is_open).then_some(word.text)
    }
}
