//! Adds what to do to what a registry said of a push or pull that failed, where that is known.
//!
//! The engine tells it as an error line of the progress, or as the message of an answer. Knows no image.

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::Response;
use hyper::body::Frame;
use hyper::header::CONTENT_LENGTH;
use serde_json::Value;

use super::daemon::Body;
use crate::harbor::refusal::Fault;

/// The same answer, its errors with what to do.
pub(super) fn explained(mut response: Response<Body>) -> Response<Body> {
    // What is added has another length.
    response.headers_mut().remove(CONTENT_LENGTH);
    response.map(|body| {
        let frames = body.map_frame(|frame| match frame.into_data() {
            Ok(bytes) => Frame::data(explain(bytes)),
            Err(frame) => frame,
        });
        frames.boxed_unsync()
    })
}

/// The engine flushes line by line, so that a line is a frame; one that was cut passes as it is.
fn explain(bytes: Bytes) -> Bytes {
    let lines = bytes.split_inclusive(|byte| *byte == b'\n');
    let told: Vec<Option<String>> = lines.clone().map(line).collect();
    if told.iter().all(Option::is_none) {
        return bytes;
    }
    let lines = lines.zip(told).flat_map(|(line, told)| match told {
        Some(told) => told.into_bytes(),
        None => line.to_owned(),
    });
    lines.collect()
}

fn line(bytes: &[u8]) -> Option<String> {
    let mut value: Value = serde_json::from_slice(bytes).ok()?;
    let text = ["error", "message"]
        .iter()
        .find_map(|key| value[key].as_str().map(str::to_owned))?;
    let told = format!("{text}\n{}", Fault::line(&text)?);
    for key in ["error", "message"] {
        if value[key].is_string() {
            value[key] = told.as_str().into();
        }
    }
    if value["errorDetail"]["message"].is_string() {
        value["errorDetail"]["message"] = told.as_str().into();
    }
    Some(format!("{value}\r\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(line: &str, advice: Option<&str>) {
        let bytes = Bytes::from(line.to_owned());
        let told = explain(bytes.clone());
        let Some(advice) = advice else {
            assert_eq!(told, bytes);
            return;
        };
        let value: Value =
            serde_json::from_slice(told.split(|it| *it == b'\n').next().unwrap()).unwrap();
        let text = value["errorDetail"]["message"]
            .as_str()
            .or(value["message"].as_str());
        let (said, added) = text.unwrap().split_once('\n').unwrap();
        assert!(line.contains(said), "{said}");
        assert!(
            added.starts_with("dockmaster: ") && added.contains(advice),
            "{added}"
        );
    }

    #[test]
    fn a_refused_push_or_pull_says_what_to_do() {
        check(
            "{\"errorDetail\":{\"message\":\"unknown: Failed to process request due to 'app:rel-1' configured as immutable.\"},\"error\":\"unknown: Failed to process request due to 'app:rel-1' configured as immutable.\"}\r\n",
            Some("push under a new tag"),
        );
        check(
            "{\"errorDetail\":{\"message\":\"denied: adding 4.8 MiB of storage resource, which when updated to current usage of 1.3 MiB will exceed the configured upper limit of 2.0 MiB.\"},\"error\":\"denied: adding 4.8 MiB of storage resource, which when updated to current usage of 1.3 MiB will exceed the configured upper limit of 2.0 MiB.\"}\r\n",
            Some("the Harbor project is full"),
        );
        check(
            "{\"message\":\"unauthorized: project nosuch not found: project nosuch not found\"}\n",
            Some("have the project made there"),
        );
        check("{\"status\":\"Pushing\",\"id\":\"a\"}\r\n", None);
        check("{\"errorDetail\":{\"mess", None);
        check(
            "{\"errorDetail\":{\"message\":\"no space left\"},\"error\":\"no space left\"}\r\n",
            None,
        );
    }

    #[test]
    fn lines_beside_an_error_pass_unchanged() {
        let text = "{\"status\":\"a\"}\r\n{\"error\":\"denied: The system is in read only mode. Any modification is prohibited.\"}\r\n";
        let told = explain(Bytes::from(text));
        let told = String::from_utf8(told.to_vec()).unwrap();
        assert!(
            told.starts_with("{\"status\":\"a\"}\r\n{\"error\":\"denied: The system"),
            "{told}"
        );
        assert!(
            told.contains("dockmaster: Harbor takes no changes now"),
            "{told}"
        );
        assert!(told.ends_with("\"}\r\n"), "{told}");
    }
}
