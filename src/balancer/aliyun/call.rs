//! One API action: signed, sent, and sent again for as long as that can help. Every try has a
//! nonce and a time of its own. Knows how to call, not what is called.

use std::{
    cell::RefCell,
    hash::{BuildHasher, Hasher, RandomState},
    path::PathBuf,
    time::Duration,
};

use url::Url;

use super::{
    AliyunError, Credential,
    error::{Cure, Refusal},
    sign::{Message, canonical_query, sha256, sign},
};
use crate::{rollout::port::Clock, secret, tls};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const READ_TIMEOUT: Duration = Duration::from_secs(10);
/// How long an action is tried in all.
const BUDGET: Duration = Duration::from_mins(2);
const BASE: Duration = Duration::from_secs(1);
const CAP: Duration = Duration::from_secs(15);
/// Quotas are counted by the minute, so a throttled caller starts with a longer wait.
const THROTTLED_BASE: Duration = Duration::from_secs(4);
const FEW: u32 = 3;

/// A product's API under one account.
pub(super) struct Api<C> {
    http: reqwest::Client,
    endpoint: Url,
    version: &'static str,
    account: PathBuf,
    credential: RefCell<Credential>,
    clock: C,
}

/// What one try came to.
enum Try {
    Answer(String),
    Refused {
        refusal: Refusal,
        string_to_sign: String,
        /// How long the server asks us to stay away.
        retry_after: Option<Duration>,
    },
    Lost(reqwest::Error),
}

impl<C: Clock> Api<C> {
    /// Reads the account; does not connect yet.
    pub(super) fn open(
        endpoint: Url,
        version: &'static str,
        account: PathBuf,
        clock: C,
    ) -> Result<Self, AliyunError> {
        let credential = secret::load(&account).map_err(AliyunError::Account)?;
        tls::choose_ring();
        let http = reqwest::Client::builder()
            .user_agent(concat!("dockmaster/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(CONNECT_TIMEOUT)
            .read_timeout(READ_TIMEOUT)
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .map_err(|source| AliyunError::Unreachable {
                endpoint: endpoint.to_string(),
                source,
            })?;
        Ok(Self {
            http,
            endpoint,
            version,
            account,
            credential: RefCell::new(credential),
            clock,
        })
    }

    /// Calls an action that may be repeated without harm, and gives the body of its success.
    pub(super) async fn call(
        &self,
        action: &'static str,
        query: &[(&str, &str)],
    ) -> Result<String, AliyunError> {
        let start = self.clock.now();
        let mut tries = 0;
        loop {
            let (error, pause) = match self.try_once(action, query).await {
                Try::Answer(body) => return Ok(body),
                Try::Lost(source) => (self.unreachable(source), Some(jitter(BASE, tries))),
                Try::Refused {
                    refusal,
                    string_to_sign,
                    retry_after,
                } => {
                    let pause = self.pause(&refusal, tries, retry_after)?;
                    let waited = self.clock.now().saturating_sub(start);
                    let error = self.refused(action, refusal, &string_to_sign, waited);
                    (error, pause)
                }
            };
            tries += 1;
            let elapsed = self.clock.now().saturating_sub(start);
            match pause {
                Some(pause) if elapsed + pause <= BUDGET => self.clock.sleep(pause).await,
                Some(_) | None => return Err(error),
            }
        }
    }

    async fn try_once(&self, action: &str, query: &[(&str, &str)]) -> Try {
        let (request, string_to_sign) = self.request(action, query);
        let response = match request.send().await {
            Ok(response) => response,
            Err(error) => return Try::Lost(error),
        };
        let status = response.status();
        let retry_after = response
            .headers()
            .get("x-acs-retry-after")
            .and_then(|value| value.to_str().ok()?.parse().ok())
            .map(Duration::from_millis);
        match response.text().await {
            Err(error) => Try::Lost(error),
            Ok(body) if status.is_success() => Try::Answer(body),
            Ok(body) => Try::Refused {
                refusal: Refusal::parse(status.as_u16(), &body),
                string_to_sign,
                retry_after,
            },
        }
    }

    /// A request with its own nonce and time, and what was signed of it. Only the headers that
    /// must be signed are: a proxy may rewrite the others.
    fn request(&self, action: &str, query: &[(&str, &str)]) -> (reqwest::RequestBuilder, String) {
        let credential = self.credential.borrow();
        let host = match (self.endpoint.host_str(), self.endpoint.port()) {
            (Some(host), Some(port)) => format!("{host}:{port}"),
            (host, _) => host.unwrap_or_default().to_owned(),
        };
        let date = jiff::Timestamp::now()
            .strftime("%Y-%m-%dT%H:%M:%SZ")
            .to_string();
        let nonce = format!("{:016x}{:016x}", random(), random());
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
        let signature = sign(&message, &credential);
        let mut url = self.endpoint.clone();
        url.set_query(Some(&canonical_query(query)));
        let mut request = self.http.post(url).header("accept", "application/json");
        for (name, value) in headers {
            request = request.header(name, value);
        }
        let request = request.header("authorization", signature.authorization);
        (request, signature.string_to_sign)
    }

    /// How long to wait before the next try; `None` when there is no point in one.
    fn pause(
        &self,
        refusal: &Refusal,
        tries: u32,
        retry_after: Option<Duration>,
    ) -> Result<Option<Duration>, AliyunError> {
        let pause = match refusal.cure() {
            Cure::Wait => Some(jitter(BASE, tries)),
            Cure::WaitLonger => Some(jitter(THROTTLED_BASE, tries)),
            Cure::FewTries => (tries < FEW).then(|| jitter(BASE, tries)),
            Cure::OnceMore => (tries == 0).then_some(Duration::ZERO),
            Cure::ReadAccount if tries == 0 => {
                *self.credential.borrow_mut() =
                    secret::load(&self.account).map_err(AliyunError::Account)?;
                Some(Duration::ZERO)
            }
            Cure::ReadAccount | Cure::FixAccount | Cure::Stop => None,
        };
        Ok(pause.map(|pause| pause.max(retry_after.unwrap_or_default())))
    }

    fn refused(
        &self,
        action: &'static str,
        refusal: Refusal,
        string_to_sign: &str,
        waited: Duration,
    ) -> AliyunError {
        match refusal.cure() {
            Cure::ReadAccount | Cure::FixAccount => AliyunError::Denied {
                advice: refusal.advice(string_to_sign, &self.account.display().to_string()),
                refusal,
            },
            Cure::Wait | Cure::WaitLonger => AliyunError::Busy {
                action,
                seconds: waited.as_secs(),
                refusal,
            },
            Cure::FewTries | Cure::OnceMore | Cure::Stop => {
                AliyunError::Refused { action, refusal }
            }
        }
    }

    fn unreachable(&self, source: reqwest::Error) -> AliyunError {
        AliyunError::Unreachable {
            endpoint: self.endpoint.origin().ascii_serialization(),
            // The address is said once, and without the request's query.
            source: source.without_url(),
        }
    }
}

/// Full jitter: anything up to the doubled wait, so that callers who collided once part.
fn jitter(base: Duration, tries: u32) -> Duration {
    let most = base.saturating_mul(1 << tries.min(10)).min(CAP);
    let millis = u64::try_from(most.as_millis()).unwrap_or(u64::MAX);
    Duration::from_millis(random() % (millis + 1))
}

/// A number nobody else has: the standard library seeds every hasher's keys from the system.
fn random() -> u64 {
    RandomState::new().build_hasher().finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_doubles_up_to_its_cap() {
        for tries in 0..40 {
            assert!(jitter(BASE, tries) <= CAP);
        }
        assert!((0..50).all(|_| jitter(BASE, 0) <= BASE));
        assert!((0..200).any(|_| jitter(BASE, 10) > Duration::from_secs(8)));
    }

    #[test]
    fn no_nonce_comes_twice() {
        let nonces: std::collections::HashSet<_> = (0..1000).map(|_| random()).collect();
        assert_eq!(nonces.len(), 1000);
    }
}
