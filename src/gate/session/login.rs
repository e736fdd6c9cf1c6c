//! Logins of a build's client: asked of it as the engine would ask.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE;
use bytes::Bytes;
use h2::client::SendRequest;
use hyper::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use hyper::{Method, Request};
use serde_json::json;

use crate::gate::build::wire::{fields, push_bytes};
use crate::gate::tunnel::{Failed, Inbox, framed, open, send_all};

const CREDENTIALS: &str = "/moby.filesync.v1.Auth/Credentials";
const ACCOUNT: HeaderName = HeaderName::from_static("x-registry-auth");

/// The client's account for a registry, as it would send it with a pull; nothing if it has none.
pub(super) async fn header(client: SendRequest<Bytes>, registry: &str) -> HeaderMap {
    let mut headers = HeaderMap::new();
    match account(client, registry).await {
        Ok(Some(account)) => {
            headers.insert(ACCOUNT, account);
        }
        Ok(None) => {}
        // An image that needs no account is pulled all the same.
        Err(error) => tracing::debug!(%error, registry, "the client of a build tells no account"),
    }
    headers
}

async fn account(
    client: SendRequest<Bytes>,
    registry: &str,
) -> Result<Option<HeaderValue>, Failed> {
    let mut asked = Request::new(());
    *asked.method_mut() = Method::POST;
    *asked.uri_mut() = CREDENTIALS.parse()?;
    let grpc = HeaderValue::from_static("application/grpc");
    asked.headers_mut().insert(CONTENT_TYPE, grpc);
    asked
        .headers_mut()
        .insert("te", HeaderValue::from_static("trailers"));
    let (parts, ()) = asked.into_parts();
    let (response, mut send) = open(client, &parts).await?;
    // As the engine calls Docker Hub.
    let host = if registry == "docker.io" {
        "registry-1.docker.io"
    } else {
        registry
    };
    let mut message = Vec::new();
    push_bytes(&mut message, 1, host.as_bytes());
    send_all(&mut send, framed(&message)).await?;
    send.send_data(Bytes::new(), true)?;
    let mut body = response.await?.into_body();
    let said = Inbox::default().next(&mut body).await?;
    said.map_or(Ok(None), |said| written(&said, registry))
}

fn written(said: &[u8], registry: &str) -> Result<Option<HeaderValue>, Failed> {
    let (mut name, mut secret) = ("", "");
    let all = fields(said).ok_or("no account")?;
    for field in &all {
        match field.number {
            1 => name = field.text().unwrap_or_default(),
            2 => secret = field.text().unwrap_or_default(),
            _ => {}
        }
    }
    let account = match (name, secret) {
        (_, "") => return Ok(None),
        ("", token) => json!({ "identitytoken": token, "serveraddress": registry }),
        _ => json!({ "username": name, "password": secret, "serveraddress": registry }),
    };
    let mut header = HeaderValue::from_str(&URL_SAFE.encode(account.to_string()))?;
    header.set_sensitive(true);
    Ok(Some(header))
}
