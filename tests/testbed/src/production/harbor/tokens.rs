//! The token service: GET only, all rights of the caller whatever was asked, and an empty list of actions
//! instead of a refusal once a scope is named.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Result;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hyper::Method;
use jiff::Timestamp;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::answer::Answer;
use super::state::State;
use super::who::Who;
use super::{Asked, Harbor};
use crate::command::feed_bytes;
use crate::machine;

pub(crate) const SERVICE: &str = "harbor-registry";
pub(crate) const ISSUER: &str = "harbor-token-issuer";

/// Signs with openssl's own program.
#[derive(Debug)]
pub(crate) struct Signer {
    key: PathBuf,
    key_id: String,
}

impl Signer {
    pub(super) fn new(keys: &Path) -> Result<Self> {
        let key_id = key_id(&fs::read(keys.join("token.der"))?);
        Ok(Self {
            key: keys.join("token.key"),
            key_id,
        })
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

impl Harbor {
    pub(super) async fn token(&self, asked: &Asked, who: &Who) -> Answer {
        if asked.method != Method::GET {
            let kind = "text/plain; charset=utf-8";
            return Answer::text(405, kind, "Method Not Allowed\n");
        }
        let service = asked.value("service").unwrap_or_default();
        if service != SERVICE {
            let kind = "text/plain; charset=utf-8";
            return Answer::text(400, kind, format!("Unable to handle service: {service}"));
        }
        let scopes = asked.query.iter().filter(|(name, _)| name == "scope");
        let scopes: Vec<&str> = scopes
            .flat_map(|(_, value)| value.split_whitespace())
            .collect();
        if scopes.is_empty() && !who.is_known() {
            return Answer::empty(401);
        }
        let (claims, life) = self.state().claims(who, &scopes);
        match self.signed(claims).await {
            Ok(token) => {
                let at = Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
                let body = json!({
                    "token": token, "access_token": "", "expires_in": life, "issued_at": at,
                });
                let kind = "application/json; charset=utf-8";
                Answer::text(200, kind, body.to_string())
            }
            Err(_) => Answer::error(500, "", ""),
        }
    }

    /// Signing starts a program, so it leaves the testbed's thread free.
    pub(super) async fn signed(&self, claims: Value) -> Result<String> {
        let Some(signer) = self.signer.as_ref().map(Arc::clone) else {
            // Nobody checks it where there are no images.
            return Ok(URL_SAFE_NO_PAD.encode(claims.to_string()));
        };
        tokio::task::spawn_blocking(move || signer.sign(&claims)).await?
    }
}

impl State {
    /// The claims of a token, and its life in seconds.
    pub(super) fn claims(&self, who: &Who, scopes: &[&str]) -> (Value, i64) {
        let second = Timestamp::now().as_second();
        let life = self.settings.token_expiration * 60;
        let access: Vec<Value> = scopes.iter().map(|scope| self.access(scope, who)).collect();
        let mut claims = json!({
            "iss": ISSUER, "aud": SERVICE, "iat": second, "nbf": second, "exp": second + life,
            "jti": machine::random(8).unwrap_or_default(), "access": access,
        });
        if scopes.is_empty() {
            claims["access"] = Value::Null;
        }
        if who.is_known() {
            claims["sub"] = who.name().into();
        }
        (claims, life)
    }

    fn access(&self, scope: &str, who: &Who) -> Value {
        let mut fields = scope.splitn(2, ':');
        let kind = fields.next().unwrap_or_default();
        let rest = fields.next().unwrap_or_default();
        let name = rest.rsplit_once(':').map_or(rest, |(name, _)| name);
        let project = name
            .split_once('/')
            .and_then(|(project, _)| self.project_id(project));
        let actions = match (kind, project) {
            ("repository", Some(project)) => self.actions(who, project),
            _ => Vec::new(),
        };
        json!({"type": kind, "name": name, "actions": actions})
    }
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
