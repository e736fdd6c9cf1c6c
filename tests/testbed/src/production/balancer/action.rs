//! What the products' actions share: who carries one out, and how parameters are read. Signatures, faults and sockets
//! are others' work.

use std::collections::BTreeMap;

use serde_json::Value;

use super::answer::Refusal;
use super::cloud::Cloud;
use super::fault::Fault;
use super::haproxy::Condition;
use super::product::Product;
use super::{REGION, server_group, slb};

pub(super) type Parameters = BTreeMap<String, String>;

/// What HAProxy says, by member's name.
pub(super) type Conditions = BTreeMap<String, Condition>;

/// One call that nothing has refused so far.
#[derive(Debug, Clone, Copy)]
pub(super) struct Act<'a> {
    pub(super) product: Product,
    pub(super) action: &'a str,
    pub(super) parameters: &'a Parameters,
    pub(super) fault: Option<&'a Fault>,
}

impl<'a> Act<'a> {
    /// True where the answer tells what HAProxy sees.
    pub(super) fn is_about_health(self) -> bool {
        ["DescribeHealthStatus", "GetListenerHealthStatus"].contains(&self.action)
    }

    pub(super) fn get(self, name: &str) -> Option<&'a str> {
        self.parameters.get(name).map(String::as_str)
    }

    pub(super) fn require(self, name: &str) -> Result<&'a str, Refusal> {
        self.get(name).ok_or_else(|| Refusal::missing(name))
    }
}

pub(super) fn perform(
    cloud: &mut Cloud,
    act: Act<'_>,
    conditions: &Conditions,
) -> Result<Value, Refusal> {
    if let Some(region) = act.get("RegionId").filter(|region| *region != REGION) {
        let message = format!("The specified RegionId does not exist: {region}");
        return Err(Refusal::new(404, "InvalidRegionId.NotFound", &message));
    }
    match act.product {
        Product::Slb => slb::perform(cloud, act, conditions),
        Product::Alb | Product::Nlb => server_group::perform(cloud, act, conditions),
    }
}

pub(super) fn unknown(action: &str) -> Refusal {
    let message = format!("Specified api is not found, please check your url and method: {action}");
    Refusal::new(404, "InvalidAction.NotFound", &message)
}

/// Numbers come as such or as text.
pub(super) fn number(value: &Value) -> Option<u32> {
    match value {
        Value::String(text) => text.parse().ok(),
        _ => value.as_u64().and_then(|number| number.try_into().ok()),
    }
}
