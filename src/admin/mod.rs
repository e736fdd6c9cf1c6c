//! The admin's verbs, as recipes.

pub mod gc;
pub mod rollout;

/// The exit code of an admin's verb that could not even look.
pub const CANNOT_LOOK: i32 = 3;
