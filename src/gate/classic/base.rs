//! The images that a Dockerfile names, as ids.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE;
use hyper::Method;
use hyper::header::{HeaderMap, HeaderValue};
use serde_json::Value;

use super::Asked;
use crate::docker::reference::{self, Reference};
use crate::gate::credential::REGISTRY_AUTH;
use crate::gate::dockerfile::{Image, Road, judge_trigger};
use crate::gate::own::Own;
use crate::gate::own_image::{Found, named};
use crate::gate::pull::{Wish, provide};
use crate::gate::refusal::Denied;

/// What clients call Docker Hub among their logins.
const HUB: &str = "https://index.docker.io/v1/";

impl Own {
    /// The id of an image that a build takes: pulled for the job if it is not there.
    pub(super) async fn base(&self, image: &Image, asked: &Asked) -> Result<String, Denied> {
        let found = if reference::is_id(&image.name) {
            self.image(&image.name).await?
        } else {
            self.base_named(image, asked).await?
        };
        self.triggers(&image.name, &found.id).await?;
        Ok(found.id)
    }

    async fn base_named(&self, image: &Image, asked: &Asked) -> Result<Found, Denied> {
        let name = named(&image.name)?;
        let platform = image.platform.as_ref().or(asked.platform.as_ref());
        let platform = platform.cloned().unwrap_or_default();
        // No registry is asked about what is there: a build goes on while Harbor is down.
        let (source, account) = match self.image(&image.name).await {
            Ok(found) if self.is_for(&found.id, &platform).await? => return Ok(found),
            Ok(_) => (name.clone(), None),
            Err(_) => self.way_to(&name, asked).await?,
        };
        let wish = Wish {
            name,
            source,
            platform,
            account,
        };
        provide(self, wish).await
    }

    /// Where an image is pulled from, and with which account: the client's, or the operator's.
    async fn way_to(
        &self,
        name: &Reference,
        asked: &Asked,
    ) -> Result<(Reference, Option<HeaderValue>), Denied> {
        let registries = &self.scope.registries;
        let logins = registries.config(&asked.headers).await?;
        let mut own = HeaderMap::new();
        if let Some(login) = logins.and_then(|logins| login(name, &logins)) {
            own.insert(REGISTRY_AUTH, login);
        }
        registries.source(&own, name).await
    }

    /// What the image makes a build do beside its Dockerfile.
    async fn triggers(&self, name: &str, id: &str) -> Result<(), Denied> {
        let target = format!("/images/{id}/json");
        let image = self.engine.must(Method::GET, &target, None).await?;
        let triggers = image["Config"]["OnBuild"].as_array();
        for trigger in triggers.into_iter().flatten().filter_map(Value::as_str) {
            judge_trigger(trigger, Road::Classic)?;
            let word = trigger.split_whitespace().next().unwrap_or_default();
            if word.eq_ignore_ascii_case("run") {
                // It would run before our label, where what is kept of it is everybody's.
                return Err(Denied::forbidden(format!(
                    "the base image {name} has the trigger `ONBUILD {}`, which the classic builder \
                     cannot keep for this project alone: set DOCKER_BUILDKIT=1 for this build",
                    crate::policy::printable(trigger)
                )));
            }
        }
        Ok(())
    }
}

/// The login for an image's registry among those that the client sent.
fn login(name: &Reference, all: &HeaderValue) -> Option<HeaderValue> {
    let all: Value = serde_json::from_slice(&URL_SAFE.decode(all).ok()?).ok()?;
    let registry = name.registry().filter(|name| !name.ends_with("docker.io"));
    let login = all.as_object()?.iter().find(|(key, _)| match registry {
        Some(registry) => {
            let host = key.split_once("://").map_or(key.as_str(), |(_, rest)| rest);
            host.split('/').next() == Some(registry)
        }
        None => key.as_str() == HUB,
    });
    HeaderValue::from_str(&URL_SAFE.encode(login?.1.to_string())).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_registry_gets_its_own_login_only() {
        let all = r#"{"https://index.docker.io/v1/":{"a":1},"https://h.example.com/v2/":{"a":2},"127.0.0.1:5000":{"a":3}}"#;
        let packed = HeaderValue::from_str(&URL_SAFE.encode(all)).unwrap();
        for (name, expected) in [
            ("alpine", Some(r#"{"a":1}"#)),
            ("h.example.com/a/b", Some(r#"{"a":2}"#)),
            ("127.0.0.1:5000/a", Some(r#"{"a":3}"#)),
            ("127.0.0.1/a", None),
            ("evil.example.com/a", None),
        ] {
            let login = login(&Reference::parse(name).unwrap(), &packed);
            let login = login.map(|login| URL_SAFE.decode(login).unwrap());
            assert_eq!(login.as_deref(), expected.map(str::as_bytes), "{name}");
        }
    }
}
