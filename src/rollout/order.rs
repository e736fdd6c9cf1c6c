//! What is to be rolled out, what was left open, and why a rollout did not begin.

use super::{
    journal::{Cause, Owner, Run},
    plan::Refusal,
    port::{ComposeFile, HostName, Release},
    report::Report,
    world::{GaveUp, Source},
};
use crate::failure::{Failure, JobCode};
use crate::lang::{both, word};

/// Why a rollout did not begin: nothing was touched.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Refused(#[from] Refusal),
    #[error("{}", word!("cannot read the balancer's weights", "无法读取负载均衡的权重"))]
    Balancer {
        #[source]
        source: Source,
    },
    #[error("{}", word!("cannot read what the balancer's own health checks say", "无法读取负载均衡自己的健康检查结果"))]
    Checks {
        #[source]
        source: Source,
    },
    #[error("{}", both!("cannot look at {host}", "无法查看 {host}"))]
    Host {
        host: HostName,
        #[source]
        source: Source,
    },
    #[error("{}", both!("{host} cannot pull {reference}", "{host} 无法拉取 {reference}"))]
    Pull {
        host: HostName,
        reference: String,
        /// What the author of the job has to mend.
        code: Option<JobCode>,
        #[source]
        source: Source,
    },
    #[error("{}", word!("cannot write the journal, so nothing was begun", "无法写入发布日志，因此什么都没有开始"))]
    Journal {
        #[source]
        source: Source,
    },
    #[error("{}", word!("what earlier rollouts owe cannot be read, so nothing was begun", "无法读取之前的发布还欠哪些权重，因此什么都没有开始"))]
    Debts {
        #[source]
        source: Source,
    },
    /// An earlier rollout of the same release is stuck, and trying again changes nothing.
    #[error("{}", both!("an earlier rollout of this very release is {summary}", "这个版本之前的一次发布：{summary}"))]
    StillStuck { summary: String },
    #[error("{}", word!("stopped (asked to stop): nothing was touched", "已停止（收到停止请求）：什么都没有改动"))]
    Stopped,
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        match error {
            Error::Pull {
                code: Some(code), ..
            } => Self::build(code, error),
            Error::Refused(_)
            | Error::Balancer { .. }
            | Error::Checks { .. }
            | Error::Host { .. }
            | Error::Pull { code: None, .. }
            | Error::Journal { .. }
            | Error::Stopped => Self::system(error),
            Error::StillStuck { .. } | Error::Debts { .. } => Self::build(JobCode::Stuck, error),
        }
    }
}

/// What is to be rolled out, and where that is written down.
pub(crate) struct Order<J> {
    /// The run's id: letters, digits, `-`, `.`; never used before.
    pub run: String,
    pub release: Release,
    /// The compose files that it brings; none where the hosts' own are used.
    pub files: Vec<ComposeFile>,
    pub owner: Owner,
    pub cause: Cause,
    pub journal: J,
}

/// A run that was left open.
pub struct Earlier<J> {
    pub run: Run,
    pub journal: J,
    /// The compose files that its release brought.
    pub files: Vec<ComposeFile>,
}

/// What a recovery came to.
#[derive(Debug, Default)]
pub(crate) struct Recovered {
    /// One for each run that was open.
    pub reports: Vec<Report>,
    /// What is owed to hosts of no open run, and why still: a line each.
    pub owed: Vec<String>,
}

/// Without the weights nothing is begun.
pub(super) fn unread(gave_up: GaveUp<Source>) -> Error {
    match gave_up {
        GaveUp::Stopped => Error::Stopped,
        GaveUp::Failed(source) => Error::Balancer { source },
    }
}
