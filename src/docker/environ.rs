//! The environments of a job's containers. Pure.

use std::collections::BTreeMap;

use crate::{
    call::Call,
    config::DockerLane,
    job::{Image, Job, Variable},
};

/// The environment of the user's container: every variable of the job, file variables as their path.
/// The scripts export them again; an image's entrypoint sees only these.
pub(super) fn of_job(lane: &DockerLane, job: &Job, call: &Call) -> Vec<String> {
    let files = file_variables(lane, job);
    call.job_environ
        .iter()
        .filter(|(key, _)| !key.is_empty() && !key.contains('='))
        .map(|(key, value)| format!("{key}={}", files.get(key).unwrap_or(value)))
        .collect()
}

/// The environment of a service: the public variables of the job, then its own, which may name any
/// of the job's: the author may hand over a secret, but none is handed over unasked.
pub(crate) fn of_service(
    lane: &DockerLane,
    job: &Job,
    call: &Call,
    service: &Image,
) -> Vec<String> {
    let files = file_variables(lane, job);
    let mut all = call.job_environ.clone();
    all.extend(files);
    let is_public = |variable: &&Variable| variable.public && !variable.masked;
    let public = job
        .variables
        .iter()
        .filter(is_public)
        .filter_map(|variable| {
            all.get(&variable.key)
                .map(|value| (variable.key.clone(), value.clone()))
        });
    let own = service.variables.iter().map(|variable| {
        let value = if variable.raw {
            variable.value.clone()
        } else {
            expand(&variable.value, &all)
        };
        (variable.key.clone(), value)
    });
    let merged: BTreeMap<String, String> = public.chain(own).collect();
    merged
        .into_iter()
        .filter(|(key, _)| !key.is_empty() && !key.contains('='))
        .map(|(key, value)| format!("{key}={value}"))
        .collect()
}

/// Whether the job has switched something on, by a word that the runner takes for a yes.
pub(crate) fn is_on(call: &Call, name: &str) -> bool {
    let value = call.job_environ.get(name).map(String::as_str);
    matches!(value, Some("1" | "t" | "T" | "true" | "TRUE" | "True"))
}

fn file_variables(lane: &DockerLane, job: &Job) -> BTreeMap<String, String> {
    let folder = lane.builds_dir.join(format!("{}.tmp", job.project_path()));
    job.variables
        .iter()
        .filter(|variable| variable.file)
        .map(|variable| {
            (
                variable.key.clone(),
                folder.join(&variable.key).to_string_lossy().into_owned(),
            )
        })
        .collect()
}

/// Replaces `$NAME` and `${NAME}` once; `$$` is a dollar; unknown names become empty.
pub(super) fn expand(text: &str, variables: &BTreeMap<String, String>) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        out.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        if let Some(after) = rest.strip_prefix('$') {
            out.push('$');
            rest = after;
        } else if let Some((name, after)) = rest.strip_prefix('{').and_then(|r| r.split_once('}')) {
            out.push_str(variables.get(name).map_or("", String::as_str));
            rest = after;
        } else {
            let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_');
            let (name, after) = rest.split_at(end.unwrap_or(rest.len()));
            if name.is_empty() {
                out.push('$');
            }
            out.push_str(variables.get(name).map_or("", String::as_str));
            rest = after;
        }
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn variables() -> BTreeMap<String, String> {
        [("A", "1"), ("B_2", "two")]
            .map(|(k, v)| (k.into(), v.into()))
            .into()
    }

    #[test]
    fn variables_are_expanded_once() {
        let check = |text, expect| assert_eq!(expand(text, &variables()), expect, "{text}");
        check("$A-${B_2}", "1-two");
        check("$$A", "$A");
        check("$unknown.", ".");
        check("price $ 5", "price $ 5");
        check("${A", "${A");
    }

    #[test]
    fn a_service_sees_public_variables_and_what_it_is_handed() {
        let job: Job = serde_json::from_value(serde_json::json!({
            "id": 1,
            "variables": [
                {"key": "PUBLIC", "value": "x", "public": true},
                {"key": "SECRET", "value": "s", "public": false, "masked": true},
            ],
        }))
        .unwrap();
        let call = Call {
            job_environ: [("PUBLIC", "x"), ("SECRET", "s")]
                .map(|(k, v)| (k.into(), v.into()))
                .into(),
            ..Call::default()
        };
        let lane: DockerLane = toml::from_str("").unwrap();
        let asked = Variable {
            key: "PASSWORD".into(),
            value: "$SECRET".into(),
            ..Variable::default()
        };
        let service = Image {
            variables: vec![asked],
            ..Image::default()
        };
        assert_eq!(
            of_service(&lane, &job, &call, &service),
            ["PASSWORD=s", "PUBLIC=x"]
        );
    }
}
