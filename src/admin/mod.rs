//! The admin's verbs, as recipes.

pub(crate) mod firewall;
pub(crate) mod gc;
pub(crate) mod ledger;
pub(crate) mod rollout;
