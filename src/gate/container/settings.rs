//! Bodies that hold a part of what `containers/create` takes.
//!
//! Pure.

use serde_json::Value;

use super::fields::{CONFIG, HOST, UPDATABLE};
use crate::gate::field::copy;
use crate::gate::json;
use crate::gate::refusal::Denied;

/// The settings of an image that is made of a container.
pub(crate) fn config(bytes: &[u8]) -> Result<Value, Denied> {
    copy("", &json::object(bytes)?, CONFIG).map(Value::Object)
}

/// Limits of a container that is there already. A job never lives on by a restart policy, so that
/// one is left as it is.
pub(crate) fn update(bytes: &[u8]) -> Result<Value, Denied> {
    let given = json::object(bytes)?;
    let mut body = copy("", &given, HOST)?;
    body.retain(|key, _| UPDATABLE.contains(&key.as_str()));
    Ok(Value::Object(body))
}
