//! The deploy engine: pure plans and the rollout that carries them out through ports.

pub mod drain;
mod ending;
pub mod engine;
pub mod health;
pub mod journal;
pub mod narrate;
pub mod plan;
pub mod port;
pub mod report;
pub mod resume;
pub mod state;
pub mod step;
mod weight;
pub mod world;

#[cfg(test)]
mod tests;
