//! `docker login`: answered by the gate itself for the operator's registry, tried by the daemon elsewhere.

use hyper::Response;
use hyper::header::{CONTENT_TYPE, HeaderValue};

use super::advice::explained;
use super::credential::Verdict;
use super::daemon::{Body, full};
use super::handle::{Call, Handler};
use super::refusal::Denied;

const WELCOME: &str = r#"{"IdentityToken":"","Status":"Login Succeeded"}"#;

impl Handler {
    pub(super) async fn log_in(&self, call: Call) -> Result<Response<Body>, Denied> {
        let body = call.json().await?;
        match self.own.scope.registries.login(&body).await? {
            Verdict::Welcome => {
                let mut response = Response::new(full(WELCOME));
                let kind = HeaderValue::from_static("application/json");
                response.headers_mut().insert(CONTENT_TYPE, kind);
                Ok(response)
            }
            Verdict::Ask => {
                let answer = call.to("")?.json(&body).send(self.engine()).await?;
                Ok(explained(answer))
            }
        }
    }
}
