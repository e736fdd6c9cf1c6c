//! What can go wrong at a load balancer, whoever sells it.

use std::time::Duration;

use crate::lang::{both, word};
use crate::{
    config::Environment,
    failure::Failure,
    rollout::port::{Fault, Retry},
    secret::SecretError,
};

/// How long a change that was accepted may take to be made: asked again after that.
const SETTLING: Duration = Duration::from_secs(1);

/// Why a balancer could not be opened, read or changed.
#[derive(Debug, thiserror::Error)]
pub enum BalancerError {
    #[error("environments/{environment}.toml: {why}")]
    Settings { environment: String, why: String },
    #[error("{}", word!("the balancer's account cannot be used", "负载均衡的账号无法使用"))]
    Account(#[source] SecretError),
    #[error("{}", both!("cannot reach the balancer's API at {endpoint}", "无法访问负载均衡的 API：{endpoint}"))]
    Unreachable {
        endpoint: String,
        #[source]
        source: reqwest::Error,
    },
    #[error("{}", both!("the balancer does not accept the account: {answer}; {advice}", "负载均衡不接受该账号：{answer}；{advice}"))]
    Denied { answer: String, advice: String },
    #[error("{}", both!("the balancer refuses {action}: {answer}", "负载均衡拒绝 {action}：{answer}"))]
    Refused {
        action: &'static str,
        answer: String,
        retry: Retry,
    },
    #[error("{}", both!("the balancer's answer to {action} is not understood: {why}", "看不懂负载均衡对 {action} 的应答：{why}"))]
    Malformed { action: &'static str, why: String },
    #[error("{}", both!("{member} is not behind the balancer; {group} has: {members}", "{member} 不在负载均衡后面；{group} 里有：{members}"))]
    NotMember {
        member: String,
        group: String,
        members: String,
    },
    #[error("{}", both!("{group} is being configured", "{group} 正在配置中"))]
    Busy { group: String },
    #[error("{}", both!("no listener of {balancer} uses its default group, so weights there move nobody; try: kind = \"clb-vserver-group\" with the group's id, rsp-…", "{balancer} 没有监听使用默认服务器组，在那里改权重不起作用；请改用 kind = \"clb-vserver-group\"，id 填虚拟服务器组 rsp-…"))]
    Unused { balancer: String },
    #[error("{}", both!("host {host} is the last one in service: at weight 0 nothing would answer", "主机 {host} 是最后一台在服务的：权重为 0 就没有主机应答了"))]
    LastMember { host: String },
}

impl BalancerError {
    /// Something in the environment's file that this balancer cannot work with.
    pub(super) fn settings(environment: &Environment, why: impl Into<String>) -> Self {
        Self::Settings {
            environment: environment.name.clone(),
            why: why.into(),
        }
    }
}

impl From<BalancerError> for Failure {
    fn from(error: BalancerError) -> Self {
        match error {
            BalancerError::Settings { .. }
            | BalancerError::Account(_)
            | BalancerError::Unreachable { .. }
            | BalancerError::Denied { .. }
            | BalancerError::Refused { .. }
            | BalancerError::Malformed { .. }
            | BalancerError::NotMember { .. }
            | BalancerError::Busy { .. }
            | BalancerError::Unused { .. }
            | BalancerError::LastMember { .. } => Self::system(error),
        }
    }
}

impl Fault for BalancerError {
    fn retry(&self) -> Retry {
        match self {
            Self::Unreachable { .. } => Retry::SOON,
            Self::Refused { retry, .. } => *retry,
            Self::Busy { .. } => Retry::After(SETTLING),
            Self::Settings { .. }
            | Self::Account(_)
            | Self::Denied { .. }
            | Self::Malformed { .. }
            | Self::NotMember { .. }
            | Self::Unused { .. }
            | Self::LastMember { .. } => Retry::Never,
        }
    }
}
