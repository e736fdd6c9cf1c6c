//! How answers of the API are read.

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
pub(super) fn number<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u16, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Either {
        Number(u16),
        Text(String),
    }
    match Either::deserialize(deserializer)? {
        Either::Number(number) => Ok(number),
        Either::Text(text) => text
            .parse()
            .map_err(|_| de::Error::custom(format!("`{text}` is not a number"))),
    }
}

pub(super) fn weight<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Weight, D::Error> {
    let number = number(deserializer)?;
    u8::try_from(number)
        .ok()
        .and_then(Weight::new)
        .ok_or_else(|| de::Error::custom(format!("{number} is not a weight")))
}
