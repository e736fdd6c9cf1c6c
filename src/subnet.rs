//! A range of IPv4 addresses, as people write it: `10.213.0.0/16`.

use std::net::Ipv4Addr;
use std::str::FromStr;

use serde::Deserialize;

/// A range of addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Subnet {
    base: u32,
    length: u32,
}

/// The text is no range of addresses.
#[derive(Debug, thiserror::Error)]
#[error("{0:?} is no range of IPv4 addresses such as \"10.213.0.0/16\", whose last bits are 0")]
pub struct BadSubnet(String);

impl Subnet {
    /// Whether another range lies in this one.
    pub(crate) fn covers(self, other: Self) -> bool {
        other.length >= self.length && other.base & mask(self.length) == self.base
    }
}

impl FromStr for Subnet {
    type Err = BadSubnet;

    fn from_str(text: &str) -> Result<Self, BadSubnet> {
        let read = || {
            let (address, length) = text.split_once('/')?;
            let base = u32::from(address.parse::<Ipv4Addr>().ok()?);
            let length = length
                .parse()
                .ok()
                .filter(|length| (1..=32).contains(length))?;
            (base & !mask(length) == 0).then_some(Self { base, length })
        };
        read().ok_or_else(|| BadSubnet(text.to_owned()))
    }
}

impl TryFrom<String> for Subnet {
    type Error = BadSubnet;

    fn try_from(text: String) -> Result<Self, BadSubnet> {
        text.parse()
    }
}

fn mask(length: u32) -> u32 {
    u32::MAX.checked_shl(32 - length).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_covers_what_lies_in_it() {
        let range = |text: &str| text.parse::<Subnet>().unwrap();
        let all = range("10.213.0.0/16");
        for (text, covers) in [
            ("10.213.7.0/24", true),
            ("10.213.0.0/16", true),
            ("10.213.255.255/32", true),
            ("10.212.0.0/15", false),
            ("10.214.0.0/24", false),
            ("0.0.0.0/1", false),
        ] {
            assert_eq!(all.covers(range(text)), covers, "{text}");
        }
        for text in [
            "10.213.0.1/16",
            "10.213.0.0",
            "10.213.0.0/33",
            "0.0.0.0/0",
            "::/64",
            "x/8",
        ] {
            assert!(text.parse::<Subnet>().is_err(), "{text}");
        }
    }
}
