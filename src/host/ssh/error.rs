//! What can go wrong on the way to a host, read from what ssh says.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use crate::{
    config::SshTarget,
    rollout::port::{Fault, Retry},
    secret::SecretError,
};

/// Why something could not be done on a host.
#[derive(Debug, thiserror::Error)]
pub enum SshError {
    #[error(
        "{host} ({address}) shows another host key than the environment's file names{offered}: \
         either it was installed anew, then put its new key into hosts.host-key \
         (ssh-keyscan {machine}, compared with the host's own /etc/ssh), or somebody stands in between"
    )]
    HostKeyChanged {
        host: String,
        address: String,
        machine: String,
        /// " (SHA256:…)", when ssh said so.
        offered: String,
    },
    #[error(
        "{host} does not let {user} in with the key {key} ({why}); \
         try: add its public half to {user}'s ~/.ssh/authorized_keys there"
    )]
    Denied {
        host: String,
        user: String,
        key: PathBuf,
        why: String,
    },
    #[error("{host} ({address}) cannot be reached: {why}")]
    Unreachable {
        host: String,
        address: String,
        why: String,
    },
    #[error("the connection to {host} was lost: {why}")]
    Lost { host: String, why: String },
    #[error("{host} took longer than {limit:?} to {what}")]
    Slow {
        host: String,
        what: String,
        limit: Duration,
    },
    #[error("{host} could not {what} (exit code {code}): {stderr}")]
    Command {
        host: String,
        what: String,
        code: i32,
        stderr: String,
    },
    #[error("ssh could not {what} on {host}")]
    Broken {
        host: String,
        what: String,
        #[source]
        source: openssh::Error,
    },
    #[error("the private key cannot be used")]
    Key(#[from] SecretError),
    #[error("cannot {what}")]
    Local {
        what: String,
        #[source]
        source: std::io::Error,
    },
}

impl Fault for SshError {
    fn retry(&self) -> Retry {
        match self {
            Self::Unreachable { .. }
            | Self::Lost { .. }
            | Self::Slow { .. }
            | Self::Broken { .. } => Retry::SOON,
            Self::HostKeyChanged { .. }
            | Self::Denied { .. }
            | Self::Command { .. }
            | Self::Key(_)
            | Self::Local { .. } => Retry::Never,
        }
    }
}

/// Reads ssh's own words for why there is no connection.
pub(super) fn explain(log: &str, host: &str, target: &SshTarget, key: &Path) -> SshError {
    let host = host.to_owned();
    let address = format!("{}:{}", target.host, target.port);
    if log.contains("Host key verification failed")
        || log.contains("REMOTE HOST IDENTIFICATION HAS CHANGED")
    {
        let offered = log
            .split_whitespace()
            .find(|word| word.starts_with("SHA256:"))
            .map_or_else(String::new, |word| {
                format!(" ({})", word.trim_end_matches('.'))
            });
        return SshError::HostKeyChanged {
            host,
            address,
            machine: target.host.clone(),
            offered,
        };
    }
    let is_exposed = log.contains("UNPROTECTED PRIVATE KEY FILE");
    let is_unusable = log.contains("invalid format") || log.contains("error in libcrypto");
    if is_exposed || is_unusable || log.contains("Permission denied (") {
        let why = if is_exposed {
            "ssh refuses the key because others can read it: chmod 600".into()
        } else {
            last_line(log)
        };
        return SshError::Denied {
            host,
            user: target.user.clone(),
            key: key.to_owned(),
            why,
        };
    }
    SshError::Unreachable {
        host,
        address,
        why: last_line(log),
    }
}

/// The last thing ssh said: what came before it led there.
pub(super) fn last_line(log: &str) -> String {
    let line = log.lines().map(str::trim).rfind(|line| !line.is_empty());
    let line = line.unwrap_or("ssh said nothing");
    line.strip_prefix("ssh: ").unwrap_or(line).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(log: &str, expect: &str) {
        let target = "deploy@10.0.0.11".parse().unwrap();
        let error = explain(log, "app-1", &target, Path::new("/k"));
        let text = error.to_string();
        assert!(text.starts_with(expect), "{text}");
    }

    #[test]
    fn what_ssh_says_becomes_a_sentence_with_the_host_in_it() {
        check(
            "@@@\n@    WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED!     @\n@@@\n\
             The fingerprint for the ED25519 key sent by the remote host is\nSHA256:abc.\n\
             Host key verification failed.\n",
            "app-1 (10.0.0.11:22) shows another host key than the environment's file names (SHA256:abc):",
        );
        check(
            "No ED25519 host key is known for host and you have requested strict checking.\n\
             Host key verification failed.\n",
            "app-1 (10.0.0.11:22) shows another host key",
        );
        check(
            "deploy@10.0.0.11: Permission denied (publickey,password).\n",
            "app-1 does not let deploy in with the key /k (deploy@10.0.0.11: Permission denied",
        );
        check(
            "@ WARNING: UNPROTECTED PRIVATE KEY FILE! @\nPermission denied (publickey).\n",
            "app-1 does not let deploy in with the key /k (ssh refuses the key because others",
        );
        check(
            "ssh: connect to host 10.0.0.11 port 22: Connection refused\n",
            "app-1 (10.0.0.11:22) cannot be reached: connect to host 10.0.0.11 port 22: Connection refused",
        );
        check(
            "",
            "app-1 (10.0.0.11:22) cannot be reached: ssh said nothing",
        );
    }
}
