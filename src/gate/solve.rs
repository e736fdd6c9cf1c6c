//! What a build asks of `BuildKit` directly: judged field by field, with our label added.
//!
//! Pure. Build steps run in a sandbox whatever the definition says, as long as no entitlement is
//! granted; so those, where results go, and where the context comes from are what is judged.

use super::refusal::Denied;
use super::wire::{self, Field, fields};
use crate::docker::reference::Reference;

/// A request that may pass.
#[derive(Debug, PartialEq, Eq)]
pub struct Solve {
    /// The names that the build gives to its image.
    pub tags: Vec<Reference>,
    /// Images that it names in its options.
    pub images: Vec<String>,
    pub message: Vec<u8>,
}

/// Methods that builds need and that look at nothing but their own build.
pub fn is_open(path: &str) -> bool {
    const BRIDGE: &str = "/moby.buildkit.v1.frontend.LLBBridge/";
    // Not NewContainer and ExecProcess: they start processes outside of any build step.
    const BRIDGE_METHODS: &[&str] = &[
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
        CONTROL_SOLVE,
        "/moby.buildkit.v1.Control/Status",
        "/moby.buildkit.v1.Control/Info",
        "/moby.buildkit.v1.Control/ListWorkers",
        "/grpc.health.v1.Health/Check",
    ];
    METHODS.contains(&path)
        || path
            .strip_prefix(BRIDGE)
            .is_some_and(|method| BRIDGE_METHODS.contains(&method))
}

/// The methods whose request is judged.
pub const CONTROL_SOLVE: &str = "/moby.buildkit.v1.Control/Solve";
pub const BRIDGE_SOLVE: &str = "/moby.buildkit.v1.frontend.LLBBridge/Solve";

/// Reads a request of one of these methods and writes it anew.
pub fn judge(path: &str, message: &[u8], label: &(String, String)) -> Result<Solve, Denied> {
    let mut solve = Solve {
        tags: Vec::new(),
        images: Vec::new(),
        message: Vec::new(),
    };
    let options = if path == CONTROL_SOLVE { 7 } else { 3 };
    for field in fields(message).ok_or_else(malformed)? {
        match (path, field.number) {
            (CONTROL_SOLVE, 3) => exporter(&field)?,
            (CONTROL_SOLVE, 4) => solve.output(&field)?,
            (CONTROL_SOLVE, 8) => cache(&field)?,
            (CONTROL_SOLVE, 9) => {
                return Err(Denied::forbidden(format!(
                    "the entitlement {:?} is not given to jobs: build without it",
                    field.text().unwrap_or_default()
                )));
            }
            (CONTROL_SOLVE, 13) => {
                for part in message_fields(&field)? {
                    match part.number {
                        1 => exporter(&part)?,
                        2 => solve.output(&part)?,
                        _ => return Err(unknown("exporter", part.number)),
                    }
                }
            }
            (_, number) if number == options => solve.option(&field)?,
            (CONTROL_SOLVE, 1 | 2 | 5 | 6 | 10 | 11 | 12 | 14)
            | (BRIDGE_SOLVE, 1 | 2 | 4 | 5 | 6 | 10..=15) => {}
            (_, number) => return Err(unknown("build request", number)),
        }
        solve.message.extend_from_slice(field.raw);
    }
    let key = format!("label:{}", label.0);
    wire::push_entry(&mut solve.message, options, &key, &label.1);
    Ok(solve)
}

impl Solve {
    /// An attribute of the result.
    fn output(&mut self, field: &Field<'_>) -> Result<(), Denied> {
        let (key, value) = field.bytes().and_then(wire::entry).ok_or_else(malformed)?;
        match key {
            "name" => {
                for name in value.split(',').filter(|name| !name.is_empty()) {
                    self.tags
                        .push(Reference::parse(name).map_err(|_| malformed())?);
                }
                Ok(())
            }
            _ if key.starts_with("push") && !matches!(value, "" | "false") => Err(
                Denied::forbidden("pushing from a build is not open to jobs: `docker push` it"),
            ),
            "push" | "unpack" | "buildinfo" | "buildinfo-attrs" | "oci-mediatypes"
            | "compression" | "compression-level" | "force-compression" | "rewrite-timestamp"
            | "dest" | "tar" | "platform-split" | "source-date-epoch" | "store" => Ok(()),
            _ if key.starts_with("push") || key.starts_with("annotation") => Ok(()),
            _ => Err(Denied::forbidden(format!(
                "the output option {key:?} is not known here; leave it out"
            ))),
        }
    }

    /// An option of the frontend. Those not named here have no more power than a build step.
    fn option(&mut self, field: &Field<'_>) -> Result<(), Denied> {
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
                self.images.push(value.to_owned());
                Ok(())
            }
            "context" if is_remote(value) => refused("clone it and build the folder"),
            _ if key.starts_with("label:dockmaster.") => refused("choose another name"),
            _ if key.starts_with("context:") => match value.strip_prefix("docker-image://") {
                Some(image) => {
                    self.images.push(image.to_owned());
                    Ok(())
                }
                None if is_remote(value) => refused("clone it and build the folder"),
                None => Ok(()),
            },
            _ => Ok(()),
        }
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
    for part in message_fields(field)? {
        match part.number {
            1..=3 => {}
            4 | 5 => {
                for entry in message_fields(&part)? {
                    if entry.number == 1
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

#[cfg(test)]
mod tests {
    use super::*;

    fn text(number: u8, text: &str) -> Vec<u8> {
        let mut out = vec![number << 3 | 2, u8::try_from(text.len()).unwrap()];
        out.extend_from_slice(text.as_bytes());
        out
    }

    fn pair(number: u8, key: &str, value: &str) -> Vec<u8> {
        let mut out = Vec::new();
        wire::push_entry(&mut out, u64::from(number), key, value);
        out
    }

    fn judged(path: &str, parts: &[Vec<u8>]) -> Result<Solve, Denied> {
        judge(
            path,
            &parts.concat(),
            &("dockmaster.gate-image".to_owned(), "7".to_owned()),
        )
    }

    #[test]
    fn a_build_passes_with_our_label_added() {
        let parts = [
            text(1, "ref"),
            text(3, "moby"),
            pair(4, "name", "app:1,app:2"),
            text(6, "dockerfile.v0"),
        ];
        let solve = judged(CONTROL_SOLVE, &parts).unwrap();
        let names: Vec<String> = solve.tags.iter().map(Reference::tagged).collect();
        assert_eq!(
            names,
            ["docker.io/library/app:1", "docker.io/library/app:2"]
        );
        let label = pair(7, "label:dockmaster.gate-image", "7");
        assert_eq!(solve.message, [parts.concat(), label].concat());
    }

    #[test]
    fn what_leaves_the_sandbox_is_refused_by_name() {
        for (path, part, word) in [
            (CONTROL_SOLVE, text(9, "network.host"), "network.host"),
            (
                CONTROL_SOLVE,
                text(9, "security.insecure"),
                "security.insecure",
            ),
            (CONTROL_SOLVE, text(3, "registry"), "registry"),
            (CONTROL_SOLVE, pair(4, "push", "true"), "docker push"),
            (CONTROL_SOLVE, pair(4, "strange", "true"), "strange"),
            (
                CONTROL_SOLVE,
                pair(7, "force-network-mode", "host"),
                "force-network-mode",
            ),
            (
                CONTROL_SOLVE,
                pair(7, "cgroup-parent", "/x"),
                "cgroup-parent",
            ),
            (
                BRIDGE_SOLVE,
                pair(3, "force-network-mode", "host"),
                "force-network-mode",
            ),
            (
                BRIDGE_SOLVE,
                pair(3, "context", "http://10.0.0.1/x"),
                "clone it",
            ),
            (
                BRIDGE_SOLVE,
                pair(3, "context:a", "https://10.0.0.1/x"),
                "clone it",
            ),
            (
                BRIDGE_SOLVE,
                pair(3, "label:dockmaster.gate", "8"),
                "label:dockmaster.gate",
            ),
            (CONTROL_SOLVE, text(15, "x"), "field 15"),
            (CONTROL_SOLVE, vec![0x4a, 200], "malformed"),
        ] {
            let denied = judged(path, &[part]).unwrap_err();
            assert!(denied.message.contains(word), "{}", denied.message);
        }
    }

    #[test]
    fn only_methods_of_a_build_are_open() {
        assert!(is_open(CONTROL_SOLVE) && is_open(BRIDGE_SOLVE));
        for path in [
            "/moby.buildkit.v1.Control/Prune",
            "/moby.buildkit.v1.Control/DiskUsage",
            "/moby.buildkit.v1.Control/ListenBuildHistory",
            "/moby.buildkit.v1.frontend.LLBBridge/NewContainer",
            "/moby.buildkit.v1.frontend.LLBBridge/ExecProcess",
            "/moby.buildkit.v1.Control/Solve/",
            "/containerd.services.content.v1.Content/Read",
        ] {
            assert!(!is_open(path), "{path}");
        }
    }
}
