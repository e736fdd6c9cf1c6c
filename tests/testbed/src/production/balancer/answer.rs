//! What the API answers, refusals included, in the shapes of the real one.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::Response;
use hyper::header::HeaderValue;
use serde_json::{Value, json};

use super::product::Product;
use crate::machine;
use crate::serve;

/// A refusal with the code that clients match on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    pub status: u16,
    pub code: String,
    pub message: String,
    /// Sent as `x-acs-retry-after`, in milliseconds.
    pub retry_after: Option<Duration>,
}

impl Refusal {
    pub fn new(status: u16, code: &str, message: &str) -> Self {
        Self {
            status,
            code: code.to_owned(),
            message: message.to_owned(),
            retry_after: None,
        }
    }

    pub(super) fn missing(name: &str) -> Self {
        let message = format!(
            "The input parameter \"{name}\" that is mandatory for processing this request is not supplied."
        );
        Self::new(400, "MissingParameter", &message)
    }
}

/// Adds the request's id to a good answer, or shapes a refusal; `of` is whose action it was.
pub(super) fn shape(answer: Result<Value, Refusal>, of: (Product, &str)) -> Response<Full<Bytes>> {
    let id = request_id();
    match answer {
        Ok(mut body) => {
            body["RequestId"] = id.into();
            serve::json(200, &body)
        }
        Err(refusal) => refuse(&refusal, &id, of),
    }
}

fn refuse(refusal: &Refusal, id: &str, of: (Product, &str)) -> Response<Full<Bytes>> {
    let (product, action) = of;
    let code = &refusal.code;
    let help = format!("https://api.aliyun.com/troubleshoot?q={code}&product=Slb&requestId={id}");
    let mut body = json!({
        "RequestId": id, "HostId": product.host(), "Code": code,
        "Message": refusal.message, "Recommend": help,
    });
    if refusal.status == 403 {
        body["AccessDeniedDetail"] = json!({
            "AuthAction": format!("{}:{action}", product.word()), "AuthPrincipalType": "SubUser",
            "AuthPrincipalOwnerId": "1234567890", "AuthPrincipalDisplayName": "2345678901",
            "PolicyType": "AccountLevelIdentityBasedPolicy", "NoPermissionType": "ImplicitDeny",
            "EncodedDiagnosticMessage": "AQFAKE",
        });
    }
    let mut response = serve::json(refusal.status, &body);
    if let Some(wait) = refusal.retry_after {
        let value = HeaderValue::from_str(&wait.as_millis().to_string());
        if let Ok(value) = value {
            response.headers_mut().insert("x-acs-retry-after", value);
        }
    }
    response
}

/// `4F6C1F0B-…`, as the real one writes it.
fn request_id() -> String {
    let digits = machine::random(16).unwrap_or_default().to_uppercase();
    let part = |from: usize, to: usize| digits.get(from..to).unwrap_or_default().to_owned();
    [
        part(0, 8),
        part(8, 12),
        part(12, 16),
        part(16, 20),
        part(20, 32),
    ]
    .join("-")
}
