//! Answers of the engine, without the key that names of a job's things have there.
//!
//! Only JSON is read, whole or as a stream; what containers write passes as it is.

use futures_util::StreamExt;
use futures_util::stream::unfold;
use http_body_util::{BodyExt, BodyStream, StreamBody};
use hyper::body::{Bytes, Frame};
use hyper::header::{CONTENT_LENGTH, CONTENT_TYPE};
use hyper::{Response, StatusCode};

use super::alias::{Alias, Hide};
use super::daemon::Body;

/// The same answer, as the job sees it.
pub(super) fn hidden(alias: &Alias, mut response: Response<Body>) -> Response<Body> {
    let kind = response.headers().get(CONTENT_TYPE);
    let is_json = kind.is_some_and(|kind| kind.as_bytes().starts_with(b"application/json"));
    if !is_json || response.status() == StatusCode::SWITCHING_PROTOCOLS {
        return response;
    }
    // What is taken out changes it.
    response.headers_mut().remove(CONTENT_LENGTH);
    let hide = alias.hide();
    response.map(|body| shown(hide, body))
}

fn shown(hide: Hide, body: Body) -> Body {
    let start = (hide, BodyStream::new(body), false);
    let stream = unfold(start, |(mut hide, mut frames, is_over)| async move {
        if is_over {
            return None;
        }
        match frames.next().await {
            Some(Ok(frame)) => {
                let frame = frame.map_data(|bytes| Bytes::from(hide.take(&bytes)));
                Some((Ok(frame), (hide, frames, false)))
            }
            Some(Err(error)) => Some((Err(error), (hide, frames, true))),
            None => {
                let rest = Frame::data(Bytes::from(hide.rest()));
                Some((Ok(rest), (hide, frames, true)))
            }
        }
    });
    StreamBody::new(stream).boxed_unsync()
}
