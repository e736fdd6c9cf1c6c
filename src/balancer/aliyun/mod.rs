//! Aliyun's API: signed requests, the account they are signed with, and the Classic Load Balancer
//! as the rollout's [`Balancer`](crate::rollout::port::Balancer). Knows no rollout.

mod call;
mod clb;
mod credential;
mod error;
mod sign;

pub use clb::Clb;
pub use credential::Credential;
pub use error::AliyunError;
