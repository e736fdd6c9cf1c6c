//! Harbor's API: who we are there, a robot account for a job.
//!
//! Wrong credentials do not fail there: the caller is taken for an anonymous visitor and sees what
//! anybody sees. So nothing is asked before Harbor has said that it knows us. No cookie is kept,
//! because a request with one needs a token against forgery. Knows no job and no gate.

mod account;
mod call;
mod client;
mod error;
mod keep;
mod project;
pub(crate) mod refusal;
mod robot;
mod scan;
#[cfg(test)]
mod tests;
mod trust;

pub(crate) use account::Account;
pub(crate) use keep::{HostMark, Keeper, Robots, reap};
pub(crate) use scan::{Scanned, scan};
