//! What the operator mounts into a job's containers, with the job's variables put in their place. Pure.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use sha2::{Digest, Sha256};

use super::{environ::expand, name::Names};
use crate::{
    config::{DockerLane, Source, Volume, free_target},
    failure::{Failure, JobCode},
};

/// What a container sees of the host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Mount {
    Volume {
        name: String,
        target: String,
    },
    /// What the operator mounts.
    Bind {
        source: String,
        target: String,
        options: Vec<String>,
    },
    /// A socket of this job, made before the container starts.
    Socket {
        source: String,
        target: String,
    },
}

/// Where a variable of the job leads that an operator's volume names.
#[derive(Debug, thiserror::Error)]
pub(crate) enum VolumeError {
    #[error("the volume `{written}` of the lane would be at a place where it cannot be: {why}")]
    Place { written: String, why: String },
    #[error("two volumes of the lane would be at {place}")]
    Twice { place: String },
}

impl From<VolumeError> for Failure {
    fn from(error: VolumeError) -> Self {
        match error {
            VolumeError::Place { .. } | VolumeError::Twice { .. } => {
                Self::build(JobCode::Malformed, error)
                    .hint("the job's variables decide it: the operator of the lane knows which")
            }
        }
    }
}

/// What the containers of a job mount: the slot's own volumes, and those of the lane.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Slot {
    pub(crate) name: String,
    pub(crate) volumes: Vec<Placed>,
}

impl Slot {
    pub(crate) fn new(
        lane: &DockerLane,
        name: &str,
        variables: &BTreeMap<String, String>,
    ) -> Result<Self, VolumeError> {
        Ok(Self {
            name: name.to_owned(),
            volumes: placed(lane, name, variables)?,
        })
    }

    /// At the places that the scripts name.
    pub(crate) fn mounts(&self, lane: &DockerLane) -> Vec<Mount> {
        let volume = |what: &str, target: &Path| Mount::Volume {
            name: Names::volume(&self.name, what),
            target: target.to_string_lossy().into_owned(),
        };
        let own = [
            volume("builds", &lane.builds_dir),
            volume("cache", &lane.cache_dir),
        ];
        let lane_s = self.volumes.iter().map(|it| it.mount.clone());
        own.into_iter().chain(lane_s).collect()
    }

    /// The slot's volumes beside checkout and cache, each with its place.
    pub(crate) fn kept(&self) -> impl Iterator<Item = (&str, &str)> {
        self.volumes
            .iter()
            .filter_map(|it| Some((it.slot_s.as_deref()?, it.target.as_str())))
    }
}

/// A volume of the lane in a container of this job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Placed {
    pub(crate) target: String,
    /// The volume's name, if it is the slot's own.
    pub(crate) slot_s: Option<String>,
    pub(crate) mount: Mount,
}

/// All of them.
fn placed(
    lane: &DockerLane,
    slot: &str,
    variables: &BTreeMap<String, String>,
) -> Result<Vec<Placed>, VolumeError> {
    let mut taken = BTreeSet::new();
    let mut all = Vec::new();
    for volume in &lane.volumes {
        let written = &volume.target.0;
        if volume.source == Source::Slot && lane.keeps(written) {
            continue;
        }
        let refuse = |why| VolumeError::Place {
            written: written.clone(),
            why,
        };
        // What stands in a variable is no variable's name again.
        let expanded = if written.contains('$') {
            expand(written, variables)
        } else {
            written.clone()
        };
        let target = if expanded.contains('$') {
            return Err(refuse(format!("`{expanded}` has a `$`")));
        } else {
            free_target(lane, &expanded).map_err(refuse)?
        };
        if !taken.insert(target.clone()) {
            return Err(VolumeError::Twice { place: target });
        }
        let slot_s = (volume.source == Source::Slot).then(|| Names::volume(slot, &kept(written)));
        let source = match &volume.source {
            Source::Path(path) => path.to_string_lossy().into_owned(),
            Source::Named(name) => name.clone(),
            Source::Slot => slot_s.clone().unwrap_or_default(),
        };
        let mount = Mount::Bind {
            source,
            target: target.clone(),
            options: options(volume),
        };
        all.push(Placed {
            target,
            slot_s,
            mount,
        });
    }
    Ok(all)
}

/// The engine fills an empty volume with what the image has there, read-only or not, and the job chooses its image.
fn options(volume: &Volume) -> Vec<String> {
    let mut options = volume.options.clone();
    let is_named = matches!(volume.source, Source::Named(_));
    if is_named && volume.is_read_only() && !options.iter().any(|it| it == "nocopy") {
        options.push("nocopy".to_owned());
    }
    options
}

/// What a slot calls the volume of a place, as it is written: no variable makes more of them.
fn kept(written: &str) -> String {
    let [a, b, c, d, ..] = <[u8; 32]>::from(Sha256::digest(written));
    format!("v{a:02x}{b:02x}{c:02x}{d:02x}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(volumes: &str, name: &str) -> Result<Vec<String>, String> {
        let lane: DockerLane = toml::from_str(&format!("volumes = {volumes}")).unwrap();
        let variables = [("NAME".to_owned(), name.to_owned())].into();
        let placed = placed(&lane, "p1-a-b-s0", &variables).map_err(|error| error.to_string())?;
        let shown = placed.into_iter().map(|it| match it.mount {
            Mount::Bind {
                source,
                target,
                options,
            } => format!("{source} {target} {}", options.join(",")),
            Mount::Volume { .. } | Mount::Socket { .. } => String::new(),
        });
        Ok(shown.collect())
    }

    #[test]
    fn variables_stand_in_the_place_alone() {
        assert_eq!(
            check("['/srv/a:/x/$NAME:ro', 'maven:/m']", "app").unwrap(),
            ["/srv/a /x/app ro", "maven /m "]
        );
        // The name of a slot's volume does not change with them.
        let (one, other) = (
            check("['/keep/$NAME']", "a").unwrap(),
            check("['/keep/$NAME']", "b").unwrap(),
        );
        assert_eq!(one[0].split(' ').next(), other[0].split(' ').next());
        assert_eq!(check("['/cache', '/builds/']", "a").unwrap().len(), 0);
    }

    #[test]
    fn no_image_fills_a_volume_that_is_read_only() {
        assert_eq!(
            check(
                "['maven:/m:ro', 'aa:/a:nocopy,ro', 'b1:/b:rw', '/srv/a:/x:ro']",
                ""
            )
            .unwrap(),
            [
                "maven /m ro,nocopy",
                "aa /a nocopy,ro",
                "b1 /b rw",
                "/srv/a /x ro"
            ]
        );
    }

    #[test]
    fn a_variable_leads_to_no_place_that_is_taken() {
        for (volume, name) in [
            ("/$NAME", "builds"),
            ("/$NAME", ""),
            ("/x/$NAME", "../proc"),
            ("/$NAME", "var/run/docker.sock"),
            ("/$NAME", "cache/a"),
            ("/x/$NAME", "a:ro"),
            ("/$NAME", "proc/1"),
            ("/x/$NAME", "$NAME"),
            ("/x$NAME", "/y\n"),
        ] {
            assert!(
                check(&format!("['{volume}']"), name).is_err(),
                "{volume} {name}"
            );
        }
        let twice = check("['/srv/a:/x/$NAME', '/srv/b:/x/y']", "y").unwrap_err();
        assert!(twice.contains("two volumes"), "{twice}");
    }
}
