//! Programs for people: the demo, the bench, the soak.

pub mod bench;
pub mod demo;
pub mod soak;
