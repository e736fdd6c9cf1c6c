//! What the kernel has, as its tool prints it. Pure.

use std::collections::BTreeSet;

/// IPv4 or IPv6.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Family {
    Four,
    Six,
}

/// What the tool prints of the table `filter`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Table {
    pub(super) chains: BTreeSet<String>,
    /// As `-A CHAIN …`, in order.
    pub(super) rules: Vec<String>,
}

impl Table {
    pub(super) fn read(text: &str) -> Self {
        let mut table = Self::default();
        for line in text.lines() {
            let named = line
                .strip_prefix("-N ")
                .or_else(|| line.strip_prefix("-P "));
            match named {
                Some(rest) => {
                    let name = rest.split(' ').next().unwrap_or_default();
                    table.chains.insert(name.to_owned());
                }
                None if line.starts_with("-A ") => table.rules.push(line.to_owned()),
                // A remark about tables of its other kind.
                None => {}
            }
        }
        table
    }
}
