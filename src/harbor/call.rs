//! One request to Harbor's API, and its answer judged. Knows how to call, not what is called.

use std::{path::Path, time::Duration};

use reqwest::{Method, StatusCode, header::RETRY_AFTER};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::Value;
use url::Url;

use super::{account::Account, error::HarborError, refusal::Fault, trust};
use crate::{config::Registry, tls};

/// How long a call may take, the connection included. A wrong password costs Harbor 1.5 seconds.
const LIMIT: Duration = Duration::from_secs(30);
/// How often Harbor is asked again where its answer says when, and how long that may be.
const TRIES: usize = 3;
const LONGEST_WAIT: Duration = Duration::from_secs(20);
/// The form in which scans are told.
pub(super) const REPORTS: &str = "application/vnd.security.vulnerability.report; version=1.1";
/// The largest page that Harbor gives.
const PAGE: usize = 100;

/// The API under one account.
pub(super) struct Api {
    http: reqwest::Client,
    base: Url,
    account: Account,
}

/// An answer that is a success.
pub(super) struct Answer {
    what: String,
    total: Option<usize>,
    body: String,
}

/// Harbor's own form of an error.
#[derive(Default, Deserialize)]
struct Errors {
    #[serde(default)]
    errors: Vec<Told>,
}

#[derive(Deserialize)]
struct Told {
    #[serde(default)]
    code: String,
    #[serde(default)]
    message: String,
}

impl Answer {
    pub(super) fn read<T: DeserializeOwned>(&self) -> Result<T, HarborError> {
        serde_json::from_str(&self.body).map_err(|source| HarborError::Unexpected {
            what: self.what.clone(),
            source,
        })
    }
}

impl Api {
    pub(super) fn open(registry: &Registry, account: &Path) -> Result<Self, HarborError> {
        tls::choose_ring();
        let base = registry.api().map_err(|_| HarborError::NoApi {
            url: registry.host.clone(),
        })?;
        let account = Account::load(account)?;
        let http = reqwest::Client::builder()
            .user_agent(concat!("dockmaster/", env!("CARGO_PKG_VERSION")))
            .redirect(reqwest::redirect::Policy::none())
            .tls_certs_merge(trust::certificates(&registry.host)?)
            .timeout(LIMIT)
            .build();
        let http = http.map_err(|source| HarborError::Unreachable {
            url: base.origin().ascii_serialization(),
            source,
        })?;
        Ok(Self {
            http,
            base,
            account,
        })
    }

    /// Where the API is, without what a person did not write.
    pub(super) fn url(&self) -> String {
        self.base.origin().ascii_serialization()
    }

    pub(super) async fn get<T: DeserializeOwned>(
        &self,
        path: &str,
        query: &[(&str, &str)],
    ) -> Result<T, HarborError> {
        self.send(Method::GET, path, query, None).await?.read()
    }

    /// All rows of a list, page by page as far as Harbor says that there are rows.
    pub(super) async fn list<T: DeserializeOwned>(
        &self,
        path: &str,
        query: &[(&str, &str)],
    ) -> Result<Vec<T>, HarborError> {
        let mut rows: Vec<T> = Vec::new();
        for page in 1.. {
            let (page, size) = (page.to_string(), PAGE.to_string());
            let pages = [("page", page.as_str()), ("page_size", size.as_str())];
            let query = [query, &pages].concat();
            let answer = self.send(Method::GET, path, &query, None).await?;
            let more: Vec<T> = answer.read()?;
            let is_last = more.is_empty();
            rows.extend(more);
            if is_last || answer.total.is_none_or(|total| rows.len() >= total) {
                break;
            }
        }
        Ok(rows)
    }

    /// Sends a request; again where Harbor says when to come back. `path` is of our own making.
    pub(super) async fn send(
        &self,
        method: Method,
        path: &str,
        query: &[(&str, &str)],
        body: Option<&Value>,
    ) -> Result<Answer, HarborError> {
        let what = format!("{method} {path}");
        let lost = |source: reqwest::Error| HarborError::Unreachable {
            url: self.url(),
            // The address is said once, and without the request's query.
            source: source.without_url(),
        };
        for tries in 1.. {
            let request = self.request(method.clone(), path, query, body);
            let response = request.send().await.map_err(lost)?;
            let status = response.status();
            let number = |name: &str| -> Option<usize> {
                response.headers().get(name)?.to_str().ok()?.parse().ok()
            };
            let wait =
                number(RETRY_AFTER.as_str()).map(|seconds| Duration::from_secs(seconds as u64));
            let total = number("x-total-count");
            let body = response.text().await.map_err(lost)?;
            if status.is_success() {
                return Ok(Answer { what, total, body });
            }
            match wait.filter(|wait| *wait <= LONGEST_WAIT && is_later(status)) {
                Some(wait) if tries < TRIES => tokio::time::sleep(wait).await,
                Some(_) | None => return Err(refused(what, status, &body)),
            }
        }
        unreachable!("the loop ends with an answer")
    }

    fn request(
        &self,
        method: Method,
        path: &str,
        query: &[(&str, &str)],
        body: Option<&Value>,
    ) -> reqwest::RequestBuilder {
        let mut url = self.base.clone();
        url.set_path(&format!("/api/v2.0/{path}"));
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        let password = Some(self.account.password.expose());
        let request = self
            .http
            .request(method, url)
            .basic_auth(&self.account.username, password)
            .header("accept", "application/json")
            .header("x-accept-vulnerabilities", REPORTS)
            // Without it, a project named by digits is taken for a number.
            .header("x-is-resource-name", "true");
        match body {
            None => request,
            Some(body) => request
                .header("content-type", "application/json")
                .body(body.to_string()),
        }
    }
}

/// Answers that come from before anything was done.
fn is_later(status: StatusCode) -> bool {
    matches!(
        status,
        StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE
    )
}

fn refused(what: String, status: StatusCode, body: &str) -> HarborError {
    // A proxy before Harbor answers in its own form: the status says enough then.
    let told: Errors = serde_json::from_str(body).unwrap_or_default();
    let told = told.errors.into_iter().next();
    let answer = told.map_or_else(
        || status.canonical_reason().unwrap_or_default().to_owned(),
        |told| format!("{} {:?}", told.code, told.message),
    );
    HarborError::Refused {
        what,
        status: status.as_u16(),
        fault: Fault::of_answer(status.as_u16(), &answer),
        answer,
    }
}
