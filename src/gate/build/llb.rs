//! Definitions of builds that a client wrote itself: only what a Dockerfile of this job could say.
//!
//! Definitions are signed by digests, so they are not written anew: they pass or they do not. Ordinary clients send
//! one where a build takes the result of another (linked targets of `docker buildx bake`); that one was made by the
//! engine from a Dockerfile of this job, and has our host and our names already. Pure.

use super::known::{Realm, Table, inside, malformed, text};
use super::option::session;
use super::wire::{Field, Value, entry, fields};
use crate::gate::refusal::Denied;

/// What a field of a definition may be.
pub(crate) enum Rule {
    Keep,
    Unset(&'static str),
    Message(&'static Table<Rule>),
    Operation,
    Exec,
    Network,
    Mount,
    Cache,
    Source,
    SourceAttribute,
}

use Rule::{Keep, Message, Unset};

const BY_DOCKERFILE: &str = "write a Dockerfile";

/// Every message of a definition that is judged, for the test that compares them with the proto files.
#[cfg(test)]
pub(crate) const TABLES: &[&Table<Rule>] = &[
    &DEFINITION,
    &OP,
    &EXEC,
    &META,
    &HOST,
    &MOUNT,
    &CACHE,
    &SOURCE,
];

pub(crate) const DEFINITION: Table<Rule> = Table {
    message: "pb.Definition",
    fields: &[
        (1, "def", Rule::Operation),
        (2, "metadata", Keep),
        (3, "Source", Keep),
    ],
};

const OP: Table<Rule> = Table {
    message: "pb.Op",
    fields: &[
        (1, "inputs", Keep),
        (2, "exec", Rule::Exec),
        (3, "source", Rule::Source),
        (4, "file", Keep),
        (5, "build", Unset(BY_DOCKERFILE)),
        (6, "merge", Keep),
        (7, "diff", Keep),
        (8, "passthrough", Keep),
        (10, "platform", Keep),
        (11, "constraints", Keep),
    ],
};

const EXEC: Table<Rule> = Table {
    message: "pb.ExecOp",
    fields: &[
        (1, "meta", Message(&META)),
        (2, "mounts", Rule::Mount),
        (3, "network", Rule::Network),
        (4, "security", Unset("the step gets no privileges")),
        (5, "secretenv", Keep),
        (6, "cdiDevices", Unset("no device is given to jobs")),
    ],
};

const META: Table<Rule> = Table {
    message: "pb.Meta",
    fields: &[
        (1, "args", Keep),
        (2, "env", Keep),
        (3, "cwd", Keep),
        (4, "user", Keep),
        (5, "proxy_env", Keep),
        (6, "extraHosts", Message(&HOST)),
        (7, "hostname", Keep),
        (9, "ulimit", Keep),
        (
            10,
            "cgroupParent",
            Unset("the job's limits are the operator's"),
        ),
        (11, "removeMountStubsRecursive", Keep),
        (12, "validExitCodes", Keep),
    ],
};

const HOST: Table<Rule> = Table {
    message: "pb.HostIP",
    fields: &[(1, "Host", Keep), (2, "IP", Keep)],
};

const MOUNT: Table<Rule> = Table {
    message: "pb.Mount",
    fields: &[
        (1, "input", Keep),
        (2, "selector", Keep),
        (3, "dest", Keep),
        (4, "output", Keep),
        (5, "readonly", Keep),
        (6, "mountType", Keep),
        (19, "TmpfsOpt", Keep),
        (20, "cacheOpt", Message(&CACHE)),
        (21, "secretOpt", Keep),
        (22, "SSHOpt", Keep),
        (23, "resultID", Keep),
        (24, "contentCache", Keep),
    ],
};

const CACHE: Table<Rule> = Table {
    message: "pb.CacheOpt",
    fields: &[(1, "ID", Rule::Cache), (2, "sharing", Keep)],
};

const SOURCE: Table<Rule> = Table {
    message: "pb.SourceOp",
    fields: &[
        (1, "identifier", Rule::Source),
        (2, "attrs", Rule::SourceAttribute),
    ],
};

/// `MountType.CACHE`.
const CACHE_MOUNT: u64 = 3;

/// Judges a definition.
pub(crate) fn judge(definition: &[u8], realm: &Realm<'_>) -> Result<(), Denied> {
    let judge = Judge { realm };
    judge.message(&DEFINITION, &fields(definition).ok_or_else(malformed)?)
}

struct Judge<'a> {
    realm: &'a Realm<'a>,
}

impl Judge<'_> {
    fn message(&self, table: &Table<Rule>, all: &[Field<'_>]) -> Result<(), Denied> {
        for field in all {
            if let Some(rule) = table.rule(field)? {
                self.field(table, field, rule)?;
            }
        }
        Ok(())
    }

    fn field(&self, table: &Table<Rule>, field: &Field<'_>, rule: &Rule) -> Result<(), Denied> {
        match rule {
            Keep => Ok(()),
            Unset(_) if field.is_unset() => Ok(()),
            Unset(instead) => Err(refused(table, field, instead)),
            Message(inner) => self.message(inner, &inside(field)?),
            Rule::Operation => self.message(&OP, &inside(field)?),
            Rule::Exec => self.exec(&inside(field)?),
            Rule::Network => match field.value {
                // The default, or none.
                Value::Number(0 | 2) => Ok(()),
                _ => Err(refused(table, field, "use the default network, or none")),
            },
            Rule::Mount => self.mount(&inside(field)?),
            Rule::Cache if self.is_ours(text(field)?) => Ok(()),
            Rule::Cache => Err(refused(table, field, BY_DOCKERFILE)),
            Rule::Source if table.message == OP.message => self.message(&SOURCE, &inside(field)?),
            Rule::Source => self.source(text(field)?),
            Rule::SourceAttribute => match field.bytes().and_then(entry).ok_or_else(malformed)? {
                ("local.session", id) => session(id),
                _ => Ok(()),
            },
        }
    }

    /// A step without the tenant's host would share its cache with everybody.
    fn exec(&self, all: &[Field<'_>]) -> Result<(), Denied> {
        self.message(&EXEC, all)?;
        let host = self.realm.host();
        let mut hosts = Vec::new();
        for meta in all.iter().filter(|field| field.number == 1) {
            for entry in inside(meta)?.iter().filter(|field| field.number == 6) {
                let names = inside(entry)?;
                // Where a field stands twice, the last counts.
                let name = names.iter().rfind(|field| field.number == 1);
                hosts.push(name.and_then(Field::text).unwrap_or_default().to_owned());
            }
        }
        if hosts.contains(&host) {
            Ok(())
        } else {
            Err(Denied::forbidden(format!(
                "a build step that no Dockerfile of this job made is not allowed in a job: {BY_DOCKERFILE}"
            )))
        }
    }

    fn mount(&self, all: &[Field<'_>]) -> Result<(), Denied> {
        self.message(&MOUNT, all)?;
        // The engine cuts an enumeration to 32 bits.
        let is_cache = |field: &Field<'_>| {
            let is_kind =
                matches!(field.value, Value::Number(kind) if kind & 0xffff_ffff == CACHE_MOUNT);
            field.number == 6 && is_kind
        };
        if all.iter().any(is_cache) {
            let mut names = Vec::new();
            for option in all.iter().filter(|field| field.number == 20) {
                names.extend(
                    inside(option)?
                        .into_iter()
                        .filter(|field| field.number == 1),
                );
            }
            if names.is_empty() {
                return Err(Denied::forbidden(format!(
                    "a cache mount without a name is not allowed in a job: {BY_DOCKERFILE}"
                )));
            }
        }
        Ok(())
    }

    fn is_ours(&self, name: &str) -> bool {
        let rest = name.strip_prefix(&self.realm.namespace());
        rest.is_some_and(|rest| rest.starts_with('/'))
    }

    /// Files of the client's, or an image that the job has. The rest the engine would fetch itself.
    fn source(&self, identifier: &str) -> Result<(), Denied> {
        let is_open = match identifier.split_once("://") {
            Some(("local", _)) => true,
            Some(("docker-image", image)) => self
                .realm
                .prefixes
                .iter()
                .any(|prefix| image.starts_with(prefix.as_str())),
            _ => false,
        };
        if is_open {
            Ok(())
        } else {
            Err(Denied::forbidden(format!(
                "the source {identifier:?} of a build is not allowed in a job: {BY_DOCKERFILE}"
            )))
        }
    }
}

fn refused(table: &Table<Rule>, field: &Field<'_>, instead: &str) -> Denied {
    let name = table.fields.iter().find(|known| known.0 == field.number);
    let name = name.map_or("", |known| known.1);
    Denied::forbidden(format!(
        "{}.{name} is not allowed in a job: {instead}",
        table.message
    ))
}
