//! The admin's verbs, as recipes.

pub(crate) mod gc;
pub(crate) mod ledger;
pub(crate) mod rollout;
