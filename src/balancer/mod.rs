//! Load balancers, as the rollout's `Balancer`: one folder or file each.

pub mod aliyun;
