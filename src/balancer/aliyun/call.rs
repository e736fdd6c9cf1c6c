//! One API action: signed, sent once, and its answer judged. Knows how to call, not what is called.

use std::{
    hash::{BuildHasher, Hasher, RandomState},
    path::PathBuf,
    time::Duration,
};

use url::Url;

use super::{
    credential::Credential,
    refusal::Refusal,
    sign::{Message, canonical_query, sha256, sign},
};
use crate::{balancer::error::BalancerError, secret, tls};

/// How long a call may take, the connection included.
const LIMIT: Duration = Duration::from_secs(10);

/// A product's API under one account.
pub(super) struct Api {
    http: reqwest::Client,
    endpoint: Url,
    version: &'static str,
    pub(super) account: PathBuf,
    pub(super) limit: Duration,
}

impl Api {
    /// Reads no file and connects to nothing.
    pub(super) fn open(
        endpoint: Url,
        version: &'static str,
        account: PathBuf,
    ) -> Result<Self, BalancerError> {
        tls::choose_ring();
        let http = reqwest::Client::builder()
            .user_agent(concat!("dockmaster/", env!("CARGO_PKG_VERSION")))
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .map_err(|source| unreachable(&endpoint, source))?;
        Ok(Self {
            http,
            endpoint,
            version,
            account,
            limit: LIMIT,
        })
    }

    /// Calls an action and gives the body of its success. The account's file is read for each call,
    /// so that a fresh security token is used as soon as it is there.
    pub(super) async fn call(
        &self,
        action: &'static str,
        query: &[(&str, &str)],
    ) -> Result<String, BalancerError> {
        let credential = secret::load(&self.account).map_err(BalancerError::Account)?;
        let (request, string_to_sign) = self.request(&credential, action, query);
        let lost = |source| unreachable(&self.endpoint, source);
        let response = request.send().await.map_err(lost)?;
        let status = response.status();
        let told = response
            .headers()
            .get("x-acs-retry-after")
            .and_then(|value| value.to_str().ok()?.parse().ok())
            .map(Duration::from_millis);
        let body = response.text().await.map_err(lost)?;
        if status.is_success() {
            return Ok(body);
        }
        let refusal = Refusal::parse(status.as_u16(), &body);
        Err(match refusal.advice(&string_to_sign, &self.account) {
            Some(advice) => BalancerError::Denied {
                answer: refusal.to_string(),
                advice,
            },
            None => BalancerError::Refused {
                action,
                answer: refusal.to_string(),
                retry: refusal.retry(told),
            },
        })
    }

    /// A request with its own nonce and time, and what was signed of it. Only the headers that
    /// must be signed are: a proxy may rewrite the others.
    fn request(
        &self,
        credential: &Credential,
        action: &str,
        query: &[(&str, &str)],
    ) -> (reqwest::RequestBuilder, String) {
        let host = match (self.endpoint.host_str(), self.endpoint.port()) {
            (Some(host), Some(port)) => format!("{host}:{port}"),
            (host, _) => host.unwrap_or_default().to_owned(),
        };
        let date = jiff::Timestamp::now()
            .strftime("%Y-%m-%dT%H:%M:%SZ")
            .to_string();
        let nonce = nonce();
        let hash = sha256(b"");
        let mut headers = vec![
            ("host", host.as_str()),
            ("x-acs-action", action),
            ("x-acs-content-sha256", &hash),
            ("x-acs-date", &date),
            ("x-acs-signature-nonce", &nonce),
            ("x-acs-version", self.version),
        ];
        if let Some(token) = &credential.security_token {
            headers.push(("x-acs-accesskey-id", &credential.access_key_id));
            headers.push(("x-acs-security-token", token.expose()));
        }
        let message = Message {
            method: "POST",
            query,
            headers: &headers,
            body: b"",
        };
        let signature = sign(&message, credential);
        let mut url = self.endpoint.clone();
        url.set_query(Some(&canonical_query(query)));
        let request = self.http.post(url).timeout(self.limit);
        let mut request = request.header("accept", "application/json");
        for (name, value) in headers {
            request = request.header(name, value);
        }
        let request = request.header("authorization", signature.authorization);
        (request, signature.string_to_sign)
    }
}

fn unreachable(endpoint: &Url, source: reqwest::Error) -> BalancerError {
    BalancerError::Unreachable {
        endpoint: endpoint.origin().ascii_serialization(),
        // The address is said once, and without the request's query.
        source: source.without_url(),
    }
}

/// A text nobody else has: the standard library seeds every hasher's keys from the system.
fn nonce() -> String {
    let random = || RandomState::new().build_hasher().finish();
    format!("{:016x}{:016x}", random(), random())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_nonce_comes_twice() {
        let nonces: std::collections::HashSet<_> = (0..1000).map(|_| nonce()).collect();
        assert_eq!(nonces.len(), 1000);
    }
}
