//! Aliyun's API: signed requests, the account they are signed with, and the Classic Load Balancer.
//! Knows no rollout but its ports.

mod call;
mod clb;
mod credential;
mod refusal;
mod region;
mod sign;

pub(super) use clb::Clb;
