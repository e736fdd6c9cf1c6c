//! The token endpoint as Harbor's behaves: GET only, the rights of the account whatever was asked, and an empty
//! list of actions instead of a refusal once a scope is named.

use std::fs;
use std::future::Future;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;

use anyhow::Result;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use bytes::Bytes;
use hyper::Method;
use hyper::header::AUTHORIZATION;
use hyper::http::request::Parts;
use jiff::Timestamp;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::Account;
use crate::command::feed_bytes;
use crate::machine;
use crate::serve::{Reply, json as answer};

pub(super) const SERVICE: &str = "harbor-registry";
pub(super) const ISSUER: &str = "harbor-token-issuer";

const LIFETIME: i64 = 1800;

#[derive(Debug)]
pub(super) struct Issuer {
    key: PathBuf,
    key_id: String,
    accounts: Vec<Account>,
}

impl Issuer {
    pub(super) fn new(directory: &Path, accounts: Vec<Account>) -> Result<Self> {
        let key_id = key_id(&fs::read(directory.join("token.der"))?);
        Ok(Self {
            key: directory.join("token.key"),
            key_id,
            accounts,
        })
    }

    fn respond(&self, parts: &Parts) -> (u16, Value) {
        if parts.method != Method::GET {
            return (
                405,
                json!({"errors": [{"code": "METHOD_NOT_ALLOWED", "message": ""}]}),
            );
        }
        let query = parts.uri.query().unwrap_or_default();
        let query: Vec<(String, String)> = url::form_urlencoded::parse(query.as_bytes())
            .into_owned()
            .collect();
        if !query.contains(&("service".into(), SERVICE.into())) {
            return (
                400,
                json!({"errors": [{"code": "BAD_REQUEST", "message": "bad service"}]}),
            );
        }
        let values = query
            .iter()
            .filter(|(name, _)| name == "scope")
            .map(|(_, value)| value);
        let scopes: Vec<&str> = values.flat_map(|value| value.split_whitespace()).collect();
        let account = self.account(parts);
        if account.is_none() && scopes.is_empty() {
            return (
                401,
                json!({"errors": [{"code": "UNAUTHORIZED", "message": "unauthorized"}]}),
            );
        }
        match self.token(account, &scopes) {
            Ok(body) => (200, body),
            Err(error) => (
                500,
                json!({"errors": [{"code": "UNKNOWN", "message": error.to_string()}]}),
            ),
        }
    }

    fn account(&self, parts: &Parts) -> Option<&Account> {
        let header = parts.headers.get(AUTHORIZATION)?.to_str().ok()?;
        let text = String::from_utf8(STANDARD.decode(header.strip_prefix("Basic ")?).ok()?).ok()?;
        let (username, password) = text.split_once(':')?;
        let is_it =
            |account: &&Account| account.username == username && account.password == password;
        self.accounts.iter().find(is_it)
    }

    fn token(&self, account: Option<&Account>, scopes: &[&str]) -> Result<Value> {
        let now = Timestamp::now();
        let second = now.as_second();
        let access: Vec<Value> = scopes
            .iter()
            .filter_map(|scope| access(scope, account))
            .collect();
        let mut claims = json!({
            "iss": ISSUER, "aud": SERVICE, "iat": second, "nbf": second, "exp": second + LIFETIME,
            "jti": machine::random(16)?, "access": access,
        });
        if scopes.is_empty() {
            claims["access"] = Value::Null;
        }
        if let Some(account) = account {
            claims["sub"] = account.username.as_str().into();
        }
        let token = self.sign(&claims)?;
        let at = now.strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
        Ok(json!({"token": token, "access_token": "", "expires_in": LIFETIME, "issued_at": at}))
    }

    fn sign(&self, claims: &Value) -> Result<String> {
        let header = json!({"alg": "RS256", "typ": "JWT", "kid": self.key_id});
        let encode = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let text = format!("{}.{}", encode(&header), encode(claims));
        let arguments = ["dgst", "-sha256", "-sign", &self.key.to_string_lossy()];
        let signature = feed_bytes("openssl", &arguments, text.as_bytes())?;
        Ok(format!("{text}.{}", URL_SAFE_NO_PAD.encode(signature)))
    }
}

type Answering = Pin<Box<dyn Future<Output = Reply> + Send>>;

/// Signing starts a program, so it leaves the testbed's thread free.
pub(super) fn handler(
    issuer: Issuer,
) -> impl Fn(Parts, Bytes) -> Answering + Send + Sync + 'static {
    let issuer = Arc::new(issuer);
    move |parts, _body| {
        let issuer = Arc::clone(&issuer);
        Box::pin(async move {
            let respond = move || issuer.respond(&parts);
            let (status, body) = tokio::task::spawn_blocking(respond).await.ok()?;
            Some(answer(status, &body))
        })
    }
}

/// All that the account may do there, not what was asked for.
fn access(scope: &str, account: Option<&Account>) -> Option<Value> {
    let mut fields = scope.splitn(2, ':');
    let kind = fields.next()?;
    let (name, _) = fields.next()?.rsplit_once(':')?;
    let actions = match account {
        Some(account) if kind == "repository" && name.contains('/') && account.may_push => {
            json!(["push", "pull"])
        }
        Some(_) if kind == "repository" && name.contains('/') => json!(["pull"]),
        Some(_) | None => json!([]),
    };
    Some(json!({"type": kind, "name": name, "actions": actions}))
}

/// libtrust's fingerprint: 240 bits of the public key's hash in base 32, in groups of four.
fn key_id(public_key: &[u8]) -> String {
    const ALPHABET: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
    let digest = Sha256::digest(public_key);
    let mut identity = String::new();
    for (count, group) in digest[..30].chunks(5).enumerate() {
        let bits = group
            .iter()
            .fold(0_u64, |bits, byte| bits << 8 | u64::from(*byte));
        for place in (0..8).rev() {
            let letter = usize::try_from(bits >> (place * 5) & 31).unwrap_or_default();
            identity.push(char::from(ALPHABET[letter]));
            if place == 4 || (place == 0 && count < 5) {
                identity.push(':');
            }
        }
    }
    identity
}
