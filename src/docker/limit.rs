//! What a job may use of its host: decided from the lane and from how large the host is. Pure.
//!
//! Left out, memory is such that eight jobs leave a quarter of the host to GitLab and everything else. All groups of
//! jobs have one parent, so that together they get as much of the processors as everything else, not each of them.

use std::collections::BTreeMap;

use crate::{
    config::{Cpus, DockerLane, Set, Size, Ulimit},
    sys::host::Host,
};

/// So many jobs find memory beside GitLab.
const JOBS: u64 = 8;
/// No job gets less memory by default: little can be built with less.
const LEAST_MEMORY: u64 = 1 << 30;
const LEAST_PIDS: u64 = 1024;
const MOST_PIDS: u64 = 4096;
/// The engine's own default for /dev/shm.
const SHM: u64 = 64 << 20;
/// More open files than this no build needs.
const FILES: i64 = 1_048_576;

/// A limit, and whether the admin wrote it: then it must hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Limit<T> {
    pub(crate) value: T,
    pub(crate) is_asked: bool,
}

/// What one job may use.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Limits {
    pub(crate) memory: Option<Limit<u64>>,
    /// Memory and swap together.
    pub(crate) swap: Option<Limit<u64>>,
    reservation: Option<Limit<u64>>,
    cpus: Option<Limit<u64>>,
    shares: Option<Limit<u64>>,
    cpuset_cpus: Option<Limit<String>>,
    cpuset_mems: Option<Limit<String>>,
    pub(crate) pids: Option<Limit<u64>>,
}

/// One setting of a job's group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Setting {
    /// As the lane's configuration has it.
    pub(crate) key: &'static str,
    pub(crate) controller: &'static str,
    pub(crate) file: &'static str,
    pub(crate) value: String,
    /// What systemd calls it, with its value; none where it has no word for it.
    pub(crate) property: Option<String>,
    pub(crate) is_asked: bool,
}

impl Limits {
    pub(crate) fn new(lane: &DockerLane, host: &Host) -> Self {
        let memory = or_share(lane.memory.map(|size| size.0), memory_share(host));
        let swap = match (&memory, lane.memory_swap) {
            (_, Some(Size(0))) | (None, None) => None,
            (_, Some(Size(value))) => Some(Limit {
                value: memory
                    .as_ref()
                    .map_or(value, |memory| value.max(memory.value)),
                is_asked: true,
            }),
            // A job that swaps takes the disk from everybody.
            (Some(memory), None) => (host.swap > 0).then_some(Limit {
                value: memory.value,
                is_asked: false,
            }),
        };
        Self {
            memory,
            swap,
            reservation: asked(lane.memory_reservation.map(|Size(value)| value)),
            cpus: asked(lane.cpus.map(|Cpus(value)| value)),
            shares: asked(lane.cpu_shares),
            cpuset_cpus: set(lane.cpuset_cpus.as_ref()),
            cpuset_mems: set(lane.cpuset_mems.as_ref()),
            pids: or_share(lane.pids_limit, pids_share(host)),
        }
    }

    /// The settings of the job's group, in the order in which the kernel takes them.
    pub(crate) fn settings(&self, is_unified: bool) -> Vec<Setting> {
        let mut all = Vec::new();
        let names = |first, second| if is_unified { second } else { first };
        if let Some(limit) = &self.cpuset_mems {
            let value = limit.value.clone();
            let property = Some(format!("AllowedMemoryNodes={value}"));
            all.push(limit.set("cpuset-mems", ("cpuset", "cpuset.mems"), value, property));
        }
        if let Some(limit) = &self.cpuset_cpus {
            let value = limit.value.clone();
            let property = Some(format!("AllowedCPUs={value}"));
            all.push(limit.set("cpuset-cpus", ("cpuset", "cpuset.cpus"), value, property));
        }
        if let Some(limit) = &self.memory {
            let file = names("memory.limit_in_bytes", "memory.max");
            let property = Some(format!("MemoryMax={}", limit.value));
            all.push(limit.set(
                "memory",
                ("memory", file),
                limit.value.to_string(),
                property,
            ));
        }
        if let Some(limit) = &self.swap {
            let memory = self.memory.as_ref().map_or(0, |memory| memory.value);
            let value = if is_unified {
                limit.value - memory
            } else {
                limit.value
            };
            let file = names("memory.memsw.limit_in_bytes", "memory.swap.max");
            let property = is_unified.then(|| format!("MemorySwapMax={value}"));
            all.push(limit.set("memory-swap", ("memory", file), value.to_string(), property));
        }
        if let Some(limit) = &self.reservation {
            let file = names("memory.soft_limit_in_bytes", "memory.low");
            let property = is_unified.then(|| format!("MemoryLow={}", limit.value));
            let key = "memory-reservation";
            all.push(limit.set(key, ("memory", file), limit.value.to_string(), property));
        }
        if let Some(limit) = &self.cpus {
            all.push(limit.set_cpus(is_unified));
        }
        if let Some(limit) = &self.shares {
            all.push(limit.set_shares(is_unified));
        }
        if let Some(limit) = &self.pids {
            let property = Some(format!("TasksMax={}", limit.value));
            all.push(limit.set(
                "pids-limit",
                ("pids", "pids.max"),
                limit.value.to_string(),
                property,
            ));
        }
        all
    }
}

impl<T> Limit<T> {
    fn set(
        &self,
        key: &'static str,
        (controller, file): (&'static str, &'static str),
        value: String,
        property: Option<String>,
    ) -> Setting {
        Setting {
            key,
            controller,
            file,
            value,
            property,
            is_asked: self.is_asked,
        }
    }
}

impl Limit<u64> {
    /// Of each tenth of a second, which is the kernel's own period.
    fn set_cpus(&self, is_unified: bool) -> Setting {
        let quota = self.value * 100;
        let (file, value) = if is_unified {
            ("cpu.max", format!("{quota} 100000"))
        } else {
            ("cpu.cfs_quota_us", quota.to_string())
        };
        let property = Some(format!("CPUQuota={}%", self.value / 10));
        self.set("cpus", ("cpu", file), value, property)
    }

    /// The second version's weights, as runc computes them.
    fn set_shares(&self, is_unified: bool) -> Setting {
        let shares = self.value.clamp(2, 262_144);
        let weight = 1 + ((shares - 2) * 9999) / 262_142;
        let (file, value, property) = if is_unified {
            ("cpu.weight", weight, format!("CPUWeight={weight}"))
        } else {
            ("cpu.shares", shares, format!("CPUShares={shares}"))
        };
        self.set(
            "cpu-shares",
            ("cpu", file),
            value.to_string(),
            Some(property),
        )
    }
}

/// What each container gets, and the most that a job's own containers may ask for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Shape {
    pub(crate) ulimits: BTreeMap<String, Ulimit>,
    pub(crate) shm_size: Option<u64>,
    pub(crate) oom_score_adjust: u16,
}

impl Shape {
    pub(crate) fn new(lane: &DockerLane) -> Self {
        Self {
            ulimits: lane.ulimit.clone(),
            shm_size: lane.shm_size.map(|size| size.0).filter(|size| *size > 0),
            oom_score_adjust: lane.oom_score_adjust.min(1000),
        }
    }
}

/// The most of /dev/shm and of each tmpfs: what is written there is the job's memory.
pub(crate) fn tmpfs_size(lane: &DockerLane, limits: &Limits, host: &Host) -> u64 {
    let memory = limits.memory.as_ref().map(|memory| memory.value);
    match lane.tmpfs_size {
        Some(Size(size)) if size > 0 => size,
        _ => memory.unwrap_or(host.memory / 2).max(SHM),
    }
}

/// The ulimits that a job's own containers may ask for at most.
pub(crate) fn most_ulimits(lane: &DockerLane) -> BTreeMap<String, i64> {
    // A process that runs before all others, or is never preempted, takes the processors from GitLab.
    let mut most = BTreeMap::from([("nofile", FILES), ("nice", 0), ("rtprio", 0), ("rttime", 0)])
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value))
        .collect::<BTreeMap<_, _>>();
    let asked = lane.ulimit.iter();
    most.extend(asked.map(|(name, ulimit)| (name.clone(), ulimit.hard)));
    most
}

fn memory_share(host: &Host) -> u64 {
    if host.memory == 0 {
        return 0;
    }
    let share = host.memory / 4 * 3 / JOBS;
    share.max(LEAST_MEMORY).min(host.memory) & !0xffff
}

fn pids_share(host: &Host) -> u64 {
    (host.pids / 2 / JOBS).clamp(LEAST_PIDS, MOST_PIDS)
}

/// The admin's word, where 0 is no limit; else a share of the host.
fn or_share(written: Option<u64>, share: u64) -> Option<Limit<u64>> {
    let value = written.unwrap_or(share);
    (value > 0).then_some(Limit {
        value,
        is_asked: written.is_some(),
    })
}

fn asked(value: Option<u64>) -> Option<Limit<u64>> {
    let is_asked = true;
    value
        .filter(|value| *value > 0)
        .map(|value| Limit { value, is_asked })
}

fn set(value: Option<&Set>) -> Option<Limit<String>> {
    let is_asked = true;
    value.map(|Set(value)| Limit {
        value: value.clone(),
        is_asked,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOST: Host = Host {
        memory: 32 << 30,
        swap: 2 << 30,
        pids: 32_768,
    };

    fn settings(lane: &str, is_unified: bool) -> Vec<String> {
        let lane: DockerLane = toml::from_str(lane).unwrap();
        let settings = Limits::new(&lane, &HOST).settings(is_unified);
        let shown = |setting: Setting| {
            let mark = if setting.is_asked { "!" } else { "" };
            let property = setting.property.unwrap_or_default();
            format!(
                "{}{mark} {}={} {property}",
                setting.key, setting.file, setting.value
            )
        };
        settings.into_iter().map(shown).collect()
    }

    #[test]
    fn eight_jobs_leave_a_quarter_of_the_host_and_do_not_swap() {
        assert_eq!(
            settings("", true),
            [
                "memory memory.max=3221225472 MemoryMax=3221225472",
                "memory-swap memory.swap.max=0 MemorySwapMax=0",
                "pids-limit pids.max=2048 TasksMax=2048",
            ]
        );
        let limits = Limits::new(&toml::from_str("").unwrap(), &HOST);
        assert!(limits.memory.unwrap().value * JOBS <= HOST.memory / 4 * 3);
    }

    #[test]
    fn what_the_admin_writes_is_asked_for_in_both_versions() {
        let lane = "memory = \"2g\"\nmemory-swap = \"3g\"\nmemory-reservation = \"1g\"\ncpus = \"1.5\"\n\
            cpu-shares = 512\ncpuset-cpus = \"0-1\"\npids-limit = 100\n";
        assert_eq!(
            settings(lane, false),
            [
                "cpuset-cpus! cpuset.cpus=0-1 AllowedCPUs=0-1",
                "memory! memory.limit_in_bytes=2147483648 MemoryMax=2147483648",
                "memory-swap! memory.memsw.limit_in_bytes=3221225472 ",
                "memory-reservation! memory.soft_limit_in_bytes=1073741824 ",
                "cpus! cpu.cfs_quota_us=150000 CPUQuota=150%",
                "cpu-shares! cpu.shares=512 CPUShares=512",
                "pids-limit! pids.max=100 TasksMax=100",
            ]
        );
        let unified = settings(lane, true);
        assert!(unified.contains(
            &"memory-swap! memory.swap.max=1073741824 MemorySwapMax=1073741824".to_owned()
        ));
        assert!(unified.contains(&"cpus! cpu.max=150000 100000 CPUQuota=150%".to_owned()));
        assert!(unified.contains(&"cpu-shares! cpu.weight=20 CPUWeight=20".to_owned()));
    }

    #[test]
    fn a_zero_is_no_limit() {
        assert!(settings("memory = 0\npids-limit = 0\n", true).is_empty());
    }

    #[test]
    fn a_small_host_gives_what_a_build_needs_and_no_more_than_it_has() {
        let host = |memory| Host { memory, ..HOST };
        assert_eq!(memory_share(&host(4 << 30)), 1 << 30);
        assert_eq!(memory_share(&host(512 << 20)), 512 << 20);
        assert_eq!(memory_share(&host(0)), 0);
    }
}
