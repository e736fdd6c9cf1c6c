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

    /// Whether the same call may succeed later; `told` is the wait that the server asks for. Keyed on
    /// the code: the HTTP status varies between products and gateways.
    pub(super) fn retry(&self, told: Option<Duration>) -> Retry {
        const PENDING: [&str; 13] = [
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
        ];
        let code = self.code.as_str();
        let is_throttled = self.family().eq_ignore_ascii_case("Throttling")
            || code == "Rejected.Throttling"
            || self.status == 429;
        let is_pending = PENDING.iter().any(|it| it.eq_ignore_ascii_case(code));
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

    /// What a person can do about a refused account; `None` when it is not the account.
    pub(super) fn advice(&self, string_to_sign: &str, account: &Path) -> Option<String> {
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
                "allow the account's RAM user slb:DescribeVServerGroupAttribute, \
                 slb:SetVServerGroupAttribute and slb:DescribeHealthStatus on this load balancer, with start-first also \
                 slb:AddVServerGroupBackendServers and slb:RemoveVServerGroupBackendServers on it \
                 and on the hosts' instances"
                    .into()
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
    const ECHO: &str = "server string to sign is:";
    let Some((_, theirs)) = message.split_once(ECHO) else {
        return format!("check the access-key-secret in {account}");
    };
    if theirs.trim_start().starts_with(ours) {
        format!("the access-key-secret in {account} does not belong to its access-key-id")
    } else {
        format!(
            "the request was changed on its way (a proxy?): we signed {ours:?}, \
             the server {:?}",
            theirs.trim()
        )
    }
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
mod tests {
    use super::*;

    const OURS: &str = "ACS3-HMAC-SHA256\nabc";

    fn refusal(status: u16, code: &str, message: &str) -> Refusal {
        let body = serde_json::json!({
            "RequestId": "R-1", "HostId": "slb.aliyuncs.com", "Code": code, "Message": message,
        });
        Refusal::parse(status, &body.to_string())
    }

    #[track_caller]
    fn check(status: u16, code: &str, expect: Retry) {
        let refusal = refusal(status, code, "m.");
        assert_eq!(refusal.retry(None), expect, "{code}");
        assert_eq!(refusal.advice(OURS, Path::new("/a")), None, "{code}");
    }

    #[test]
    fn documented_codes_say_whether_and_when_to_try_again() {
        for (status, code) in [
            (409, "BackendServer.configuring"),
            (409, "ServiceIsStopping"),
            (409, "OperationConflict"),
            (400, "ServiceIsConfiguring"),
            (400, "VServerGroupProcessing"),
            (400, "OperationBusy"),
            (400, "ProcessingSameRequest"),
            (449, "SystemBusy"),
            (503, "ServiceUnavailable"),
            (500, "InternalError"),
            (400, "UnknownError"),
            (502, "SomethingNew"),
        ] {
            check(status, code, Retry::After(BUSY));
        }
        for (status, code) in [
            (400, "Throttling"),
            (400, "Throttling.User"),
            (400, "Throttling.Api"),
            (400, "Rejected.Throttling"),
            (429, "SomethingNew"),
        ] {
            check(status, code, Retry::After(THROTTLED));
        }
        check(400, "SignatureNonceUsed", Retry::SOON);
        for (status, code) in [
            (404, "InvalidParameter"),
            (404, "InvalidServerId.NotFound"),
            (400, "ObtainIpFail"),
            (400, "ActionNotAllowed"),
            (404, "InvalidRegionId.NotFound"),
        ] {
            check(status, code, Retry::Never);
        }
    }

    #[test]
    fn a_server_that_names_a_wait_is_believed_when_it_is_longer() {
        let minute = Duration::from_mins(1);
        let throttled = refusal(400, "Throttling.User", "m");
        assert_eq!(throttled.retry(Some(minute)), Retry::After(minute));
        let short = Some(Duration::from_millis(10));
        assert_eq!(throttled.retry(short), Retry::After(THROTTLED));
        assert_eq!(
            refusal(404, "InvalidParameter", "m").retry(short),
            Retry::Never
        );
    }

    #[track_caller]
    fn check_account(code: &str, expect: &str) {
        let refusal = refusal(403, code, "m");
        assert_eq!(refusal.retry(None), Retry::Never, "{code}");
        let advice = refusal.advice(OURS, Path::new("/etc/a.json")).unwrap();
        assert!(advice.contains(expect), "{code}: {advice}");
    }

    #[test]
    fn a_refused_account_comes_with_what_to_do() {
        for code in [
            "Forbidden.RAM",
            "Forbidden",
            "Forbbiden.SubUser",
            "NoPermission",
            "Unauthorized",
        ] {
            check_account(code, "allow the account's RAM user");
        }
        check_account(
            "InvalidAccessKeyId.NotFound",
            "a live access key into /etc/a.json",
        );
        check_account("InvalidAccessKeyId.Inactive", "a live access key");
        check_account("InvalidSecurityToken.Malformed", "a fresh security token");
        check_account("InvalidSecurityToken.Expired", "a fresh security token");
        check_account("InvalidTimeStamp.Expired", "this machine's clock");
        check_account("SignatureDoesNotMatch", "access-key-secret in /etc/a.json");
    }

    #[test]
    fn lower_case_keys_and_xml_are_understood_too() {
        let json = Refusal::parse(
            400,
            r#"{"requestId":"R","code":"OperationBusy","message":"m"}"#,
        );
        assert_eq!(
            (json.code.as_str(), json.request_id.as_str()),
            ("OperationBusy", "R")
        );
        let xml = "<Error><RequestId>R</RequestId><HostId>h</HostId><Code>InvalidVersion</Code>\
                   <Message>m</Message></Error>";
        assert_eq!(Refusal::parse(400, xml).code, "InvalidVersion");
        let neither = Refusal::parse(502, "<html>Bad Gateway</html>\nmore");
        assert_eq!(neither.message, "<html>Bad Gateway</html>");
        assert_eq!(neither.retry(None), Retry::After(BUSY));
    }

    #[track_caller]
    fn check_signature_advice(echo: &str, expect: &str) {
        let message =
            format!("Specified signature is not matched. server string to sign is:{echo}");
        let refusal = refusal(400, "SignatureDoesNotMatch", &message);
        let advice = refusal.advice(OURS, Path::new("/etc/a.json")).unwrap();
        assert!(advice.contains(expect), "{advice}");
    }

    #[test]
    fn a_wrong_secret_is_told_from_a_changed_request() {
        check_signature_advice("ACS3-HMAC-SHA256\nabc", "access-key-secret in /etc/a.json");
        check_signature_advice("ACS3-HMAC-SHA256\nxyz", "changed on its way");
    }
}
