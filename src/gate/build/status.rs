//! The progress of a build: the names of images as the job knows them.
//!
//! A text in a message has its length before it, so a message is written anew where a name stands in it. Pure.

use super::wire::{Value, fields, push_bytes};

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
    fn what_is_no_progress_stays() {
        let speak = |_: &str| String::new();
        assert_eq!(rewrite(&[0x0b, 1], &speak), [0x0b, 1]);
    }
}
