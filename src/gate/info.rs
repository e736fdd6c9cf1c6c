//! What a job is told of the engine: what clients decide by, and nothing of the host, its folders, its registries.
//!
//! Pure.

use serde_json::{Map, Value, json};

/// Passed on as the engine says it: versions, and what its kernel and its builder can do.
const TOLD: &[&str] = &[
    "ServerVersion",
    "OSType",
    "OSVersion",
    "OperatingSystem",
    "Architecture",
    "KernelVersion",
    "NCPU",
    "MemTotal",
    "Driver",
    "LoggingDriver",
    "CgroupDriver",
    "CgroupVersion",
    "DefaultRuntime",
    "SecurityOptions",
    "MemoryLimit",
    "SwapLimit",
    "CpuCfsPeriod",
    "CpuCfsQuota",
    "CPUShares",
    "CPUSet",
    "PidsLimit",
    "OomKillDisable",
    "IPv4Forwarding",
    "BridgeNfIptables",
    "BridgeNfIp6tables",
    "ExperimentalBuild",
    "Isolation",
    "SystemTime",
];

/// What of the store's own state a client decides by: whether images are containerd's.
const STORE: &[&str] = &["driver-type", "Backing Filesystem"];

/// The answer to `/info`.
pub(crate) fn told(engine: &Value) -> Value {
    let mut told: Map<String, Value> = TOLD
        .iter()
        .filter_map(|name| Some(((*name).to_owned(), engine.get(*name)?.clone())))
        .collect();
    let store = engine["DriverStatus"].as_array().into_iter().flatten();
    let store = store.filter(|pair| pair[0].as_str().is_some_and(|name| STORE.contains(&name)));
    told.insert("DriverStatus".to_owned(), store.cloned().collect());
    let runtime = engine["DefaultRuntime"].as_str().unwrap_or("runc");
    let fixed = json!({
        "ID": "",
        "Name": "dockmaster",
        "Labels": [],
        "Containers": 0, "ContainersRunning": 0, "ContainersPaused": 0, "ContainersStopped": 0,
        "Images": 0,
        "IndexServerAddress": "https://index.docker.io/v1/",
        "RegistryConfig": { "IndexConfigs": {}, "InsecureRegistryCIDRs": [], "Mirrors": [] },
        "Plugins": { "Volume": ["local"], "Network": ["bridge", "null"], "Authorization": null, "Log": ["json-file", "local"] },
        "Runtimes": { runtime: { "path": runtime } },
        "Swarm": { "NodeID": "", "NodeAddr": "", "LocalNodeState": "inactive", "ControlAvailable": false,
            "Error": "", "RemoteManagers": null },
        "Warnings": null,
    });
    if let Value::Object(fixed) = fixed {
        told.extend(fixed);
    }
    Value::Object(told)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_of_the_host_is_told() {
        let engine = json!({
            "ServerVersion": "28.5.2", "Name": "code-server", "ID": "AB:CD", "DockerRootDir": "/srv/docker",
            "RegistryConfig": { "Mirrors": ["https://mirror.corp"] }, "Labels": ["rack=7"], "HttpProxy": "http://u:p@proxy",
            "Driver": "overlayfs", "DriverStatus": [["driver-type", "io.containerd.snapshotter.v1"], ["Root Dir", "/srv"]],
            "Runtimes": { "runc": { "path": "/opt/secret/runc" } }, "Containers": 17, "NCPU": 2,
            "ClientInfo": { "key": "code-server" },
        });
        let text = told(&engine).to_string();
        for word in [
            "code-server",
            "/srv",
            "mirror",
            "rack",
            "proxy",
            "/opt",
            "AB:CD",
            "17",
        ] {
            assert!(!text.contains(word), "{word}: {text}");
        }
        let told = told(&engine);
        assert_eq!(told["ServerVersion"], "28.5.2");
        assert_eq!(
            told["DriverStatus"],
            json!([["driver-type", "io.containerd.snapshotter.v1"]])
        );
        assert_eq!(told["NCPU"], 2);
    }
}
