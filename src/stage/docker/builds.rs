//! What `BuildKit`'s steps may use: one control group for all builds of a tenant, with the limits of a job.
//!
//! It stays between jobs, because its place is part of each step's cache key, and `gc` removes it when no job uses it.

use std::path::{Path, PathBuf};

use super::job::DockerJob;
use crate::{
    config::Config,
    docker::{
        engine::Object,
        group::{self, Group, GroupError},
        limit::Limits,
        name,
        tenant::Tenant,
    },
    failure::Failure,
    store::{InUse, host_secret},
    sys::host::Host,
};

/// The group of a tenant's builds, held as long as a job may use it.
pub(super) struct Builds {
    /// Where it is, for `BuildKit`.
    pub(super) place: String,
    _held: InUse,
}

impl DockerJob<'_> {
    /// Makes the group stand. None where this host makes no groups.
    pub(super) async fn hold_builds(&self, helper: &Object) -> Result<Option<Builds>, Failure> {
        let job = helper.label(name::GROUP);
        if job.is_empty() {
            return Ok(None);
        }
        let config = &self.context.config;
        let tenant = Tenant::of(&self.context.job);
        let secret = host_secret(&config.state_dir)?.of_tenant(&tenant);
        let group = Group::of_builds(job, &tenant, &secret.keyed("group", ""))?;
        let held = InUse::share(&folder(config).join(group.name()))?;
        let limits = Limits::new(self.lane, &Host::look());
        // What this host lacks was said of the job's own group.
        group.make(&limits.settings(group.is_unified)).await?;
        Ok(Some(Builds {
            place: group.place(),
            _held: held,
        }))
    }
}

/// Removes the groups of builds that no job uses; their names, and what could not be removed.
pub(crate) async fn sweep_builds(config: &Config) -> (Vec<String>, Vec<Failure>) {
    let (mut removed, mut failures) = (Vec::new(), Vec::new());
    let files = match InUse::all(&folder(config)) {
        Ok(files) => files,
        Err(error) => return (removed, vec![error.into()]),
    };
    for file in files {
        let name = file.file_name().unwrap_or_default().to_string_lossy();
        match sweep_one(&file, &name).await {
            Ok(true) => removed.push(name.into_owned()),
            Ok(false) => {}
            Err(failure) => failures.push(failure),
        }
    }
    (removed, failures)
}

async fn sweep_one(file: &Path, name: &str) -> Result<bool, Failure> {
    let Some(alone) = InUse::alone(file)? else {
        return Ok(false);
    };
    match group::remove(name).await {
        Ok(()) => {}
        // A build of a job that is gone has not come to its end: next time.
        Err(GroupError::Left { .. }) => return Ok(false),
        Err(error) => return Err(error.into()),
    }
    alone.remove()?;
    Ok(true)
}

/// A file for each group that was made since the host's start.
fn folder(config: &Config) -> PathBuf {
    config.run_dir.join("builds")
}
