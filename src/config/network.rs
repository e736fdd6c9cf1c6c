//! `[lanes.NAME.network]`: what containers and builds of jobs may reach. The host's firewall holds it.

use std::{fmt, net::IpAddr, str::FromStr};

use serde::{Deserialize, Deserializer, de};

/// What jobs may reach beyond their own network.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Network {
    /// Keeps jobs to the rest of this table; a job is not run where that cannot be had.
    #[serde(default)]
    pub firewall: bool,
    /// The bridge on which `BuildKit` runs its steps; empty leaves it alone.
    #[serde(default = "default_build_bridge")]
    pub build_bridge: String,
    /// Ports of this host that jobs may reach, beside that of the `registry`.
    #[serde(default = "default_host_ports")]
    pub host_ports: Vec<u16>,
    /// Whether jobs reach other machines at all.
    #[serde(default = "default_internet")]
    pub internet: bool,
    /// Ranges that jobs may reach whatever the next key and `internet` say.
    #[serde(default)]
    pub allow: Vec<Range>,
    /// Ranges that jobs may not reach.
    #[serde(default)]
    pub deny: Vec<Range>,
}

impl Default for Network {
    fn default() -> Self {
        Self {
            firewall: false,
            build_bridge: default_build_bridge(),
            host_ports: default_host_ports(),
            internet: default_internet(),
            allow: Vec::new(),
            deny: Vec::new(),
        }
    }
}

/// Addresses that begin alike: `10.0.0.0/8`, or one address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Range {
    pub address: IpAddr,
    pub length: u8,
}

impl FromStr for Range {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let refuse = || format!("`{text}` is not a range such as \"10.0.0.0/8\" or \"10.1.2.3\"");
        let (address, length) = match text.split_once('/') {
            Some((address, length)) => (address, Some(length)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| refuse())?;
        let most = if address.is_ipv4() { 32 } else { 128 };
        let length = match length {
            Some(length) => length.parse().map_err(|_| refuse())?,
            None => most,
        };
        if length > most {
            return Err(refuse());
        }
        let range = Self {
            address: first(address, length),
            length,
        };
        Ok(range)
    }
}

/// The first address of a range, as the kernel's tools print it.
fn first(address: IpAddr, length: u8) -> IpAddr {
    match address {
        IpAddr::V4(address) => {
            let mask = u32::MAX.checked_shl(32 - u32::from(length)).unwrap_or(0);
            IpAddr::V4((address.to_bits() & mask).into())
        }
        IpAddr::V6(address) => {
            let mask = u128::MAX.checked_shl(128 - u32::from(length)).unwrap_or(0);
            IpAddr::V6((address.to_bits() & mask).into())
        }
    }
}

impl fmt::Display for Range {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}/{}", self.address, self.length)
    }
}

impl<'de> Deserialize<'de> for Range {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(de::Error::custom)
    }
}

/// The engine's own bridge: steps of its builder run there.
fn default_build_bridge() -> String {
    "docker0".into()
}

/// What a code server shows to everybody anyway: the web, where GitLab and a registry are, and names.
fn default_host_ports() -> Vec<u16> {
    vec![53, 80, 443]
}

fn default_internet() -> bool {
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_is_an_address_or_what_begins_like_it() {
        for (text, shown) in [
            ("10.1.2.3/8", "10.0.0.0/8"),
            ("10.1.2.3", "10.1.2.3/32"),
            ("0.0.0.0/0", "0.0.0.0/0"),
            ("fd00:1::5/16", "fd00::/16"),
        ] {
            assert_eq!(text.parse::<Range>().unwrap().to_string(), shown);
        }
        for text in ["", "10.0.0.0/33", "10.0.0", "example.com", "::/129", "-s"] {
            assert!(text.parse::<Range>().is_err(), "{text}");
        }
    }
}
