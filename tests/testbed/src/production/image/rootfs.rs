//! Fills folders that become images: BusyBox, programs with their libraries, a Debian by debootstrap.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use anyhow::{Context, Result, bail};

use crate::command::run;

const HOST_PACKAGES: &str =
    "openssh-server,docker.io,docker-compose,iptables,ca-certificates,iproute2,procps";

const DOCKER_ENTRYPOINT: &str = r#"#!/bin/sh
# As the real image's: a word that is no program but a command of docker's is given to docker.
set -e
if [ "${1#-}" != "$1" ]; then
    set -- docker "$@"
elif ! command -v "$1" >/dev/null && docker help "$1" >/dev/null 2>&1; then
    set -- docker "$@"
fi
exec "$@"
"#;

/// A small system of BusyBox alone, in the place of Alpine.
pub(super) fn alpine(root: &Path) -> Result<()> {
    for directory in [
        "bin",
        "dev",
        "etc",
        "proc",
        "root",
        "run",
        "sys",
        "usr/bin",
        "usr/local/bin",
        "var/lib",
    ] {
        fs::create_dir_all(root.join(directory))?;
    }
    for directory in ["tmp", "var/tmp"] {
        fs::create_dir_all(root.join(directory))?;
        fs::set_permissions(root.join(directory), fs::Permissions::from_mode(0o1777))?;
    }
    fs::copy("/usr/bin/busybox", root.join("bin/busybox"))?;
    for applet in run("/usr/bin/busybox", &["--list"])?.lines() {
        if applet != "busybox" {
            symlink("busybox", root.join("bin").join(applet))?;
        }
    }
    symlink("../../bin/env", root.join("usr/bin/env"))?;
    write(
        root,
        "etc/passwd",
        "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534::/:/bin/false\n",
    )?;
    write(root, "etc/group", "root:x:0:\nnobody:x:65534:\n")?;
    write(
        root,
        "etc/os-release",
        "ID=busybox\nNAME=\"BusyBox, in the place of Alpine\"\n",
    )
}

/// Docker's client without an engine, in the place of the image of that name.
pub(super) fn docker(root: &Path) -> Result<()> {
    alpine(root)?;
    copy_program(
        crate::command::DOCKER.as_ref(),
        root,
        "usr/local/bin/docker",
    )?;
    let entrypoint = "usr/local/bin/docker-entrypoint.sh";
    write(root, entrypoint, DOCKER_ENTRYPOINT)?;
    fs::set_permissions(root.join(entrypoint), fs::Permissions::from_mode(0o755))?;
    Ok(())
}

/// A shell, curl and the stand-in for Node.js.
pub(super) fn application_base(root: &Path, node: &Path) -> Result<()> {
    alpine(root)?;
    copy_program("/usr/bin/curl".as_ref(), root, "usr/bin/curl")?;
    copy_program(node, root, "usr/local/bin/node")
}

/// A production host: Debian with sshd, Docker Engine and Compose, and the user `deploy`.
pub(super) fn host(root: &Path) -> Result<()> {
    let directory = root.to_string_lossy();
    let include = format!("--include={HOST_PACKAGES}");
    let mirror = mirror()?;
    run(
        "debootstrap",
        &[
            "--variant=minbase",
            &include,
            "bookworm",
            &directory,
            &mirror,
        ],
    )?;
    // An account without a password whose lock would also refuse keys.
    run(
        "chroot",
        &[
            &directory,
            "useradd",
            "-m",
            "-s",
            "/bin/bash",
            "-G",
            "docker",
            "deploy",
        ],
    )?;
    run("chroot", &[&directory, "usermod", "-p", "*", "deploy"])?;
    let settings = "UsePAM no\nUseDNS no\nPasswordAuthentication no\nMaxStartups 100\n\
                    HostKey /etc/ssh/ssh_host_ed25519_key\n";
    write(root, "etc/ssh/sshd_config.d/testbed.conf", settings)?;
    let waste = "cd \"$0\" && rm -rf etc/ssh/ssh_host_* var/cache/apt var/lib/apt/lists \
                 usr/share/doc usr/share/man usr/share/locale usr/share/info";
    run("sh", &["-c", waste, &directory])?;
    Ok(())
}

/// Where this machine itself gets Debian's packages from.
fn mirror() -> Result<String> {
    let format = "$(CODENAME) $(ORIGIN) $(SITE)";
    let targets = ["indextargets", "--format", format, "Created-By: Packages"];
    let targets = run("apt-get", &targets)?;
    let site = targets
        .lines()
        .find_map(|line| line.strip_prefix("bookworm Debian "));
    let missing = "apt knows no source of Debian 12 (bookworm); try: apt-get update";
    site.map(str::to_owned).context(missing)
}

/// Copies a program and the libraries it names into a root file system that has none.
fn copy_program(program: &Path, root: &Path, to: &str) -> Result<()> {
    copy(program, &root.join(to))?;
    let libraries = run("ldd", &[&program.to_string_lossy()])?;
    for word in libraries
        .split_whitespace()
        .filter(|word| word.starts_with('/'))
    {
        let target = root.join(word.trim_start_matches('/'));
        if !target.exists() {
            copy(Path::new(word), &target)?;
        }
    }
    if libraries.contains("not found") {
        bail!("{} lacks libraries here: {libraries}", program.display());
    }
    Ok(())
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    if let Some(parent) = to.parent() {
        fs::create_dir_all(parent)?;
    }
    fs::copy(from, to).with_context(|| format!("cannot copy {}", from.display()))?;
    Ok(())
}

fn write(root: &Path, path: &str, text: &str) -> Result<()> {
    let path = root.join(path);
    fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))
}
