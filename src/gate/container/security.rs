//! What a container may do beyond the usual: nothing, here.
//!
//! Pure.

use serde_json::{Map, Value, json};

use crate::config::USUAL_CAPABILITIES;
use crate::gate::field::{forbidden, texts};
use crate::gate::refusal::Denied;

/// Judges capabilities, security options and masks.
pub(super) fn security(
    host: &Map<String, Value>,
    kept: &mut Map<String, Value>,
) -> Result<(), Denied> {
    for option in texts("HostConfig.SecurityOpt", host.get("SecurityOpt"))? {
        // The engine reads a false here, too, and that would undo what its operator set for all.
        let tail = option.strip_prefix("no-new-privileges");
        if !matches!(tail, Some("" | ":true" | "=true" | ":1" | "=1")) {
            let name = format!("HostConfig.SecurityOpt {option:?}");
            return Err(forbidden(
                &name,
                "only \"no-new-privileges\" is open to jobs",
            ));
        }
        kept.insert("SecurityOpt".to_owned(), json!(["no-new-privileges"]));
    }
    for capability in texts("HostConfig.CapAdd", host.get("CapAdd"))? {
        let upper = capability.to_ascii_uppercase();
        if !USUAL_CAPABILITIES.contains(&upper.strip_prefix("CAP_").unwrap_or(&upper)) {
            let name = format!("HostConfig.CapAdd {capability:?}");
            return Err(forbidden(
                &name,
                "only the engine's usual capabilities can be added back",
            ));
        }
    }
    // An empty list differs from an absent one here: it unmasks everything.
    for name in ["MaskedPaths", "ReadonlyPaths"] {
        if host.get(name).is_some_and(|value| !value.is_null()) {
            return Err(forbidden(&format!("HostConfig.{name}"), "leave it out"));
        }
    }
    match host.get("OomScoreAdj").and_then(Value::as_i64) {
        Some(score) if score < 0 => Err(forbidden(
            &format!("HostConfig.OomScoreAdj {score}"),
            "it must not be negative",
        )),
        Some(_) | None => Ok(()),
    }
}
