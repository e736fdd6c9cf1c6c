//! What a build asks of `BuildKit` directly: judged field by field, with our label added.
//!
//! Pure. Build steps run in a sandbox whatever the definition says, as long as no entitlement is
//! granted; so those, where results go, and where the context comes from are what is judged.

use super::Build;
use super::proto::{control, gateway};
use super::wire::{self, Field, fields};
use crate::docker::reference::Reference;
use crate::gate::refusal::Denied;

/// Methods that builds need and that look at nothing but their own build.
pub(crate) fn is_open(path: &str) -> bool {
    // Not NewContainer and ExecProcess: they start processes outside of any build step.
    const GATEWAY: &[&str] = &[
        "Ping",
        "ResolveImageConfig",
        "ResolveSourceMeta",
        "Solve",
        "ReadFile",
        "ReadDir",
        "StatFile",
        "Evaluate",
        "Return",
        "Inputs",
        "Warn",
    ];
    const METHODS: &[&str] = &[
        control::SOLVE,
        control::STATUS,
        control::INFO,
        control::LIST_WORKERS,
        "/grpc.health.v1.Health/Check",
    ];
    let method = path.strip_prefix(gateway::SERVICE);
    METHODS.contains(&path) || method.is_some_and(|method| GATEWAY.contains(&method))
}

/// The methods whose request is judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Method {
    Control,
    Gateway,
}

impl Method {
    pub(crate) fn of(path: &str) -> Option<Self> {
        match path {
            control::SOLVE => Some(Self::Control),
            gateway::SOLVE => Some(Self::Gateway),
            _ => None,
        }
    }

    /// The field that holds the options of the frontend.
    fn options(self) -> u64 {
        match self {
            Self::Control => control::solve_request::FRONTEND_ATTRS,
            Self::Gateway => gateway::solve_request::FRONTEND_OPT,
        }
    }
}

/// Reads a request of a method, and writes the message for the engine.
pub(crate) fn judge(
    method: Method,
    message: &[u8],
    label: &(String, String),
) -> Result<(Build, Vec<u8>), Denied> {
    let mut build = Build::default();
    let mut written = Vec::with_capacity(message.len());
    for field in fields(message).ok_or_else(malformed)? {
        match method {
            Method::Control => control_field(&mut build, &field)?,
            Method::Gateway => gateway_field(&mut build, &field)?,
        }
        written.extend_from_slice(field.raw);
    }
    let key = format!("label:{}", label.0);
    wire::push_entry(&mut written, method.options(), &key, &label.1);
    Ok((build, written))
}

fn control_field(build: &mut Build, field: &Field<'_>) -> Result<(), Denied> {
    use control::solve_request as request;
    match field.number {
        request::EXPORTER_DEPRECATED => exporter(field),
        request::EXPORTER_ATTRS_DEPRECATED => output(build, field),
        request::EXPORTERS => exporters(build, field),
        request::FRONTEND_ATTRS => option(build, field),
        request::CACHE => cache(field),
        request::ENTITLEMENTS => Err(Denied::forbidden(format!(
            "the entitlement {:?} is not given to jobs: build without it",
            field.text().unwrap_or_default()
        ))),
        request::REF
        | request::DEFINITION
        | request::SESSION
        | request::FRONTEND
        | request::FRONTEND_INPUTS
        | request::INTERNAL
        | request::SOURCE_POLICY
        | request::ENABLE_SESSION_EXPORTER => Ok(()),
        number => Err(unknown("build request", number)),
    }
}

fn gateway_field(build: &mut Build, field: &Field<'_>) -> Result<(), Denied> {
    use gateway::solve_request as request;
    match field.number {
        request::FRONTEND_OPT => option(build, field),
        request::DEFINITION
        | request::FRONTEND
        | request::IMPORT_CACHE_REFS_DEPRECATED
        | request::ALLOW_RESULT_RETURN
        | request::ALLOW_RESULT_ARRAY_REF
        | request::FINAL
        | request::EXPORTER_ATTR
        | request::FRONTEND_INPUTS
        | request::CACHE_IMPORTS
        | request::EVALUATE
        | request::SOURCE_POLICIES => Ok(()),
        number => Err(unknown("build request", number)),
    }
}

fn exporters(build: &mut Build, field: &Field<'_>) -> Result<(), Denied> {
    for part in message_fields(field)? {
        match part.number {
            control::exporter::TYPE => exporter(&part)?,
            control::exporter::ATTRS => output(build, &part)?,
            number => return Err(unknown("exporter", number)),
        }
    }
    Ok(())
}

/// An attribute of the result.
fn output(build: &mut Build, field: &Field<'_>) -> Result<(), Denied> {
    let (key, value) = field.bytes().and_then(wire::entry).ok_or_else(malformed)?;
    match key {
        "name" => {
            for name in value.split(',').filter(|name| !name.is_empty()) {
                build
                    .tags
                    .push(Reference::parse(name).map_err(|_| malformed())?);
            }
            Ok(())
        }
        _ if key.starts_with("push") && !matches!(value, "" | "false") => Err(Denied::forbidden(
            "pushing from a build is not open to jobs: `docker push` it",
        )),
        "buildinfo-attrs" | "compression" | "compression-level" | "dest" | "source-date-epoch" => {
            Ok(())
        }
        _ if key.starts_with("push") || key.starts_with("annotation") => Ok(()),
        // A switch names nothing and reaches nowhere, and each new client brings another one. Where the
        // key asks for a name, `true` is one.
        _ if is_switch(value) && !names_or_reaches(key) => Ok(()),
        _ => Err(Denied::forbidden(format!(
            "the output option {key:?} is not known here; leave it out"
        ))),
    }
}

fn is_switch(value: &str) -> bool {
    matches!(value, "" | "true" | "false" | "0" | "1")
}

fn names_or_reaches(key: &str) -> bool {
    key == "dangling-name-prefix" || key.starts_with("registry.")
}

/// An option of the frontend. Those not named here have no more power than a build step.
fn option(build: &mut Build, field: &Field<'_>) -> Result<(), Denied> {
    let (key, value) = field.bytes().and_then(wire::entry).ok_or_else(malformed)?;
    let refused = |instead: &str| {
        Err(Denied::forbidden(format!(
            "the build option {key}={value:?} is not allowed in a job: {instead}"
        )))
    };
    match key {
        "force-network-mode" if !matches!(value, "" | "none" | "default" | "sandbox") => {
            refused("use \"default\" or \"none\"")
        }
        "cgroup-parent" if !value.is_empty() => refused("the job's limits are the operator's"),
        "source" => {
            build.images.push(value.to_owned());
            Ok(())
        }
        "context" if is_remote(value) => refused("clone it and build the folder"),
        _ if key.starts_with("label:dockmaster.") => refused("choose another name"),
        _ if key.starts_with("context:") => match value.strip_prefix("docker-image://") {
            Some(image) => {
                build.images.push(image.to_owned());
                Ok(())
            }
            None if is_remote(value) => refused("clone it and build the folder"),
            None => Ok(()),
        },
        _ => Ok(()),
    }
}

fn is_remote(context: &str) -> bool {
    context.contains("://") || context.starts_with("git@") || context.starts_with("github.com/")
}

fn exporter(field: &Field<'_>) -> Result<(), Denied> {
    match field.text() {
        Some("" | "moby" | "image" | "local" | "tar" | "oci" | "docker") => Ok(()),
        other => Err(Denied::forbidden(format!(
            "the build output {:?} is not allowed in a job: build the image, then push it",
            other.unwrap_or_default()
        ))),
    }
}

/// Caches come from images and from the client; other stores the daemon itself would connect to.
fn cache(field: &Field<'_>) -> Result<(), Denied> {
    use control::cache_options as options;
    for part in message_fields(field)? {
        match part.number {
            options::EXPORT_REF_DEPRECATED
            | options::IMPORT_REFS_DEPRECATED
            | options::EXPORT_ATTRS_DEPRECATED => {}
            options::EXPORTS | options::IMPORTS => {
                for entry in message_fields(&part)? {
                    if entry.number == control::cache_options_entry::TYPE
                        && !matches!(entry.text(), Some("" | "inline" | "local" | "registry"))
                    {
                        return Err(Denied::forbidden(format!(
                            "the build cache {:?} is not allowed in a job: use \"inline\" or \"local\"",
                            entry.text().unwrap_or_default()
                        )));
                    }
                }
            }
            number => return Err(unknown("cache", number)),
        }
    }
    Ok(())
}

fn message_fields<'a>(field: &Field<'a>) -> Result<Vec<Field<'a>>, Denied> {
    field.bytes().and_then(fields).ok_or_else(malformed)
}

fn unknown(what: &str, number: u64) -> Denied {
    Denied::forbidden(format!(
        "field {number} of the {what} is not known here: use an older client"
    ))
}

fn malformed() -> Denied {
    Denied::malformed("the build request is malformed")
}
