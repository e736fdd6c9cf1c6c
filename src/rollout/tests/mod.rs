//! The whole engine in a world in memory.

mod admission;
mod back;
mod chinese;
mod faults;
mod files;
mod guards;
mod kit;
mod model;
mod retry;
mod scenes;
mod start_first;
mod table;
mod truth;
mod verdict;
