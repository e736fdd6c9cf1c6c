//! `FROM`, and the variables that count in it and in the stage behind it.

use super::file::{At, Part};
use super::flag::{self, Flag};
use super::judge::{Judge, Stage};
use super::lex::{self, Value};
use super::{rule, word};
use crate::gate::refusal::Denied;

impl Judge<'_> {
    pub(super) fn from(&mut self, at: At<'_>, rest: &str) -> Result<Vec<Part>, Denied> {
        let (flags, rest) = flag::take(rest, at)?;
        rule::flags(at.keyword, &flags, at)?;
        let words = word::plain(rest);
        let (base, name) = match words.as_slice() {
            [base] => (*base, None),
            [base, between, name] if between.eq_ignore_ascii_case("as") => {
                (*base, Some((*between, *name)))
            }
            _ => return Err(at.unclear("write `FROM image` or `FROM image AS name`")),
        };
        if name.is_some_and(|(_, name)| !rule::is_stage_name(name)) {
            return Err(at.unclear("the name of the stage is malformed: use letters and digits"));
        }
        let base = self.global(base, at)?;
        if base.is_empty() {
            return Err(at.unclear("it names no image: give its variable a value"));
        }
        let platform = flags.first().map(Flag::value).unwrap_or_default();
        let platform = match self.global(platform, at)? {
            text if text.is_empty() => None,
            text => Some(text),
        };
        let mut stage = Stage {
            name: name
                .map(|(_, name)| name.to_ascii_lowercase())
                .unwrap_or_default(),
            ..Stage::default()
        };
        let lower = base.to_lowercase();
        let parent = self.stages.iter().rposition(|stage| stage.name == lower);
        let mut parts = vec![Part::Text(rule::head(at.keyword, &flags))];
        if let Some(index) = parent {
            stage.scope = self.stages[index].scope.child();
            stage.needs.insert(index);
            parts.push(Part::Text(lower));
        } else {
            stage.is_base = true;
            parts.push(self.image(&base, platform, at)?);
        }
        if let Some((between, name)) = name {
            parts.push(Part::Text(format!(" {between} {name}")));
        }
        self.stages.push(stage);
        Ok(parts)
    }

    /// A text in which the arguments before the first stage count.
    pub(super) fn global(&self, text: &str, at: At<'_>) -> Result<String, Denied> {
        let get = |name: &str| {
            self.meta
                .get(name)
                .cloned()
                .map_or(Value::Unset, Value::Set)
        };
        match lex::expand(text, self.escape, &get) {
            Ok(word) if word.is_open => {
                Err(at.unclear("its variables are longer than any name: shorten them"))
            }
            Ok(word) => Ok(word.text),
            Err(why) => Err(at.unclear(why)),
        }
    }

    pub(super) fn arg(&mut self, at: At<'_>, rest: &str) -> Result<(), Denied> {
        let words = word::quoted(rest, self.escape);
        let words = words.ok_or_else(|| at.unclear("a quote is not closed: close it"))?;
        for word in &words {
            let (name, default) = match word.split_once('=') {
                Some((name, default)) => (name, Some(default)),
                None => (word.as_str(), None),
            };
            if name.is_empty() || name.contains(['$', '"', '\'', '\\', '`']) {
                return Err(at.unclear("write `ARG name` or `ARG name=value`"));
            }
            let given = self.given.args.get(name).cloned();
            let Some(stage) = self.stages.last_mut() else {
                let default = default.map(|text| self.global(text, at)).transpose()?;
                if let Some(value) = given.or(default) {
                    self.meta.insert(name.to_owned(), value);
                }
                continue;
            };
            let value = match default {
                Some(text) => given.or_else(|| stage.scope.resolve(text, self.escape)),
                None => given.or_else(|| self.meta.get(name).cloned()),
            };
            stage.scope.arg(name, value);
        }
        Ok(())
    }

    pub(super) fn env(&mut self, at: At<'_>, rest: &str) -> Result<(), Denied> {
        let pairs = word::pairs(rest, self.escape);
        let pairs = pairs.ok_or_else(|| at.unclear("write `ENV name=value`"))?;
        if let Some(stage) = self.stages.last_mut() {
            stage.scope.env(&pairs, self.escape);
        }
        Ok(())
    }
}
