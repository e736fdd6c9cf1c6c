//! A job that brings a Docker Engine of its own, as jobs on other runners do: it would have to own the host.
//!
//! Pure. Says once what to do instead.

use crate::{config::DockerApi, job::Job};

/// Whether an image is an engine: `docker:27-dind`, from whichever registry.
pub(super) fn is_engine(image: &str) -> bool {
    let name = image.rsplit('/').next().unwrap_or_default();
    let tag = name.strip_prefix("docker:");
    tag.is_some_and(|tag| tag.split(['-', '@']).any(|part| part == "dind"))
}

/// The sentence for a job that brings an engine, or looks for one.
pub(super) fn advice(job: &Job, api: DockerApi) -> Option<String> {
    let service = job.services.iter().find(|service| is_engine(&service.name));
    let host = job.variables.iter().rev().find(|variable| {
        variable.key == "DOCKER_HOST" && variable.value.starts_with("tcp://docker:")
    });
    let what = match (service, host) {
        (Some(service), _) => format!("the service {} is not started", service.name),
        (None, Some(host)) => format!("nothing answers at DOCKER_HOST={}", host.value),
        (None, None) => return None,
    };
    let instead = match api {
        DockerApi::Gate => {
            "each job has a Docker of its own at /var/run/docker.sock here, so leave the service, DOCKER_HOST and \
             DOCKER_TLS_CERTDIR out of .gitlab-ci.yml"
        }
        DockerApi::None => {
            "an engine would own the host, so ask the operator for docker-api = \"gate\" on this lane and leave the \
             service and DOCKER_HOST out of .gitlab-ci.yml"
        }
    };
    Some(format!("{what}: {instead}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job(services: &[&str], host: &str) -> Job {
        let services: Vec<_> = services
            .iter()
            .map(|name| serde_json::json!({ "name": name }))
            .collect();
        serde_json::from_value(serde_json::json!({
            "id": 1, "job_info": { "project_id": 1, "pipeline_id": 1 },
            "git_info": { "sha": "0".repeat(40), "ref": "v1", "ref_type": "tag", "protected": true },
            "services": services, "variables": [{ "key": "DOCKER_HOST", "value": host }],
        }))
        .unwrap()
    }

    #[test]
    fn an_engine_is_told_from_a_client() {
        for image in [
            "docker:dind",
            "docker:27-dind",
            "h.example.com/a/docker:24.0.5-dind-rootless",
        ] {
            assert!(is_engine(image), "{image}");
        }
        for image in [
            "docker:latest",
            "docker",
            "dind",
            "a/docker-dind:1",
            "redis:7",
        ] {
            assert!(!is_engine(image), "{image}");
        }
    }

    #[test]
    fn one_sentence_says_what_to_do_instead() {
        let told = advice(&job(&["docker:dind"], "tcp://docker:2375"), DockerApi::Gate).unwrap();
        assert!(
            told.contains("docker:dind is not started") && told.contains("/var/run/docker.sock"),
            "{told}"
        );
        let told = advice(&job(&[], "tcp://docker:2376"), DockerApi::None).unwrap();
        assert!(
            told.contains("tcp://docker:2376") && told.contains("docker-api"),
            "{told}"
        );
        assert_eq!(
            advice(&job(&["redis"], "tcp://build-host:2375"), DockerApi::Gate),
            None
        );
    }
}
