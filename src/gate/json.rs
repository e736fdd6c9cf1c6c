//! JSON as the gate reads it: one value, nothing after it, no key twice.
//!
//! The engine merges repeated keys and ignores what follows the first value; a reader that
//! forgave either would see another request than the engine does. Knows no field.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

use super::refusal::Denied;

/// Reads an object; an empty body is an empty object.
pub(crate) fn object(bytes: &[u8]) -> Result<Map<String, Value>, Denied> {
    if bytes.iter().all(u8::is_ascii_whitespace) {
        return Ok(Map::new());
    }
    match value(bytes)? {
        Value::Object(map) => Ok(map),
        Value::Null => Ok(Map::new()),
        Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
            Err(Denied::malformed("the body is not a JSON object"))
        }
    }
}

/// Reads one value.
pub(crate) fn value(bytes: &[u8]) -> Result<Value, Denied> {
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    let read = Strict::deserialize(&mut reader).and_then(|strict| reader.end().map(|()| strict.0));
    read.map_err(|error| Denied::malformed(format!("the JSON cannot be read: {error}")))
}

/// The texts of a list; nothing where it is none.
pub(crate) fn texts(value: &Value) -> Vec<String> {
    let items = value.as_array().into_iter().flatten();
    items.filter_map(Value::as_str).map(str::to_owned).collect()
}

/// Whether a value says nothing: what clients send for a field they leave alone.
pub(crate) fn is_unset(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Bool(flag) => !flag,
        Value::Number(number) => number.as_f64() == Some(0.0),
        Value::String(text) => text.is_empty() || text == "default",
        Value::Array(items) => items.iter().all(is_unset),
        Value::Object(map) => map.values().all(is_unset),
    }
}

struct Strict(Value);

impl<'de> Deserialize<'de> for Strict {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(StrictVisitor).map(Strict)
    }
}

struct StrictVisitor;

impl<'de> Visitor<'de> for StrictVisitor {
    type Value = Value;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, flag: bool) -> Result<Value, E> {
        Ok(Value::Bool(flag))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Value, E> {
        Ok(Value::Number(number.into()))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Value, E> {
        Ok(Value::Number(number.into()))
    }

    fn visit_f64<E: serde::de::Error>(self, number: f64) -> Result<Value, E> {
        let finite = Number::from_f64(number).ok_or_else(|| E::custom("a number without end"))?;
        Ok(Value::Number(finite))
    }

    fn visit_str<E>(self, text: &str) -> Result<Value, E> {
        Ok(Value::String(text.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(Strict(item)) = items.next_element()? {
            list.push(item);
        }
        Ok(Value::Array(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut map = Map::new();
        while let Some((key, Strict(value))) = entries.next_entry::<String, Strict>()? {
            if map.contains_key(&key) {
                return Err(serde::de::Error::custom(format!(
                    "the key {key:?} is there twice"
                )));
            }
            map.insert(key, value);
        }
        Ok(Value::Object(map))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_repeated_key_is_refused_at_any_depth() {
        for text in [r#"{"a":1,"a":2}"#, r#"{"x":[{"a":1,"\u0061":2}]}"#] {
            let denied = value(text.as_bytes()).unwrap_err();
            assert!(
                denied.message.contains("is there twice"),
                "{}",
                denied.message
            );
        }
    }

    #[test]
    fn what_follows_the_first_value_is_refused() {
        assert!(value(b"{} {}").is_err());
        assert!(object(b"[]").is_err());
        assert_eq!(object(b" \n").unwrap(), Map::new());
    }

    #[test]
    fn values_that_say_nothing_are_unset() {
        let nothing = br#"[null,false,0,"","default",[],{},{"Type":"","Config":{}},[0,0]]"#;
        assert!(is_unset(&value(nothing).unwrap()));
        for something in ["true", "1", "\"x\"", "{\"a\":1}"] {
            assert!(
                !is_unset(&value(something.as_bytes()).unwrap()),
                "{something}"
            );
        }
    }
}
