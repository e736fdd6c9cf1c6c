//! The whole engine in a world in memory.

mod faults;
mod kit;
mod scenes;
mod table;
