//! What a build through `BuildKit` is asked to push: the engine builds it into its store under the job's own name, and the
//! gate pushes it from there, as it pushes anything else.
//!
//! The client sees no difference: its request ends when both are done, and tells the digest.

use std::pin::Pin;
use std::sync::Arc;

use hyper::Method;
use hyper::header::HeaderMap;
use serde_json::Value;

use super::build::status;
use super::credential::registry_of;
use super::lend::Wish;
use super::logins::Logins;
use super::own::Own;
use super::refusal::Denied;
use super::registries::Errand;
use crate::docker::reference::Reference;
use crate::harbor::refusal::Fault;

impl Own {
    /// The names that are the gate's to push after a build; refused, if one may not go to its registry. None where
    /// images are not containerd's: there the engine's builder does not push, and clients do it themselves.
    pub(super) async fn published(&self, names: Vec<Reference>) -> Result<Vec<Reference>, Denied> {
        for name in &names {
            self.scope.registries.permit(name, Errand::Push).await?;
        }
        if names.is_empty() {
            return Ok(names);
        }
        let info = self.engine.must(Method::GET, "/info", None).await?;
        let mut store = info["DriverStatus"].as_array().into_iter().flatten();
        let is_containerd = store.any(|pair| {
            pair[0] == "driver-type" && pair[1].as_str().is_some_and(|it| it.contains("containerd"))
        });
        Ok(if is_containerd { names } else { Vec::new() })
    }
}

/// Pushes what was built, under one name after the other. `built` is what the builder says of it.
pub(super) async fn publish(
    own: &Arc<Own>,
    names: &[Reference],
    built: &[u8],
    logins: &impl Logins,
    mut gone: Pin<&mut impl Future<Output = ()>>,
) -> Result<(), Denied> {
    let made = status::response(built, "containerimage.digest");
    for name in names {
        let failed = |why: &str| {
            let advice = Fault::line(why).map(|line| format!("\n{line}"));
            let advice = advice.unwrap_or_default();
            Denied::broken(format!("failed to push {}: {why}{advice}", name.text()))
        };
        let wish = wish(own, name, logins).await?;
        let mut error = None;
        let mut tell = |line: Vec<u8>| {
            let value: Value = serde_json::from_slice(&line).unwrap_or_default();
            error = value["error"].as_str().map(str::to_owned).or(error.take());
        };
        let pushed = wish.send(Arc::clone(own), gone.as_mut(), &mut tell).await;
        match pushed {
            None => return Err(failed(error.as_deref().unwrap_or("it was broken off"))),
            Some(digest) if made.as_ref() != Some(&digest) => {
                return Err(failed(&format!(
                    "the registry has {digest}, which is not what was built"
                )));
            }
            Some(_) => {}
        }
    }
    Ok(())
}

async fn wish(own: &Own, name: &Reference, logins: &impl Logins) -> Result<Wish, Denied> {
    let found = own.own_named(name).await?;
    let found = found.ok_or_else(|| Denied::broken(format!("{} was not built", name.text())))?;
    let registries = &own.scope.registries;
    let given: HeaderMap = logins.header(registry_of(name)).await;
    Ok(Wish {
        name: name.clone(),
        id: found.id,
        platform: String::new(),
        account: registries.header(&given, name, Errand::Push).await?,
    })
}
