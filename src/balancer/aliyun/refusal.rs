//! An answer of Aliyun that is not a success: what it says, whether it passes by itself, and what a
//! person can do about it.

use std::{fmt, path::Path, time::Duration};

use serde::Deserialize;

use crate::rollout::port::Retry;

/// Another change of the same load balancer is under way, or the service is busy.
const BUSY: Duration = Duration::from_secs(1);
/// Quotas are counted by the minute.
const THROTTLED: Duration = Duration::from_secs(4);

/// An answer that is not a success.
#[derive(Debug)]
pub(super) struct Refusal {
    status: u16,
    /// Aliyun's word for it, `Throttling.User`.
    code: String,
    message: String,
    /// For Aliyun's support.
    request_id: String,
}

/// What a refused call lacks that the next one may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cure {
    /// A nonce of its own, which every call has.
    Nonce,
    /// The security token that the account's file has by now.
    Token,
}

impl fmt::Display for Refusal {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            status,
            code,
            message,
            request_id,
        } = self;
        let message = message.trim().trim_end_matches('.');
        write!(
            out,
            "{code}: {message} (HTTP {status}, request {request_id})"
        )
    }
}

impl Refusal {
    /// Reads an error body: JSON, or the XML that some gateways answer with.
    pub(super) fn parse(status: u16, body: &str) -> Self {
        #[derive(Default, Deserialize)]
        struct Body {
            #[serde(rename = "Code", alias = "code", default)]
            code: String,
            #[serde(rename = "Message", alias = "message", default)]
            message: String,
            #[serde(rename = "RequestId", alias = "requestId", default)]
            request_id: String,
        }
        let parsed: Option<Body> = serde_json::from_str(body).ok();
        let parsed = parsed.filter(|body| !body.code.is_empty());
        let parsed = parsed.unwrap_or_else(|| Body {
            code: element(body, "Code").unwrap_or("no code").to_owned(),
            message: element(body, "Message").map_or_else(|| excerpt(body), str::to_owned),
            request_id: element(body, "RequestId").unwrap_or("unknown").to_owned(),
        });
        Self {
            status,
            code: parsed.code,
            message: parsed.message,
            request_id: parsed.request_id,
        }
    }

    /// What an answer of status 200 refuses all the same, as some of Alibaba's gateways do: by its code.
    pub(super) fn of_success(status: u16, body: &str) -> Option<Self> {
        const GOOD: [&str; 3] = ["ok", "success", "200"];
        #[derive(Deserialize)]
        struct Coded {
            #[serde(rename = "Code", alias = "code")]
            code: String,
        }
        let Coded { code } = serde_json::from_str(body).ok()?;
        let is_good = code.is_empty() || GOOD.contains(&code.to_ascii_lowercase().as_str());
        (!is_good).then(|| Self::parse(status, body))
    }

    /// Whether the same call may succeed later; `told` is the wait that the server asks for. Keyed on
    /// the code: the HTTP status varies between products and gateways.
    pub(super) fn retry(&self, told: Option<Duration>) -> Retry {
        const PENDING: [&str; 16] = [
            "BackendServer.configuring",
            "ServiceIsStopping",
            "OperationConflict",
            "Operation.Conflict",
            "ServiceIsConfiguring",
            "VServerGroupProcessing",
            "OperationBusy",
            "ProcessingSameRequest",
            "SystemBusy",
            "ServiceUnavailable",
            "InternalError",
            "InternalInvokeError",
            "UnknownError",
            "IdempotenceProcessing",
            "OperationFailed.ResourceGroupStatusCheckFail",
            "OperationFailed.ResourceIsConfiguring",
        ];
        // `IncorrectStatus.ServerGroup`, `IncorrectStatus.serverGroup`, `Conflict.Lock`.
        const PENDING_FAMILIES: [&str; 3] =
            ["IncorrectStatus", "ResourceInConfiguring", "Conflict"];
        let code = self.code.as_str();
        let is_throttled = self.family().eq_ignore_ascii_case("Throttling")
            || code == "Rejected.Throttling"
            || self.status == 429;
        let is_one =
            |names: &[&str], name: &str| names.iter().any(|it| it.eq_ignore_ascii_case(name));
        let is_pending = is_one(&PENDING, code) || is_one(&PENDING_FAMILIES, self.family());
        let wait = if code == "SignatureNonceUsed" {
            // The next call has a nonce of its own.
            Duration::ZERO
        } else if is_throttled {
            THROTTLED
        } else if is_pending || self.status >= 500 {
            BUSY
        } else {
            return Retry::Never;
        };
        Retry::After(wait.max(told.unwrap_or_default()))
    }

    /// What another try of the very same call needs, at once: nothing waits for it.
    pub(super) fn cure(&self) -> Option<Cure> {
        if self.code.eq_ignore_ascii_case("SignatureNonceUsed") {
            return Some(Cure::Nonce);
        }
        let is_token = self.family().eq_ignore_ascii_case("InvalidSecurityToken");
        is_token.then_some(Cure::Token)
    }

    /// What a person can do about a refused account; `None` when it is not the account.
    pub(super) fn advice(
        &self,
        string_to_sign: &str,
        account: &Path,
        rights: &str,
    ) -> Option<String> {
        let account = account.display();
        Some(match self.family().to_ascii_lowercase().as_str() {
            "signaturedoesnotmatch" | "incompletesignature" => {
                signature_advice(&self.message, string_to_sign, &account.to_string())
            }
            "invalidaccesskeyid" => format!("put a live access key into {account}"),
            "invalidsecuritytoken" | "missingsecuritytoken" => {
                format!("put a fresh security token, with the key it was made with, into {account}")
            }
            "invalidtimestamp" | "illegaltimestamp" => {
                "set this machine's clock: it may be wrong by 15 minutes at most".into()
            }
            "forbidden" | "forbbiden" | "nopermission" | "unauthorized" => {
                format!("allow the account's RAM user {rights}")
            }
            _ => return None,
        })
    }

    /// The code up to its first dot.
    fn family(&self) -> &str {
        self.code.split('.').next().unwrap_or_default()
    }
}

/// Tells a wrong secret from a request that arrived changed, by the text that the server signed.
fn signature_advice(message: &str, ours: &str, account: &str) -> String {
    let Some(theirs) = echo(message) else {
        return format!("check the access-key-secret in {account}");
    };
    if words(theirs).starts_with(&words(ours)) {
        format!("the access-key-secret in {account} does not belong to its access-key-id")
    } else {
        format!(
            "the request was changed on its way (a proxy?): we signed {ours:?}, \
             the server {theirs:?}"
        )
    }
}

/// The text that the server signed, in either of the wordings that products have for it.
fn echo(message: &str) -> Option<&str> {
    const OLDER: &str = "server string to sign is:";
    const NEWER: &str = "server StringToSign is [";
    if let Some((_, rest)) = message.split_once(NEWER) {
        return Some(rest.split(']').next().unwrap_or(rest).trim());
    }
    let (_, rest) = message.split_once(OLDER)?;
    Some(rest.trim())
}

/// Line ends do not come through everywhere as they were.
fn words(text: &str) -> String {
    let text = text.replace("\\n", " ");
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The text of an XML element, as far as Aliyun's error bodies need it.
fn element<'a>(xml: &'a str, name: &str) -> Option<&'a str> {
    let (_, rest) = xml.split_once(&format!("<{name}>"))?;
    let (text, _) = rest.split_once(&format!("</{name}>"))?;
    Some(text)
}

/// The beginning of a body that is neither.
fn excerpt(body: &str) -> String {
    let line = body.lines().next().unwrap_or_default();
    line.chars().take(120).collect()
}

#[cfg(test)]
mod tests;
