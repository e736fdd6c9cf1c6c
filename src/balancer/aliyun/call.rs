//! One API action: signed, sent once, and its answer judged. Knows how to call, not what is called.

use std::{
    hash::{BuildHasher, Hasher, RandomState},
    path::PathBuf,
    time::Duration,
};

use url::Url;

use super::{
    credential::Credential,
    refusal::{Cure, Refusal},
    sign::{Message, canonical_query, sha256, sign},
};
use crate::{balancer::error::BalancerError, secret, tls};

/// How long a call may take, the connection included.
const LIMIT: Duration = Duration::from_secs(10);

/// What is asked of the API. Each product wants its parameters in one of the two places.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Ask<'a> {
    pub action: &'static str,
    pub query: &'a [(&'a str, &'a str)],
    pub form: &'a [(&'a str, &'a str)],
}

/// Which API it is, and what an account must be allowed there, for people.
#[derive(Debug, Clone, Copy)]
pub(super) struct Product {
    /// As addresses begin.
    pub name: &'static str,
    pub version: &'static str,
    pub rights: &'static str,
}

/// A product's API under one account.
pub(super) struct Api {
    http: reqwest::Client,
    endpoint: Url,
    product: Product,
    pub(super) account: PathBuf,
    pub(super) limit: Duration,
}

/// A call that was not answered well.
enum Failed {
    Error(BalancerError),
    Refused {
        refusal: Refusal,
        /// The wait that the server asks for.
        told: Option<Duration>,
        string_to_sign: String,
    },
}

impl Api {
    /// Reads no file and connects to nothing.
    pub(super) fn open(
        endpoint: Url,
        product: Product,
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
            product,
            account,
            limit: LIMIT,
        })
    }

    /// Calls an action and gives the body of its success. The account's file is read for each call,
    /// so that a fresh security token is used as soon as it is there. What another request would
    /// cure by itself, a nonce or token of its own, is sent once more at once.
    pub(super) async fn call(&self, ask: Ask<'_>) -> Result<String, BalancerError> {
        let credential = self.credential()?;
        let failed = match self.send(&credential, ask).await {
            Ok(body) => return Ok(body),
            Err(failed) => failed,
        };
        let failed = match self.cured(&failed, credential)? {
            Some(credential) => match self.send(&credential, ask).await {
                Ok(body) => return Ok(body),
                Err(failed) => failed,
            },
            None => failed,
        };
        Err(self.judge(ask.action, failed))
    }

    fn credential(&self) -> Result<Credential, BalancerError> {
        secret::load(&self.account).map_err(BalancerError::Account)
    }

    /// What the same call may succeed with now.
    fn cured(
        &self,
        failed: &Failed,
        used: Credential,
    ) -> Result<Option<Credential>, BalancerError> {
        let Failed::Refused { refusal, .. } = failed else {
            return Ok(None);
        };
        Ok(match refusal.cure() {
            None => None,
            Some(Cure::Nonce) => Some(used),
            Some(Cure::Token) => Some(self.credential()?).filter(|fresh| fresh.differs(&used)),
        })
    }

    async fn send(&self, credential: &Credential, ask: Ask<'_>) -> Result<String, Failed> {
        let (request, string_to_sign) = self.request(credential, ask);
        let lost = |source| Failed::Error(unreachable(&self.endpoint, source));
        let response = request.send().await.map_err(lost)?;
        let status = response.status();
        let told = response
            .headers()
            .get("x-acs-retry-after")
            .and_then(|value| value.to_str().ok()?.parse().ok())
            .map(Duration::from_millis);
        let body = response.text().await.map_err(lost)?;
        let refusal = if status.is_success() {
            Refusal::of_success(status.as_u16(), &body)
        } else {
            Some(Refusal::parse(status.as_u16(), &body))
        };
        let Some(refusal) = refusal else {
            return Ok(body);
        };
        Err(Failed::Refused {
            refusal,
            told,
            string_to_sign,
        })
    }

    fn judge(&self, action: &'static str, failed: Failed) -> BalancerError {
        let (refusal, told, string_to_sign) = match failed {
            Failed::Error(error) => return error,
            Failed::Refused {
                refusal,
                told,
                string_to_sign,
            } => (refusal, told, string_to_sign),
        };
        let answer = refusal.to_string();
        match refusal.advice(&string_to_sign, &self.account, self.product.rights) {
            Some(advice) => BalancerError::Denied { answer, advice },
            None => BalancerError::Refused {
                action,
                answer,
                retry: refusal.retry(told),
            },
        }
    }

    /// A request with its own nonce and time, and what was signed of it. Only the headers that
    /// must be signed are: a proxy may rewrite the others.
    fn request(&self, credential: &Credential, ask: Ask<'_>) -> (reqwest::RequestBuilder, String) {
        let host = match (self.endpoint.host_str(), self.endpoint.port()) {
            (Some(host), Some(port)) => format!("{host}:{port}"),
            (host, _) => host.unwrap_or_default().to_owned(),
        };
        let date = jiff::Timestamp::now()
            .strftime("%Y-%m-%dT%H:%M:%SZ")
            .to_string();
        let nonce = nonce();
        let body = canonical_query(ask.form);
        let hash = sha256(body.as_bytes());
        let mut headers = vec![
            ("host", host.as_str()),
            ("x-acs-action", ask.action),
            ("x-acs-content-sha256", &hash),
            ("x-acs-date", &date),
            ("x-acs-signature-nonce", &nonce),
            ("x-acs-version", self.product.version),
        ];
        if !body.is_empty() {
            headers.push(("content-type", "application/x-www-form-urlencoded"));
        }
        if let Some(token) = &credential.security_token {
            headers.push(("x-acs-accesskey-id", &credential.access_key_id));
            headers.push(("x-acs-security-token", token.expose()));
        }
        let message = Message {
            method: "POST",
            query: ask.query,
            headers: &headers,
            body: body.as_bytes(),
        };
        let signature = sign(&message, credential);
        let mut url = self.endpoint.clone();
        url.set_query(
            (!ask.query.is_empty())
                .then(|| canonical_query(ask.query))
                .as_deref(),
        );
        let request = self.http.post(url).timeout(self.limit);
        // Said by hand: no body at all would go without it, and a strict front end answers 411.
        let request = request.header("content-length", body.len());
        let mut request = request.header("accept", "application/json");
        for (name, value) in headers {
            request = request.header(name, value);
        }
        let request = request.header("authorization", signature.authorization);
        (request.body(body), signature.string_to_sign)
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
