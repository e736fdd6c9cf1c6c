//! Where the result of a build goes: into the engine's own store under the job's names, or back to the client.
//!
//! Both roads have an exporter and its attributes: judged here alone. Pure.

use super::known::Speak;
use super::option::{is_harmless, is_switch, refusal};
use crate::docker::reference::Reference;
use crate::gate::refusal::Denied;

/// What an attribute means.
#[derive(Clone, Copy)]
enum Rule {
    /// Names of the image.
    Names,
    Text,
    Switch,
    /// The gate pushes what the engine would.
    Push,
    /// Must not be switched on; the text says what to do instead.
    Off(&'static str),
}

pub(super) const PUSH: &str = "build the image with `docker buildx build --push`, or `docker push` it then: the push is recorded";

/// By key, or by its beginning where that ends in `.` or `-`.
const RULES: &[(&str, Rule)] = &[
    (NAME, Rule::Names),
    ("push", Rule::Push),
    ("push-by-digest", Rule::Off(PUSH)),
    ("dangling-name-prefix", Rule::Off("leave it out")),
    ("name-canonical", Rule::Switch),
    ("unpack", Rule::Switch),
    ("store", Rule::Switch),
    (
        "registry.",
        Rule::Off("the engine alone says how it reaches a registry"),
    ),
    // The configuration of the image, past what the Dockerfile says.
    ("containerimage.", Rule::Off("leave it out")),
    ("annotation", Rule::Text),
    ("annotation-", Rule::Text),
    ("annotation.", Rule::Text),
    ("attestation-prefix", Rule::Text),
    ("buildinfo-attrs", Rule::Text),
    ("compression", Rule::Text),
    ("compression-level", Rule::Text),
    ("dest", Rule::Text),
    ("source-date-epoch", Rule::Text),
];

const LONGEST: usize = 64 * 1024;

/// Whether an exporter of this type is open.
pub(super) fn kind(kind: &str) -> Result<(), Denied> {
    match kind {
        "" | "moby" | "image" | "local" | "tar" | "oci" | "docker" | "cacheonly" => Ok(()),
        other => Err(Denied::forbidden(format!(
            "the build output {other:?} is not allowed in a job: {PUSH}"
        ))),
    }
}

/// The attribute that names the image.
pub(super) const NAME: &str = "name";

/// An exporter, as far as its attributes decide on each other.
#[derive(Debug, Clone, Copy)]
pub(super) struct Output<'a> {
    kind: &'a str,
    is_pushed: bool,
}

impl<'a> Output<'a> {
    /// Reads what is known of an exporter: its type, and its attributes.
    pub(super) fn new(
        kind: &'a str,
        mut attributes: impl Iterator<Item = (&'a str, &'a str)>,
    ) -> Self {
        let is_push = |(key, value)| key == "push" && !is_no(value);
        Self {
            kind,
            is_pushed: is_kept(kind) && attributes.any(is_push),
        }
    }

    /// Whether it is asked to push.
    pub(super) fn is_pushed(&self) -> bool {
        self.is_pushed
    }

    /// Judges an attribute; hands out the value for the engine.
    pub(super) fn attribute(
        &self,
        key: &str,
        value: &str,
        speak: &mut impl Speak,
    ) -> Result<Option<String>, Denied> {
        if value.len() > LONGEST {
            return Err(Denied::malformed(format!(
                "the output option {key:.64} is too long"
            )));
        }
        let keep = || Ok(Some(value.to_owned()));
        match rule(key) {
            Some(Rule::Names) => {
                let names = self.names(value, speak)?;
                Ok((!names.is_empty()).then_some(names))
            }
            Some(Rule::Text) => keep(),
            // What the gate pushes is in the store.
            Some(Rule::Switch) if key == "store" && self.is_pushed => Ok(None),
            Some(Rule::Switch) if is_switch(value) => keep(),
            Some(Rule::Push) if is_no(value) || is_yes(value) => Ok(None),
            Some(Rule::Push) => Err(refusal(key, value, "it is a switch")),
            Some(Rule::Off(_)) if matches!(value, "" | "false" | "0") => Ok(None),
            Some(Rule::Off(instead)) => Err(refusal(key, value, instead)),
            None if is_harmless(key, value) => keep(),
            Some(Rule::Switch) | None => Err(Denied::forbidden(format!(
                "the output option {key:?} is not known here; leave it out"
            ))),
        }
    }

    /// Names in an archive for the client are the client's; those in the engine's store are translated.
    fn names(&self, value: &str, speak: &mut impl Speak) -> Result<String, Denied> {
        let mut names = Vec::new();
        for name in value.split(',').filter(|name| !name.is_empty()) {
            let read = Reference::parse(name);
            let name = read.map_err(|_| refusal("name", name, "it is no name of an image"))?;
            if self.is_pushed {
                speak.push(&name);
            }
            names.push(if is_kept(self.kind) {
                speak.tag(&name)
            } else {
                name.tagged()
            });
        }
        Ok(names.join(","))
    }
}

/// Whether the result stays with the engine.
pub(super) fn is_kept(kind: &str) -> bool {
    matches!(kind, "" | "moby" | "image")
}

/// As the engine reads a switch; one without a value is on.
fn is_yes(value: &str) -> bool {
    matches!(value, "" | "1" | "t" | "T" | "true" | "TRUE" | "True")
}

fn is_no(value: &str) -> bool {
    matches!(value, "0" | "f" | "F" | "false" | "FALSE" | "False")
}

fn rule(key: &str) -> Option<Rule> {
    let fits = |(known, _): &&(&str, Rule)| {
        *known == key || (known.ends_with(['.', '-']) && key.starts_with(known))
    };
    RULES.iter().find(fits).map(|(_, rule)| *rule)
}
