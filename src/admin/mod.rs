//! The admin's verbs, as recipes.

pub mod gc;
