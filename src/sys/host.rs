//! How large this host is.

use std::fs;

/// What there is to share.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Host {
    /// Bytes; 0 where the kernel does not say.
    pub(crate) memory: u64,
    pub(crate) swap: u64,
    /// The most processes and threads that there can be.
    pub(crate) pids: u64,
}

impl Host {
    pub(crate) fn look() -> Self {
        let memory = fs::read_to_string("/proc/meminfo").unwrap_or_default();
        let kibibytes = |name: &str| {
            let line = memory.lines().find_map(|line| line.strip_prefix(name));
            number(line.unwrap_or_default().trim_end_matches("kB"))
        };
        let limit = |name: &str| {
            let path = format!("/proc/sys/kernel/{name}");
            number(&fs::read_to_string(path).unwrap_or_default())
        };
        Self {
            memory: kibibytes("MemTotal:") * 1024,
            swap: kibibytes("SwapTotal:") * 1024,
            pids: limit("pid_max").min(limit("threads-max")),
        }
    }
}

fn number(text: &str) -> u64 {
    text.trim().parse().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_host_has_memory_and_processes() {
        let host = Host::look();
        assert!(host.memory > 1 << 20 && host.pids > 100, "{host:?}");
    }
}
