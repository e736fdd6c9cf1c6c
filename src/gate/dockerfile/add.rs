//! What `ADD` adds: paths of the context, and addresses that the operator allows.

use super::file::{At, Part};
use super::judge::Judge;
use super::lex::{self, Value, Word};
use super::{flag, remote, rule, word};
use crate::gate::refusal::Denied;

impl Judge<'_> {
    pub(super) fn add(&mut self, at: At<'_>, rest: &str) -> Result<Vec<Part>, Denied> {
        let (flags, rest) = flag::take(rest, at)?;
        rule::flags(at.keyword, &flags, at)?;
        let list = word::list(rest);
        if list.is_none() && word::may_be_list(rest) {
            return Err(at.unclear("the list is not JSON: correct it"));
        }
        let is_list = list.is_some();
        let plain = || word::plain(rest).into_iter().map(str::to_owned).collect();
        let mut words: Vec<String> = list.unwrap_or_else(plain);
        if let Some((_, sources)) = words.split_last_mut() {
            for source in sources {
                *source = self.added(source, at)?;
            }
        }
        let text = if is_list {
            serde_json::json!(words).to_string()
        } else {
            words.join(" ")
        };
        Ok(vec![
            Part::Text(rule::head(at.keyword, &flags)),
            Part::Text(text),
        ])
    }

    /// A source of `ADD`, as the engine shall read it.
    fn added(&self, source: &str, at: At<'_>) -> Result<String, Denied> {
        if source.starts_with("<<") {
            return Ok(source.to_owned());
        }
        let get = |name: &str| {
            let stage = self.stages.last();
            stage.map_or(Value::Unknown, |stage| stage.scope.get(name))
        };
        let word: Word = match lex::expand(source, self.escape, &get) {
            Ok(word) => word,
            // What is not resolved here may be anything, behind what is certain.
            Err(why) if !source.contains('$') => return Err(at.unclear(why)),
            Err(_) => Word {
                text: source.split('$').next().unwrap_or_default().to_owned(),
                is_variable: true,
                is_open: true,
            },
        };
        let judged = remote::judge(source, &word, self.given.urls);
        Ok(match judged.map_err(|why| at.forbidden(why))? {
            remote::Source::Path => source.to_owned(),
            remote::Source::Pinned => format!("./{source}"),
            remote::Source::Address(address) => address,
        })
    }
}
