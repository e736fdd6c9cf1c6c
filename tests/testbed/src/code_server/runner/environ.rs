//! The job's variables in the runner's order, and the environment a driver starts with.

use crate::script::Directories;
use crate::spec::{Image, Job, Variable};

use super::{REVISION, Settings, Slot, VERSION};

/// Every feature flag of 19.4.0 in the order in which it lists them, and those that are on.
const FLAGS: [&str; 52] = [
    "FF_TEST_FEATURE",
    "FF_NETWORK_PER_BUILD",
    "FF_USE_LEGACY_KUBERNETES_EXECUTION_STRATEGY",
    "FF_USE_DIRECT_DOWNLOAD",
    "FF_USE_FASTZIP",
    "FF_DISABLE_UMASK_FOR_DOCKER_EXECUTOR",
    "FF_ENABLE_BASH_EXIT_CODE_CHECK",
    "FF_USE_WINDOWS_LEGACY_PROCESS_STRATEGY",
    "FF_USE_LEGACY_BASH_EVAL",
    "FF_USE_POWERSHELL_PATH_RESOLVER",
    "FF_USE_DYNAMIC_TRACE_FORCE_SEND_INTERVAL",
    "FF_SCRIPT_SECTIONS",
    "FF_ENABLE_JOB_CLEANUP",
    "FF_KUBERNETES_HONOR_ENTRYPOINT",
    "FF_POSIXLY_CORRECT_ESCAPES",
    "FF_RESOLVE_FULL_TLS_CHAIN",
    "FF_DISABLE_POWERSHELL_STDIN",
    "FF_USE_POD_ACTIVE_DEADLINE_SECONDS",
    "FF_USE_ADVANCED_POD_SPEC_CONFIGURATION",
    "FF_SECRET_RESOLVING_FAILS_IF_MISSING",
    "FF_PRINT_POD_EVENTS",
    "FF_USE_GIT_BUNDLE_URIS",
    "FF_USE_GIT_NATIVE_CLONE",
    "FF_USE_DUMB_INIT_WITH_KUBERNETES_EXECUTOR",
    "FF_USE_INIT_WITH_DOCKER_EXECUTOR",
    "FF_LOG_IMAGES_CONFIGURED_FOR_JOB",
    "FF_USE_DOCKER_AUTOSCALER_DIAL_STDIO",
    "FF_CLEAN_UP_FAILED_CACHE_EXTRACT",
    "FF_USE_WINDOWS_JOB_OBJECT",
    "FF_TIMESTAMPS",
    "FF_DISABLE_AUTOMATIC_TOKEN_ROTATION",
    "FF_USE_LEGACY_GCS_CACHE_ADAPTER",
    "FF_DISABLE_UMASK_FOR_KUBERNETES_EXECUTOR",
    "FF_USE_LEGACY_S3_CACHE_ADAPTER",
    "FF_GIT_URLS_WITHOUT_TOKENS",
    "FF_WAIT_FOR_POD_TO_BE_REACHABLE",
    "FF_MASK_ALL_DEFAULT_TOKENS",
    "FF_EXPORT_HIGH_CARDINALITY_METRICS",
    "FF_USE_FLEETING_ACQUIRE_HEARTBEATS",
    "FF_USE_EXPONENTIAL_BACKOFF_STAGE_RETRY",
    "FF_USE_ADAPTIVE_REQUEST_CONCURRENCY",
    "FF_USE_GITALY_CORRELATION_ID",
    "FF_USE_GIT_PROACTIVE_AUTH",
    "FF_HASH_CACHE_KEYS",
    "FF_ENABLE_JOB_INPUTS_INTERPOLATION",
    "FF_USE_JOB_ROUTER",
    "FF_SCRIPT_TO_STEP_MIGRATION",
    "FF_USE_PARALLEL_CACHE_TRANSFER",
    "FF_USE_PARALLEL_ARTIFACT_TRANSFER",
    "FF_CONCRETE",
    "FF_SUSPENDABLE_ENVIRONMENTS",
    "FF_USE_NATIVE_CONTAINER_STOP",
];

const ON_BY_DEFAULT: [&str; 12] = [
    "FF_USE_DIRECT_DOWNLOAD",
    "FF_USE_FASTZIP",
    "FF_USE_POD_ACTIVE_DEADLINE_SECONDS",
    "FF_SECRET_RESOLVING_FAILS_IF_MISSING",
    "FF_USE_GIT_BUNDLE_URIS",
    "FF_USE_DOCKER_AUTOSCALER_DIAL_STDIO",
    "FF_TIMESTAMPS",
    "FF_MASK_ALL_DEFAULT_TOKENS",
    "FF_USE_EXPONENTIAL_BACKOFF_STAGE_RETRY",
    "FF_USE_ADAPTIVE_REQUEST_CONCURRENCY",
    "FF_USE_GITALY_CORRELATION_ID",
    "FF_ENABLE_JOB_INPUTS_INTERPOLATION",
];

/// What the list of variables is made of.
#[derive(Debug)]
pub(super) struct Ingredients<'a> {
    pub(super) settings: &'a Settings,
    pub(super) job: &'a Job,
    pub(super) directories: &'a Directories,
    pub(super) status: &'a str,
    pub(super) slot: &'a Slot,
    pub(super) timeout: u64,
}

/// The list, expanded once: flags, the runner's, GitLab's, the runner's again.
pub(super) fn variables(from: &Ingredients<'_>) -> Vec<Variable> {
    let mut list = flags(from);
    list.extend(before_job(from));
    let of_job = from.job.variables.iter();
    list.extend(
        of_job
            .filter(|one| !FLAGS.contains(&one.key.as_str()))
            .cloned(),
    );
    let temporary = from.directories.temporary();
    for (key, value) in [
        ("CI_SHARED_ENVIRONMENT", "true"),
        ("CI_RUNNER_VERSION", VERSION),
        ("CI_RUNNER_REVISION", REVISION),
        ("CI_RUNNER_EXECUTABLE_ARCH", "linux/amd64"),
        ("RUNNER_TEMP_PROJECT_DIR", &temporary),
    ] {
        list.push(Variable::new(key, value));
    }
    let unexpanded = list.clone();
    for variable in list.iter_mut().filter(|variable| !variable.raw) {
        variable.value = expand(&variable.value, &unexpanded);
    }
    list
}

fn flags(from: &Ingredients<'_>) -> Vec<Variable> {
    let value = |flag: &str| {
        let pinned = from.settings.feature_flags.get(flag).copied();
        let of_job = || from.job.variable(flag).and_then(|value| value.parse().ok());
        pinned
            .or_else(of_job)
            .unwrap_or_else(|| ON_BY_DEFAULT.contains(&flag))
    };
    FLAGS
        .iter()
        .map(|&flag| Variable::new(flag, value(flag).to_string()))
        .collect()
}

fn before_job(from: &Ingredients<'_>) -> Vec<Variable> {
    let mut list = Vec::new();
    if !from.job.image.name.is_empty() {
        list.push(Variable::new("CI_JOB_IMAGE", &*from.job.image.name));
    }
    list.push(Variable::new(
        "CI_RUNNER_SHORT_TOKEN",
        from.settings.short_token(),
    ));
    for pair in &from.settings.environment {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        list.push(Variable::new(key, value));
    }
    for (key, value) in [
        ("CI_BUILDS_DIR", from.directories.builds.clone()),
        ("CI_PROJECT_DIR", from.directories.build.clone()),
        ("CI_CONCURRENT_ID", from.slot.number.to_string()),
        ("CI_CONCURRENT_PROJECT_ID", from.slot.in_project.to_string()),
        ("CI_SERVER", "yes".to_owned()),
        ("CI_JOB_STATUS", from.status.to_owned()),
        ("CI_JOB_TIMEOUT", from.timeout.to_string()),
    ] {
        list.push(Variable::new(key, value));
    }
    list
}

/// Replaces `$NAME` and `${NAME}` by the last variable of that name. `$$` is a dollar sign, an
/// unknown or special name nothing, and a file variable is the path it will have.
pub(crate) fn expand(text: &str, variables: &[Variable]) -> String {
    let mut expanded = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        expanded.push_str(&rest[..at]);
        let (reference, length) = reference(&rest[at + 1..]);
        match reference {
            Reference::Dollar => expanded.push('$'),
            Reference::Nothing => {}
            Reference::Name(name) => expanded.push_str(&look_up(name, variables)),
        }
        rest = &rest[at + 1 + length..];
    }
    expanded.push_str(rest);
    expanded
}

enum Reference<'a> {
    Name(&'a str),
    Dollar,
    Nothing,
}

/// What follows a dollar sign, and how long it is.
fn reference(text: &str) -> (Reference<'_>, usize) {
    if let Some(braced) = text.strip_prefix('{') {
        return match braced.find('}') {
            Some(end) if is_name(&braced[..end]) => (Reference::Name(&braced[..end]), end + 2),
            Some(end) => (Reference::Nothing, end + 2),
            None => (Reference::Nothing, 1),
        };
    }
    match text.chars().next() {
        Some('$') => (Reference::Dollar, 1),
        Some('*' | '#' | '@' | '!' | '?' | '-' | '0'..='9') => (Reference::Nothing, 1),
        _ => match text.find(|c: char| !c.is_ascii_alphanumeric() && c != '_') {
            Some(0) => (Reference::Dollar, 0),
            None if text.is_empty() => (Reference::Dollar, 0),
            end => {
                let end = end.unwrap_or(text.len());
                (Reference::Name(&text[..end]), end)
            }
        },
    }
}

fn is_name(text: &str) -> bool {
    !text.is_empty()
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

fn look_up(name: &str, variables: &[Variable]) -> String {
    let Some(found) = variables.iter().rev().find(|one| one.key == name) else {
        return String::new();
    };
    if !found.file {
        return found.value.clone();
    }
    let temporary = variables
        .iter()
        .rev()
        .find(|one| one.key == "RUNNER_TEMP_PROJECT_DIR");
    format!("{}/{name}", temporary.map_or("", |one| one.value.as_str()))
}

/// The group that comes last, so that no job can replace it.
pub(super) fn services(job: &Job, variables: &[Variable]) -> String {
    if job.services.is_empty() {
        return String::new();
    }
    let shown: Vec<serde_json::Value> = job
        .services
        .iter()
        .map(|service| service_json(service, variables))
        .collect();
    let texts: Vec<String> = shown.iter().map(ordered).collect();
    format!("[{}]", texts.join(","))
}

fn service_json(service: &Image, variables: &[Variable]) -> serde_json::Value {
    let list = |words: &[String]| match words {
        [] => serde_json::Value::Null,
        words => words.into(),
    };
    let alias = service
        .alias
        .split([',', ' '])
        .find(|one| !one.is_empty())
        .unwrap_or_default();
    let mut all = variables.to_vec();
    all.extend(service.variables.iter().cloned());
    let own: serde_json::Map<String, serde_json::Value> = service
        .variables
        .iter()
        .map(|one| (one.key.clone(), expand(&one.value, &all).into()))
        .collect();
    serde_json::json!({
        "name": service.name,
        "alias": alias,
        "entrypoint": list(&service.entrypoint),
        "command": list(&service.command),
        "variables": own,
    })
}

/// The members in the order in which the runner's structure has them.
fn ordered(service: &serde_json::Value) -> String {
    let mut members = Vec::new();
    for key in ["name", "alias", "entrypoint", "command", "variables"] {
        let value = &service[key];
        if value.as_object().is_some_and(serde_json::Map::is_empty) {
            continue;
        }
        members.push(format!("\"{key}\":{value}"));
    }
    format!("{{{}}}", members.join(","))
}

#[cfg(test)]
mod tests {
    use super::expand;
    use crate::spec::Variable;

    #[track_caller]
    fn check(text: &str, expected: &str) {
        let variables = [
            Variable::new("A", "first"),
            Variable::new("A", "$B"),
            Variable::new("B", "bee"),
            Variable::new("F", "content").file(),
            Variable::new("RUNNER_TEMP_PROJECT_DIR", "/b/p.tmp"),
        ];
        assert_eq!(expand(text, &variables), expected);
    }

    #[test]
    fn references_are_expanded_once_against_the_unexpanded_list() {
        check("x $A ${B} $UNKNOWN.", "x $B bee .");
        check("$$A $1 ${!} end$", "$A   end$");
        check("$F", "/b/p.tmp/F");
        check("k-$B/${B}x$B_", "k-bee/beex");
    }
}
