//! Programs for people: the demo and the bench.

pub mod bench;
pub mod demo;
