//! Base images made on the spot from Debian's packages, because nothing can be pulled. They stay cached as
//! `dockmaster-testbed/…`; the names users type are only lent, and never taken from an image that is not ours.

mod rootfs;

use std::fmt::Write as _;
use std::fs::{self, File};
use std::path::Path;

use anyhow::{Context, Result};
use sha2::{Digest, Sha256};

use crate::command::{docker, docker_lines, run};
use crate::machine::{self, Machine};

/// Carried by every cached base image and so by the names lent to users.
pub const LABEL: &str = "dockmaster.testbed.image";

pub const ALPINE: &str = "alpine:latest";
pub const DOCKER: &str = "docker:latest";

/// Part of each image's tag: raise it when a recipe changes.
pub(crate) const RECIPE: &str = "1";

const PATH: &str = "ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// What the machine has after `prepare`.
#[derive(Debug, Clone)]
pub struct Images {
    /// The base of the application, labelled so that all images built from it are swept with this testbed.
    pub application_base: String,
    /// The root file system of a production host.
    pub host: String,
}

pub fn prepare(machine: &Machine) -> Result<Images> {
    let lock = lock()?;
    make_images_of_jobs(machine)?;
    let node = machine::program("stand-in-node")?;
    let recipe = fingerprint(include_bytes!("../bin/stand-in-node.rs"));
    let base = ensure(
        machine,
        "application-base",
        &recipe,
        &["CMD [\"/bin/sh\"]"],
        |root| rootfs::application_base(root, &node),
    )?;
    let host = ensure(machine, "host", RECIPE, &[], rootfs::host)?;
    drop(lock);
    Ok(Images {
        application_base: labelled(&base)?,
        host,
    })
}

/// The images of jobs alone: made of what is installed, with no fetching.
pub fn prepare_jobs(machine: &Machine) -> Result<()> {
    let _lock = lock()?;
    make_images_of_jobs(machine)
}

fn lock() -> Result<File> {
    let lock = File::create("/run/dockmaster-testbed/images")?;
    lock.lock().context("cannot lock the making of images")?;
    Ok(lock)
}

fn make_images_of_jobs(machine: &Machine) -> Result<()> {
    let alpine = ensure(
        machine,
        "alpine",
        RECIPE,
        &["CMD [\"/bin/sh\"]"],
        rootfs::alpine,
    )?;
    lend(&alpine, ALPINE)?;
    let entrypoint = ["ENTRYPOINT [\"docker-entrypoint.sh\"]", "CMD [\"sh\"]"];
    let client = ensure(machine, "docker", RECIPE, &entrypoint, rootfs::docker)?;
    lend(&client, DOCKER)
}

/// Builds the application's image in `directory` as `name` with the machine's engine.
pub fn build(directory: &Path, name: &str) -> Result<()> {
    docker(&["build", "--quiet", "-t", name, &directory.to_string_lossy()])?;
    Ok(())
}

/// The cached image, made if it is missing.
fn ensure(
    machine: &Machine,
    kind: &str,
    recipe: &str,
    changes: &[&str],
    make: impl FnOnce(&Path) -> Result<()>,
) -> Result<String> {
    let name = format!("dockmaster-testbed/{kind}:{recipe}");
    if exists(&name) {
        return Ok(name);
    }
    let directory = machine.directory(&format!("images/{kind}"))?;
    make(&directory).with_context(|| format!("cannot make the image {name}"))?;
    let label = format!("LABEL {LABEL}={kind}");
    let mut import = format!("tar -C '{}' -c . | docker import", directory.display());
    for change in changes.iter().copied().chain([PATH, &label]) {
        let _ = write!(import, " -c '{change}'");
    }
    run("sh", &["-c", &format!("{import} - {name}")])?;
    fs::remove_dir_all(&directory)?;
    Ok(name)
}

fn exists(name: &str) -> bool {
    docker(&["image", "inspect", "--format", "{{.Id}}", name]).is_ok()
}

/// Gives a user-facing name to a stand-in, unless somebody's own image has it.
fn lend(image: &str, name: &str) -> Result<()> {
    let ours = docker_lines(&[
        "image",
        "ls",
        "-q",
        "--filter",
        &format!("label={LABEL}"),
        name,
    ]);
    if ours.is_empty() && exists(name) {
        return Ok(());
    }
    docker(&["tag", image, name])?;
    Ok(())
}

/// A child image of this testbed's own: what is built from it inherits the label and is swept with it.
fn labelled(base: &str) -> Result<String> {
    let name = format!("{}:{}", machine::name("application-base"), 1);
    let dockerfile = format!("FROM {base}\nLABEL {}\n", machine::label());
    let arguments = ["build", "--quiet", "-t", &name, "-"];
    crate::command::feed(crate::command::DOCKER, &arguments, dockerfile.as_bytes())?;
    Ok(name)
}

/// Of the program's source, because no two builds of it are the same.
fn fingerprint(source: &[u8]) -> String {
    format!(
        "{RECIPE}-{}",
        machine::hexadecimal(&Sha256::digest(source)[..6])
    )
}
