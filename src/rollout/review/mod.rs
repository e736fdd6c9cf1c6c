//! A report of one run for people and machines: a value (`model`), and a page that shows it. Pure.

mod html;
mod lane;
mod model;
mod page;
#[cfg(test)]
mod tests;

pub(crate) use model::{Source, review};
pub(crate) use page::page;
