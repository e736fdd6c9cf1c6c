//! What the volumes of a docker lane may be, as they are written: nothing that this host lives by, nothing where checkout
//! and cache are, and nothing by which jobs of one tier or lane reach another's. What links lead to, `reality` says.

use std::path::Path;

use super::{
    closed::Closed,
    docker::DockerLane,
    volume::{Source, Volume, sound_target},
};

/// A folder of this host where the jobs of a lane write.
#[derive(Clone, Copy)]
pub(super) struct Open<'a> {
    pub(super) lane: &'a str,
    pub(super) path: &'a Path,
}

/// Those of all lanes.
pub(super) fn open<'a>(lanes: impl Iterator<Item = (&'a str, &'a DockerLane)>) -> Vec<Open<'a>> {
    let of_lane = |(name, lane): (&'a str, &'a DockerLane)| {
        lane.volumes
            .iter()
            .filter(|volume| !volume.is_read_only())
            .filter_map(move |volume| match &volume.source {
                Source::Path(path) => Some(Open { lane: name, path }),
                Source::Named(_) | Source::Slot => None,
            })
    };
    lanes.flat_map(of_lane).collect()
}

/// What is wrong with the volumes of a lane, wherever links lead.
pub(super) fn problems(
    name: &str,
    lane: &DockerLane,
    closed: &Closed,
    open: &[Open<'_>],
) -> Vec<String> {
    let mut found = Vec::new();
    for (number, volume) in lane.volumes.iter().enumerate() {
        let place = &volume.target.0;
        let mut earlier = lane.volumes.iter().take(number);
        let is_twice = earlier.any(|other| other.target == volume.target);
        found.extend(
            free_target(lane, place)
                .err()
                .filter(|_| !is_kept(lane, volume)),
        );
        found.extend(is_twice.then(|| format!("`{place}` is there twice")));
        found.extend(crosses(lane, volume));
        if let Source::Path(path) = &volume.source {
            found.extend(closed.admit(path, volume.is_read_only()).err());
            found.extend(within(path, open.iter().map(|open| (open, open.path))));
        }
    }
    let tmpfs = lane.tmpfs.keys().chain(lane.services_tmpfs.keys());
    found.extend(tmpfs.filter_map(|place| free_target(lane, &place.0).err()));
    let told = found.into_iter();
    told.map(|what| format!("lanes.{name}.volumes: {what}"))
        .collect()
}

/// Whether jobs of protected and of other refs would write in the same place.
fn crosses(lane: &DockerLane, volume: &Volume) -> Option<String> {
    let source = match &volume.source {
        Source::Path(path) => path.display().to_string(),
        Source::Named(name) => name.clone(),
        Source::Slot => return None,
    };
    if lane.refs.is_some() || volume.is_read_only() {
        return None;
    }
    let place = &volume.target.0;
    Some(format!(
        "in `{source}:{place}` jobs of unprotected refs would write what those of protected ones use: write `{place}` alone, which \
         each slot keeps for itself, or `:ro` behind it, or give the lane `refs`; jobs of all its projects share it then"
    ))
}

/// What is said of a path that lies in a folder where jobs write. Each folder comes with where to look for it.
pub(super) fn within<'a, P: AsRef<Path>>(
    path: &Path,
    open: impl Iterator<Item = (&'a Open<'a>, P)>,
) -> Option<String> {
    let mut open = open;
    let (other, _) = open.find(|(_, folder)| {
        let folder = folder.as_ref();
        path != folder && path.starts_with(folder)
    })?;
    Some(format!(
        "`{}` is in `{}`, where jobs of the lane {} write and could put a link to anything of this host: make that one `ro`, or move \
         this one",
        path.display(),
        other.path.display(),
        other.lane
    ))
}

/// Whether a place that is not free is one that each slot keeps anyway: `volumes = ["/cache"]` is what GitLab's runner
/// writes by itself.
fn is_kept(lane: &DockerLane, volume: &Volume) -> bool {
    volume.source == Source::Slot && lane.keeps(&volume.target.0)
}

/// The place, if neither checkout nor cache are there.
pub(crate) fn free_target(lane: &DockerLane, text: &str) -> Result<String, String> {
    if text.contains('$') {
        return Ok(text.to_owned());
    }
    let path = sound_target(text)?;
    for (taken, key) in [
        (&lane.builds_dir, "builds-dir"),
        (&lane.cache_dir, "cache-dir"),
    ] {
        let is_below = Path::new(&path).starts_with(taken) && key == "cache-dir";
        if taken.starts_with(&path) || is_below {
            return Err(format!(
                "`{path}` is where {key} is, which each slot keeps for itself"
            ));
        }
    }
    Ok(path)
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    fn told(lane: &str) -> String {
        among(lane, "")
    }

    /// What is said of a lane beside another one.
    fn among(lane: &str, other: &str) -> String {
        let (lane, other): (DockerLane, DockerLane) = (
            toml::from_str(lane).unwrap(),
            toml::from_str(other).unwrap(),
        );
        let own = ["/var/lib/dockmaster", "/srv/engine/docker.socket"].map(PathBuf::from);
        let open = open([("x", &lane), ("other", &other)].into_iter());
        problems("x", &lane, &Closed::written(own.to_vec()), &open).join("\n")
    }

    #[track_caller]
    fn refused(volume: &str, words: &str) {
        let text = format!("refs = 'protected'\nvolumes = ['{volume}']");
        let told = match toml::from_str::<DockerLane>(&text) {
            Ok(_) => told(&text),
            Err(error) => error.to_string(),
        };
        assert!(told.contains(words), "{volume}: {told:?}");
    }

    #[test]
    fn what_this_host_lives_by_is_mounted_in_no_container() {
        for path in [
            "/",
            "/etc/shadow",
            "/proc/1",
            "/sys",
            "/dev/sda",
            "/root/.m2",
            "/var",
            "/var/lib",
            "/var/lib/docker/volumes",
            "/run/x.sock",
            "/var/run/x.sock",
            "/var/lib/dockmaster/slots",
            "/srv/engine",
            "/srv",
            "/srv/gitlab/config",
            "/etc",
            "/etc/gitlab-runner",
            "/etc/ssl",
            "/etc/ssl/private",
            "/etc/pki/tls",
            "/etc/letsencrypt/live",
            "/etc/docker/certs.d",
            "/etc/wireguard",
            "/opt",
            "/opt/gitlab/embedded",
            "/var/backups",
            "/var/spool/cron",
        ] {
            refused(&format!("{path}:/x:ro"), "which no job may see");
            refused(&format!("{path}:/x"), "which no job may see");
        }
        refused("/srv/a/docker.sock:/x", "docker-api");
        refused("/home/ci/.ssh:/x:ro", "keys of this host");
        refused("/home/ci:/x:ro", "somebody's home");
        refused("/tmp:/x", "what others leave");
        refused("/usr/local/share/x:/x", "write `:ro`");
        refused("/etc/ssl/certs:/x:rw", "write `:ro`");
        refused("/etc/ssl:/x:ro", "are in /etc/ssl/certs");
    }

    #[test]
    fn what_jobs_need_of_the_host_is_open() {
        let all = [
            "/etc/ssl/certs:/etc/ssl/certs:ro",
            "/srv/cache:/srv/cache",
            "/home/ci/.m2:/m2:z,ro",
            "maven:/root/.m2",
            "/root/.gradle",
            "/cache",
            "/opt/sdk:/sdk/$CI_PROJECT_NAME",
            "/etc/gitlab-runner/certs:/etc/gitlab-runner/certs:ro",
        ];
        let text = format!("refs = 'unprotected'\nvolumes = {all:?}");
        assert_eq!(told(&text), "");
    }

    #[test]
    fn no_variable_of_a_job_chooses_what_it_sees() {
        refused("/srv/$CI_PROJECT_PATH:/x", "names no variable");
        refused("$NAME:/x", "names no variable");
        refused("/srv/../etc:/x", "turns back");
        refused("dockmaster-p1-a-b-s0-builds:/x", "slots of jobs");
    }

    #[test]
    fn a_volume_is_in_no_folder_where_jobs_of_any_lane_write() {
        let refs = "refs = 'protected'\n";
        let told = |volumes: &str, other: &str| {
            let of = |volumes: &str| format!("{refs}volumes = {volumes}");
            among(&of(volumes), &of(other))
        };
        let both = told("['/srv/shared:/a', '/srv/shared/sub:/b:ro']", "[]");
        assert!(both.contains("jobs of the lane x write"), "{both}");
        let other = told("['/srv/ci/prot:/b:ro']", "['/srv/ci:/ci']");
        assert!(other.contains("jobs of the lane other write"), "{other}");
        for (volumes, other) in [
            ("['/srv/shared:/a:ro', '/srv/shared/sub:/b']", "[]"),
            ("['/srv/ci:/b']", "['/srv/ci:/ci']"),
            ("['/srv/ci/prot:/b']", "['/srv/ci:/ci:ro']"),
            ("['/srv/circle:/b']", "['/srv/ci:/ci']"),
        ] {
            assert_eq!(told(volumes, other), "", "{volumes}");
        }
    }

    #[test]
    fn jobs_of_protected_and_other_refs_write_in_no_place_together() {
        for volume in ["/srv/ci:/ci", "maven:/root/.m2", "maven:/root/.m2:rw"] {
            let told = |lane: &str| told(&format!("{lane}volumes = ['{volume}']"));
            assert!(told("").contains("give the lane `refs`"), "{volume}");
            assert_eq!(told("refs = 'protected'\n"), "");
        }
        assert_eq!(
            told("volumes = ['/srv/ci:/ci:ro', 'maven:/m:ro', '/root/.m2']"),
            ""
        );
    }

    #[test]
    fn a_place_in_the_container_is_free_or_refused() {
        for (place, words) in [
            ("/", "the root"),
            ("/proc/x", "the kernel's"),
            ("/dev", "the engine's"),
            ("/builds", "builds-dir"),
            ("/var/run/docker.sock", "the gate's"),
            ("data", "no absolute path"),
            ("/a/../b", "no place"),
            ("/cache/x", "cache-dir"),
            ("/var/run", "the gate's"),
        ] {
            refused(&format!("/srv/x:{place}"), words);
        }
        refused("/srv/x:/a:shared", "none of ro");
        refused("/srv/x:/a:ro:b", "too many");
        assert!(told("volumes = ['/srv/a:/x:ro', '/y', '/srv/b:/x/:ro']").contains("there twice"));
        assert!(told("[tmpfs]\n'/cache' = ''").contains("cache-dir"));
        assert_eq!(
            told("[tmpfs]\n'/dev/shm' = 'size=1m'\n'/builds/g/p/target' = ''"),
            ""
        );
    }
}
