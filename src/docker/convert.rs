//! What `spec` says, in the words of the engine's API. Pure.

use std::collections::HashMap;

use bollard::models::{
    ContainerCreateBody, DeviceMapping, DeviceRequest, EndpointSettings, HostConfig,
    HostConfigLogConfig, Mount as ApiMount, MountType, NetworkingConfig, ResourcesUlimits,
};

use super::{
    setting::Settings,
    spec::{Container, Held, Network},
    volume::Mount,
};
use crate::config::{Device, Gpus, Ulimit};

pub(super) fn container(container: Container) -> ContainerCreateBody {
    let (network_mode, networking_config) = network(container.network);
    let settings = container.settings;
    // Ours come last, and count.
    let labels = settings.labels.clone().into_iter().chain(container.labels);
    let (binds, mounts): (Vec<_>, Vec<_>) = container.mounts.into_iter().partition(is_bind);
    ContainerCreateBody {
        image: Some(container.image),
        entrypoint: container.entrypoint,
        cmd: container.command,
        env: Some(container.environ),
        user: container.user,
        hostname: container.hostname,
        labels: Some(labels.collect()),
        open_stdin: Some(container.has_stdin),
        stdin_once: Some(container.has_stdin),
        attach_stdin: Some(container.has_stdin),
        attach_stdout: Some(true),
        attach_stderr: Some(true),
        host_config: Some(HostConfig {
            network_mode: Some(network_mode),
            mounts: Some(mounts.into_iter().filter_map(mount).collect()),
            binds: Some(binds.into_iter().filter_map(bind).collect()),
            log_config: Some(log(container.keeps_log, &settings)),
            ..set(settings, held(&container.held))
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

/// Adds what the operator gives.
fn set(settings: Settings, host: HostConfig) -> HostConfig {
    HostConfig {
        cap_add: Some(settings.cap_add),
        cap_drop: Some(settings.cap_drop),
        security_opt: Some(settings.security),
        devices: Some(settings.devices.into_iter().map(device).collect()),
        device_requests: settings.gpus.map(|gpus| vec![request(gpus)]),
        runtime: settings.runtime,
        sysctls: Some(settings.sysctls),
        tmpfs: Some(settings.tmpfs),
        group_add: Some(settings.groups),
        init: settings.init.then_some(true),
        dns: Some(settings.dns),
        dns_search: Some(settings.dns_search),
        extra_hosts: Some(settings.extra_hosts),
        ..host
    }
}

fn device(device: Device) -> DeviceMapping {
    DeviceMapping {
        path_on_host: Some(device.host),
        path_in_container: Some(device.container),
        cgroup_permissions: Some(device.permissions),
    }
}

fn request(gpus: Gpus) -> DeviceRequest {
    let (count, device_ids) = match gpus {
        Gpus::All => (Some(-1), None),
        Gpus::Some(count) => (Some(count), None),
        Gpus::Named(ids) => (None, Some(ids)),
    };
    DeviceRequest {
        count,
        device_ids,
        capabilities: Some(vec![vec!["gpu".to_owned()]]),
        ..DeviceRequest::default()
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

fn log(is_kept: bool, settings: &Settings) -> HostConfigLogConfig {
    let size = ("max-size".to_owned(), "1m".to_owned());
    let options = || settings.log.clone().into_iter().chain([size]).collect();
    HostConfigLogConfig {
        typ: Some(if is_kept { "json-file" } else { "none" }.into()),
        config: is_kept.then(options),
    }
}

fn is_bind(mount: &Mount) -> bool {
    matches!(mount, Mount::Bind { .. })
}

fn mount(mount: Mount) -> Option<ApiMount> {
    let (typ, source, target) = match mount {
        Mount::Volume { name, target } => (MountType::VOLUME, name, target),
        Mount::Socket { source, target } => (MountType::BIND, source, target),
        Mount::Bind { .. } => return None,
    };
    Some(ApiMount {
        typ: Some(typ),
        source: Some(source),
        target: Some(target),
        ..ApiMount::default()
    })
}

/// In the form that knows all of the operator's words, and that makes a folder that is not there.
fn bind(mount: Mount) -> Option<String> {
    match mount {
        Mount::Bind {
            source,
            target,
            options,
        } if options.is_empty() => Some(format!("{source}:{target}")),
        Mount::Bind {
            source,
            target,
            options,
        } => Some(format!("{source}:{target}:{}", options.join(","))),
        Mount::Volume { .. } | Mount::Socket { .. } => None,
    }
}
