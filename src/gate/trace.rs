//! The progress that the engine tells of a build whose query asked for `BuildKit`: its messages stand in base64 in lines of
//! JSON.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures_util::stream::unfold;
use http_body_util::{BodyExt, StreamBody};
use hyper::Response;
use hyper::body::Frame;
use serde_json::Value;

use super::build::status;
use super::daemon::Body;
use super::own::Own;
use super::progress::Progress;

/// The same answer, with images as the job calls them.
pub(super) fn told(own: Arc<Own>, response: Response<Body>) -> Response<Body> {
    response.map(|body| {
        let stream = unfold(Some((own, Progress::new(body))), |state| async {
            let (own, mut progress) = state?;
            let lines = match progress.next().await {
                Ok(lines) => lines?,
                Err(error) => return Some((Err(error), None)),
            };
            let speak = |text: &str| own.shown(text);
            let lines = lines
                .into_iter()
                .map(|line| rewritten(&line, &speak).unwrap_or(line));
            let lines: Vec<Vec<u8>> = lines.collect();
            let state = Some((own, progress));
            Some((Ok(Frame::data(lines.concat().into())), state))
        });
        StreamBody::new(stream).boxed_unsync()
    })
}

fn rewritten(line: &[u8], speak: &dyn Fn(&str) -> String) -> Option<Vec<u8>> {
    let mut value: Value = serde_json::from_slice(line).ok()?;
    if value["id"] != "moby.buildkit.trace" {
        return None;
    }
    let message = STANDARD.decode(value["aux"].as_str()?).ok()?;
    value["aux"] = STANDARD.encode(status::rewrite(&message, speak)).into();
    Some(format!("{value}\r\n").into_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gate::build::wire::push_bytes;

    #[test]
    fn only_progress_is_written_anew() {
        let line = |name: &str| {
            let (mut step, mut status) = (Vec::new(), Vec::new());
            push_bytes(&mut step, 3, name.as_bytes());
            push_bytes(&mut status, 1, &step);
            let aux = STANDARD.encode(status);
            format!("{{\"id\":\"moby.buildkit.trace\",\"aux\":\"{aux}\"}}\r\n").into_bytes()
        };
        let speak = |text: &str| text.replace("private/", "");
        let written = rewritten(&line("FROM private/a"), &speak).unwrap();
        let value = |line: &[u8]| serde_json::from_slice::<Value>(line).unwrap();
        assert_eq!(value(&written), value(&line("FROM a")));
        assert_eq!(
            rewritten(b"{\"aux\":{\"ID\":\"sha256:0\"}}\r\n", &speak),
            None
        );
        assert_eq!(rewritten(b"no JSON", &speak), None);
    }
}
