//! The progress of a build: the names of images as the job knows them.
//!
//! A text in a message has its length before it, so a message is written anew where a name stands in it. Pure.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value as Json;

use super::wire::{Value, entry, fields, push_bytes};

/// Where texts for people stand.
enum Place {
    Text,
    Message(&'static [(u64, Place)]),
}

use Place::{Message, Text};

/// `control.StatusResponse`: steps, what they do, their output, warnings.
const STATUS: &[(u64, Place)] = &[
    (1, Message(VERTEX)),
    (2, Message(&[(1, Text), (3, Text)])),
    (3, Message(&[(4, Text)])),
    (
        4,
        Message(&[(3, Text), (4, Text), (6, Message(&[(2, Text)]))]),
    ),
];

const VERTEX: &[(u64, Place)] = &[(3, Text), (7, Text), (8, Message(&[(2, Text)]))];

/// Writes a message of progress for the job. What is no such message stays as it is.
pub(in crate::gate) fn rewrite(message: &[u8], speak: &dyn Fn(&str) -> String) -> Vec<u8> {
    inside(message, STATUS, speak).unwrap_or_else(|| message.to_vec())
}

/// `control.SolveResponse`: what the exporters say, each a text under a key.
const SOLVED: &[(u64, Place)] = &[(1, Message(&[(2, Text)]))];

/// Writes what the exporters say for the job.
pub(in crate::gate) fn solved(message: &[u8], speak: &dyn Fn(&str) -> String) -> Vec<u8> {
    inside(message, SOLVED, speak).unwrap_or_else(|| message.to_vec())
}

/// What the exporters say under a key.
pub(in crate::gate) fn response(message: &[u8], key: &str) -> Option<String> {
    let said = fields(message)?;
    let mut said = said.iter().filter(|field| field.number == 1);
    said.find_map(|field| {
        let (known, value) = field.bytes().and_then(entry)?;
        (known == key).then(|| value.to_owned())
    })
}

/// Writes the details of an error for the job: they quote the Dockerfile as the engine read it.
pub(in crate::gate) fn details(status: &[u8], speak: &dyn Fn(&str) -> String) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(status.len());
    for field in fields(status)? {
        match (field.number, field.value) {
            (2, Value::Bytes(bytes)) => {
                let text = std::str::from_utf8(bytes).ok()?;
                push_bytes(&mut out, 2, speak(text).as_bytes());
            }
            (3, Value::Bytes(bytes)) => push_bytes(&mut out, 3, &detail(bytes, speak)?),
            _ => out.extend_from_slice(field.raw),
        }
    }
    Some(out)
}

/// One detail: its type, and itself as JSON or as a message.
fn detail(any: &[u8], speak: &dyn Fn(&str) -> String) -> Option<Vec<u8>> {
    let all = fields(any)?;
    let kind = all.iter().find(|field| field.number == 1)?.text()?;
    let mut out = Vec::with_capacity(any.len());
    for field in &all {
        match field.value {
            Value::Bytes(bytes) if field.number == 2 => {
                let written = match serde_json::from_slice(bytes) {
                    Ok(json) => quoted(json, speak).to_string().into_bytes(),
                    Err(_) if kind.ends_with("errdefs.Source") => {
                        inside(bytes, &[(1, Message(&[(2, Text)]))], speak)?
                    }
                    Err(_) => bytes.to_vec(),
                };
                push_bytes(&mut out, 2, &written);
            }
            _ => out.extend_from_slice(field.raw),
        }
    }
    Some(out)
}

fn quoted(value: Json, speak: &dyn Fn(&str) -> String) -> Json {
    match value {
        Json::Object(map) => {
            let pairs = map.into_iter().map(|(key, value)| {
                let value = match &value {
                    Json::String(data) if key == "data" => Json::from(source(data, speak)),
                    _ => quoted(value, speak),
                };
                (key, value)
            });
            Json::Object(pairs.collect())
        }
        Json::Array(items) => items.into_iter().map(|item| quoted(item, speak)).collect(),
        Json::String(text) => Json::from(speak(&text)),
        other => other,
    }
}

/// The text of a file, which JSON has as base64.
fn source(data: &str, speak: &dyn Fn(&str) -> String) -> String {
    let text = STANDARD
        .decode(data)
        .ok()
        .and_then(|bytes| String::from_utf8(bytes).ok());
    text.map_or_else(|| data.to_owned(), |text| STANDARD.encode(speak(&text)))
}

fn inside(
    message: &[u8],
    places: &[(u64, Place)],
    speak: &dyn Fn(&str) -> String,
) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(message.len());
    for field in fields(message)? {
        let place = places.iter().find(|place| place.0 == field.number);
        match (place, field.value) {
            (Some((_, Text)), Value::Bytes(bytes)) => match std::str::from_utf8(bytes) {
                Ok(text) => push_bytes(&mut out, field.number, speak(text).as_bytes()),
                Err(_) => out.extend_from_slice(field.raw),
            },
            (Some((_, Message(inner))), Value::Bytes(bytes)) => {
                push_bytes(&mut out, field.number, &inside(bytes, inner, speak)?);
            }
            _ => out.extend_from_slice(field.raw),
        }
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(parts: &[(u64, &[u8])]) -> Vec<u8> {
        let mut out = Vec::new();
        for (number, bytes) in parts {
            push_bytes(&mut out, *number, bytes);
        }
        out
    }

    #[test]
    fn a_step_is_shown_with_the_name_that_the_job_knows() {
        let step =
            |name: &str| message(&[(1, &message(&[(1, b"sha256:1"), (3, name.as_bytes())]))]);
        let speak = |text: &str| text.replace("dockmaster-00.invalid/", "");
        assert_eq!(
            rewrite(&step("[1/2] FROM dockmaster-00.invalid/alpine:3"), &speak),
            step("[1/2] FROM alpine:3")
        );
    }

    #[test]
    fn an_error_quotes_the_dockerfile_that_the_job_wrote() {
        let speak = |text: &str| text.replace("dockmaster-00.invalid/", "");
        let of = |name: &str| {
            let file = format!("FROM {name}");
            let json = format!(r#"{{"info":{{"data":"{}"}}}}"#, STANDARD.encode(&file));
            let proto = message(&[(1, &message(&[(2, file.as_bytes())]))]);
            let kinds: [(&[u8], &[u8]); 2] = [
                (
                    b"github.com/moby/buildkit/errdefs.Source+json",
                    json.as_bytes(),
                ),
                (b"github.com/moby/buildkit/errdefs.Source", &proto),
            ];
            let details =
                kinds.map(|(kind, value)| message(&[(3, &message(&[(1, kind), (2, value)]))]));
            [message(&[(2, file.as_bytes())]), details.concat()].concat()
        };
        let written = details(&of("dockmaster-00.invalid/alpine:3"), &speak);
        assert_eq!(written, Some(of("alpine:3")));
    }

    #[test]
    fn what_is_no_progress_stays() {
        let speak = |_: &str| String::new();
        assert_eq!(rewrite(&[0x0b, 1], &speak), [0x0b, 1]);
    }
}
