//! The engine of a rollout: pure plans and the rollout that carries them out through ports.

mod admission;
mod bridge;
pub mod debt;
pub(crate) mod drain;
mod ending;
pub(crate) mod engine;
mod error;
pub(crate) mod fact;
pub(crate) mod health;
pub(crate) mod journal;
pub(crate) mod lineage;
pub(crate) mod narrate;
mod order;
mod owing;
pub(crate) mod plan;
pub mod port;
pub(crate) mod precedence;
mod prepare;
mod proof;
mod quiet;
mod recover;
pub(crate) mod report;
pub(crate) mod resume;
pub(crate) mod review;
mod shift;
pub(crate) mod state;
pub(crate) mod step;
mod verdict;
mod work;
pub(crate) mod world;

#[cfg(test)]
mod tests;
