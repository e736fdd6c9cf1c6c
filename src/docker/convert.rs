//! What `spec` says, in the words of the engine's API. Pure.

use std::collections::HashMap;

use bollard::models::{
    ContainerCreateBody, EndpointSettings, HostConfig, HostConfigLogConfig, Mount as ApiMount,
    MountType, NetworkingConfig, ResourcesUlimits,
};

use super::spec::{Container, Held, Mount, Network};
use crate::config::Ulimit;

pub(super) fn container(container: Container) -> ContainerCreateBody {
    let (network_mode, networking_config) = network(container.network);
    ContainerCreateBody {
        image: Some(container.image),
        entrypoint: container.entrypoint,
        cmd: container.command,
        env: Some(container.environ),
        user: container.user,
        hostname: container.hostname,
        labels: Some(container.labels),
        open_stdin: Some(container.has_stdin),
        stdin_once: Some(container.has_stdin),
        attach_stdin: Some(container.has_stdin),
        attach_stdout: Some(true),
        attach_stderr: Some(true),
        host_config: Some(HostConfig {
            network_mode: Some(network_mode),
            mounts: Some(container.mounts.into_iter().map(mount).collect()),
            log_config: Some(log(container.keeps_log)),
            ..held(&container.held)
        }),
        networking_config,
        ..ContainerCreateBody::default()
    }
}

/// The limits of one container; those of the whole job are its group's.
fn held(held: &Held) -> HostConfig {
    let ulimit = |(name, ulimit): (&String, &Ulimit)| ResourcesUlimits {
        name: Some(name.clone()),
        soft: Some(ulimit.soft),
        hard: Some(ulimit.hard),
    };
    let shape = &held.shape;
    HostConfig {
        cgroup_parent: (!held.group.is_empty()).then(|| held.group.clone()),
        ulimits: Some(shape.ulimits.iter().map(ulimit).collect()),
        shm_size: shape.shm_size.and_then(|size| size.try_into().ok()),
        oom_score_adj: Some(shape.oom_score_adjust.into()),
        ..HostConfig::default()
    }
}

fn network(network: Network) -> (String, Option<NetworkingConfig>) {
    match network {
        Network::None => ("none".to_owned(), None),
        Network::Of(id) => (format!("container:{id}"), None),
        Network::Named { network, aliases } => {
            let endpoint = EndpointSettings {
                aliases: Some(aliases),
                ..EndpointSettings::default()
            };
            let endpoints_config = Some(HashMap::from([(network.clone(), endpoint)]));
            (network, Some(NetworkingConfig { endpoints_config }))
        }
    }
}

fn log(is_kept: bool) -> HostConfigLogConfig {
    let size = || HashMap::from([("max-size".into(), "1m".into())]);
    HostConfigLogConfig {
        typ: Some(if is_kept { "json-file" } else { "none" }.into()),
        config: is_kept.then(size),
    }
}

fn mount(mount: Mount) -> ApiMount {
    let (typ, source, target) = match mount {
        Mount::Volume { name, target } => (MountType::VOLUME, name, target),
        Mount::Socket { source, target } => (MountType::BIND, source, target),
    };
    ApiMount {
        typ: Some(typ),
        source: Some(source),
        target: Some(target),
        ..ApiMount::default()
    }
}
