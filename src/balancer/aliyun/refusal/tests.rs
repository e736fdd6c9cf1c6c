use super::*;

const OURS: &str = "ACS3-HMAC-SHA256\nabc";

fn refusal(status: u16, code: &str, message: &str) -> Refusal {
    let body = serde_json::json!({
        "RequestId": "R-1", "HostId": "slb.aliyuncs.com", "Code": code, "Message": message,
    });
    Refusal::parse(status, &body.to_string())
}

fn advice(refusal: &Refusal) -> Option<String> {
    refusal.advice(OURS, Path::new("/etc/a.json"), "slb:This and slb:That")
}

#[track_caller]
fn check(status: u16, code: &str, expect: Retry) {
    let refusal = refusal(status, code, "m.");
    assert_eq!(refusal.retry(None), expect, "{code}");
    assert_eq!(advice(&refusal), None, "{code}");
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
        (400, "IncorrectStatus.ServerGroup"),
        (400, "IncorrectStatus.serverGroup"),
        (400, "IncorrectStatus.Listener"),
        (400, "ResourceInConfiguring.Listener"),
        (400, "IdempotenceProcessing"),
        (400, "OperationFailed.ResourceGroupStatusCheckFail"),
        (400, "OperationFailed.ResourceIsConfiguring"),
        (409, "Conflict.Lock"),
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
        (404, "ResourceNotFound.ServerGroup"),
        (400, "ResourceInUse.ServerGroup"),
        (400, "OperationFailed.Other"),
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
    let advice = advice(&refusal).unwrap();
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
        check_account(code, "allow the account's RAM user slb:This and slb:That");
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
    let message = format!("Specified signature is not matched. {echo}");
    let refusal = refusal(400, "SignatureDoesNotMatch", &message);
    let advice = advice(&refusal).unwrap();
    assert!(advice.contains(expect), "{echo}: {advice}");
}

#[test]
fn a_wrong_secret_is_told_from_a_changed_request_in_either_wording() {
    let secret = "access-key-secret in /etc/a.json does not belong";
    let changed = "changed on its way";
    for (echo, expect) in [
        ("server string to sign is:ACS3-HMAC-SHA256\nabc", secret),
        ("server string to sign is:ACS3-HMAC-SHA256\nxyz", changed),
        (
            "server StringToSign is [ACS3-HMAC-SHA256\nabc] server CanonicalRequest is [POST\n/\n]",
            secret,
        ),
        (
            "server StringToSign is [ACS3-HMAC-SHA256 abc] server CanonicalRequest is [POST / ]",
            secret,
        ),
        (
            "server StringToSign is [ACS3-HMAC-SHA256\nxyz] server CanonicalRequest is [abc]",
            changed,
        ),
        ("and no word of why", "check the access-key-secret"),
    ] {
        check_signature_advice(echo, expect);
    }
}

#[test]
fn a_refusal_may_come_as_a_success() {
    let body = r#"{"Code": "Throttling.User", "Message": "slowly", "RequestId": "R-1"}"#;
    let refusal = Refusal::of_success(200, body).unwrap();
    assert_eq!(refusal.code, "Throttling.User");
    for good in [
        r#"{"RequestId": "R-1", "BackendServers": {"BackendServer": []}}"#,
        r#"{"Code": "OK", "RequestId": "R-1"}"#,
        r#"{"Code": 200}"#,
        r#"{"Code": "", "Message": "x"}"#,
        "[]",
    ] {
        assert!(Refusal::of_success(200, good).is_none(), "{good}");
    }
}
