//! Layers of builds, and images that were pulled, which stay after a job for its tenant's next one: at most
//! so many bytes, the least used given up first.
//!
//! The result of each stage has a name under the tenant's prefix, which keeps the layers below it, and so
//! has what was pulled; and each a file, whose time tells when it was used last. Safe to call at any time,
//! and twice.

use std::collections::BTreeMap;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use hyper::{Method, StatusCode};
use serde_json::{Value, json};

use crate::docker::{reference::Reference, tenant::HostSecret};
use crate::gate::daemon::{Daemon, DaemonError};
use crate::gate::error::GateError;
use crate::gate::own::Own;
use crate::gate::query::Query;
use crate::gate::refusal::Denied;
use crate::gate::use_note;
use crate::store::StoreError;

/// The key of the label that begins each stage.
pub(in crate::gate) const CACHE: &str = "dockmaster.cache";
/// What the name of a kept image begins with, behind its tenant's prefix.
const FOLDER: &str = "layers:";
/// What a build that was cut off left is removed after this time: no build lasts as long.
const CUT_OFF: Duration = Duration::from_hours(24);

/// The layers that one engine keeps for this installation.
#[derive(Debug)]
pub struct Layers {
    daemon: Daemon,
    dir: PathBuf,
    host: HostSecret,
}

/// What was given up.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Trimmed {
    pub removed: usize,
    /// What is kept now, in bytes.
    pub kept: u64,
    /// What could not be removed, and why.
    pub left: Vec<String>,
}

/// A kept image.
#[derive(Debug)]
struct Kept {
    /// The folder of its tenant's notes.
    tenant: PathBuf,
    file: PathBuf,
    name: String,
    used: SystemTime,
    /// Its layers, and how large each is; of a copy the whole image.
    layers: BTreeMap<String, u64>,
}

/// An image as the engine lists it.
struct Listed {
    id: String,
    size: u64,
}

impl Own {
    /// Notes that the tenant has layers, before there are any: what a build leaves that is cut off is found by
    /// its tenant's label.
    pub(super) fn begin_layers(&self) -> Result<(), Denied> {
        let folder = self.scope.layers.join(self.scope.tenant.key());
        let made = fs::create_dir_all(&folder).map_err(|source| StoreError::Write {
            path: folder,
            source,
        });
        made.map_err(|error| Denied::broken(crate::failure::chain(&error)))
    }

    /// Keeps the layers of an image that the job built, for its tenant.
    pub(super) async fn keep_layers(&self, id: &str) -> Result<(), Denied> {
        let digits = id.strip_prefix("sha256:").unwrap_or(id);
        let short = digits.get(..32).unwrap_or(digits);
        let name = Reference::parse(&format!("{FOLDER}{short}"))
            .map_err(|_| Denied::broken("the engine tells an id that is none"))?;
        let name = self.scope.names.kept(&name)?;
        let Some((repository, tag)) = name.rsplit_once(':') else {
            return Err(Denied::broken("a kept image has no tag"));
        };
        let mut query = Query::default();
        query.push("repo", repository);
        query.push("tag", tag);
        let target = format!("/images/{id}/tag{}", query.encode());
        let file = self.scope.layers.join(self.scope.tenant.key()).join(short);
        use_note::write(&file, &name)
            .map_err(|error| Denied::broken(crate::failure::chain(&error)))?;
        self.engine.must(Method::POST, &target, None).await?;
        Ok(())
    }
}

/// Clients and engines write `<none>` for nothing.
fn is_nameless(image: &Value) -> bool {
    let texts = |key: &str| image[key].as_array().into_iter().flatten();
    let mut names = texts("RepoTags").chain(texts("RepoDigests"));
    names.all(|name| name.as_str().is_some_and(|name| name.starts_with("<none>")))
}

impl Layers {
    /// The layers of the engine at this socket; `dir` is where their use is noted.
    pub fn new(socket: &Path, dir: impl Into<PathBuf>, host: HostSecret) -> Self {
        Self {
            daemon: Daemon::new(socket),
            dir: dir.into(),
            host,
        }
    }

    /// Gives up what is used least, until the rest has at most so many bytes: of the tenant that
    /// keeps most first, so that none drives out another.
    pub async fn trim(&self, budget: u64) -> Result<Trimmed, GateError> {
        let mut trimmed = Trimmed::default();
        let mut all = self.all().await?;
        all.sort_by_key(|kept| kept.used);
        let mut used = Vec::new();
        while bytes(all.iter().chain(&used)) > budget {
            let Some(place) = next(&all) else { break };
            let kept = all.remove(place);
            if self.remove(&kept.name, &mut trimmed).await? {
                forget(&kept.file)?;
            } else {
                used.push(kept);
            }
        }
        trimmed.kept = bytes(all.iter().chain(&used));
        self.cut_off(&mut trimmed).await?;
        Ok(trimmed)
    }

    /// What the engine keeps. A note without an image is forgotten.
    async fn all(&self) -> Result<Vec<Kept>, GateError> {
        // Of what has no note nobody here says that it is ours: another installation may keep it.
        let mut notes = Vec::new();
        for tenant in entries(&self.dir)? {
            for file in entries(&tenant)? {
                notes.push((tenant.clone(), file));
            }
        }
        // After the notes: a note is written before its image is named.
        let images = self.images().await?;
        let mut all = Vec::new();
        for (tenant, file) in notes {
            let name = use_note::read(&file)?;
            let image = name.as_ref().and_then(|name| images.get(name));
            let (Some(name), Some(image)) = (name, image) else {
                if is_older(used(&file), CUT_OFF) {
                    forget(&file)?;
                }
                continue;
            };
            let layers = if name.contains(&format!("/{FOLDER}")) {
                self.layers(&name).await?
            } else {
                BTreeMap::from([(image.id.clone(), image.size)])
            };
            all.push(Kept {
                layers,
                used: used(&file),
                tenant,
                file,
                name,
            });
        }
        Ok(all)
    }

    /// The images under a tenant's name, by name.
    async fn images(&self) -> Result<BTreeMap<String, Listed>, DaemonError> {
        let mut images = BTreeMap::new();
        for image in self.list(&json!({})).await? {
            let names = image["RepoTags"].as_array().into_iter().flatten();
            for name in names.filter_map(Value::as_str) {
                let listed = Listed {
                    id: image["Id"].as_str().unwrap_or_default().to_owned(),
                    size: image["Size"].as_u64().unwrap_or_default(),
                };
                images.insert(name.to_owned(), listed);
            }
        }
        Ok(images)
    }

    async fn list(&self, filters: &Value) -> Result<Vec<Value>, DaemonError> {
        let mut query = Query::default();
        query.push("filters", filters.to_string());
        let target = format!("/images/json{}", query.encode());
        match self.daemon.must(Method::GET, &target, None).await? {
            Value::Array(all) => Ok(all),
            _ => Ok(Vec::new()),
        }
    }

    /// What was made on this host for an image; layers that came with its base do not count.
    async fn layers(&self, name: &str) -> Result<BTreeMap<String, u64>, DaemonError> {
        let target = format!("/images/{name}/history");
        let answer = self.daemon.call(Method::GET, &target, None).await?;
        let steps = answer.value.as_array().cloned().unwrap_or_default();
        let is_ours = |step: &&Value| {
            let made = step["CreatedBy"].as_str().unwrap_or_default();
            !made.contains(&format!("LABEL {CACHE}="))
        };
        let step = |step: &Value| {
            let id = step["Id"].as_str().filter(|id| id.starts_with("sha256:"))?;
            Some((id.to_owned(), step["Size"].as_u64().unwrap_or_default()))
        };
        Ok(steps.iter().take_while(is_ours).filter_map(step).collect())
    }

    /// Removes what builds left that did not come to their end: images with a label of a tenant of ours, which
    /// nobody can compute, and without any name. An image that was pulled has one, be it a digest.
    async fn cut_off(&self, trimmed: &mut Trimmed) -> Result<(), GateError> {
        let mut labels = Vec::new();
        for tenant in entries(&self.dir)? {
            let key = tenant.file_name().unwrap_or_default().to_string_lossy();
            labels.push(self.host.of_tenant_key(&key).layers());
        }
        let all = self
            .list(&json!({ "dangling": ["true"], "label": [CACHE] }))
            .await?;
        let is_ours = |image: &&Value| {
            let label = image["Labels"][CACHE].as_str().unwrap_or_default();
            let value = label.split('.').next().unwrap_or_default();
            labels.iter().any(|known| known == value) && is_nameless(image)
        };
        for image in all.iter().filter(is_ours) {
            let made = image["Created"].as_u64().map(Duration::from_secs);
            let is_old = made.is_some_and(|made| is_older(SystemTime::UNIX_EPOCH + made, CUT_OFF));
            if let Some(id) = image["Id"].as_str().filter(|_| is_old) {
                self.remove(id, trimmed).await?;
            }
        }
        Ok(())
    }

    /// Whether it is gone: an image that a container uses stays until the next try.
    async fn remove(&self, name: &str, trimmed: &mut Trimmed) -> Result<bool, DaemonError> {
        let target = format!("/images/{name}");
        let answer = self.daemon.call(Method::DELETE, &target, None).await?;
        match answer.status {
            status if status.is_success() => trimmed.removed += 1,
            StatusCode::NOT_FOUND => {}
            StatusCode::CONFLICT => return Ok(false),
            _ => {
                let message = answer.value["message"].as_str().unwrap_or_default();
                trimmed.left.push(format!("{name}: {message}"));
                return Ok(false);
            }
        }
        Ok(true)
    }
}

/// The least used of the tenant that keeps most; the images stand in the order of their use.
fn next(all: &[Kept]) -> Option<usize> {
    let of = |tenant: &Path| bytes(all.iter().filter(|kept| kept.tenant == tenant));
    let most = all.iter().max_by_key(|kept| of(&kept.tenant))?;
    all.iter().position(|kept| kept.tenant == most.tenant)
}

/// How much images have together; what two share counts once.
fn bytes<'a>(images: impl Iterator<Item = &'a Kept>) -> u64 {
    let layers: BTreeMap<&String, u64> = images
        .flat_map(|kept| kept.layers.iter().map(|(id, size)| (id, *size)))
        .collect();
    layers.values().sum()
}

/// When the image of a note was used last.
fn used(file: &Path) -> SystemTime {
    let data = fs::metadata(file).and_then(|data| data.modified());
    data.unwrap_or_else(|_| SystemTime::now())
}

fn is_older(time: SystemTime, age: Duration) -> bool {
    time.elapsed().is_ok_and(|passed| passed > age)
}

fn entries(folder: &Path) -> Result<Vec<PathBuf>, StoreError> {
    let wrong = |source| StoreError::Read {
        path: folder.to_owned(),
        source,
    };
    match fs::read_dir(folder) {
        Ok(entries) => entries
            .map(|entry| entry.map(|entry| entry.path()).map_err(wrong))
            .collect(),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(wrong(error)),
    }
}

fn forget(file: &Path) -> Result<(), StoreError> {
    match fs::remove_file(file) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(StoreError::Write {
            path: file.to_owned(),
            source: error,
        }),
        Err(_) | Ok(()) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(tenant: &str, name: &str, layers: &[(&str, u64)]) -> Kept {
        Kept {
            tenant: tenant.into(),
            file: PathBuf::new(),
            name: name.to_owned(),
            used: SystemTime::UNIX_EPOCH,
            layers: layers
                .iter()
                .map(|(id, size)| ((*id).to_owned(), *size))
                .collect(),
        }
    }

    #[test]
    fn the_tenant_that_keeps_most_gives_up_its_least_used_first() {
        let all = [
            kept("a", "a1", &[("x", 5)]),
            kept("b", "b1", &[("y", 4), ("z", 4)]),
            kept("b", "b2", &[("y", 4), ("w", 1)]),
            kept("a", "a2", &[("x", 5), ("v", 1)]),
        ];
        assert_eq!(bytes(all.iter()), 15);
        assert_eq!(next(&all), Some(1));
        assert_eq!(next(&all[..1]), Some(0));
        assert_eq!(next(&[]), None);
    }
}
