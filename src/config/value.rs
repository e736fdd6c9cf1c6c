//! Values with a form of their own: durations, percentages, SSH targets.

use std::{fmt, str::FromStr, time::Duration};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde::{Deserialize, Deserializer, de};

/// A duration as `"90s"`, `"5m"` or `"1m 30s"`.
pub(super) fn duration<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    let text = String::deserialize(deserializer)?;
    let refuse = |why: String| {
        de::Error::custom(format!(
            "`{text}` is not a duration such as \"30s\" or \"5m\": {why}"
        ))
    };
    let signed: jiff::SignedDuration = text
        .parse()
        .map_err(|error: jiff::Error| refuse(error.to_string()))?;
    Duration::try_from(signed).map_err(|_| refuse("it is negative".into()))
}

/// The same, for a key that may be left out.
pub(super) fn some_duration<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Duration>, D::Error> {
    duration(deserializer).map(Some)
}

/// One text, or a list of them.
pub(super) fn one_or_more<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Vec<String>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged, expecting = "expected a text, or a list of texts")]
    enum Texts {
        One(String),
        More(Vec<String>),
    }
    Ok(match Texts::deserialize(deserializer)? {
        Texts::One(text) => vec![text],
        Texts::More(texts) => texts,
    })
}

/// A share, 0 to 100.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Percent(u8);

impl Percent {
    /// A share of at most 100.
    pub fn new(value: u8) -> Option<Self> {
        (value <= 100).then_some(Self(value))
    }

    /// The number, 0 to 100.
    pub fn value(self) -> u8 {
        self.0
    }
}

impl<'de> Deserialize<'de> for Percent {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.strip_suffix('%')
            .and_then(|number| number.trim().parse().ok())
            .and_then(Self::new)
            .ok_or_else(|| de::Error::custom(format!("`{text}` is not a share such as \"66%\"")))
    }
}

/// An amount of bytes, as `"1GB"`, `"512MB"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Bytes(u64);

impl Bytes {
    pub(super) const GIGABYTE: Self = Self(1_000_000_000);

    pub fn value(self) -> u64 {
        self.0
    }
}

impl fmt::Display for Bytes {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{} MB", self.0 / 1_000_000)
    }
}

impl From<u64> for Bytes {
    fn from(bytes: u64) -> Self {
        Self(bytes)
    }
}

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let parse = |unit: &str, factor: u64| {
            let number: u64 = text.strip_suffix(unit)?.trim().parse().ok()?;
            number.checked_mul(factor)
        };
        parse("GB", 1_000_000_000)
            .or_else(|| parse("MB", 1_000_000))
            .map(Self)
            .ok_or_else(|| {
                de::Error::custom(format!(
                    "`{text}` is not a size such as \"1GB\" or \"512MB\""
                ))
            })
    }
}

/// A host's public key, as `ssh-ed25519 AAAA…`: read from such words, from the host's own file, or from a whole line of
/// `ssh-keyscan`, which has the address before it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostKey(String);

impl HostKey {
    /// Kind and key, as a file of known hosts has them behind the address.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for HostKey {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let refuse = || {
            format!(
                "`{text}` is not a host's public key such as \"ssh-ed25519 AAAA…\", as `ssh-keyscan -t ed25519 HOST` prints it"
            )
        };
        let is_kind = |word: &&str| {
            ["ssh-", "ecdsa-sha2-", "sk-"]
                .iter()
                .any(|it| word.starts_with(it))
        };
        // A marker (`@cert-authority`) makes another thing of the key.
        let mut words = text.split_whitespace().peekable();
        if words.peek().is_some_and(|it| !is_kind(it)) {
            words.next_if(|it| !it.starts_with(['@', '#']));
        }
        let kind = words.next().filter(is_kind).ok_or_else(refuse)?;
        let key = words
            .next()
            .filter(|key| STANDARD.decode(key).is_ok_and(|it| !it.is_empty()));
        let key = key.ok_or_else(refuse)?;
        Ok(Self(format!("{kind} {key}")))
    }
}

impl<'de> Deserialize<'de> for HostKey {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(de::Error::custom)
    }
}

/// `user@host[:port]`. Host and user hold only characters that cannot be taken for an option of ssh.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SshTarget {
    pub user: String,
    pub host: String,
    pub port: u16,
}

impl FromStr for SshTarget {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let refuse = || format!("`{text}` is not an SSH target such as \"deploy@10.0.0.11\"");
        let (user, rest) = text.split_once('@').ok_or_else(refuse)?;
        let (host, port) = match rest.rsplit_once(':') {
            Some((host, port)) => (host, port.parse().map_err(|_| refuse())?),
            None => (rest, 22),
        };
        let is_plain = |word: &str| {
            word.starts_with(|c: char| c.is_ascii_alphanumeric())
                && word
                    .chars()
                    .all(|c| c.is_ascii_alphanumeric() || "._-".contains(c))
        };
        if is_plain(user) && is_plain(host) {
            Ok(Self {
                user: user.to_owned(),
                host: host.to_owned(),
                port,
            })
        } else {
            Err(refuse())
        }
    }
}

impl fmt::Display for SshTarget {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}@{}:{}", self.user, self.host, self.port)
    }
}

impl<'de> Deserialize<'de> for SshTarget {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(de::Error::custom)
    }
}
