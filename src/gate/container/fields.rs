//! The fields of `containers/create`, and what may stand in each.
//!
//! Pure. A field that is not here is refused.

use crate::gate::field::{Field, Rule, Shape};

const LEAVE: &str = "leave it out";
const FLAG: Rule = Rule::Keep(Shape::Flag);
const NUMBER: Rule = Rule::Keep(Shape::Number);
const TEXT: Rule = Rule::Keep(Shape::Text);
const TEXTS: Rule = Rule::Keep(Shape::Texts);
const UNSET: Rule = Rule::Unset(LEAVE);

const HEALTH: &[Field] = &[
    Field("Test", TEXTS),
    Field("Interval", NUMBER),
    Field("Timeout", NUMBER),
    Field("StartPeriod", NUMBER),
    Field("StartInterval", NUMBER),
    Field("Retries", NUMBER),
];

/// The top level. The engine reads fields of `HostConfig` here too, which none of these is.
pub(super) const CONFIG: &[Field] = &[
    Field("Hostname", TEXT),
    Field("Domainname", TEXT),
    Field("User", TEXT),
    Field("AttachStdin", FLAG),
    Field("AttachStdout", FLAG),
    Field("AttachStderr", FLAG),
    Field("ExposedPorts", Rule::Keep(Shape::Set)),
    Field("Tty", FLAG),
    Field("OpenStdin", FLAG),
    Field("StdinOnce", FLAG),
    Field("Env", TEXTS),
    Field("Cmd", Rule::Keep(Shape::Command)),
    Field("Healthcheck", Rule::Keep(Shape::Object(HEALTH))),
    Field("ArgsEscaped", FLAG),
    Field("Image", Rule::Apart),
    Field("Volumes", Rule::Keep(Shape::Set)),
    Field("WorkingDir", TEXT),
    Field("Entrypoint", Rule::Keep(Shape::Command)),
    Field("NetworkDisabled", FLAG),
    Field("MacAddress", Rule::Unset(MAC)),
    Field("OnBuild", UNSET),
    Field("Labels", Rule::Keep(Shape::Labels)),
    Field("StopSignal", TEXT),
    Field("StopTimeout", NUMBER),
    Field("Shell", TEXTS),
    Field("HostConfig", Rule::Apart),
    Field("NetworkingConfig", Rule::Apart),
    Field("Runtime", Rule::Unset(RUNTIME)),
];

const RUNTIME: &str = "the operator chooses the runtime";
const MAC: &str = "the engine chooses the addresses of a job's containers";
const DEVICES: &str = "a job has no devices of the host";

pub(super) const HOST: &[Field] = &[
    Field("Binds", Rule::Apart),
    Field("Mounts", Rule::Apart),
    Field("VolumesFrom", Rule::Apart),
    Field("NetworkMode", Rule::Apart),
    Field("PidMode", Rule::Apart),
    Field("IpcMode", Rule::Apart),
    Field("LogConfig", Rule::Apart),
    Field("PortBindings", Rule::Apart),
    Field("PublishAllPorts", Rule::Apart),
    Field("MaskedPaths", Rule::Apart),
    Field("ReadonlyPaths", Rule::Apart),
    Field("ContainerIDFile", Rule::Apart),
    Field("CapAdd", TEXTS),
    Field("CapDrop", TEXTS),
    Field("SecurityOpt", Rule::Apart),
    Field("OomScoreAdj", NUMBER),
    Field("AutoRemove", FLAG),
    Field("Init", FLAG),
    Field("ReadonlyRootfs", FLAG),
    Field("ConsoleSize", Rule::Apart),
    Field("RestartPolicy", Rule::Keep(Shape::Object(RESTART))),
    Field("Dns", TEXTS),
    Field("DnsOptions", TEXTS),
    Field("DnsSearch", TEXTS),
    Field("ExtraHosts", TEXTS),
    Field("GroupAdd", TEXTS),
    Field("Tmpfs", Rule::Keep(Shape::TextMap)),
    Field("ShmSize", NUMBER),
    Field("Ulimits", Rule::Keep(Shape::Objects(ULIMIT))),
    Field("VolumeDriver", Rule::Among(&["local"])),
    Field("CgroupnsMode", Rule::Among(&["private"])),
    Field("Isolation", Rule::Unset(LEAVE)),
    Field("Runtime", Rule::Unset(RUNTIME)),
    Field(
        "Privileged",
        Rule::Unset(
            "a job's containers never own the host; \
        `docker build` works here without it",
        ),
    ),
    Field("Devices", Rule::Unset(DEVICES)),
    Field("DeviceRequests", Rule::Unset(DEVICES)),
    Field("DeviceCgroupRules", Rule::Unset(DEVICES)),
    Field("UTSMode", UNSET),
    Field("UsernsMode", UNSET),
    Field("Cgroup", UNSET),
    Field(
        "CgroupParent",
        Rule::Unset("the job's limits are the operator's"),
    ),
    Field("Links", Rule::Apart),
    Field("Sysctls", UNSET),
    Field("StorageOpt", UNSET),
    // They speak to the runtime, and some runtimes write files of the host where they say.
    Field("Annotations", Rule::Apart),
    Field("Capabilities", UNSET),
    Field("OomKillDisable", UNSET),
    Field("CpuShares", NUMBER),
    Field("Memory", NUMBER),
    Field("NanoCpus", NUMBER),
    Field("CpuPeriod", NUMBER),
    Field("CpuQuota", NUMBER),
    Field("CpusetCpus", TEXT),
    Field("CpusetMems", TEXT),
    Field("MemoryReservation", NUMBER),
    Field("MemorySwap", NUMBER),
    Field("MemorySwappiness", NUMBER),
    Field("PidsLimit", NUMBER),
    Field("KernelMemory", UNSET),
    Field("KernelMemoryTCP", UNSET),
    Field("CpuRealtimePeriod", UNSET),
    Field("CpuRealtimeRuntime", UNSET),
    Field("BlkioWeight", UNSET),
    Field("BlkioWeightDevice", UNSET),
    Field("BlkioDeviceReadBps", UNSET),
    Field("BlkioDeviceWriteBps", UNSET),
    Field("BlkioDeviceReadIOps", UNSET),
    Field("BlkioDeviceWriteIOps", UNSET),
    Field("CpuCount", UNSET),
    Field("CpuPercent", UNSET),
    Field("IOMaximumIOps", UNSET),
    Field("IOMaximumBandwidth", UNSET),
];

/// What `update` changes.
pub(super) const UPDATABLE: &[&str] = &[
    "CpuShares",
    "Memory",
    "NanoCpus",
    "CpuPeriod",
    "CpuQuota",
    "CpusetCpus",
    "CpusetMems",
    "MemoryReservation",
    "MemorySwap",
    "PidsLimit",
];

const RESTART: &[Field] = &[
    Field(
        "Name",
        // What it says is not written: `restarting` says so.
        Rule::Among(&["no", "always", "on-failure", "unless-stopped"]),
    ),
    Field("MaximumRetryCount", NUMBER),
];

const ULIMIT: &[Field] = &[
    Field("Name", TEXT),
    Field("Soft", NUMBER),
    Field("Hard", NUMBER),
];

pub(super) const LOG: &[Field] = &[Field("Type", Rule::Apart), Field("Config", Rule::Apart)];
pub(super) const LOG_OPTIONS: &[Field] = &[
    Field("max-size", TEXT),
    Field("max-file", TEXT),
    Field("compress", TEXT),
];

const ADDRESSES: &[Field] = &[
    Field("IPv4Address", TEXT),
    Field("IPv6Address", TEXT),
    Field("LinkLocalIPs", TEXTS),
];

pub(super) const ENDPOINT: &[Field] = &[
    Field("IPAMConfig", Rule::Keep(Shape::Object(ADDRESSES))),
    Field("Aliases", TEXTS),
    Field("MacAddress", Rule::Unset(MAC)),
    Field("DriverOpts", UNSET),
    Field("GwPriority", NUMBER),
    Field("Links", Rule::Apart),
    // What the engine fills in itself; clients send it back empty.
    Field("NetworkID", Rule::Apart),
    Field("EndpointID", Rule::Apart),
    Field("Gateway", Rule::Apart),
    Field("IPAddress", Rule::Apart),
    Field("IPPrefixLen", Rule::Apart),
    Field("IPv6Gateway", Rule::Apart),
    Field("GlobalIPv6Address", Rule::Apart),
    Field("GlobalIPv6PrefixLen", Rule::Apart),
    Field("DNSNames", Rule::Apart),
];
