//! What of this host no job may see, by its path.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// What no job may see, with what is in it and what it is in.
const CLOSED: &[&str] = &[
    "/proc",
    "/sys",
    "/dev",
    "/boot",
    "/root",
    "/run",
    "/var/run",
    "/etc/shadow",
    "/etc/gshadow",
    "/etc/sudoers",
    "/etc/sudoers.d",
    "/etc/ssh",
    "/etc/ssl/private",
    "/etc/pki/tls/private",
    "/etc/letsencrypt",
    "/etc/docker",
    "/etc/wireguard",
    "/etc/gitlab",
    "/etc/gitlab-runner/config.toml",
    "/opt/gitlab",
    "/srv/gitlab",
    "/var/opt/gitlab",
    "/var/backups",
    "/var/lib/docker",
    "/var/lib/containerd",
    "/var/spool",
];
/// These themselves: what is in them may be asked for.
const CROWDED: &[&str] = &["/tmp", "/var/tmp", "/home"];
/// Where somebody's folder is one with keys in it, today or tomorrow.
const HOMES: &[&str] = &["/home"];
/// A job that writes there changes this host.
const SYSTEM: &[&str] = &[
    "/etc", "/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32",
];
/// Folders with keys in them, wherever they are.
pub(super) const KEYS: &[&str] = &[".ssh", ".gnupg", ".docker", ".aliyun", ".aws", ".kube"];
const SOCKETS: &[&str] = &["docker.sock", "containerd.sock", "podman.sock", "crio.sock"];

/// The paths that are closed, as they are written or, too, as they really are.
pub(super) struct Closed {
    whole: Vec<PathBuf>,
    crowded: Vec<PathBuf>,
    homes: Vec<PathBuf>,
    system: Vec<PathBuf>,
}

impl Closed {
    /// `own` is what dockmaster itself keeps closed.
    pub(super) fn written(own: Vec<PathBuf>) -> Self {
        let all = |list: &[&str]| list.iter().map(PathBuf::from).collect::<Vec<_>>();
        let mut whole = all(CLOSED);
        whole.extend(own);
        Self {
            whole,
            crowded: all(CROWDED),
            homes: all(HOMES),
            system: all(SYSTEM),
        }
    }

    /// With where links of this host lead.
    pub(super) fn really(mut self) -> Self {
        let lists = [
            &mut self.whole,
            &mut self.crowded,
            &mut self.homes,
            &mut self.system,
        ];
        for list in lists {
            let resolved: Vec<_> = list.iter().map(|path| real(path)).collect();
            list.extend(resolved);
        }
        self
    }

    /// Whether jobs may have that path.
    pub(super) fn admit(&self, path: &Path, is_read_only: bool) -> Result<(), String> {
        let shown = path.display();
        let mut whole = self.whole.iter();
        if let Some(closed) =
            whole.find(|closed| path.starts_with(closed) || closed.starts_with(path))
        {
            return Err(reaches(path, closed));
        }
        if self.crowded.iter().any(|crowded| crowded == path) {
            return Err(format!(
                "`{shown}` holds what others leave there: name a folder in it that is for jobs"
            ));
        }
        if path
            .parent()
            .is_some_and(|parent| self.homes.iter().any(|homes| homes == parent))
        {
            return Err(format!(
                "`{shown}` is somebody's home, where keys are: name a folder in it that is for jobs"
            ));
        }
        let has = |names: &[&str]| {
            path.iter()
                .any(|part| names.iter().any(|name| *name == part))
        };
        if has(KEYS) || has(SOCKETS) {
            return Err(keys(path));
        }
        if !is_read_only && self.system.iter().any(|system| path.starts_with(system)) {
            return Err(format!(
                "`{shown}` is this host's own: write `:ro` behind the place in the container"
            ));
        }
        Ok(())
    }
}

fn reaches(path: &Path, closed: &Path) -> String {
    let is = if path == closed { "is" } else { "reaches" };
    let instead = if path.starts_with("/etc") {
        "certificates that everybody may see are in /etc/ssl/certs"
    } else {
        "put what jobs need into a folder of its own, as /srv/ci"
    };
    format!(
        "`{}` {is} {}, which no job may see: {instead}",
        path.display(),
        closed.display()
    )
}

/// Of a path that is one of keys, or holds one.
pub(super) fn keys(path: &Path) -> String {
    format!(
        "`{}` gives jobs the keys of this host; images are pulled with `docker-config`, and docker-api = \"gate\" is a Docker for jobs",
        path.display()
    )
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
