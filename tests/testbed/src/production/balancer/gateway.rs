//! What is checked of every call before anybody looks at its action: shape, key, token, signature.

use jiff::Timestamp;

use super::AccessKey;
use super::answer::Refusal;
use super::product::Product;
use super::signature::{Claim, Request};

pub(super) fn admit(keys: &[AccessKey], request: &Request, claim: &Claim) -> Result<(), Refusal> {
    check_shape(request)?;
    let key = keys.iter().find(|key| key.id == claim.key_id);
    let key = key.ok_or_else(unknown_key)?;
    // Some clients say the key a second time, beside the token.
    if request
        .header("x-acs-accesskey-id")
        .is_some_and(|id| id != key.id)
    {
        return Err(unknown_key());
    }
    check_token(key, claim.token.as_deref())?;
    request.verify(claim, &key.secret, Timestamp::now())?;
    if Product::of(&claim.version).is_none() {
        let message = "Specified parameter Version is not valid.";
        return Err(Refusal::new(400, "InvalidVersion", message));
    }
    Ok(())
}

/// As a strict front end has it.
fn check_shape(request: &Request) -> Result<(), Refusal> {
    if !["GET", "POST"].contains(&request.method.as_str()) || request.path != "/" {
        let message = "Specified api is not found, please check your url and method.";
        return Err(Refusal::new(404, "InvalidAction.NotFound", message));
    }
    let has_length = ["content-length", "transfer-encoding"].map(|name| request.header(name));
    if request.method == "POST" && has_length == [None, None] {
        return Err(Refusal::new(411, "LengthRequired", "Length Required"));
    }
    Ok(())
}

fn check_token(key: &AccessKey, token: Option<&str>) -> Result<(), Refusal> {
    if key.token.is_some() && token.is_none() {
        let message = "SecurityToken is mandatory for this action.";
        return Err(Refusal::new(400, "MissingSecurityToken", message));
    }
    if key.token.as_deref() != token {
        let message = "Specified SecurityToken is not match with AccessKey.";
        let code = "InvalidSecurityToken.MismatchWithAccessKey";
        return Err(Refusal::new(400, code, message));
    }
    if key.expires.is_some_and(|end| end <= Timestamp::now()) {
        let message = "Specified SecurityToken is expired.";
        return Err(Refusal::new(400, "InvalidSecurityToken.Expired", message));
    }
    Ok(())
}

fn unknown_key() -> Refusal {
    let message = "Specified access key is not found.";
    Refusal::new(404, "InvalidAccessKeyId.NotFound", message)
}
