//! What a container mounts: `Binds` and `Mounts` in one form.
//!
//! Pure. A named volume or a path is only read here; whether it is the job's is found out later.

use serde_json::{Map, Value, json};

use crate::gate::field::{Field, Rule, Shape, copy, forbidden, nested, text};
use crate::gate::refusal::Denied;

/// One thing to mount.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Mount {
    pub source: Source,
    /// Where in the container.
    pub target: String,
    pub is_read_only: bool,
    /// The volume is not filled from the image.
    pub is_bare: bool,
    /// A path that is not there becomes a folder, as `-v` does.
    pub makes_folder: bool,
}

/// Where it comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Source {
    Anonymous,
    Volume(String),
    /// A path as the job sees it.
    Path(String),
    Memory(Map<String, Value>),
}

/// What the engine is told to mount instead of what the client wrote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Place {
    Anonymous,
    Volume(String),
    Path(String),
    Memory(Map<String, Value>),
}

impl Mount {
    /// The entry for the engine.
    pub(crate) fn write(&self, place: &Place, labels: &Value) -> Value {
        let mut entry = json!({ "Target": self.target, "ReadOnly": self.is_read_only });
        match place {
            Place::Anonymous => {
                entry["Type"] = json!("volume");
                entry["VolumeOptions"] = json!({ "NoCopy": self.is_bare, "Labels": labels });
            }
            Place::Volume(name) => {
                entry["Type"] = json!("volume");
                entry["Source"] = json!(name);
                entry["VolumeOptions"] = json!({ "NoCopy": self.is_bare, "Labels": labels });
            }
            Place::Path(path) => {
                entry["Type"] = json!("bind");
                entry["Source"] = json!(path);
                entry["BindOptions"] = json!({ "Propagation": "rprivate" });
            }
            Place::Memory(options) => {
                entry["Type"] = json!("tmpfs");
                entry["TmpfsOptions"] = Value::Object(options.clone());
            }
        }
        entry
    }
}

/// Reads one entry of `Binds`: `source:target[:options]`.
pub(super) fn bind(entry: &str) -> Result<Mount, Denied> {
    let malformed = || Denied::malformed(format!("HostConfig.Binds {entry:?} is malformed"));
    let parts: Vec<&str> = entry.split(':').collect();
    let (source, target, options) = match parts.as_slice() {
        [target] => ("", *target, ""),
        [source, target] => (*source, *target, ""),
        [source, target, options] => (*source, *target, *options),
        _ => return Err(malformed()),
    };
    let mut mount = Mount {
        source: named(source).ok_or_else(malformed)?,
        target: absolute(target).ok_or_else(malformed)?,
        is_read_only: false,
        is_bare: false,
        makes_folder: true,
    };
    for option in options.split(',') {
        match option {
            // Labels for SELinux are the operator's; the others are hints or the usual.
            "" | "rw" | "z" | "Z" | "cached" | "delegated" | "consistent" | "rprivate" => {}
            "ro" => mount.is_read_only = true,
            "nocopy" => mount.is_bare = true,
            _ => {
                return Err(forbidden(
                    &format!("HostConfig.Binds option {option:?}"),
                    "leave it out",
                ));
            }
        }
    }
    Ok(mount)
}

/// Reads `Mounts`.
pub(super) fn list(given: Option<&Value>) -> Result<Vec<Mount>, Denied> {
    let entries = match given {
        None | Some(Value::Null) => return Ok(Vec::new()),
        Some(Value::Array(entries)) => entries,
        Some(_) => return Err(Denied::malformed("HostConfig.Mounts is not a list")),
    };
    entries.iter().map(entry).collect()
}

fn entry(given: &Value) -> Result<Mount, Denied> {
    let place = "HostConfig.Mounts";
    let given = nested(place, Some(given))?;
    let kept = copy("HostConfig.Mounts.", &given, MOUNT)?;
    let source = text("HostConfig.Mounts.Source", given.get("Source"))?;
    let malformed =
        |what: &str| Denied::malformed(format!("HostConfig.Mounts.{what} is malformed"));
    let source = match text("HostConfig.Mounts.Type", given.get("Type"))?.as_str() {
        "volume" => match named(&source) {
            Some(source @ (Source::Volume(_) | Source::Anonymous)) => source,
            Some(Source::Path(_) | Source::Memory(_)) | None => return Err(malformed("Source")),
        },
        "bind" => Source::Path(absolute(&source).ok_or_else(|| malformed("Source"))?),
        "tmpfs" => Source::Memory(nested(place, kept.get("TmpfsOptions"))?.into_owned()),
        other => {
            return Err(forbidden(
                &format!("HostConfig.Mounts.Type {other:?}"),
                "leave it out",
            ));
        }
    };
    let target = text("HostConfig.Mounts.Target", given.get("Target"))?;
    let volume = nested(place, kept.get("VolumeOptions"))?;
    let bind = nested(place, kept.get("BindOptions"))?;
    Ok(Mount {
        source,
        target: absolute(&target).ok_or_else(|| malformed("Target"))?,
        is_read_only: kept.get("ReadOnly") == Some(&Value::Bool(true)),
        is_bare: volume.get("NoCopy") == Some(&Value::Bool(true)),
        makes_folder: bind.get("CreateMountpoint") == Some(&Value::Bool(true)),
    })
}

fn named(source: &str) -> Option<Source> {
    let letter = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte);
    let is_name = source.len() > 1
        && source.bytes().all(letter)
        && source
            .bytes()
            .next()
            .is_some_and(|byte| byte.is_ascii_alphanumeric());
    match source {
        "" => Some(Source::Anonymous),
        _ if source.starts_with('/') => absolute(source).map(Source::Path),
        _ if is_name => Some(Source::Volume(source.to_owned())),
        _ => None,
    }
}

/// An absolute path without turns, without its last slash.
fn absolute(path: &str) -> Option<String> {
    let parts: Vec<&str> = path
        .strip_prefix('/')?
        .split('/')
        .filter(|part| !matches!(*part, "" | "."))
        .collect();
    let sound = parts.iter().all(|part| *part != "..") && !path.contains(['\0', '\n']);
    sound.then(|| format!("/{}", parts.join("/")))
}

const LEAVE: Rule = Rule::Unset("leave it out");
const FLAG: Rule = Rule::Keep(Shape::Flag);

const MOUNT: &[Field] = &[
    Field("Type", Rule::Apart),
    Field("Source", Rule::Apart),
    Field("Target", Rule::Apart),
    Field("ReadOnly", FLAG),
    Field(
        "Consistency",
        Rule::Among(&["default", "consistent", "cached", "delegated"]),
    ),
    Field("BindOptions", Rule::Keep(Shape::Object(BIND))),
    Field("VolumeOptions", Rule::Keep(Shape::Object(VOLUME))),
    Field("TmpfsOptions", Rule::Keep(Shape::Object(MEMORY))),
    Field("ImageOptions", LEAVE),
];
const BIND: &[Field] = &[
    Field("Propagation", Rule::Among(&["rprivate", "private"])),
    Field("NonRecursive", FLAG),
    Field("CreateMountpoint", FLAG),
    Field("ReadOnlyNonRecursive", LEAVE),
    Field("ReadOnlyForceRecursive", LEAVE),
];
const VOLUME: &[Field] = &[
    Field("NoCopy", FLAG),
    Field("Labels", Rule::Keep(Shape::TextMap)),
    Field("DriverConfig", Rule::Keep(Shape::Object(DRIVER))),
    Field("Subpath", LEAVE),
];
const DRIVER: &[Field] = &[
    Field("Name", Rule::Among(&["local"])),
    Field(
        "Options",
        Rule::Unset("a volume driver's options reach the host"),
    ),
];
const MEMORY: &[Field] = &[
    Field("SizeBytes", Rule::Keep(Shape::Number)),
    Field("Mode", Rule::Keep(Shape::Number)),
    Field("Options", LEAVE),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn binds_are_read_as_the_engine_reads_them() {
        let mount = bind("/builds/a/../b:/x");
        assert!(mount.is_err(), "a path that turns is refused");
        let mount = bind("/builds//a/./b/:/x/:ro").unwrap();
        assert_eq!(mount.source, Source::Path("/builds/a/b".to_owned()));
        assert_eq!(mount.target, "/x");
        assert!(mount.is_read_only);
        assert_eq!(
            bind("data:/x").unwrap().source,
            Source::Volume("data".to_owned())
        );
        for text in [
            "data:x",
            "../x:/y",
            "a:b:c:d",
            "/a:/b:rshared",
            "-v:/x",
            "/a\0:/x",
        ] {
            assert!(bind(text).is_err(), "{text}");
        }
    }
}
