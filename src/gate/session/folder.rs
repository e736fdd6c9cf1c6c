//! The folder of a Dockerfile, as the engine asks for it: taken from the client whole, and sent on with each Dockerfile
//! in it written anew.
//!
//! The engine keeps what it was sent for the next time, and asks again only for files of another size or time; so the
//! time of each file says what is in it, by a secret, and no file that was not read here is ever taken for one that was.

use bytes::Bytes;
use h2::client::SendRequest;
use h2::{RecvStream, SendStream};
use hyper::Response;
use hyper::header::{CONTENT_TYPE, HeaderMap, HeaderValue};

use super::packet::{DIRECTORY, Packet, Stat, is_list};
use crate::gate::refusal::Denied;
use crate::gate::tunnel::{Call, Failed, Inbox, ended, framed, open, send_all};

/// A folder that holds a Dockerfile, and perhaps its list of ignored files, is not larger.
const MOST_FILES: usize = 2000;
const MOST_BYTES: usize = 16 * 1024 * 1024;
/// As much as the engine's own sender puts into a packet.
pub(super) const PART: usize = 32 * 1024;
/// So that a time stays within what file systems know: until 2006.
const TIMES: u64 = (1 << 60) - 1;

/// Writes a file of the folder anew.
pub(super) trait Rewrite: Sync {
    /// The Dockerfile of the build: if it cannot be written anew, the build ends.
    fn is_wanted(&self, path: &str) -> bool;
    fn rewrite(&self, content: &[u8]) -> impl Future<Output = Result<Vec<u8>, Denied>> + Send;
    /// A number for a content that nobody else can compute.
    fn mark(&self, content: &[u8]) -> u64;
}

/// What is sent to the engine as a folder.
pub(super) trait Source: Sync {
    fn stats(&self) -> impl Iterator<Item = &Stat> + Send;
    /// A part of a file, from this byte on; an empty one is its end.
    fn part(&self, file: usize, from: u64) -> std::io::Result<Bytes>;
}

impl Source for Vec<Item> {
    fn stats(&self) -> impl Iterator<Item = &Stat> + Send {
        self.iter().map(|item| &item.stat)
    }

    fn part(&self, file: usize, from: u64) -> std::io::Result<Bytes> {
        let item = self.get(file).ok_or(std::io::ErrorKind::InvalidInput)?;
        let from = usize::try_from(from).unwrap_or(usize::MAX);
        let rest = item.content.get(from..).unwrap_or_default();
        Ok(Bytes::copy_from_slice(&rest[..rest.len().min(PART)]))
    }
}

/// A folder with one file in it, at this path.
pub(super) fn alone(path: &str, content: Vec<u8>, mark: u64) -> Vec<Item> {
    let parts: Vec<&str> = path
        .split('/')
        .filter(|part| !matches!(*part, "" | "."))
        .collect();
    let mut items: Vec<Item> = (1..parts.len())
        .map(|depth| Item {
            stat: Stat {
                path: parts[..depth].join("/"),
                mode: DIRECTORY | 0o755,
                ..Stat::default()
            },
            content: Vec::new(),
        })
        .collect();
    let stat = Stat {
        path: parts.join("/"),
        mode: 0o644,
        size: content.len() as u64,
        modified: mark & TIMES,
        ..Stat::default()
    };
    items.push(Item { stat, content });
    items
}

/// Something in the folder, with its content if it is a file.
#[derive(Debug, Default)]
pub(super) struct Item {
    stat: Stat,
    content: Vec<u8>,
}

/// Answers the engine's call for a folder.
pub(super) async fn answer(
    mut call: Call,
    client: SendRequest<Bytes>,
    rewrite: &impl Rewrite,
) -> Result<(), Failed> {
    let items = match receive(&call, client).await? {
        Ok(items) => rewritten(items, rewrite).await,
        Err(denied) => Err(denied),
    };
    match items {
        Ok(items) => send(&mut call, &items).await,
        Err(denied) => fail(&mut call, &denied).await,
    }
}

/// Tells the engine why there is no folder. In a packet: where the call ends in an error, the engine may tell of a
/// context that was cancelled instead.
pub(super) async fn fail(call: &mut Call, denied: &Denied) -> Result<(), Failed> {
    let mut send = begin(call)?;
    let text = format!("dockmaster: {}", denied.message);
    say(&mut send, &Packet::Failed(text)).await?;
    let mut inbox = Inbox::default();
    while let Ok(Some(_)) = inbox.next(&mut call.body).await {}
    Ok(send.send_trailers(ended(0, ""))?)
}

fn begin(call: &mut Call) -> Result<SendStream<Bytes>, Failed> {
    let mut response = Response::new(());
    let kind = HeaderValue::from_static("application/grpc");
    response.headers_mut().insert(CONTENT_TYPE, kind);
    Ok(call.respond.send_response(response, false)?)
}

/// Takes the folder from the client. An error of the client's own goes to the engine in its own words.
async fn receive(
    call: &Call,
    client: SendRequest<Bytes>,
) -> Result<Result<Vec<Item>, Denied>, Failed> {
    let (response, mut send) = open(client, &call.parts).await?;
    let (head, mut body) = response.await?.into_parts();
    if head.headers.contains_key("grpc-status") {
        return Ok(Err(ended_by(&head.headers)));
    }
    let mut inbox = Inbox::default();
    let mut items = match listed(&mut inbox, &mut body).await? {
        Ok(items) => items,
        Err(denied) => return Ok(Err(denied)),
    };
    let sizes = items.iter().map(|item| item.stat.size);
    if sizes.fold(0, u64::saturating_add) > MOST_BYTES as u64 {
        return Ok(Err(too_large()));
    }
    let files: Vec<usize> = (0..items.len())
        .filter(|at| items[*at].stat.is_file())
        .collect();
    for at in &files {
        say(&mut send, &Packet::Request(u32::try_from(*at)?)).await?;
    }
    let (mut open, mut size) = (files.len(), 0);
    while open > 0 {
        match hear(&mut inbox, &mut body).await? {
            Packet::Data(id, data) if data.is_empty() => {
                open -= usize::from(files.contains(&(id as usize)));
            }
            Packet::Data(id, data) => {
                size += data.len();
                if size > MOST_BYTES {
                    return Ok(Err(too_large()));
                }
                let item = items
                    .get_mut(id as usize)
                    .ok_or("a file nobody asked for")?;
                item.content.extend_from_slice(&data);
            }
            Packet::Failed(text) => return Ok(Err(Denied::malformed(text))),
            _ => return Err("the client sends a folder out of order".into()),
        }
    }
    say(&mut send, &Packet::Finished).await?;
    send.send_data(Bytes::new(), true)?;
    // A client whose last word nobody hears takes it for a failure.
    while inbox.next(&mut body).await?.is_some() {}
    Ok(Ok(items))
}

async fn listed(
    inbox: &mut Inbox,
    body: &mut RecvStream,
) -> Result<Result<Vec<Item>, Denied>, Failed> {
    let (mut items, mut size) = (Vec::new(), 0);
    loop {
        if items.len() > MOST_FILES || size > MOST_BYTES {
            return Ok(Err(too_large()));
        }
        match inbox.next(body).await? {
            None => {
                let trailers = body.trailers().await?.unwrap_or_default();
                return Ok(Err(ended_by(&trailers)));
            }
            Some(message) => match Packet::read(&message).ok_or("no packet of a folder")? {
                Packet::Stat(stat) => {
                    // Paths, targets of links, attributes.
                    size += message.len();
                    items.push(Item {
                        stat,
                        content: Vec::new(),
                    });
                }
                Packet::LastStat => return Ok(Ok(items)),
                Packet::Failed(text) => return Ok(Err(Denied::malformed(text))),
                _ => return Err("the client sends a folder out of order".into()),
            },
        }
    }
}

/// Why the client ended the call.
fn ended_by(headers: &HeaderMap) -> Denied {
    let said = headers
        .get("grpc-message")
        .and_then(|said| said.to_str().ok());
    Denied::malformed(format!(
        "the client does not send the folder of the Dockerfile: {}",
        said.unwrap_or("it ended the call")
    ))
}

fn too_large() -> Denied {
    Denied::malformed(
        "the folder of the Dockerfile is sent whole, and is too large: use a newer client, or put the \
         Dockerfile into a folder of its own",
    )
}

/// The folder for the engine: every file that could be a Dockerfile of the build is written anew.
async fn rewritten(items: Vec<Item>, rewrite: &impl Rewrite) -> Result<Vec<Item>, Denied> {
    let mut kept = Vec::new();
    let wanted = |item: &Item| item.stat.is_file() && rewrite.is_wanted(&item.stat.path);
    let is_found = items.iter().any(wanted);
    for mut item in items {
        if !item.stat.is_usual() {
            continue;
        }
        if item.stat.is_file() {
            // A second name of a file is sent as a file of its own.
            item.stat.link.clear();
            if !is_list(&item.stat.path) {
                match rewrite.rewrite(&item.content).await {
                    Ok(content) => item.content = content,
                    // Not this build's, so the engine will not miss it.
                    Err(_) if is_found && !rewrite.is_wanted(&item.stat.path) => continue,
                    Err(denied) => return Err(denied),
                }
            }
            item.stat.size = item.content.len() as u64;
            item.stat.modified = rewrite.mark(&item.content) & TIMES;
        } else if is_list(&item.stat.link) {
            return Err(Denied::forbidden(format!(
                "{:?} is a link to a .dockerignore, which is not read as a Dockerfile: make it a file",
                item.stat.path
            )));
        }
        kept.push(item);
    }
    Ok(kept)
}

/// Sends the folder to the engine.
pub(super) async fn send(call: &mut Call, folder: &impl Source) -> Result<(), Failed> {
    let mut send = begin(call)?;
    for stat in folder.stats() {
        say(&mut send, &Packet::Stat(stat.clone())).await?;
    }
    say(&mut send, &Packet::LastStat).await?;
    let mut inbox = Inbox::default();
    loop {
        match hear(&mut inbox, &mut call.body).await? {
            Packet::Request(id) => {
                let mut from = 0;
                loop {
                    let part = folder.part(id as usize, from)?;
                    from += part.len() as u64;
                    say(&mut send, &Packet::Data(id, part.to_vec())).await?;
                    if part.is_empty() {
                        break;
                    }
                }
            }
            Packet::Finished => break,
            Packet::Failed(text) => return Err(text.into()),
            _ => return Err("the engine takes a folder out of order".into()),
        }
    }
    say(&mut send, &Packet::Finished).await?;
    Ok(send.send_trailers(ended(0, ""))?)
}

async fn say(to: &mut SendStream<Bytes>, packet: &Packet) -> Result<(), Failed> {
    send_all(to, framed(&packet.write())).await
}

async fn hear(inbox: &mut Inbox, from: &mut RecvStream) -> Result<Packet, Failed> {
    let message = inbox.next(from).await?.ok_or("the folder is cut short")?;
    Packet::read(&message).ok_or_else(|| "no packet of a folder".into())
}
