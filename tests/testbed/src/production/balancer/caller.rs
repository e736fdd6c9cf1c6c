//! Calls the API as a person with a key does, so that tests need no client of the package under test.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use anyhow::{Context, Result};
use http_body_util::{BodyExt, Empty};
use hyper::client::conn::http1::handshake;
use hyper_util::rt::TokioIo;
use jiff::Timestamp;
use serde_json::Value;
use sha2::{Digest, Sha256};
use tokio::net::TcpStream;

use super::AccessKey;
use super::product::Product;
use super::signature::{Request, canonical};
use crate::machine::{hexadecimal, random};

/// Signs and sends one call; the answer is the status and the body, whatever they are.
pub(super) async fn call(
    address: SocketAddr,
    key: AccessKey,
    (product, action): (Product, String),
    parameters: BTreeMap<String, String>,
) -> Result<(u16, Value)> {
    let request = sign(address, &key, (product, &action), parameters)?;
    let target = format!("/?{}", canonical(&request.query));
    let mut wire = hyper::Request::post(target).header("content-length", "0");
    for (name, value) in &request.headers {
        wire = wire.header(name, value);
    }
    let stream = TcpStream::connect(address)
        .await
        .context("cannot reach the API")?;
    let (mut sender, connection) = handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    let response = sender
        .send_request(wire.body(Empty::<bytes::Bytes>::new())?)
        .await?;
    let status = response.status().as_u16();
    let body = response.into_body().collect().await?.to_bytes();
    Ok((status, serde_json::from_slice(&body)?))
}

fn sign(
    address: SocketAddr,
    key: &AccessKey,
    (product, action): (Product, &str),
    parameters: BTreeMap<String, String>,
) -> Result<Request> {
    let date = Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
    let mut headers = vec![
        ("host".to_owned(), address.to_string()),
        ("x-acs-action".to_owned(), action.to_owned()),
        (
            "x-acs-content-sha256".to_owned(),
            hexadecimal(&Sha256::digest(b"")),
        ),
        ("x-acs-date".to_owned(), date),
        ("x-acs-signature-nonce".to_owned(), random(16)?),
        ("x-acs-version".to_owned(), product.version().to_owned()),
    ];
    if let Some(token) = &key.token {
        headers.insert(4, ("x-acs-security-token".to_owned(), token.clone()));
    }
    let query = parameters.into_iter().collect();
    let mut request = Request {
        method: "POST".into(),
        path: "/".into(),
        query,
        headers,
        body: Vec::new(),
    };
    let signed: Vec<String> = request
        .headers
        .iter()
        .map(|(name, _)| name.clone())
        .collect();
    let signature = request.signature_by_header(&signed, &key.secret);
    let authorization = format!(
        "ACS3-HMAC-SHA256 Credential={},SignedHeaders={},Signature={signature}",
        key.id,
        signed.join(";"),
    );
    request
        .headers
        .push(("authorization".to_owned(), authorization));
    Ok(request)
}
