//! The versions of the API that the engine speaks, and those that its gate speaks.
//!
//! A client older than the engine's oldest version is served too: what it asks for is read and
//! written anew anyway, so it is written under the oldest version that the engine takes.

use hyper::Response;
use serde_json::{Value, json};

use super::daemon::{Body, full};
use super::handle::{Call, Handler};
use super::refusal::Denied;
use super::route::OLDEST_VERSION;

impl Handler {
    /// The version for the engine: the client's own, or the oldest that the engine takes.
    pub(super) async fn lifted(&self, given: Option<u32>) -> Result<Option<u32>, Denied> {
        let Some(given) = given else { return Ok(None) };
        // Clients mostly agree with the engine on its newest, which no engine refuses.
        let (facts, engine) = (&self.own.facts, self.engine());
        if facts.newest(engine).await? == Some(given) {
            return Ok(Some(given));
        }
        let oldest = facts.all(engine).await?.oldest;
        Ok(Some(oldest.map_or(given, |oldest| oldest.max(given))))
    }

    /// The engine's answer, with the oldest version that clients may use here.
    pub(super) async fn version(&self, call: &Call) -> Result<Response<Body>, Denied> {
        let (response, mut answer) = call.to("")?.ask(self.engine()).await?;
        if !response.status().is_success() {
            return Ok(response);
        }
        lower(&mut answer);
        let parts = answer["Components"].as_array_mut().into_iter().flatten();
        for part in parts.filter(|part| part["Name"] == "Engine") {
            lower(&mut part["Details"]);
        }
        Ok(response.map(|_| full(answer.to_string())))
    }
}

fn lower(place: &mut Value) {
    if place["MinAPIVersion"].is_string() {
        place["MinAPIVersion"] = json!(format!("1.{OLDEST_VERSION}"));
    }
}
