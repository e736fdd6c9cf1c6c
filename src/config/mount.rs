//! What the volumes of a docker lane may be on this host: nothing that it lives by, and nothing where checkout and cache are.

use std::{
    fs,
    path::{Path, PathBuf},
};

use super::{
    docker::DockerLane,
    volume::{Source, Volume, sound_target},
};

/// What no job may see, with what is in it and what it is in.
const CLOSED: &[&str] = &[
    "/proc",
    "/sys",
    "/dev",
    "/boot",
    "/root",
    "/run",
    "/etc/shadow",
    "/etc/gshadow",
    "/etc/sudoers",
    "/etc/sudoers.d",
    "/etc/ssh",
    "/etc/gitlab",
    "/etc/gitlab-runner/config.toml",
    "/var/opt/gitlab",
    "/var/lib/docker",
    "/var/lib/containerd",
    "/var/spool",
];
/// These themselves: what is in them may be asked for.
const CROWDED: &[&str] = &["/tmp", "/var/tmp", "/home"];
/// A job that writes there changes this host.
const SYSTEM: &[&str] = &[
    "/etc", "/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32",
];
/// Folders with keys in them, wherever they are.
const KEYS: &[&str] = &[".ssh", ".gnupg", ".docker", ".aliyun", ".aws", ".kube"];
const SOCKETS: &[&str] = &["docker.sock", "containerd.sock", "podman.sock", "crio.sock"];

/// What is wrong with the volumes of a lane on this host, `own` being what dockmaster itself keeps closed.
pub(super) fn problems(name: &str, lane: &DockerLane, own: &[PathBuf]) -> Vec<String> {
    let mut found = Vec::new();
    let mut say = |what: String| found.push(format!("lanes.{name}.volumes: {what}"));
    for (number, volume) in lane.volumes.iter().enumerate() {
        let place = &volume.target.0;
        if let Err(why) = free_target(lane, place)
            .map(drop)
            .or_else(|why| is_kept(lane, volume).then_some(()).ok_or(why))
        {
            say(why);
        }
        if lane
            .volumes
            .iter()
            .take(number)
            .any(|other| other.target == volume.target)
        {
            say(format!("`{place}` is there twice"));
        }
        let Source::Path(path) = &volume.source else {
            continue;
        };
        let is_read_only = volume.options.iter().any(|option| option == "ro");
        for path in [path.clone(), real(path)] {
            if let Err(why) = open_source(&path, own, is_read_only) {
                say(why);
                break;
            }
        }
        if let Some(other) = lane.volumes.iter().find_map(|other| is_within(path, other)) {
            say(format!(
                "`{}` is in `{}`, where jobs write and could put a link to anything of this host: make it `ro` or move it",
                path.display(),
                other.display()
            ));
        }
    }
    for place in lane.tmpfs.keys().chain(lane.services_tmpfs.keys()) {
        if let Err(why) = free_target(lane, &place.0) {
            say(why);
        }
    }
    found
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

/// Where a path really is, as far as it exists.
pub(super) fn real(path: &Path) -> PathBuf {
    for known in path.ancestors() {
        if let (Ok(real), Ok(rest)) = (fs::canonicalize(known), path.strip_prefix(known)) {
            return real.join(rest).components().collect();
        }
    }
    path.to_owned()
}

/// The folder of another volume that jobs may write in, if `path` is in it.
fn is_within<'a>(path: &Path, other: &'a Volume) -> Option<&'a Path> {
    let Source::Path(folder) = &other.source else {
        return None;
    };
    let is_open = !other.options.iter().any(|option| option == "ro");
    let is_inside =
        path != folder && (path.starts_with(folder) || real(path).starts_with(real(folder)));
    (is_open && is_inside).then_some(folder)
}

fn open_source(path: &Path, own: &[PathBuf], is_read_only: bool) -> Result<(), String> {
    let shown = path.display();
    let closed = CLOSED
        .iter()
        .map(Path::new)
        .chain(own.iter().map(PathBuf::as_path));
    for closed in closed {
        if path.starts_with(closed) || closed.starts_with(path) {
            let (is, closed) = (
                if path == closed { "is" } else { "reaches" },
                closed.display(),
            );
            return Err(format!(
                "`{shown}` {is} {closed}, which no job may see: put what jobs need into a folder of its own, as /srv/ci"
            ));
        }
    }
    if CROWDED.iter().any(|crowded| Path::new(crowded) == path) {
        return Err(format!(
            "`{shown}` holds what others leave there: name a folder in it that is for jobs"
        ));
    }
    let has = |names: &[&str]| {
        path.iter()
            .any(|part| names.iter().any(|name| *name == part))
    };
    if has(KEYS) || has(SOCKETS) {
        return Err(format!(
            "`{shown}` gives jobs the keys of this host; images are pulled with `docker-config`, and docker-api = \"gate\" is a Docker for jobs"
        ));
    }
    if !is_read_only && SYSTEM.iter().any(|system| path.starts_with(system)) {
        return Err(format!(
            "`{shown}` is this host's own: write `:ro` behind the place in the container"
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(lane: &str) -> String {
        let lane: DockerLane = toml::from_str(lane).unwrap();
        let own = ["/var/lib/dockmaster", "/srv/engine/docker.socket"].map(PathBuf::from);
        problems("x", &lane, &own).join("\n")
    }

    #[track_caller]
    fn refused(volume: &str, words: &str) {
        let text = format!("volumes = ['{volume}']");
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
            "/var/lib/dockmaster/slots",
            "/srv/engine",
            "/etc/gitlab-runner",
            "/var/spool/cron",
        ] {
            refused(&format!("{path}:/x:ro"), "which no job may see");
        }
        refused("/srv/a/docker.sock:/x", "docker-api");
        refused("/home/ci/.ssh:/x:ro", "keys of this host");
        refused("/tmp:/x", "what others leave");
        refused("/usr/local/share/x:/x", "write `:ro`");
        refused("/etc/ssl:/x:rw", "write `:ro`");
        refused("/etc:/x:ro", "which no job may see");
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
        let text = format!("volumes = {all:?}");
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
    fn a_link_does_not_lead_where_the_path_may_not() {
        let folder = tempfile::tempdir().unwrap();
        let link = folder.path().join("link");
        std::os::unix::fs::symlink("/etc", &link).unwrap();
        refused(&format!("{}/new:/x", link.display()), "write `:ro`");
        refused(&format!("{}:/x:ro", link.display()), "which no job may see");
        // A job that writes in the first could make the second a link.
        let both = "volumes = ['/srv/shared:/a', '/srv/shared/sub:/b:ro']";
        assert!(told(both).contains("could put a link"), "{}", told(both));
        assert_eq!(
            told("volumes = ['/srv/shared:/a:ro', '/srv/shared/sub:/b']"),
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
        assert!(told("volumes = ['/srv/a:/x', '/y', '/srv/b:/x/']").contains("there twice"));
        assert!(told("[tmpfs]\n'/cache' = ''").contains("cache-dir"));
        assert_eq!(
            told("[tmpfs]\n'/dev/shm' = 'size=1m'\n'/builds/g/p/target' = ''"),
            ""
        );
    }
}
