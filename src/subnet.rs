//! Ranges of addresses, as people write them: `10.213.0.0/16`.

use std::{fmt, net::IpAddr, str::FromStr};

use serde::{Deserialize, Deserializer, de};

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

/// A range of IPv4 addresses from which networks get theirs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Subnet(Range);

/// The text is no range of addresses.
#[derive(Debug, thiserror::Error)]
#[error("{0:?} is no range of IPv4 addresses such as \"10.213.0.0/16\", whose last bits are 0")]
pub struct BadSubnet(String);

impl Subnet {
    /// Whether another range lies in this one.
    pub(crate) fn covers(self, other: Self) -> bool {
        let (all, part) = (self.0, other.0);
        part.length >= all.length && first(part.address, all.length) == all.address
    }
}

impl FromStr for Subnet {
    type Err = BadSubnet;

    fn from_str(text: &str) -> Result<Self, BadSubnet> {
        let range = text.parse::<Range>().ok().filter(|range| {
            range.address.is_ipv4() && range.length > 0 && range.to_string() == text
        });
        range.map(Self).ok_or_else(|| BadSubnet(text.to_owned()))
    }
}

impl TryFrom<String> for Subnet {
    type Error = BadSubnet;

    fn try_from(text: String) -> Result<Self, BadSubnet> {
        text.parse()
    }
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
