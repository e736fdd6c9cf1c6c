//! Why a step did not succeed, and short ways to say it.

use super::{
    plan::Refusal,
    port::{HostName, Weight},
    world::{GaveUp, Source},
};
use crate::lang::{both, word};

/// Why a step did not succeed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StepError {
    #[error("{}", both!("the balancer does not move the weight of {host}", "负载均衡没有改动 {host} 的权重"))]
    Balancer {
        host: HostName,
        #[source]
        source: Source,
    },
    #[error("{}", both!("the balancer did not apply weight {wanted} to {host} in time", "负载均衡没有及时让 {host} 的权重 {wanted} 生效"))]
    Unapplied { host: HostName, wanted: Weight },
    #[error("{}", both!("somebody else moved the weight of {host} to {seen}, and it should be {expected}", "有人把 {host} 的权重改成了 {seen}，应为 {expected}"))]
    Drift {
        host: HostName,
        expected: Weight,
        seen: Weight,
    },
    #[error(transparent)]
    Floor(#[from] Refusal),
    #[error("{}", both!("{what} failed on {host}", "在 {host} 上{what}失败"))]
    Host {
        host: HostName,
        what: &'static str,
        #[source]
        source: Source,
    },
    #[error("{}", both!("{host} does not become healthy: {why}", "{host} 没有变健康：{why}"))]
    Unwell { host: HostName, why: String },
    /// The host itself is in order.
    #[error("{}", both!("the second instance of {host} stays", "{host} 的第二实例没有清除"))]
    Left {
        host: HostName,
        #[source]
        source: Box<StepError>,
    },
    #[error("{}", word!("cannot write the journal", "无法写入发布日志"))]
    Journal {
        #[source]
        source: Source,
    },
    #[error("{}", both!("cannot write down what is owed to {host}", "无法记下欠 {host} 的权重"))]
    Debt {
        host: HostName,
        #[source]
        source: Source,
    },
    #[error("{}", word!("asked to stop", "收到停止请求"))]
    Cancelled,
}

pub(super) fn drift(host: &str, expected: Weight, seen: Weight) -> StepError {
    StepError::Drift {
        host: host.into(),
        expected,
        seen,
    }
}

pub(super) fn left(host: &str, error: StepError) -> StepError {
    StepError::Left {
        host: host.into(),
        source: Box::new(error),
    }
}

pub(super) fn balancer(host: &str, gave_up: GaveUp<Source>) -> StepError {
    let host = host.into();
    match gave_up {
        GaveUp::Stopped => StepError::Cancelled,
        GaveUp::Failed(source) => StepError::Balancer { host, source },
    }
}

pub(super) fn on(host: &str, what: &'static str, gave_up: GaveUp<Source>) -> StepError {
    match gave_up {
        GaveUp::Stopped => StepError::Cancelled,
        GaveUp::Failed(source) => failed_on(host, what, source),
    }
}

pub(super) fn failed_on(host: &str, what: &'static str, source: impl Into<Source>) -> StepError {
    StepError::Host {
        host: host.into(),
        what,
        source: source.into(),
    }
}

pub(super) fn unknown(host: &str) -> StepError {
    let why = word!(
        "the environment has no such host any more",
        "环境文件里已没有这台主机"
    );
    failed_on(host, word!("looking for it", "查找主机"), why)
}

pub(super) fn unwell(host: &str, why: String) -> StepError {
    let host = host.into();
    StepError::Unwell { host, why }
}
