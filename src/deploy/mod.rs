//! The deploy engine: pure plans and the rollout that carries them out through ports.

pub mod clock;
pub mod journal;
pub mod port;
