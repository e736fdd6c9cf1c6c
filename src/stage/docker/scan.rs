//! What Harbor finds in an image decides whether its push counts, where the operator says so.

use crate::{
    config::Registry,
    failure,
    gate::Pushed,
    harbor::{self, Scanned},
};

/// What a scan found in what was pushed, for the ledger; nothing where nobody waits for one. Refuses what the
/// operator does not want, and what nobody knows while the operator wants to know it.
pub(super) async fn findings(
    registry: &Registry,
    pushed: &Pushed,
) -> Result<Option<String>, String> {
    let (Some(wait), Some(account)) = (registry.scan_wait, account(registry)) else {
        return Ok(None);
    };
    let Some((project, repository)) = place(registry, &pushed.image) else {
        return Ok(None);
    };
    let image = Scanned {
        project,
        repository,
        digest: &pushed.digest,
    };
    let findings = match harbor::scan(registry, account, image, wait).await {
        Ok(findings) => findings,
        Err(error) if registry.scan_refuse_from.is_none() => {
            tracing::warn!(%error, image = pushed.image, "nobody knows what is in an image");
            return Ok(None);
        }
        Err(error) => return Err(failure::chain(&error)),
    };
    match registry.scan_refuse_from {
        Some(worst) if findings.severity >= worst => Err(format!(
            "Harbor found {findings} in {}, which is not released (scan-refuse-from of [registry]): look at {}",
            pushed.image, findings.place
        )),
        Some(_) | None => Ok(Some(findings.to_string())),
    }
}

fn account(registry: &Registry) -> Option<&std::path::Path> {
    let account = registry.account.as_ref();
    account
        .or(registry.static_account.as_ref())
        .map(AsRef::as_ref)
}

/// Harbor project and repository of an image of the operator's registry.
fn place<'a>(registry: &Registry, image: &'a str) -> Option<(&'a str, &'a str)> {
    let rest = image.strip_prefix(&registry.host)?.strip_prefix('/')?;
    rest.split_once('/')
}
