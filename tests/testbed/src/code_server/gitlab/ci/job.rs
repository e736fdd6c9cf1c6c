//! One job of the file.

use anyhow::{Context as _, Result, bail};
use glob::Pattern;
use serde_json::{Map, Value};

use super::value::{seconds, variables, word, words};
use crate::spec::{Artifact, Cache, DockerOptions, ExecutorOptions, Image, Variable};

const KEYWORDS: [&str; 22] = [
    "stage",
    "image",
    "services",
    "script",
    "before_script",
    "after_script",
    "only",
    "except",
    "tags",
    "variables",
    "environment",
    "artifacts",
    "cache",
    "needs",
    "dependencies",
    "parallel",
    "allow_failure",
    "when",
    "timeout",
    "interruptible",
    "retry",
    "coverage",
];

/// What the file says about a job.
#[derive(Clone, Debug)]
pub(crate) struct Definition {
    pub(crate) name: String,
    pub(crate) stage: String,
    pub(crate) tags: Vec<String>,
    pub(crate) image: Image,
    pub(crate) services: Vec<Image>,
    /// `before_script` and `script` together.
    pub(crate) script: Vec<String>,
    pub(crate) after_script: Vec<String>,
    pub(crate) variables: Vec<Variable>,
    pub(crate) environment: Option<String>,
    pub(crate) artifacts: Option<Artifact>,
    pub(crate) caches: Vec<Cache>,
    /// If given, the job starts as soon as these are done.
    pub(crate) needs: Option<Vec<Need>>,
    /// If given, only these jobs' artifacts are brought.
    pub(crate) dependencies: Option<Vec<String>>,
    pub(crate) parallel: Parallel,
    pub(crate) allow_failure: AllowFailure,
    /// `on_success`, `on_failure`, `always`, `manual` or `never`.
    pub(crate) when: String,
    pub(crate) timeout: Option<u64>,
    only: Vec<String>,
    except: Vec<String>,
}

#[derive(Clone, Debug)]
pub(crate) struct Need {
    pub(crate) job: String,
    pub(crate) artifacts: bool,
}

/// How many copies of a job there are.
#[derive(Clone, Debug)]
pub(crate) enum Parallel {
    No,
    Number(u64),
    /// The variables of each copy.
    Matrix(Vec<Vec<(String, String)>>),
}

/// Which failures of a job do not count.
#[derive(Clone, Debug)]
pub(crate) enum AllowFailure {
    No,
    Yes,
    ExitCodes(Vec<i64>),
}

impl AllowFailure {
    pub(crate) fn covers(&self, exit_code: Option<i64>) -> bool {
        match self {
            Self::No => false,
            Self::Yes => true,
            Self::ExitCodes(codes) => exit_code.is_some_and(|code| codes.contains(&code)),
        }
    }
}

impl Definition {
    pub(super) fn read(name: &str, body: &Value, global: Option<&Value>) -> Result<Self> {
        let Value::Object(body) = body else {
            bail!("is no mapping")
        };
        if let Some(unknown) = body.keys().find(|key| !KEYWORDS.contains(&key.as_str())) {
            bail!("unknown keyword {unknown}");
        }
        let list = |key: &str| body.get(key).map_or(Ok(Vec::new()), |one| words(key, one));
        let optional = |key: &str| body.get(key).map(|one| word(key, one)).transpose();
        if !body.contains_key("script") {
            bail!("script is missing");
        }
        let mut all = variables(global)?;
        all.extend(variables(body.get("variables"))?);
        let only = references("only", body.get("only"))?;
        Ok(Self {
            name: name.to_owned(),
            stage: optional("stage")?.unwrap_or_else(|| "test".to_owned()),
            tags: list("tags")?,
            image: body
                .get("image")
                .map(image)
                .transpose()?
                .unwrap_or_default(),
            services: services(body.get("services"))?,
            script: [list("before_script")?, list("script")?].concat(),
            after_script: list("after_script")?,
            variables: all,
            environment: environment(body.get("environment"))?,
            artifacts: body.get("artifacts").map(artifacts).transpose()?,
            caches: caches(body.get("cache"))?,
            needs: body.get("needs").map(needs).transpose()?,
            dependencies: body
                .get("dependencies")
                .map(|one| words("dependencies", one))
                .transpose()?,
            parallel: body.get("parallel").map_or(Ok(Parallel::No), parallel)?,
            allow_failure: body
                .get("allow_failure")
                .map_or(Ok(AllowFailure::No), allow_failure)?,
            when: optional("when")?.unwrap_or_else(|| "on_success".to_owned()),
            timeout: optional("timeout")?
                .map(|text| seconds(&text))
                .transpose()?,
            only: only.unwrap_or_else(|| vec!["branches".to_owned(), "tags".to_owned()]),
            except: references("except", body.get("except"))?.unwrap_or_default(),
        })
    }
}

/// Whether a pipeline of this tag or branch has the job.
pub(in super::super) fn is_selected(job: &Definition, name: &str, is_tag: bool) -> bool {
    let matches = |pattern: &String| match pattern.as_str() {
        "tags" => is_tag,
        "branches" => !is_tag,
        "pushes" => true,
        other => Pattern::new(other).is_ok_and(|one| one.matches(name)),
    };
    job.when != "never" && job.only.iter().any(matches) && !job.except.iter().any(matches)
}

fn references(what: &str, value: Option<&Value>) -> Result<Option<Vec<String>>> {
    let list = match value {
        None => return Ok(None),
        Some(Value::Object(members)) => {
            if let Some(unknown) = members.keys().find(|key| *key != "refs") {
                bail!("{what}:{unknown} is not known here");
            }
            members
                .get("refs")
                .map_or(Ok(Vec::new()), |refs| words(what, refs))?
        }
        Some(value) => words(what, value)?,
    };
    if let Some(regular) = list.iter().find(|one| one.starts_with('/')) {
        bail!("{what}: regular expressions are not known here: {regular}");
    }
    Ok(Some(list))
}

fn image(value: &Value) -> Result<Image> {
    let Value::Object(members) = value else {
        return Ok(Image {
            name: word("image", value)?,
            ..Image::default()
        });
    };
    let list = |key: &str| {
        members
            .get(key)
            .map_or(Ok(Vec::new()), |one| words(key, one))
    };
    let one = |key: &str| {
        members
            .get(key)
            .map_or(Ok(String::new()), |one| word(key, one))
    };
    let docker = members.get("docker").and_then(Value::as_object);
    let option = |key: &str| {
        docker
            .and_then(|docker| docker.get(key))
            .map_or(Ok(String::new()), |one| word(key, one))
    };
    let known = [
        "name",
        "alias",
        "entrypoint",
        "command",
        "variables",
        "pull_policy",
        "docker",
        "ports",
    ];
    if let Some(unknown) = members.keys().find(|key| !known.contains(&key.as_str())) {
        bail!("image:{unknown} is not known");
    }
    Ok(Image {
        name: one("name")?,
        alias: one("alias")?,
        entrypoint: list("entrypoint")?,
        command: list("command")?,
        pull_policy: list("pull_policy")?,
        variables: variables(members.get("variables"))?,
        ports: Vec::new(),
        executor_opts: ExecutorOptions {
            docker: DockerOptions {
                platform: option("platform")?,
                user: option("user")?,
            },
            ..ExecutorOptions::default()
        },
    })
}

fn services(value: Option<&Value>) -> Result<Vec<Image>> {
    match value {
        None => Ok(Vec::new()),
        Some(Value::Array(items)) => items.iter().map(image).collect(),
        Some(_) => bail!("services is no list"),
    }
}

fn environment(value: Option<&Value>) -> Result<Option<String>> {
    match value {
        None => Ok(None),
        Some(Value::Object(members)) => {
            let name = members.get("name").context("environment:name is missing")?;
            Ok(Some(word("environment", name)?))
        }
        Some(name) => Ok(Some(word("environment", name)?)),
    }
}

fn text(members: &Map<String, Value>, key: &str, default: &str) -> Result<String> {
    members
        .get(key)
        .map_or(Ok(default.to_owned()), |one| word(key, one))
}

fn paths(members: &Map<String, Value>, key: &str) -> Result<Option<Vec<String>>> {
    members.get(key).map(|one| words(key, one)).transpose()
}

fn is_true(members: &Map<String, Value>, key: &str) -> bool {
    members.get(key) == Some(&Value::Bool(true))
}

fn artifacts(value: &Value) -> Result<Artifact> {
    let Value::Object(members) = value else {
        bail!("artifacts is no mapping")
    };
    let known = [
        "paths",
        "exclude",
        "name",
        "untracked",
        "when",
        "expire_in",
        "expose_as",
    ];
    if let Some(unknown) = members.keys().find(|key| !known.contains(&key.as_str())) {
        bail!("artifacts:{unknown} is not known here");
    }
    Ok(Artifact {
        name: text(members, "name", "")?,
        untracked: is_true(members, "untracked"),
        paths: paths(members, "paths")?,
        exclude: paths(members, "exclude")?,
        when: text(members, "when", "on_success")?,
        artifact_type: "archive".to_owned(),
        artifact_format: "zip".to_owned(),
        expire_in: text(members, "expire_in", "")?,
    })
}

fn caches(value: Option<&Value>) -> Result<Vec<Cache>> {
    let one = |value: &Value| {
        let Value::Object(members) = value else {
            bail!("cache is no mapping")
        };
        if members.get("key").is_some_and(Value::is_object) {
            bail!("cache:key:files is not known here");
        }
        Ok(Cache {
            key: text(members, "key", "default")?,
            untracked: is_true(members, "untracked"),
            policy: text(members, "policy", "pull-push")?,
            paths: paths(members, "paths")?,
            when: text(members, "when", "on_success")?,
            fallback_keys: paths(members, "fallback_keys")?,
        })
    };
    match value {
        None | Some(Value::Null) => Ok(Vec::new()),
        Some(Value::Array(items)) => items.iter().map(one).collect(),
        Some(Value::Object(members)) if members.is_empty() => Ok(Vec::new()),
        Some(value) => Ok(vec![one(value)?]),
    }
}

fn needs(value: &Value) -> Result<Vec<Need>> {
    let Value::Array(items) = value else {
        bail!("needs is no list")
    };
    let read = |item: &Value| match item {
        Value::Object(members) => {
            let job = members.get("job").context("needs:job is missing")?;
            let artifacts = members.get("artifacts") != Some(&Value::Bool(false));
            Ok(Need {
                job: word("needs", job)?,
                artifacts,
            })
        }
        name => Ok(Need {
            job: word("needs", name)?,
            artifacts: true,
        }),
    };
    items.iter().map(read).collect()
}

fn parallel(value: &Value) -> Result<Parallel> {
    if let Some(number) = value.as_u64() {
        return Ok(Parallel::Number(number));
    }
    let Some(Value::Array(rows)) = value.get("matrix") else {
        bail!("parallel is neither a number nor a matrix");
    };
    let mut copies = Vec::new();
    for row in rows {
        let Value::Object(members) = row else {
            bail!("parallel:matrix is no list of mappings")
        };
        let mut combined = vec![Vec::new()];
        for (key, value) in members {
            let values = words(key, value)?;
            combined = combined
                .iter()
                .flat_map(|before: &Vec<(String, String)>| {
                    values.iter().map(move |value| {
                        let mut copy = before.clone();
                        copy.push((key.clone(), value.clone()));
                        copy
                    })
                })
                .collect();
        }
        copies.extend(combined);
    }
    Ok(Parallel::Matrix(copies))
}

fn allow_failure(value: &Value) -> Result<AllowFailure> {
    match value {
        Value::Bool(true) => Ok(AllowFailure::Yes),
        Value::Bool(false) => Ok(AllowFailure::No),
        Value::Object(members) => {
            let codes = members
                .get("exit_codes")
                .context("allow_failure:exit_codes is missing")?;
            let codes = words("exit_codes", codes)?;
            let codes: Result<_, _> = codes.iter().map(|code| code.parse()).collect();
            Ok(AllowFailure::ExitCodes(codes?))
        }
        _ => bail!("allow_failure is neither true, false nor exit_codes"),
    }
}
