//! How much a job may use, as it is written: sizes, cores, ulimits. The words are GitLab's docker executor's.

use std::fmt;

use serde::{
    Deserialize, Deserializer,
    de::{self, Visitor},
};

/// A size as Docker writes it: `"512m"`, `"2g"`, a number of bytes; `0` is no limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Size(pub u64);

/// Cores in thousandths: `"1.5"` is 1500; `0` is no limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Cpus(pub u64);

/// Cores or memory nodes by number: `"0-3,8"`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Set(pub String);

/// A limit of each process: `"1024"`, `"1024:4096"`; `-1` is no limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ulimit {
    pub soft: i64,
    pub hard: i64,
}

impl Size {
    fn read(text: &str) -> Option<Self> {
        let lower = text.trim().to_ascii_lowercase();
        let lower = match lower.strip_suffix('b') {
            Some(rest) if rest.ends_with(['k', 'm', 'g']) => rest,
            Some(rest) => rest,
            None => &lower,
        };
        let (number, shift) = match lower.strip_suffix(['k', 'm', 'g']) {
            Some(number) if lower.ends_with('k') => (number, 10),
            Some(number) if lower.ends_with('m') => (number, 20),
            Some(number) => (number, 30),
            None => (lower, 0),
        };
        let number: u64 = number.trim().parse().ok()?;
        number.checked_mul(1 << shift).map(Self)
    }
}

impl fmt::Display for Size {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mebibytes = self.0 >> 20;
        if mebibytes == 0 {
            return write!(out, "{} bytes", self.0);
        }
        if mebibytes < 10 * 1024 && !mebibytes.is_multiple_of(1024) {
            return write!(out, "{mebibytes} MiB");
        }
        write!(out, "{} GiB", mebibytes / 1024)
    }
}

impl Cpus {
    fn read(text: &str) -> Option<Self> {
        let (whole, part) = text.trim().split_once('.').unwrap_or((text.trim(), "0"));
        if part.is_empty() || part.len() > 3 {
            return None;
        }
        let whole: u64 = whole.parse().ok()?;
        let thousandths: u64 = format!("{part:0<3}").parse().ok()?;
        whole.checked_mul(1000)?.checked_add(thousandths).map(Self)
    }
}

impl Set {
    fn read(text: &str) -> Option<Self> {
        let is_number = |text: &str| text.parse::<u32>().is_ok();
        let is_range = |text: &str| match text.split_once('-') {
            Some((from, to)) => is_number(from) && is_number(to),
            None => is_number(text),
        };
        text.split(',').all(is_range).then(|| Self(text.to_owned()))
    }
}

impl Ulimit {
    fn read(text: &str) -> Option<Self> {
        let (soft, hard) = text.split_once(':').unwrap_or((text, text));
        let number = |text: &str| text.trim().parse().ok().filter(|number| *number >= -1);
        let (soft, hard): (i64, i64) = (number(soft)?, number(hard)?);
        let is_ordered = hard == -1 || (soft != -1 && soft <= hard);
        is_ordered.then_some(Self { soft, hard })
    }
}

/// A value that may be written as a text or as a number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Word(pub String);

impl<'de> Deserialize<'de> for Word {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Any;
        impl Visitor<'_> for Any {
            type Value = Word;

            fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.write_str("a text or a number")
            }

            fn visit_str<E>(self, text: &str) -> Result<Word, E> {
                Ok(Word(text.to_owned()))
            }

            fn visit_i64<E>(self, number: i64) -> Result<Word, E> {
                Ok(Word(number.to_string()))
            }

            fn visit_f64<E>(self, number: f64) -> Result<Word, E> {
                Ok(Word(number.to_string()))
            }
        }
        deserializer.deserialize_any(Any)
    }
}

/// `deserialize` by the type's own `read`, with an example in the message.
macro_rules! read_from_word {
    ($($name:ident: $what:literal;)+) => {$(
        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let Word(text) = Word::deserialize(deserializer)?;
                Self::read(&text)
                    .ok_or_else(|| de::Error::custom(format!(concat!("`{}` is not ", $what), text)))
            }
        }
    )+};
}

read_from_word! {
    Size: "a size such as \"512m\" or \"2g\"";
    Cpus: "a number of cores such as \"2\" or \"0.5\"";
    Set: "a set of numbers such as \"0-3\" or \"0,2\"";
    Ulimit: "a ulimit such as \"1024\" or \"1024:4096\"";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_docker_s() {
        for (text, bytes) in [
            ("512m", 512 << 20),
            ("2g", 2 << 30),
            ("2GB", 2 << 30),
            ("64b", 64),
            ("1048576", 1 << 20),
            ("0", 0),
        ] {
            assert_eq!(Size::read(text), Some(Size(bytes)), "{text}");
        }
        for text in ["", "-1", "1.5g", "2t", "many", "99999999999g"] {
            assert_eq!(Size::read(text), None, "{text}");
        }
        let shown = [3 << 30, 1536 << 20, 100].map(|size| Size(size).to_string());
        assert_eq!(shown, ["3 GiB", "1536 MiB", "100 bytes"]);
    }

    #[test]
    fn cores_sets_and_ulimits_are_read_or_refused() {
        assert_eq!(Cpus::read("1.5"), Some(Cpus(1500)));
        assert_eq!(Cpus::read("2"), Some(Cpus(2000)));
        assert_eq!(Cpus::read("-1").or(Cpus::read("1.")), None);
        assert_eq!(Set::read("0-3,8"), Some(Set("0-3,8".to_owned())));
        assert_eq!(Set::read("all").or(Set::read("0,")), None);
        let ulimit = |soft, hard| Some(Ulimit { soft, hard });
        assert_eq!(Ulimit::read("1024"), ulimit(1024, 1024));
        assert_eq!(Ulimit::read("1024:-1"), ulimit(1024, -1));
        assert_eq!(Ulimit::read("2:1").or(Ulimit::read("-1:5")), None);
    }
}
