//! What containers of a docker lane get beside limits and volumes, as it is written. The words are GitLab's docker
//! executor's. What would open the host to a job is refused here, by name.

use std::{collections::BTreeMap, net::IpAddr};

use serde::Deserialize;

use super::word::from_text;

/// `name:address`; `host-gateway` stands for this host.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct ExtraHost {
    pub name: String,
    pub address: String,
}

/// A name of DNS: of a host, or the end of such names.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Domain(pub String);

/// A capability without its `CAP_`, or `ALL`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Capability(pub String);

/// One that leaves the host to its operator.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct AddedCapability(pub String);

/// An option that takes something away, as the engine reads it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct SecurityOption(pub String);

/// `/dev/x[:/dev/y[:rwm]]`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Device {
    pub host: String,
    pub container: String,
    pub permissions: String,
}

/// `all`, a number, or `device=0,1`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub enum Gpus {
    All,
    Some(i64),
    Named(Vec<String>),
}

/// What the engine runs containers with.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Runtime(pub String);

/// `uid[:gid]`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Account(pub String);

/// A setting of the kernel that each container has for itself.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(try_from = "String")]
pub struct Sysctl(pub String);

/// Options of a tmpfs, as `mount` reads them.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct TmpfsOptions(pub String);

/// A label of the operator's.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(try_from = "String")]
pub struct LabelKey(pub String);

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct LabelValue(pub String);

/// What stands beside each line of a service in the engine's log: labels and variables, by names with commas between.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LogOptions {
    pub labels: Option<String>,
    pub env: Option<String>,
}

/// A service that is started for every job of the lane.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct ServiceOfEveryJob {
    pub name: Fixed,
    #[serde(default)]
    pub alias: Fixed,
    pub entrypoint: Option<Vec<String>>,
    pub command: Option<Vec<String>>,
    /// `NAME=value`; the value may name variables of the job.
    #[serde(default)]
    pub environment: Vec<Assignment>,
}

/// A text that no variable of a job stands in.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Fixed(pub String);

/// `NAME=value`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Assignment {
    pub name: String,
    pub value: String,
}

impl LogOptions {
    /// As the engine takes them.
    pub(crate) fn pairs(&self) -> BTreeMap<String, String> {
        let all = [("labels", &self.labels), ("env", &self.env)];
        all.into_iter()
            .filter_map(|(name, value)| Some((name.to_owned(), value.clone()?)))
            .collect()
    }
}

from_text! {
    ExtraHost: extra_host;
    Domain: |text| is_domain(text).then(|| Domain(text.to_owned())).ok_or_else(|| not(text, "a name such as \"corp.example.com\""));
    Capability: |text| capability(text).map(Capability);
    AddedCapability: added_capability;
    SecurityOption: security_option;
    Device: device;
    Gpus: gpus;
    Runtime: runtime;
    Account: account;
    Sysctl: sysctl;
    TmpfsOptions: tmpfs_options;
    LabelKey: label_key;
    LabelValue: |text| fixed(text).map(LabelValue);
    Fixed: |text| fixed(text).map(Fixed);
    Assignment: assignment;
}

fn not(text: &str, what: &str) -> String {
    format!("`{text}` is not {what}")
}

fn is_domain(text: &str) -> bool {
    let is_sign = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    !text.is_empty() && !text.starts_with('-') && text.bytes().all(is_sign)
}

/// Docker's own command line takes `=` for the first `:`, too.
fn extra_host(text: &str) -> Result<ExtraHost, String> {
    let refuse = || not(text, "a host such as \"db.example.com:10.0.0.5\"");
    let at = text.find([':', '=']).ok_or_else(refuse)?;
    let (name, address) = (&text[..at], text[at + 1..].trim_matches(['[', ']']));
    let is_address = address == "host-gateway" || address.parse::<IpAddr>().is_ok();
    if !is_domain(name) || !is_address {
        return Err(refuse());
    }
    let (name, address) = (name.to_owned(), address.to_owned());
    Ok(ExtraHost { name, address })
}

/// What the engine gives to each container.
pub(crate) const USUAL_CAPABILITIES: &[&str] = &[
    "AUDIT_WRITE",
    "CHOWN",
    "DAC_OVERRIDE",
    "FOWNER",
    "FSETID",
    "KILL",
    "MKNOD",
    "NET_BIND_SERVICE",
    "NET_RAW",
    "SETFCAP",
    "SETGID",
    "SETPCAP",
    "SETUID",
    "SYS_CHROOT",
];
/// What may be added: it reaches no further than the job's own namespaces.
const ADDED_CAPABILITIES: &[&str] = &[
    "IPC_LOCK",
    "IPC_OWNER",
    "LEASE",
    "NET_ADMIN",
    "NET_BROADCAST",
    "SYS_PTRACE",
];
const OTHER_CAPABILITIES: &[&str] = &[
    "AUDIT_CONTROL",
    "AUDIT_READ",
    "BLOCK_SUSPEND",
    "BPF",
    "CHECKPOINT_RESTORE",
    "DAC_READ_SEARCH",
    "LINUX_IMMUTABLE",
    "MAC_ADMIN",
    "MAC_OVERRIDE",
    "PERFMON",
    "SYSLOG",
    "SYS_ADMIN",
    "SYS_BOOT",
    "SYS_MODULE",
    "SYS_NICE",
    "SYS_PACCT",
    "SYS_RAWIO",
    "SYS_RESOURCE",
    "SYS_TIME",
    "SYS_TTY_CONFIG",
    "WAKE_ALARM",
];

fn capability(text: &str) -> Result<String, String> {
    let upper = text.to_ascii_uppercase();
    let name = upper.strip_prefix("CAP_").unwrap_or(&upper);
    let mut known = [
        USUAL_CAPABILITIES,
        ADDED_CAPABILITIES,
        OTHER_CAPABILITIES,
        &["ALL"],
    ]
    .into_iter()
    .flatten();
    if known.any(|known| *known == name) {
        return Ok(name.to_owned());
    }
    Err(not(text, "a capability such as \"NET_ADMIN\""))
}

fn added_capability(text: &str) -> Result<AddedCapability, String> {
    let name = capability(text)?;
    if USUAL_CAPABILITIES.contains(&&*name) || ADDED_CAPABILITIES.contains(&&*name) {
        return Ok(AddedCapability(name));
    }
    Err(format!(
        "`{text}` opens this host to every job of the lane: may be added: {}, and what `cap-drop` took away of the \
         engine's usual ones",
        ADDED_CAPABILITIES.join(", ")
    ))
}

fn security_option(text: &str) -> Result<SecurityOption, String> {
    match text.split_once([':', '=']).unwrap_or((text, "")) {
        ("no-new-privileges", "" | "true" | "1") => {
            Ok(SecurityOption("no-new-privileges".to_owned()))
        }
        ("apparmor", profile) if !profile.is_empty() && profile != "unconfined" => {
            Ok(SecurityOption(format!("apparmor={profile}")))
        }
        ("seccomp", _) => Err(format!(
            "`{text}` may open more than it closes: set `seccomp-profile` in the engine's daemon.json, for all its containers"
        )),
        _ => Err(format!(
            "`{text}` takes a wall of the host away: what a lane may set is \"no-new-privileges\" and \"apparmor=PROFILE\""
        )),
    }
}

/// Devices by which a container reads or writes the host itself, as they begin.
const HOST_DEVICES: &[&str] = &[
    "/dev/mem",
    "/dev/kmem",
    "/dev/port",
    "/dev/kmsg",
    "/dev/sd",
    "/dev/hd",
    "/dev/vd",
    "/dev/xvd",
    "/dev/nvme",
    "/dev/dm-",
    "/dev/mapper",
    "/dev/md",
    "/dev/loop",
    "/dev/block",
    "/dev/disk",
    "/dev/mmcblk",
    "/dev/sg",
    "/dev/bsg",
    "/dev/vg",
    "/dev/pmem",
    "/dev/uinput",
    "/dev/input",
    "/dev/tty",
    "/dev/console",
    "/dev/pts",
    "/dev/watchdog",
    "/dev/vfio",
];

/// Whether its name says so; `reality` looks at what it is.
pub(super) fn is_host_device(path: &str) -> bool {
    let begins = |names: &[&str]| names.iter().any(|name| path.starts_with(name));
    begins(HOST_DEVICES) && !begins(&["/dev/ttyUSB", "/dev/ttyACM"])
}

fn device(text: &str) -> Result<Device, String> {
    let refuse = || {
        not(
            text,
            "a device such as \"/dev/kvm\" or \"/dev/ttyUSB0:/dev/serial:rw\"",
        )
    };
    let parts: Vec<&str> = text.split(':').collect();
    let (host, container, permissions) = match parts.as_slice() {
        [host] => (*host, *host, "rwm"),
        [host, container] => (*host, *container, "rwm"),
        [host, container, permissions] => (*host, *container, *permissions),
        _ => return Err(refuse()),
    };
    let is_path = |path: &str| {
        path.strip_prefix("/dev/").is_some_and(|rest| {
            rest.split('/').all(|part| !matches!(part, "" | "." | ".."))
                && !rest.contains(char::is_whitespace)
        })
    };
    let are_permissions =
        !permissions.is_empty() && permissions.chars().all(|sign| "rwm".contains(sign));
    if !is_path(host) || !is_path(container) || !are_permissions {
        return Err(refuse());
    }
    if is_host_device(host) {
        return Err(format!(
            "`{host}` is the host itself: no job of a lane may have it"
        ));
    }
    let [host, container, permissions] = [host, container, permissions].map(str::to_owned);
    Ok(Device {
        host,
        container,
        permissions,
    })
}

fn gpus(text: &str) -> Result<Gpus, String> {
    let plain = text.trim_matches('"');
    if plain == "all" {
        return Ok(Gpus::All);
    }
    if let Some(ids) = plain.strip_prefix("device=") {
        let ids: Vec<String> = ids
            .split(',')
            .map(|id| id.trim_matches('"').to_owned())
            .collect();
        if ids.iter().all(|id| !id.is_empty()) {
            return Ok(Gpus::Named(ids));
        }
    }
    let count = plain.parse().ok().filter(|count| *count > 0);
    count
        .map(Gpus::Some)
        .ok_or_else(|| not(text, "\"all\", a number, or \"device=0,1\""))
}

/// A sandbox with a kernel of its own takes the network over that it is given, and a job's containers share one.
fn runtime(text: &str) -> Result<Runtime, String> {
    let lower = text.to_ascii_lowercase();
    if ["runsc", "gvisor", "kata"]
        .iter()
        .any(|part| lower.contains(part))
    {
        return Err(format!(
            "`{text}` needs a network for each container, and those of a job share one: give the lane an engine of its own \
             (`docker-host`) whose default runtime it is, or a machine"
        ));
    }
    if !is_domain(text) {
        return Err(not(text, "a runtime such as \"nvidia\""));
    }
    Ok(Runtime(text.to_owned()))
}

/// By number: a name leads to whom the image says, and the job chooses its image.
fn account(text: &str) -> Result<Account, String> {
    let is_number =
        |part: &str| part.bytes().all(|byte| byte.is_ascii_digit()) && part.parse::<u32>().is_ok();
    let (user, group) = text.split_once(':').unwrap_or((text, "0"));
    if is_number(user) && is_number(group) {
        return Ok(Account(text.to_owned()));
    }
    Err(format!(
        "`{text}` is no number such as \"1000\" or \"1000:1000\": whom a name means, the job's image decides"
    ))
}

const IPC_SYSCTLS: &[&str] = &[
    "kernel.msgmax",
    "kernel.msgmnb",
    "kernel.msgmni",
    "kernel.sem",
    "kernel.shmall",
    "kernel.shmmax",
    "kernel.shmmni",
    "kernel.shm_rmid_forced",
];

fn sysctl(text: &str) -> Result<Sysctl, String> {
    let is_sign = |byte: u8| byte.is_ascii_alphanumeric() || b"-_./".contains(&byte);
    let is_plain = text.bytes().all(is_sign) && !text.contains("..");
    let is_own =
        text.starts_with("net.") || text.starts_with("fs.mqueue.") || IPC_SYSCTLS.contains(&text);
    if is_plain && is_own {
        return Ok(Sysctl(text.to_owned()));
    }
    Err(format!(
        "`{text}` is the whole host's: a container has net.*, fs.mqueue.*, {} for itself; set it on the host with sysctl.d",
        IPC_SYSCTLS.join(", ")
    ))
}

impl Sysctl {
    /// Whether it belongs to the network, which the job's containers share.
    pub(crate) fn is_of_network(&self) -> bool {
        self.0.starts_with("net.")
    }
}

const TMPFS_WORDS: &[&str] = &[
    "rw", "ro", "exec", "noexec", "suid", "nosuid", "nodev", "atime", "noatime", "sync", "async",
];
const TMPFS_NUMBERS: &[&str] = &["size", "mode", "uid", "gid", "nr_inodes", "nr_blocks"];

fn tmpfs_options(text: &str) -> Result<TmpfsOptions, String> {
    let is_value = |value: &str| {
        !value.is_empty()
            && value
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'%')
    };
    let is_known = |option: &str| match option.split_once('=') {
        Some((name, value)) => TMPFS_NUMBERS.contains(&name) && is_value(value),
        None => option.is_empty() || TMPFS_WORDS.contains(&option),
    };
    match text.split(',').find(|option| !is_known(option)) {
        None => Ok(TmpfsOptions(text.to_owned())),
        Some(option) => Err(not(
            option,
            "an option of a tmpfs such as \"size=64m\" or \"noexec\"",
        )),
    }
}

fn label_key(text: &str) -> Result<LabelKey, String> {
    let lower = text.to_ascii_lowercase();
    let is_taken = ["dockmaster.", "com.gitlab.gitlab-runner.", "com.docker."]
        .iter()
        .any(|taken| lower.starts_with(taken));
    if text.is_empty() || is_taken {
        return Err(format!(
            "`{text}` is a label of dockmaster's, the runner's or Docker's own: choose another name"
        ));
    }
    Ok(LabelKey(text.to_owned()))
}

fn fixed(text: &str) -> Result<String, String> {
    if text.contains('$') {
        return Err(format!(
            "`{text}` names a variable: what a job says has no place here, so write it out"
        ));
    }
    Ok(text.to_owned())
}

fn assignment(text: &str) -> Result<Assignment, String> {
    let pair = text.split_once('=').filter(|(name, _)| !name.is_empty());
    let (name, value) = pair.ok_or_else(|| not(text, "a variable such as \"POSTGRES_DB=test\""))?;
    Ok(Assignment {
        name: name.to_owned(),
        value: value.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused<T>(read: impl Fn(&str) -> Result<T, String>, texts: &[&str]) {
        for text in texts {
            assert!(read(text).is_err(), "{text}");
        }
    }

    #[test]
    fn names_and_addresses_are_read_or_refused() {
        let host = extra_host("db.corp=10.0.0.5").unwrap();
        assert_eq!((&*host.name, &*host.address), ("db.corp", "10.0.0.5"));
        assert_eq!(extra_host("six:[::1]").unwrap().address, "::1");
        assert!(extra_host("host:host-gateway").is_ok());
        refused(
            extra_host,
            &[
                "db",
                "db:",
                ":10.0.0.5",
                "db:10.0.0",
                "a b:10.0.0.5",
                "a\nb:10.0.0.5",
                "$X:10.0.0.5",
            ],
        );
    }

    #[test]
    fn a_capability_that_opens_the_host_is_dropped_and_never_added() {
        for name in OTHER_CAPABILITIES.iter().chain(&["ALL"]) {
            assert!(capability(name).is_ok(), "{name}");
            let told = added_capability(&format!("cap_{}", name.to_lowercase())).unwrap_err();
            assert!(told.contains("opens this host"), "{told}");
        }
        assert_eq!(added_capability("cap_net_admin").unwrap().0, "NET_ADMIN");
        refused(capability, &["", "NET", "CAP_"]);
    }

    #[test]
    fn a_security_option_only_takes_away() {
        assert_eq!(
            security_option("no-new-privileges:true").unwrap().0,
            "no-new-privileges"
        );
        assert_eq!(security_option("apparmor:ci").unwrap().0, "apparmor=ci");
        refused(
            security_option,
            &[
                "no-new-privileges:false",
                "apparmor=unconfined",
                "apparmor=",
                "seccomp=unconfined",
                "seccomp=/etc/x.json",
                "label=disable",
                "systempaths=unconfined",
                "",
            ],
        );
    }

    #[test]
    fn a_device_of_the_host_itself_is_refused() {
        assert_eq!(device("/dev/kvm").unwrap().permissions, "rwm");
        assert_eq!(
            device("/dev/ttyUSB0:/dev/serial:rw").unwrap().container,
            "/dev/serial"
        );
        refused(
            device,
            &[
                "/dev/sda",
                "/dev/mem",
                "/dev/mapper/root",
                "/dev",
                "/dev/",
                "/dev/../etc/shadow",
                "/etc/passwd",
                "/dev/kvm:kvm",
                "/dev/kvm:/dev/kvm:x",
                "/dev/tty0",
                "a:b:c:d",
            ],
        );
    }

    #[test]
    fn a_setting_of_the_whole_host_is_refused() {
        assert!(sysctl("net.core.somaxconn").unwrap().is_of_network());
        assert!(!sysctl("kernel.shmmax").unwrap().is_of_network());
        refused(
            sysctl,
            &[
                "kernel.core_pattern",
                "vm.max_map_count",
                "net./../kernel.core_pattern",
                "net.a=b",
                "fs.file-max",
            ],
        );
    }

    #[test]
    fn other_values_are_read_or_refused() {
        assert_eq!(gpus("all"), Ok(Gpus::All));
        assert_eq!(gpus("2"), Ok(Gpus::Some(2)));
        assert_eq!(
            gpus("\"device=0,1\""),
            Ok(Gpus::Named(vec!["0".into(), "1".into()]))
        );
        refused(gpus, &["none", "0", "-1", "device="]);
        refused(
            runtime,
            &["runsc", "io.containerd.runsc.v1", "kata-fc", "a b", ""],
        );
        assert_eq!(account("1000:50").unwrap().0, "1000:50");
        refused(
            account,
            &["nobody", "0:root", "", "1000:", "+1", "4294967296"],
        );
        assert!(tmpfs_options("rw,noexec,size=64m,mode=1777").is_ok() && tmpfs_options("").is_ok());
        refused(
            tmpfs_options,
            &["size", "dev", "size=1m:x", "bind", "mode=a b"],
        );
        refused(
            label_key,
            &[
                "",
                "dockmaster.job",
                "Com.Docker.x",
                "com.gitlab.gitlab-runner.type",
            ],
        );
        refused(fixed, &["$CI_PROJECT_PATH", "a${B}"]);
        refused(assignment, &["A", "=b"]);
        assert_eq!(assignment("A=b=c").unwrap().value, "b=c");
    }
}
