//! A job's control group, named as the engine wants it: a path, or a slice of systemd's.

use std::{collections::BTreeSet, io, path::Path, process::Stdio, time::Duration};

use bollard::models::{
    SystemInfoCgroupDriverEnum as Driver, SystemInfoCgroupVersionEnum as Version,
};
use tokio::{process::Command, time};

use super::{
    engine::Engine,
    fault::{EngineError, failed},
    limit::Setting,
    tenant::Tenant,
};
use crate::{failure::Failure, sys::cgroup::Hierarchies};

/// The parent of all groups of jobs, by path and as a slice.
const PARENT: &str = "/dockmaster";
const SLICES: &str = "/dockmaster.slice";
/// Where systemd keeps what was set until the next boot.
const SET: &str = "/run/systemd/system.control";
/// How often, and how long apart, a group is tried that still holds a dying process.
const TRIES: u32 = 40;
const PAUSE: Duration = Duration::from_millis(25);

/// Why a job's group is not as it should be.
#[derive(Debug, thiserror::Error)]
pub(crate) enum GroupError {
    #[error("this host cannot hold jobs to the lane's `{key}`: {why}")]
    Unheld { key: &'static str, why: String },
    #[error("the control group {group} cannot be removed")]
    Left {
        group: String,
        #[source]
        source: io::Error,
    },
    #[error("cannot see the control groups of this host")]
    Look(#[source] io::Error),
    #[error("systemctl {what} failed: {why}")]
    Systemd { what: String, why: String },
}

impl From<GroupError> for Failure {
    fn from(error: GroupError) -> Self {
        match &error {
            GroupError::Unheld { key, .. } => {
                let hint = format!("try: leave `{key}` out, or let the kernel and Docker have it");
                Self::system(error).hint(hint)
            }
            GroupError::Left { .. } | GroupError::Look(_) | GroupError::Systemd { .. } => {
                Self::system(error)
            }
        }
    }
}

impl GroupError {
    /// Whether somebody is still in the group.
    pub(crate) fn is_in_use(&self) -> bool {
        matches!(self, Self::Left { source, .. } if source.kind() == io::ErrorKind::ResourceBusy)
    }
}

/// One job's group.
#[derive(Debug, Clone)]
pub(crate) struct Group {
    name: String,
    is_slice: bool,
    pub(crate) is_unified: bool,
}

impl Engine {
    /// The group of that name, as this engine wants it; none where it makes no groups.
    pub(crate) async fn group(&self, name: &str) -> Result<Option<Group>, EngineError> {
        let info = self
            .docker
            .info()
            .await
            .map_err(failed("tell about itself"))?;
        let is_slice = match info.cgroup_driver {
            Some(Driver::CGROUPFS) => false,
            Some(Driver::SYSTEMD) => true,
            _ => return Ok(None),
        };
        Ok(Some(Group {
            name: name.to_owned(),
            is_slice,
            is_unified: info.cgroup_version == Some(Version::_2),
        }))
    }
}

impl Group {
    /// The group for builds of a tenant: of the same kind as that of a job, which the engine calls so. `mark` keeps
    /// it from the group of another installation on this host.
    pub(crate) fn of_builds(job: &str, tenant: &Tenant, mark: &str) -> Result<Self, GroupError> {
        let is_slice = name_of(job).is_some();
        let trees = Hierarchies::look().map_err(GroupError::Look)?;
        Ok(Self {
            name: format!("builds-{}-{mark:.8}", tenant.key()),
            is_slice,
            is_unified: !trees.is_in_first(&place(job)),
        })
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// What the engine is told.
    pub(crate) fn parent(&self) -> String {
        if self.is_slice {
            slice(&self.name)
        } else {
            path(&self.name)
        }
    }

    /// Where it is in the kernel's trees. `BuildKit` takes a path, whatever makes the engine's own groups.
    pub(crate) fn place(&self) -> String {
        place(&self.parent())
    }

    /// Makes it with these settings. What this host lacks and nobody asked for comes back as text.
    pub(crate) async fn make(&self, settings: &[Setting]) -> Result<Vec<String>, GroupError> {
        let trees = Hierarchies::look().map_err(GroupError::Look)?;
        let mut lacks = Vec::new();
        if self.is_slice && !self.stands(&trees, settings) {
            self.make_slice(settings).await?;
        }
        for setting in settings {
            let Err(error) = self.set(&trees, setting) else {
                continue;
            };
            let (key, why) = (setting.key, error.to_string());
            if setting.is_asked {
                return Err(GroupError::Unheld { key, why });
            }
            lacks.push(format!("{key} ({why})"));
        }
        Ok(lacks)
    }

    /// Writes one setting; systemd has written it, and is checked.
    fn set(&self, trees: &Hierarchies, setting: &Setting) -> io::Result<()> {
        let place = self.place();
        let lacking = || io::Error::other(format!("this kernel has no {}", setting.controller));
        let folder = trees
            .folder(self.is_unified, setting.controller, &place)
            .ok_or_else(lacking)?;
        if !self.is_slice {
            trees.make(self.is_unified, setting.controller, &place)?;
            return Hierarchies::write(&folder, setting.file, &setting.value);
        }
        if setting.property.is_none() {
            return Err(io::Error::other("systemd has no word for it here"));
        }
        Hierarchies::check(&folder, setting.file, &setting.value)
    }

    /// Whether it is there already, with these settings.
    fn stands(&self, trees: &Hierarchies, settings: &[Setting]) -> bool {
        let place = self.place();
        let is_set = |setting: &Setting| {
            let folder = trees.folder(self.is_unified, setting.controller, &place);
            folder.is_some_and(|it| Hierarchies::check(&it, setting.file, &setting.value).is_ok())
        };
        settings.iter().all(is_set)
    }

    async fn make_slice(&self, settings: &[Setting]) -> Result<(), GroupError> {
        let slice = slice(&self.name);
        let properties = settings.iter().filter_map(|it| it.property.as_deref());
        let properties: Vec<&str> = properties.collect();
        if !properties.is_empty() {
            let set = ["set-property", "--runtime", &slice];
            systemctl(&[&set[..], &properties].concat()).await?;
        }
        systemctl(&["start", &slice]).await
    }

    /// How often the kernel killed a process of the job because its memory was used up.
    pub(crate) fn kills(parent: &str) -> Option<u64> {
        Hierarchies::look().ok()?.kills(&place(parent))
    }
}

/// Removes the group of that name, whichever way it was made. One that is not there counts as removed.
pub(crate) async fn remove(name: &str) -> Result<(), GroupError> {
    let slice = slice(name);
    if Path::new(SET).join(format!("{slice}.d")).exists() {
        systemctl(&["stop", &slice]).await?;
        systemctl(&["revert", &slice]).await?;
    }
    let trees = Hierarchies::look().map_err(GroupError::Look)?;
    let group = path(name);
    let mut tried = 0;
    loop {
        match trees.remove(&group) {
            Err(error) if error.kind() == io::ErrorKind::ResourceBusy && tried < TRIES => {
                tried += 1;
                time::sleep(PAUSE).await;
            }
            removed => return removed.map_err(|source| GroupError::Left { group, source }),
        }
    }
}

/// The names of all groups of jobs on this host.
pub(crate) fn all() -> Result<BTreeSet<String>, GroupError> {
    let trees = Hierarchies::look().map_err(GroupError::Look)?;
    let mut names = trees.children(PARENT).map_err(GroupError::Look)?;
    for slice in trees.children(SLICES).map_err(GroupError::Look)? {
        names.extend(name_of(&slice));
    }
    Ok(names)
}

/// Where a group is that the engine calls so.
fn place(parent: &str) -> String {
    match name_of(parent) {
        Some(_) => format!("{SLICES}/{parent}"),
        None => parent.to_owned(),
    }
}

fn path(name: &str) -> String {
    format!("{PARENT}/{name}")
}

/// A dash in a slice's name means a slice in a slice.
fn slice(name: &str) -> String {
    format!("dockmaster-{}.slice", name.replace('-', "_"))
}

fn name_of(slice: &str) -> Option<String> {
    let name = slice.strip_prefix("dockmaster-")?.strip_suffix(".slice")?;
    Some(name.replace('_', "-"))
}

async fn systemctl(arguments: &[&str]) -> Result<(), GroupError> {
    let failed = |why: String| GroupError::Systemd {
        what: arguments.join(" "),
        why,
    };
    let output = Command::new("systemctl")
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .await
        .map_err(|error| failed(error.to_string()))?;
    if output.status.success() {
        return Ok(());
    }
    Err(failed(
        String::from_utf8_lossy(&output.stderr).trim().to_owned(),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_s_group_is_a_path_or_a_slice_in_ours_and_its_name_comes_back() {
        let group = |is_slice| Group {
            name: "p42-j7-ab12cd.99-1234".to_owned(),
            is_slice,
            is_unified: true,
        };
        assert_eq!(group(false).parent(), "/dockmaster/p42-j7-ab12cd.99-1234");
        let slice = group(true).parent();
        assert_eq!(slice, "dockmaster-p42_j7_ab12cd.99_1234.slice");
        assert_eq!(name_of(&slice), Some(group(true).name));
        assert_eq!(group(true).place(), format!("/dockmaster.slice/{slice}"));
    }

    #[test]
    fn the_group_for_builds_of_a_tenant_has_one_place_and_is_no_job_s() {
        let tenant = Tenant::new("gitlab.example.com", 42, true);
        for (job, start) in [
            (
                "/dockmaster/p42-j7-ab12cd.99-1234",
                "/dockmaster/builds-p42-protected-",
            ),
            (
                "dockmaster-p42_j7_ab12cd.99_1234.slice",
                "/dockmaster.slice/dockmaster-builds_p42_protected_",
            ),
        ] {
            let group = Group::of_builds(job, &tenant, "0a1b2c3d4e5f").unwrap();
            assert!(group.place().starts_with(start), "{}", group.place());
            // The groups of jobs have a dot.
            assert!(group.name().ends_with("-0a1b2c3d") && !group.name().contains('.'));
            assert_eq!(group.is_slice, name_of(job).is_some());
            let other = Tenant::new("gitlab.example.com", 42, false);
            let other = Group::of_builds(job, &other, "0a1b2c3d4e5f").unwrap();
            assert_ne!(group.place(), other.place());
        }
    }
}
