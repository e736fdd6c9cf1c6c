//! How answers of the API are read, whichever product's.

use serde::{Deserialize, Deserializer, de};

use crate::{balancer::error::BalancerError, rollout::port::Weight};

/// An answer's body as what it should be.
pub(super) fn parsed<'a, T: Deserialize<'a>>(
    action: &'static str,
    body: &'a str,
) -> Result<T, BalancerError> {
    serde_json::from_str(body).map_err(|error| BalancerError::Malformed {
        action,
        why: error.to_string(),
    })
}

/// Aliyun declares the same field as a string in one action and as a number in another.
#[derive(Deserialize)]
#[serde(untagged)]
enum Either {
    Number(u16),
    Text(String),
}

impl Either {
    fn number<E: de::Error>(self) -> Result<u16, E> {
        match self {
            Self::Number(number) => Ok(number),
            Self::Text(text) => text
                .parse()
                .map_err(|_| E::custom(format!("`{text}` is not a number"))),
        }
    }
}

pub(super) fn number<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u16, D::Error> {
    Either::deserialize(deserializer)?.number()
}

/// As `number`, for what may be left out.
pub(super) fn optional<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<u16>, D::Error> {
    let either = Option::<Either>::deserialize(deserializer)?;
    either.map(Either::number).transpose()
}

pub(super) fn weight<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Weight, D::Error> {
    let number = number(deserializer)?;
    u8::try_from(number)
        .ok()
        .and_then(Weight::new)
        .ok_or_else(|| de::Error::custom(format!("{number} is not a weight")))
}
