//! The forms in which `.gitlab-ci.yml` lets people write the same thing.

use anyhow::{Result, bail};
use serde_json::Value;

use crate::spec::Variable;

/// A word, a number or a truth value as text.
pub(super) fn word(what: &str, value: &Value) -> Result<String> {
    match value {
        Value::String(text) => Ok(text.clone()),
        Value::Number(number) => Ok(number.to_string()),
        Value::Bool(truth) => Ok(truth.to_string()),
        _ => bail!("{what} is no text"),
    }
}

/// One word or a list of words, lists in lists flattened.
pub(super) fn words(what: &str, value: &Value) -> Result<Vec<String>> {
    match value {
        Value::Null => Ok(Vec::new()),
        Value::Array(items) => {
            let lists: Result<Vec<Vec<String>>> =
                items.iter().map(|item| words(what, item)).collect();
            Ok(lists?.concat())
        }
        one => Ok(vec![word(what, one)?]),
    }
}

/// Variables as a mapping to texts or to `{value, expand}`.
pub(super) fn variables(value: Option<&Value>) -> Result<Vec<Variable>> {
    let Some(value) = value else {
        return Ok(Vec::new());
    };
    let Value::Object(members) = value else {
        bail!("variables is no mapping")
    };
    let read = |(key, value): (&String, &Value)| match value {
        Value::Object(long) => {
            let text = word(
                key,
                long.get("value").unwrap_or(&Value::String(String::new())),
            )?;
            let variable = Variable::new(key, text);
            let is_raw = long.get("expand") == Some(&Value::Bool(false));
            Ok(if is_raw { variable.raw() } else { variable })
        }
        short => Ok(Variable::new(key, word(key, short)?)),
    };
    members.iter().map(read).collect()
}

/// `90`, `30m`, `1h 30m`, `2 hours`: GitLab's forms of a time, in seconds.
pub(super) fn seconds(text: &str) -> Result<u64> {
    let mut total = 0;
    let mut number = String::new();
    let mut words = text.split_whitespace().flat_map(split_unit).peekable();
    if words.peek().is_none() {
        bail!("an empty time");
    }
    for word in &mut words {
        if word.bytes().all(|byte| byte.is_ascii_digit()) {
            number.clone_from(&word);
            continue;
        }
        let unit = match word.as_str() {
            "s" | "sec" | "second" | "seconds" => 1,
            "m" | "min" | "minute" | "minutes" => 60,
            "h" | "hr" | "hour" | "hours" => 3600,
            "d" | "day" | "days" => 86400,
            other => bail!("{other} is no unit of time"),
        };
        total += number.parse::<u64>()? * unit;
        number.clear();
    }
    Ok(total + number.parse::<u64>().unwrap_or(0))
}

fn split_unit(word: &str) -> Vec<String> {
    let end = word
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(word.len());
    let (number, unit) = word.split_at(end);
    [number, unit]
        .iter()
        .filter(|part| !part.is_empty())
        .map(|part| (*part).to_owned())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::seconds;

    #[test]
    fn times_are_read_in_gitlabs_forms() {
        for (text, expected) in [
            ("90", 90),
            ("30m", 1800),
            ("1h 30m", 5400),
            ("2 hours", 7200),
            ("10 minutes", 600),
        ] {
            assert_eq!(seconds(text).unwrap(), expected, "{text}");
        }
        assert!(seconds("soon").is_err());
    }
}
