//! What can go wrong at Aliyun, and which of it passes by itself.

use serde::Deserialize;

use crate::{
    failure::Class,
    rollout::port::{Fault, Retry},
    secret::SecretError,
};

/// Why the balancer could not be read or changed.
#[derive(Debug, thiserror::Error)]
pub enum AliyunError {
    #[error("the balancer's account cannot be used")]
    Account(#[source] SecretError),
    #[error("cannot reach Aliyun's API at {endpoint}")]
    Unreachable {
        endpoint: String,
        #[source]
        source: reqwest::Error,
    },
    #[error("Aliyun does not accept the account: {refusal}; {advice}")]
    Denied { refusal: Refusal, advice: String },
    #[error("Aliyun refuses {action}: {refusal}")]
    Refused {
        action: &'static str,
        refusal: Refusal,
    },
    #[error("Aliyun was busy for {seconds} s and still refuses {action}: {refusal}")]
    Busy {
        action: &'static str,
        seconds: u64,
        refusal: Refusal,
    },
    #[error("Aliyun's answer to {action} is not understood: {why}")]
    Malformed { action: &'static str, why: String },
    #[error("host {host} ({server}:{port}) is not in VServer group {group}; it has: {members}")]
    NotMember {
        host: String,
        server: String,
        port: u16,
        group: String,
        members: String,
    },
    #[error("host {host} is the last backend in service: at weight 0 nothing would answer")]
    LastBackend { host: String },
}

impl AliyunError {
    /// Whose turn it is.
    pub fn class(&self) -> Class {
        match self {
            Self::Account(_)
            | Self::Unreachable { .. }
            | Self::Denied { .. }
            | Self::Refused { .. }
            | Self::Busy { .. }
            | Self::Malformed { .. }
            | Self::NotMember { .. }
            | Self::LastBackend { .. } => Class::System,
        }
    }
}

impl Fault for AliyunError {
    fn retry(&self) -> Retry {
        match self {
            Self::Unreachable { .. } | Self::Busy { .. } => Retry::SOON,
            Self::Refused { refusal, .. } => match refusal.cure() {
                Cure::FewTries | Cure::OnceMore => Retry::SOON,
                Cure::Wait
                | Cure::WaitLonger
                | Cure::ReadAccount
                | Cure::FixAccount
                | Cure::Stop => Retry::Never,
            },
            Self::Account(_)
            | Self::Denied { .. }
            | Self::Malformed { .. }
            | Self::NotMember { .. }
            | Self::LastBackend { .. } => Retry::Never,
        }
    }
}

/// An answer that is not a success.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    pub status: u16,
    /// Aliyun's word for it, `Throttling.User`.
    pub code: String,
    pub message: String,
    /// For Aliyun's support.
    pub request_id: String,
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
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

/// What to do about a refusal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cure {
    /// Passes by itself.
    Wait,
    /// Passes by itself, but not soon.
    WaitLonger,
    /// Aliyun does not know either: worth a few tries.
    FewTries,
    /// Once more, with what every try has of its own (nonce, time).
    OnceMore,
    /// The account file may hold a newer token by now.
    ReadAccount,
    /// The account, its rights or this machine's clock are wrong.
    FixAccount,
    /// Trying again changes nothing.
    Stop,
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

    /// Keyed on the code: the HTTP status varies between products and gateways.
    pub(super) fn cure(&self) -> Cure {
        const PENDING: [&str; 10] = [
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
        ];
        const UNCERTAIN: [&str; 3] = ["InternalError", "InternalInvokeError", "UnknownError"];
        const ACCOUNT: [&str; 11] = [
            "Forbidden",
            "Forbbiden",
            "NoPermission",
            "InvalidAccessKeyId",
            "InvalidSecurityToken",
            "SignatureDoesNotMatch",
            "IncompleteSignature",
            "MissingSecurityToken",
            "InvalidTimeStamp",
            "IllegalTimestamp",
            "Unauthorized",
        ];
        let code = self.code.as_str();
        let family = code.split('.').next().unwrap_or_default();
        let is_one_of =
            |list: &[&str], word: &str| list.iter().any(|it| it.eq_ignore_ascii_case(word));
        if is_one_of(&PENDING, code) {
            Cure::Wait
        } else if family.eq_ignore_ascii_case("Throttling") || code == "Rejected.Throttling" {
            Cure::WaitLonger
        } else if code == "SignatureNonceUsed" {
            Cure::OnceMore
        } else if code == "InvalidSecurityToken.Expired" {
            Cure::ReadAccount
        } else if is_one_of(&ACCOUNT, family) {
            Cure::FixAccount
        } else if self.status == 429 {
            Cure::WaitLonger
        } else if is_one_of(&UNCERTAIN, code) || self.status >= 500 {
            Cure::FewTries
        } else {
            Cure::Stop
        }
    }

    /// What a person can do about a refused account.
    pub(super) fn advice(&self, string_to_sign: &str, account: &str) -> String {
        let family = self.code.split('.').next().unwrap_or_default();
        match family {
            "SignatureDoesNotMatch" | "IncompleteSignature" => {
                signature_advice(&self.message, string_to_sign, account)
            }
            "InvalidAccessKeyId" => {
                format!("put a live access key into {account}")
            }
            "InvalidSecurityToken" | "MissingSecurityToken" => {
                format!("put a fresh security token, with the key it was made with, into {account}")
            }
            "InvalidTimeStamp" | "IllegalTimestamp" => {
                "set this machine's clock: it may be wrong by 15 minutes at most".into()
            }
            _ => "allow the account's RAM user slb:DescribeVServerGroupAttribute and \
                  slb:SetVServerGroupAttribute on this load balancer"
                .into(),
        }
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

    #[track_caller]
    fn check(status: u16, code: &str, expect: Cure) {
        let body = format!(
            r#"{{"RequestId":"R-1","HostId":"slb.aliyuncs.com","Code":"{code}","Message":"m."}}"#
        );
        assert_eq!(Refusal::parse(status, &body).cure(), expect, "{code}");
    }

    #[test]
    fn documented_codes_have_their_cure() {
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
        ] {
            check(status, code, Cure::Wait);
        }
        for code in [
            "Throttling",
            "Throttling.User",
            "Throttling.Api",
            "Rejected.Throttling",
        ] {
            check(400, code, Cure::WaitLonger);
        }
        check(500, "InternalError", Cure::FewTries);
        check(400, "UnknownError", Cure::FewTries);
        check(502, "SomethingNew", Cure::FewTries);
        check(400, "SignatureNonceUsed", Cure::OnceMore);
        check(400, "InvalidSecurityToken.Expired", Cure::ReadAccount);
        for code in [
            "Forbidden.RAM",
            "Forbidden",
            "Forbbiden.SubUser",
            "NoPermission",
            "InvalidAccessKeyId.NotFound",
            "InvalidAccessKeyId.Inactive",
            "InvalidSecurityToken.Malformed",
            "SignatureDoesNotMatch",
            "InvalidTimeStamp.Expired",
        ] {
            check(403, code, Cure::FixAccount);
        }
        for (status, code) in [
            (404, "InvalidParameter"),
            (404, "InvalidServerId.NotFound"),
            (400, "ObtainIpFail"),
            (400, "ActionNotAllowed"),
            (404, "InvalidRegionId.NotFound"),
        ] {
            check(status, code, Cure::Stop);
        }
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
        assert_eq!(neither.cure(), Cure::FewTries);
    }

    #[track_caller]
    fn check_signature_advice(echo: &str, expect: &str) {
        let refusal = Refusal {
            status: 400,
            code: "SignatureDoesNotMatch".into(),
            message: format!("Specified signature is not matched. server string to sign is:{echo}"),
            request_id: "R".into(),
        };
        let advice = refusal.advice("ACS3-HMAC-SHA256\nabc", "/etc/a.json");
        assert!(advice.contains(expect), "{advice}");
    }

    #[test]
    fn a_wrong_secret_is_told_from_a_changed_request() {
        check_signature_advice("ACS3-HMAC-SHA256\nabc", "access-key-secret in /etc/a.json");
        check_signature_advice("ACS3-HMAC-SHA256\nxyz", "changed on its way");
    }
}
