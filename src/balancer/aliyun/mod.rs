//! Aliyun's API: signed requests, the account they are signed with, and its load balancers: Classic,
//! Application and Network. Knows no rollout but its ports.

mod backend;
mod call;
mod clb;
mod credential;
mod group;
mod refusal;
mod region;
#[cfg(test)]
mod scene;
mod server_group;
mod sign;
mod wire;

pub(super) use clb::Clb;
pub(super) use server_group::ServerGroup;
