//! What a build asks of `BuildKit` directly: judged field by field, and written anew.
//!
//! Pure. Build steps run in a sandbox whatever the definition says, as long as no entitlement is
//! granted; so those, what the build names, where results go, and where the context comes from are
//! what is judged.

use super::known::{Realm, Speak, Table, inside, malformed, text};
use super::option::{self, Options};
use super::proto::{control, gateway};
use super::recipe::Recipe;
use super::wire::{Field, entry, fields, push_bytes, push_entry};
use super::{llb, output};
use crate::gate::refusal::Denied;

/// Methods that builds need and that look at nothing but their own build.
pub(crate) fn is_open(path: &str) -> bool {
    // Not NewContainer and ExecProcess: they start processes outside of any build step. Not
    // ResolveImageConfig and ResolveSourceMeta: they tell about images of others.
    const GATEWAY: &[&str] = &[
        "Ping", "Solve", "ReadFile", "ReadDir", "StatFile", "Evaluate", "Return", "Inputs", "Warn",
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

/// How many messages that say nothing the gate itself answers with: what the builder keeps is no job's to
/// see or remove.
pub(crate) fn messages_here(path: &str) -> Option<usize> {
    match path.strip_prefix("/moby.buildkit.v1.Control/")? {
        "DiskUsage" => Some(1),
        "Prune" | "ListenBuildHistory" => Some(0),
        _ => None,
    }
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

    pub(crate) fn table(self) -> &'static Table<Rule> {
        match self {
            Self::Control => &CONTROL,
            Self::Gateway => &GATEWAY,
        }
    }

    /// The field that holds the options of the frontend.
    fn options(self) -> u64 {
        match self {
            Self::Control => 7,
            Self::Gateway => 3,
        }
    }
}

/// What a field of a request may be.
pub(crate) enum Rule {
    Keep,
    /// Left out: the build is the same but for its speed.
    Drop,
    Unset(&'static str),
    Session,
    Frontend,
    Option,
    Definition,
    Input,
    Exporter,
    Attribute,
    Exporters,
    Cache,
    CacheExport,
    CacheKind,
}

use Rule::{Drop, Keep, Unset};

const REF: u64 = 1;
const EXPORTER: u64 = 3;
const SESSION: u64 = 5;

pub(crate) const CONTROL: Table<Rule> = Table {
    message: "control.SolveRequest",
    fields: &[
        (REF, "Ref", Keep),
        (2, "Definition", Rule::Definition),
        (EXPORTER, "ExporterDeprecated", Rule::Exporter),
        (4, "ExporterAttrsDeprecated", Rule::Attribute),
        (SESSION, "Session", Rule::Session),
        (6, "Frontend", Rule::Frontend),
        (7, "FrontendAttrs", Rule::Option),
        (8, "Cache", Rule::Cache),
        (
            9,
            "Entitlements",
            Unset("no entitlement is given to jobs, build without it"),
        ),
        (10, "FrontendInputs", Rule::Input),
        (11, "Internal", Keep),
        (12, "SourcePolicy", Unset(NO_POLICY)),
        (13, "Exporters", Rule::Exporters),
        (
            14,
            "EnableSessionExporter",
            Unset("name the output in the request"),
        ),
        (15, "SourcePolicySession", Unset(NO_POLICY)),
        (16, "CompatibilityVersion", Keep),
        (
            17,
            "ProxyNetwork",
            Unset("the job's network is the operator's"),
        ),
    ],
};

/// It would exchange images after they were judged.
const NO_POLICY: &str = "a policy may exchange sources, build without it";

pub(crate) const GATEWAY: Table<Rule> = Table {
    message: "gateway.SolveRequest",
    fields: &[
        (1, "Definition", Rule::Definition),
        (2, "Frontend", Rule::Frontend),
        (3, "FrontendOpt", Rule::Option),
        // `ImportCacheRefsDeprecated` until v0.11, which removed it.
        (4, "ImportCacheRefsDeprecated", Drop),
        (5, "allowResultReturn", Keep),
        (6, "allowResultArrayRef", Keep),
        (10, "Final", Keep),
        (11, "ExporterAttr", Unset("use a newer client")),
        (12, "CacheImports", Drop),
        (13, "FrontendInputs", Rule::Input),
        (14, "Evaluate", Keep),
        (15, "SourcePolicies", Unset(NO_POLICY)),
    ],
};

pub(crate) const EXPORTERS: Table<Rule> = Table {
    message: "control.Exporter",
    fields: &[(1, "Type", Rule::Exporter), (2, "Attrs", Rule::Attribute)],
};

/// What a cache says that somebody else wrote would be believed for every tenant, so none is read; the engine keeps
/// each tenant's own.
pub(crate) const CACHE: Table<Rule> = Table {
    message: "control.CacheOptions",
    fields: &[
        (1, "ExportRefDeprecated", Unset("use the cache \"inline\"")),
        (2, "ImportRefsDeprecated", Drop),
        (3, "ExportAttrsDeprecated", Drop),
        (4, "Exports", Rule::CacheExport),
        (5, "Imports", Drop),
    ],
};

pub(crate) const CACHE_ENTRY: Table<Rule> = Table {
    message: "control.CacheOptionsEntry",
    fields: &[(1, "Type", Rule::CacheKind), (2, "Attrs", Keep)],
};

/// Every message of a request that is judged, for the test that compares them with the proto files.
#[cfg(test)]
pub(crate) const TABLES: &[&Table<Rule>] = &[&CONTROL, &GATEWAY, &EXPORTERS, &CACHE, &CACHE_ENTRY];

/// A request that passed.
#[derive(Debug, Default)]
pub(crate) struct Judged {
    /// The message for the engine.
    pub(crate) written: Vec<u8>,
    pub(crate) recipe: Recipe,
    /// The session of the client, and what the client calls the build: of what is no part of another one.
    pub(crate) session: String,
    pub(crate) reference: String,
}

/// Reads a request of a method, and writes the message for the engine.
pub(crate) fn judge(
    method: Method,
    message: &[u8],
    realm: Realm<'_>,
    speak: &mut impl Speak,
) -> Result<Judged, Denied> {
    let all = fields(message).ok_or_else(malformed)?;
    let mut options = Vec::new();
    let mut written = Vec::with_capacity(message.len());
    let mut scribe = Scribe { realm, speak };
    let table = method.table();
    for field in &all {
        match table.rule(field)? {
            Some(Rule::Option) => options.push(field),
            Some(rule) => scribe.field(&mut written, table, &all, field, rule)?,
            None => {}
        }
    }
    if method == Method::Control {
        scribe.name(&mut written, (EXPORTER, 4));
    }
    let mut reader = Options::new(realm, scribe.speak);
    for field in options {
        let (key, value) = field.bytes().and_then(entry).ok_or_else(malformed)?;
        reader.take(key, value)?;
    }
    let (options, recipe) = reader.finish();
    for (key, value) in options {
        push_entry(&mut written, method.options(), &key, &value);
    }
    for (key, value) in [
        ("image-resolve-mode", "local"),
        ("dockerfilekey", &recipe.folder),
    ] {
        push_entry(&mut written, method.options(), key, value);
    }
    let said = |number: u64| {
        let last = all.iter().rfind(|field| field.number == number);
        let last = last.filter(|_| method == Method::Control);
        last.and_then(Field::text).unwrap_or_default().to_owned()
    };
    Ok(Judged {
        written,
        recipe,
        session: said(SESSION),
        reference: said(REF),
    })
}

struct Scribe<'a, S> {
    realm: Realm<'a>,
    speak: &'a mut S,
}

impl<S: Speak> Scribe<'_, S> {
    /// Writes one field, if it may stand.
    fn field(
        &mut self,
        out: &mut Vec<u8>,
        table: &Table<Rule>,
        all: &[Field<'_>],
        field: &Field<'_>,
        rule: &Rule,
    ) -> Result<(), Denied> {
        match rule {
            Keep => {}
            // Options are read together.
            Drop | Rule::Option => return Ok(()),
            Unset(_) if field.is_unset() => return Ok(()),
            Unset(instead) => return Err(refused(table, field, instead)),
            Rule::Session if field.is_unset() => {}
            Rule::Session => option::session(text(field)?)?,
            Rule::Frontend => frontend(text(field)?)?,
            Rule::Definition => llb::judge(field.bytes().ok_or_else(malformed)?, &self.realm)?,
            Rule::Input => self.input(field)?,
            Rule::Exporter => output::kind(text(field)?)?,
            Rule::Attribute => return self.attribute(out, all, field),
            Rule::Exporters => return self.message(out, &EXPORTERS, field),
            Rule::Cache => return self.message(out, &CACHE, field),
            Rule::CacheExport => return self.message(out, &CACHE_ENTRY, field),
            Rule::CacheKind => cache(text(field)?)?,
        }
        out.extend_from_slice(field.raw);
        Ok(())
    }

    fn message(
        &mut self,
        out: &mut Vec<u8>,
        table: &'static Table<Rule>,
        field: &Field<'_>,
    ) -> Result<(), Denied> {
        let all = inside(field)?;
        let mut written = Vec::new();
        for part in &all {
            if let Some(rule) = table.rule(part)? {
                self.field(&mut written, table, &all, part, rule)?;
            }
        }
        if table.message == EXPORTERS.message {
            self.name(&mut written, (1, 2));
        }
        push_bytes(out, field.number, &written);
        Ok(())
    }

    /// Gives the image a name that stays with the engine without one. The fields are those of the
    /// exporter's type and of its attributes.
    fn name(&self, written: &mut Vec<u8>, (kind, attributes): (u64, u64)) {
        let all = fields(written).unwrap_or_default();
        let last = all.iter().rfind(|field| field.number == kind);
        let kind = last.and_then(Field::text).unwrap_or_default();
        let mut pairs = all
            .iter()
            .filter(|field| field.number == attributes)
            .filter_map(|field| field.bytes().and_then(entry));
        let is_named = pairs.any(|(key, _)| key == output::NAME);
        if !kind.is_empty() && output::is_kept(kind) && !is_named {
            push_entry(written, attributes, output::NAME, self.realm.unnamed);
        }
    }

    /// An attribute of the exporter that stands beside it: the last one counts.
    fn attribute(
        &mut self,
        out: &mut Vec<u8>,
        all: &[Field<'_>],
        field: &Field<'_>,
    ) -> Result<(), Denied> {
        // In an exporter of its own the type is field 1, and the attributes are field 2.
        let number = if field.number == 2 { 1 } else { EXPORTER };
        let kind = all.iter().rfind(|field| field.number == number);
        let kind = kind.and_then(Field::text).unwrap_or_default();
        let attributes = all.iter().filter(|other| other.number == field.number);
        let attributes = attributes.filter_map(|other| other.bytes().and_then(entry));
        let output = output::Output::new(kind, attributes);
        let (key, value) = field.bytes().and_then(entry).ok_or_else(malformed)?;
        if let Some(value) = output.attribute(key, value, self.speak)? {
            push_entry(out, field.number, key, &value);
        }
        Ok(())
    }

    /// A definition that a frontend takes under a name. As a Dockerfile it would not be read here.
    fn input(&self, field: &Field<'_>) -> Result<(), Denied> {
        for part in inside(field)? {
            match part.number {
                1 if text(&part)? == "dockerfile" => {
                    return Err(Denied::forbidden(
                        "a Dockerfile that is a result of a build is not allowed in a job: give it as a file",
                    ));
                }
                1 => {}
                2 => llb::judge(part.bytes().ok_or_else(malformed)?, &self.realm)?,
                _ => return Err(malformed()),
            }
        }
        Ok(())
    }
}

/// Who reads the Dockerfile. Which image does so is one of the options.
fn frontend(name: &str) -> Result<(), Denied> {
    match name {
        "" | "dockerfile.v0" | "gateway.v0" => Ok(()),
        other => Err(Denied::forbidden(format!(
            "the frontend {other:?} is not allowed in a job: use dockerfile.v0"
        ))),
    }
}

/// A cache goes into the image, or back to the client; not to stores that the daemon itself would connect to, with an
/// account for all of the registry, and past the ledger.
fn cache(kind: &str) -> Result<(), Denied> {
    match kind {
        "" | "inline" | "local" => Ok(()),
        other => Err(Denied::forbidden(format!(
            "the build cache {other:?} is not allowed in a job: leave --cache-to out, for the engine keeps what this \
             project builds for its next pipeline; for a cache elsewhere use \"inline\" or \"local\""
        ))),
    }
}

fn refused(table: &Table<Rule>, field: &Field<'_>, instead: &str) -> Denied {
    let name = table.fields.iter().find(|known| known.0 == field.number);
    let name = name.map_or("", |known| known.1);
    let said = field.text().map(|text| format!(" {text:?}"));
    Denied::forbidden(format!(
        "{}.{name}{} is not allowed in a job: {instead}",
        table.message,
        said.unwrap_or_default()
    ))
}
