//! Answers for the job: private names of images read as the job wrote them.
//!
//! JSON only, small or streamed; what a container or an archive says passes untouched.

use futures_util::StreamExt;
use futures_util::stream::unfold;
use http_body_util::{BodyExt, BodyStream, StreamBody};
use hyper::Response;
use hyper::body::{Body as _, Frame};
use hyper::header::{CONTENT_LENGTH, CONTENT_TYPE};

use super::daemon::Body;
use super::names::{Names, Remover};

/// The answer with the job's names as the job knows them.
pub(super) fn clean(names: &Names, response: Response<Body>) -> Response<Body> {
    let kind = response.headers().get(CONTENT_TYPE);
    let is_json = kind.is_some_and(|kind| kind.as_bytes().starts_with(b"application/json"));
    if !is_json || response.body().is_end_stream() {
        return response;
    }
    let remover = names.remover();
    let mut response = response.map(|body| stream(body, remover));
    response.headers_mut().remove(CONTENT_LENGTH);
    response
}

fn stream(body: Body, remover: Remover) -> Body {
    let start = (BodyStream::new(body), Some(remover));
    let stream = unfold(start, |(mut frames, remover)| async {
        let mut remover = remover?;
        Some(match frames.next().await {
            Some(Ok(frame)) => {
                let frame = frame.map_data(|bytes| remover.take(&bytes).into());
                (Ok(frame), (frames, Some(remover)))
            }
            Some(Err(error)) => (Err(error), (frames, None)),
            None => (Ok(Frame::data(remover.finish().into())), (frames, None)),
        })
    });
    StreamBody::new(stream).boxed_unsync()
}
