//! Reads an object field by field from a table of known ones, into a new object.
//!
//! The engine matches keys ignoring case and folds two more letters onto `s` and `k`; so a key
//! here is exactly a known one or refused. Knows no endpoint.

use serde_json::{Map, Value};

use super::json::is_unset;
use super::refusal::Denied;

/// A known key and what may stand there.
pub(super) struct Field(pub(super) &'static str, pub(super) Rule);

/// What may stand in a field.
#[derive(Clone, Copy)]
pub(super) enum Rule {
    /// Kept as it is, if it has this shape.
    Keep(Shape),
    /// One of these words, kept.
    Among(&'static [&'static str]),
    /// Must say nothing; never written. The text says what to do instead.
    Unset(&'static str),
    /// Known and not written here: the caller reads it, or it is of no consequence.
    Apart,
}

/// Shapes of values; `null` fits them all and is left out.
#[derive(Clone, Copy)]
pub(super) enum Shape {
    Flag,
    Number,
    Text,
    Texts,
    /// A text or a list of them.
    Command,
    /// Names to texts.
    TextMap,
    /// Names to texts, none of the names ours.
    Labels,
    /// Names to empty objects.
    Set,
    Object(&'static [Field]),
    Objects(&'static [Field]),
}

/// Copies what may be copied; `place` is how messages name the object.
pub(super) fn copy(
    place: &str,
    given: &Map<String, Value>,
    fields: &[Field],
) -> Result<Map<String, Value>, Denied> {
    let mut kept = Map::new();
    for (key, value) in given {
        let name = format!("{place}{key}");
        let Some(Field(_, rule)) = fields.iter().find(|Field(known, _)| known == key) else {
            // A newer client sends fields that it leaves alone; what says nothing is never written.
            if is_unset(value) {
                continue;
            }
            return Err(Denied::forbidden(format!(
                "the field {name:?} is not known here; leave it out"
            )));
        };
        if let Some(value) = judge(&name, value, *rule)? {
            kept.insert(key.clone(), value);
        }
    }
    Ok(kept)
}

/// The refusal of a field, in one form everywhere.
pub(super) fn forbidden(name: &str, instead: &str) -> Denied {
    Denied::forbidden(format!("{name} is not allowed in a job: {instead}"))
}

/// Texts of a list, `null` being an empty one.
pub(super) fn texts(name: &str, value: Option<&Value>) -> Result<Vec<String>, Denied> {
    let malformed = || Denied::malformed(format!("{name} is not a list of texts"));
    match value {
        None | Some(Value::Null) => Ok(Vec::new()),
        Some(Value::Array(items)) => items
            .iter()
            .map(|item| item.as_str().map(str::to_owned).ok_or_else(malformed))
            .collect(),
        Some(_) => Err(malformed()),
    }
}

/// A text, `null` being an empty one.
pub(super) fn text(name: &str, value: Option<&Value>) -> Result<String, Denied> {
    match value {
        None | Some(Value::Null) => Ok(String::new()),
        Some(Value::String(text)) => Ok(text.clone()),
        Some(_) => Err(Denied::malformed(format!("{name} is not a text"))),
    }
}

/// A nested object, `null` being an empty one.
pub(super) fn nested<'a>(
    name: &str,
    value: Option<&'a Value>,
) -> Result<std::borrow::Cow<'a, Map<String, Value>>, Denied> {
    match value {
        None | Some(Value::Null) => Ok(std::borrow::Cow::Owned(Map::new())),
        Some(Value::Object(map)) => Ok(std::borrow::Cow::Borrowed(map)),
        Some(_) => Err(Denied::malformed(format!("{name} is not an object"))),
    }
}

fn judge(name: &str, value: &Value, rule: Rule) -> Result<Option<Value>, Denied> {
    match rule {
        Rule::Apart => Ok(None),
        Rule::Unset(_) if is_unset(value) => Ok(None),
        Rule::Unset(instead) => Err(forbidden(name, instead)),
        Rule::Among(words) => match text(name, Some(value))?.as_str() {
            "" => Ok(None),
            word if words.contains(&word) => Ok(Some(value.clone())),
            word => Err(forbidden(&format!("{name} {word:?}"), "leave it out")),
        },
        Rule::Keep(_) if value.is_null() => Ok(None),
        Rule::Keep(shape) => fit(name, value, shape).map(Some),
    }
}

fn fit(name: &str, value: &Value, shape: Shape) -> Result<Value, Denied> {
    let fits = match shape {
        Shape::Flag => value.is_boolean(),
        Shape::Number => value.is_i64() || value.is_u64(),
        Shape::Text => value.is_string(),
        Shape::Texts => all(value, Value::is_string),
        Shape::Command => value.is_string() || all(value, Value::is_string),
        Shape::TextMap => value
            .as_object()
            .is_some_and(|map| map.values().all(Value::is_string)),
        Shape::Set => value
            .as_object()
            .is_some_and(|map| map.values().all(is_unset)),
        Shape::Labels => return labels(name, value).map(Value::Object),
        Shape::Object(fields) => {
            let map = nested(name, Some(value))?;
            return copy(&format!("{name}."), &map, fields).map(Value::Object);
        }
        Shape::Objects(fields) => return objects(name, value, fields),
    };
    if !fits {
        return Err(Denied::malformed(format!("{name} has the wrong shape")));
    }
    Ok(if matches!(shape, Shape::Set) {
        emptied(value)
    } else {
        value.clone()
    })
}

/// Labels of a client's; what begins like ours would lie about whose a thing is.
pub(super) fn labels(name: &str, value: &Value) -> Result<Map<String, Value>, Denied> {
    let labels = nested(name, Some(value))?.into_owned();
    if let Some(key) = labels.keys().find(|key| key.starts_with("dockmaster.")) {
        return Err(forbidden(
            &format!("the label {key:?}"),
            "choose another name",
        ));
    }
    if !labels.values().all(Value::is_string) {
        return Err(Denied::malformed(format!("{name} has the wrong shape")));
    }
    Ok(labels)
}

fn objects(name: &str, value: &Value, fields: &[Field]) -> Result<Value, Denied> {
    let items = value
        .as_array()
        .ok_or_else(|| Denied::malformed(format!("{name} is not a list")))?;
    let copied: Result<Vec<Value>, Denied> = items
        .iter()
        .map(|item| {
            copy(
                &format!("{name}."),
                nested(name, Some(item))?.as_ref(),
                fields,
            )
        })
        .map(|map| map.map(Value::Object))
        .collect();
    copied.map(Value::Array)
}

fn all(value: &Value, test: fn(&Value) -> bool) -> bool {
    value.as_array().is_some_and(|items| items.iter().all(test))
}

fn emptied(value: &Value) -> Value {
    let keys = value.as_object().into_iter().flat_map(Map::keys);
    Value::Object(
        keys.map(|key| (key.clone(), Value::Object(Map::new())))
            .collect(),
    )
}
