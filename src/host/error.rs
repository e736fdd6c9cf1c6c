//! What can go wrong on a production host.

use crate::lang::{both, word};
use crate::{
    docker::fault::PullFault,
    failure::{Failure, JobCode},
    host::ssh::SshError,
    rollout::port::{Fault, Release, Retry},
    secret::SecretError,
};

/// Why something could not be seen or done on a host.
#[derive(Debug, thiserror::Error)]
pub enum RemoteError {
    #[error(transparent)]
    Ssh(#[from] SshError),
    #[error("{}", word!("the account that hosts pull with cannot be used", "主机拉取镜像用的账号无法使用"))]
    Account(#[source] SecretError),
    #[error("the Docker Engine on {host} could not {what}")]
    Engine {
        host: String,
        what: String,
        #[source]
        source: bollard::errors::Error,
    },
    #[error("{}", both!("{host} is not ready for a rollout: {why}; {advice}", "{host} 还不能发布：{why}；{advice}"))]
    NotReady {
        host: String,
        why: String,
        advice: String,
    },
    /// What the release says of its compose files, not the host's own.
    #[error("{}", both!("{host} cannot be given the release's compose files: {why}; {advice}", "{host} 不能使用该版本的 compose 文件：{why}；{advice}"))]
    Composed {
        host: String,
        why: String,
        advice: String,
    },
    /// Nobody outside would be answered, whatever the container's own check says.
    #[error("{}", both!("{host} would not answer requests: {why}", "{host} 不会应答请求：{why}"))]
    Deaf { host: String, why: String },
    #[error("{}", both!("{reference} has no HEALTHCHECK, nor has its service in the compose file on {host}, so nothing could say that it is healthy; add one to the Dockerfile, or a [probe] to the environment's file", "{reference} 没有 HEALTHCHECK，{host} 上 compose 文件里的服务也没有，因此无法判定是否健康；请在 Dockerfile 里加上，或在环境文件里写 [probe]"))]
    NoHealthCheck { host: String, reference: String },
    #[error("{}", both!("{reference} brings the label {label}, which only Compose writes, on containers: the next rollout would take it for Compose's word; take it out of the Dockerfile, and build from an image that is no committed container", "{reference} 带有标签 {label}，而它只应由 Compose 写在容器上：下一次发布会把它当作 Compose 所写；请从 Dockerfile 中去掉它，也不要以 docker commit 得到的镜像为基础"))]
    ForeignLabel {
        reference: String,
        label: &'static str,
    },
    #[error("{}", both!("{host} does not have {reference} any more, and a rollback pulls nothing; go back to a release that every host has, or pull it there with: docker pull {reference}", "{host} 上已没有 {reference}，而回滚不会拉取镜像；请回滚到每台主机都有的版本，或在那里运行：docker pull {reference}"))]
    NotKept { host: String, reference: String },
    #[error("{}", both!("the registry has no image {reference}: {message}", "镜像仓库里没有 {reference}：{message}"))]
    ImageMissing { reference: String, message: String },
    #[error("{}", both!("{host} could not pull {reference}: {why}", "{host} 无法拉取 {reference}：{why}"))]
    Pull {
        host: String,
        reference: String,
        why: String,
        retry: Retry,
    },
    #[error("{}", both!("{command} on {host} ended with exit code {code}; the end of its log:\n{log}", "{host} 上的 {command} 以退出码 {code} 结束；日志末尾：\n{log}"))]
    Compose {
        host: String,
        command: String,
        code: i32,
        log: String,
    },
    #[error("{}", both!("{command} on {host} did not come to an end: {why}", "{host} 上的 {command} 没有执行完：{why}"))]
    Unfinished {
        host: String,
        command: String,
        why: &'static str,
    },
}

impl From<RemoteError> for Failure {
    fn from(error: RemoteError) -> Self {
        match error.code() {
            Some(code) => Self::build(code, error),
            None => Self::system(error),
        }
    }
}

impl Fault for RemoteError {
    fn retry(&self) -> Retry {
        match self {
            Self::Ssh(error) => error.retry(),
            Self::Engine { .. } | Self::Deaf { .. } => Retry::SOON,
            Self::Pull { retry, .. } => *retry,
            Self::Account(_)
            | Self::NotReady { .. }
            | Self::NoHealthCheck { .. }
            | Self::ForeignLabel { .. }
            | Self::Composed { .. }
            | Self::NotKept { .. }
            | Self::ImageMissing { .. }
            | Self::Compose { .. }
            | Self::Unfinished { .. } => Retry::Never,
        }
    }

    fn code(&self) -> Option<JobCode> {
        match self {
            Self::ImageMissing { .. } => Some(JobCode::ImageMissing),
            Self::NoHealthCheck { .. } | Self::ForeignLabel { .. } | Self::Composed { .. } => {
                Some(JobCode::Malformed)
            }
            Self::Ssh(_)
            | Self::Account(_)
            | Self::Engine { .. }
            | Self::NotReady { .. }
            | Self::NotKept { .. }
            | Self::Deaf { .. }
            | Self::Pull { .. }
            | Self::Compose { .. }
            | Self::Unfinished { .. } => None,
        }
    }
}

/// What a host should have kept.
pub(super) fn not_kept(host: &str, release: &Release) -> RemoteError {
    RemoteError::NotKept {
        host: host.to_owned(),
        reference: release.reference(),
    }
}

/// Reads the engine's words for a pull that failed.
pub(super) fn pull_error(host: &str, reference: &str, message: &str) -> RemoteError {
    let error = |why: String, retry| RemoteError::Pull {
        host: host.to_owned(),
        reference: reference.to_owned(),
        why,
        retry,
    };
    match PullFault::read(message) {
        PullFault::DiskFull => {
            let why = word!(
                "its disk is full; try: docker image prune on that host, or a larger disk",
                "磁盘已满；请在该主机上运行 docker image prune，或换更大的磁盘"
            );
            error(why.into(), Retry::Never)
        }
        PullFault::Refused => error(
            format!(
                "the registry does not let it ({message}); check registry.pull-account and its \
                 rights on this project"
            ),
            Retry::Never,
        ),
        PullFault::Missing => RemoteError::ImageMissing {
            reference: reference.to_owned(),
            message: message.to_owned(),
        },
        PullFault::Untrusted => error(
            format!(
                "it does not trust the registry ({message}); put the registry's CA into \
                 /etc/docker/certs.d on that host"
            ),
            Retry::Never,
        ),
        PullFault::Unknown => error(message.to_owned(), Retry::SOON),
    }
}

/// What the script's refusals mean to an admin.
pub(super) fn not_ready(host: &str, why: &str, file: &str) -> RemoteError {
    let (why, advice) = match why {
        "no-project" => (
            both!("{file} holds no compose file", "{file} 里没有 compose 文件"),
            word!("put the project's docker-compose.yml there, or correct compose.directory", "请把项目的 docker-compose.yml 放到那里，或改正 compose.directory").into(),
        ),
        "own-files" => (
            both!("nothing of the project runs there, and {file} sets COMPOSE_FILE", "那里没有该项目的容器在运行，而 {file} 设置了 COMPOSE_FILE"),
            word!("start the service there once by hand: its labels tell which files it is made of", "请先在那里手工启动一次服务：它的标签会说明由哪些文件组成").into(),
        ),
        "gone" => (
            both!("{file}, which the project is made of, is not there any more", "组成该项目的 {file} 已不存在"),
            word!("put it back, or start the service there once more by hand with the files that hold now", "请把它放回去，或用现行的文件在那里再手工启动一次服务")
                .into(),
        ),
        "unreadable" => (
            both!("{file} cannot be read", "无法读取 {file}"),
            both!("give the SSH user the right to read {file}", "请让 SSH 用户可以读取 {file}"),
        ),
        "large" => (
            both!("{file} has more than a megabyte", "{file} 超过 1 MB"),
            word!("it can hardly be a compose file: look at it", "它不像是 compose 文件：请查看").into(),
        ),
        "changed" => (
            both!("somebody has just changed {file}", "刚刚有人改动了 {file}"),
            word!("deploy again once that is done", "等改完之后再部署").into(),
        ),
        "unwritable" => (
            both!("{file} cannot be written", "无法写入 {file}"),
            both!("give the SSH user the right to write {file}", "请让 SSH 用户可以写入 {file}"),
        ),
        "unwritten" => (
            both!("nothing could be written in {file}", "无法在 {file} 写入"),
            both!("free some space there (df -h, df -i), or give the SSH user the right to write there", "请在那里腾出空间（df -h、df -i），或让 SSH 用户可以写入"),
        ),
        "silent" => (
            word!("its script did not say what Compose makes of the files", "主机上的脚本没有说出 Compose 如何理解这些文件").into(),
            word!("look there for a full disk (df -h, df -i) and at /tmp", "请查看那里的磁盘是否已满（df -h、df -i）以及 /tmp").into(),
        ),
        other => (format!("{other} {file}"), word!("look at it", "请查看").into()),
    };
    RemoteError::NotReady {
        host: host.to_owned(),
        why,
        advice,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::failure::Class;

    #[track_caller]
    fn check(message: &str, class: Class, retry: Retry, expect: &str) {
        let error = pull_error("app-1", "h/p/n@sha256:1", message);
        assert_eq!(error.retry(), retry, "{error}");
        assert!(error.to_string().contains(expect), "{error}");
        assert_eq!(Failure::from(error).class(), class);
    }

    #[test]
    fn a_full_disk_a_missing_image_and_a_closed_registry_are_told_apart() {
        check(
            "failed to register layer: write /data: no space left on device",
            Class::System,
            Retry::Never,
            "app-1 could not pull h/p/n@sha256:1: its disk is full",
        );
        check(
            "manifest for h/p/n@sha256:1 not found: manifest unknown: manifest unknown",
            Class::Build,
            Retry::Never,
            "the registry has no image h/p/n@sha256:1",
        );
        check(
            "pull access denied for h/p/n, repository does not exist or may require 'docker login'",
            Class::System,
            Retry::Never,
            "registry.pull-account",
        );
        check(
            "Head \"https://h/v2/p/n/manifests/x\": unauthorized: authentication required",
            Class::System,
            Retry::Never,
            "registry.pull-account",
        );
        check(
            "Get \"https://h/v2/\": x509: certificate signed by unknown authority",
            Class::System,
            Retry::Never,
            "/etc/docker/certs.d",
        );
        check(
            "Get \"https://h/v2/\": dial tcp 10.0.0.5:443: connect: connection refused",
            Class::System,
            Retry::SOON,
            "connection refused",
        );
    }
}
