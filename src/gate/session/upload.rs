//! Archives that clients upload for a build: with a request of its own, or when the engine would ask for it.
//!
//! Either way the gate takes it, and the engine asks for folders instead.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream::unfold;
use h2::client::SendRequest;
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Frame;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::{Method, Request};

use super::folder::{alone, fail, send};
use super::folders::{Folders, Known, Part};
use super::parcel::{Coming, MOST, Parcel};
use super::{Reader, Session};
use crate::gate::build::recipe::Recipe;
use crate::gate::build::wire::{Field, fields};
use crate::gate::daemon::{Body, Broken};
use crate::gate::own::Own;
use crate::gate::pieces::incoming;
use crate::gate::refusal::Denied;
use crate::gate::session::folder::Rewrite as _;
use crate::gate::tunnel::{Call, Failed, Inbox, open};

const PULL: &str = "/moby.upload.v1.Upload/Pull";
const MOST_ARCHIVES: usize = 8;
/// A client sends both of its requests at once.
const PATIENCE: Duration = Duration::from_mins(1);

impl Folders {
    /// Takes the archive of a request for the build of another one.
    pub(in crate::gate) async fn upload(
        &self,
        own: &Own,
        word: &str,
        body: Body,
    ) -> Result<(), Denied> {
        let coming = self.coming(word)?;
        let parcel = coming.cell.get_or_init(|| receive(own, body)).await;
        coming.came.send_replace(true);
        parcel.as_ref().map(|_| ()).map_err(Clone::clone)
    }

    /// Waits for the archive of a build that is asked for with a request, and keeps it for a session.
    pub(in crate::gate) async fn uploaded(&self, session: &str, word: &str) -> Result<(), Denied> {
        let coming = self.coming(word)?;
        let mut came = coming.came.subscribe();
        let waiting = tokio::time::timeout(PATIENCE, came.wait_for(|came| *came));
        if !matches!(waiting.await, Ok(Ok(_))) {
            return Err(Denied::malformed(
                "the client does not send the archive of its build",
            ));
        }
        let mut known = self.lock();
        known.uploads.remove(word);
        let key = (session.to_owned(), word.to_owned());
        known.parcels.insert(key, Arc::clone(&coming));
        match coming.cell.get() {
            Some(Err(denied)) => Err(denied.clone()),
            _ => Ok(()),
        }
    }

    fn coming(&self, word: &str) -> Result<Coming, Denied> {
        let mut known = self.lock();
        if let Some(coming) = known.uploads.get(word) {
            return Ok(Arc::clone(coming));
        }
        known.has_room()?;
        let coming = Coming::default();
        known.uploads.insert(word.to_owned(), Arc::clone(&coming));
        Ok(coming)
    }
}

impl Folders {
    /// The archive that a session's client has under a word, and that is taken from it when the engine asks.
    pub(in crate::gate) fn expect(&self, session: &str, word: &str) -> Result<Coming, Denied> {
        let key = (session.to_owned(), word.to_owned());
        let mut known = self.lock();
        if let Some(coming) = known.parcels.get(&key) {
            return Ok(Arc::clone(coming));
        }
        known.has_room()?;
        let coming = Coming::default();
        known.parcels.insert(key, Arc::clone(&coming));
        Ok(coming)
    }
}

impl Known {
    /// Refuses one archive more than the host's disk shall bear.
    fn has_room(&self) -> Result<(), Denied> {
        if self.uploads.len() + self.parcels.len() < MOST_ARCHIVES {
            return Ok(());
        }
        Err(Denied::forbidden(format!(
            "a job builds from {MOST_ARCHIVES} archives at once, and no more: build one after the other"
        )))
    }
}

impl Session {
    /// Answers for a build whose context is an archive.
    pub(super) async fn unpacked(
        &self,
        mut call: Call,
        client: SendRequest<Bytes>,
        recipe: &Recipe,
        part: Part,
    ) -> Result<(), Failed> {
        let parcel = match self.parcel(&recipe.upload, &client).await {
            Ok(parcel) => parcel,
            Err(denied) => return fail(&mut call, &denied).await,
        };
        // The list of what a folder leaves out is none of an archive's.
        let mut paths = call.parts.headers.get_all("followpaths").iter();
        let is_for_list = paths.next().is_some_and(|path| path == ".dockerignore");
        match part {
            Part::Context if is_for_list && paths.next().is_none() => {
                send(&mut call, &Vec::new()).await
            }
            Part::Context => send(&mut call, &*parcel).await,
            Part::Dockerfile => {
                let reader = Reader {
                    own: &self.own,
                    recipe,
                    client,
                };
                match dockerfile(&parcel, &reader).await {
                    Ok((text, mark)) => send(&mut call, &alone(recipe.path(), text, mark)).await,
                    Err(denied) => fail(&mut call, &denied).await,
                }
            }
        }
    }

    fn coming(&self, word: &str) -> Result<Coming, Denied> {
        self.folders.expect(&self.id, word)
    }

    /// The archive of a build, taken from the client if nobody did.
    async fn parcel(&self, word: &str, client: &SendRequest<Bytes>) -> Result<Arc<Parcel>, Denied> {
        let coming = self.coming(word)?;
        let taken = coming.cell.get_or_init(|| async {
            let body = pull(client.clone(), word).await;
            let body = body.map_err(|error| {
                Denied::malformed(format!(
                    "the client does not send the archive of its build: {error}"
                ))
            })?;
            receive(&self.own, body).await
        });
        taken.await.clone()
    }
}

/// The Dockerfile in an archive as the engine shall read it, and a number for it.
async fn dockerfile(parcel: &Parcel, reader: &Reader<'_>) -> Result<(Vec<u8>, u64), Denied> {
    let wanted = reader.recipe.path();
    let parts = wanted.split('/').filter(|part| !matches!(*part, "" | "."));
    let path = parts.collect::<Vec<_>>().join("/");
    let text = parcel.text(&path)?.ok_or_else(|| {
        Denied::malformed(format!(
            "failed to read dockerfile: {wanted} is not in the archive"
        ))
    })?;
    let text = reader.rewrite(&text).await?;
    let mark = reader.mark(&text);
    Ok((text, mark))
}

/// Reads an archive from its beginning to its end.
async fn receive(own: &Own, body: Body) -> Result<Arc<Parcel>, Denied> {
    let (reader, feed) = incoming(body);
    let folder = own.scope.state_dir.clone();
    let reading = tokio::task::spawn_blocking(move || Parcel::read(reader, &folder, MOST));
    let (read, ()) = tokio::join!(reading, feed);
    let read = read.map_err(|error| Denied::broken(error.to_string()))?;
    read.map(Arc::new)
}

/// Asks a client for an archive of its own, as the engine would.
async fn pull(client: SendRequest<Bytes>, word: &str) -> Result<Body, Failed> {
    let mut asked = Request::new(());
    *asked.method_mut() = Method::POST;
    *asked.uri_mut() = PULL.parse()?;
    let headers = asked.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    headers.insert("te", HeaderValue::from_static("trailers"));
    headers.insert("urlpath", HeaderValue::from_str(&format!("/{word}"))?);
    headers.insert("urlhost", HeaderValue::from_static("buildkit-session"));
    let (parts, ()) = asked.into_parts();
    let (response, mut to) = open(client, &parts).await?;
    to.send_data(Bytes::new(), true)?;
    let (head, body) = response.await?.into_parts();
    if let Some(said) = head.headers.get("grpc-message") {
        return Err(said.to_str()?.into());
    }
    let stream = unfold(Some((Inbox::default(), body)), |state| async {
        let (mut inbox, mut body) = state?;
        let broken = || Some((Err(Broken::Cut("the client broke off its archive")), None));
        match inbox.next(&mut body).await {
            Ok(Some(message)) => match data(&message) {
                Some(data) => Some((Ok(Frame::data(data)), Some((inbox, body)))),
                None => broken(),
            },
            Ok(None) => {
                let end = body.trailers().await.ok().flatten().unwrap_or_default();
                let is_good = end.get("grpc-status").is_none_or(|status| status == "0");
                if is_good { None } else { broken() }
            }
            Err(_) => broken(),
        }
    });
    Ok(StreamBody::new(stream).boxed_unsync())
}

/// `upload.BytesMessage`.
fn data(message: &[u8]) -> Option<Bytes> {
    let all = fields(message)?;
    let data = all.iter().find(|field| field.number == 1);
    Some(Bytes::copy_from_slice(
        data.map_or(Some(&[][..]), Field::bytes)?,
    ))
}
