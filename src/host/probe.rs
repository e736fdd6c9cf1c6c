//! Whether a service can be reached, and by whom: seen in the container's table of sockets, and asked
//! over HTTP from here. The image's own check runs inside and sees no wrong port.

use bollard::models::HealthConfig;

use super::{
    Host, LOOK, RemoteError,
    socket::{self, Listens, Sockets},
    ssh::Script,
};
use crate::lang::{both, word};
use crate::rollout::port::{Container, Health, Release, Slot};

impl Host {
    /// Fails when the container's port is closed to others, or the environment's own question is not
    /// answered as it should be.
    pub(super) async fn probe_container(
        &self,
        slot: Slot,
        container: &str,
    ) -> Result<(), RemoteError> {
        let deaf = |why: String| RemoteError::Deaf {
            host: self.name.clone(),
            why,
        };
        let Some(sockets) = self.sockets(container).await? else {
            return Err(deaf(
                word!("its container does not run any more", "它的容器已不在运行").into(),
            ));
        };
        let probe = match slot {
            Slot::Own => self.probe.as_ref(),
            Slot::Bridge => self.bridge.as_ref().and_then(|it| it.probe.as_ref()),
        };
        match probe {
            // Its answer says more, also while a release moves to another port.
            Some(probe) => probe.ask().await.map_err(deaf),
            None => self.closed(sockets).map_or(Ok(()), |why| Err(deaf(why))),
        }
    }

    /// Why nobody outside the container reaches the service, if so.
    fn closed(&self, sockets: Sockets) -> Option<String> {
        if !self.has_balancer {
            return None;
        }
        let port = self.port;
        match sockets.listens {
            Listens::Everybody => None,
            Listens::Nobody => Some(both!(
                "nothing in its container listens on port {port} (compose.port)",
                "容器里没有进程监听端口 {port}（compose.port）"
            )),
            Listens::Loopback => Some(both!(
                "in its container port {port} (compose.port) listens on 127.0.0.1 alone; let the service listen on 0.0.0.0",
                "容器里端口 {port}（compose.port）只监听 127.0.0.1；请让服务监听 0.0.0.0"
            )),
        }
    }

    /// The sockets of a container; `None` when it does not run.
    pub(super) async fn sockets(&self, container: &str) -> Result<Option<Sockets>, RemoteError> {
        let Some(process) = self.process(container).await? else {
            return Ok(None);
        };
        let script = Script {
            what: "look at its sockets",
            // The process may end at any moment, and may be hidden: no table is told below.
            text: "cat \"/proc/$1/net/tcp\" \"/proc/$1/net/tcp6\" 2>/dev/null; exit 0",
            arguments: &[&process.id.to_string()],
            limit: LOOK,
        };
        let tables = self.session.script(&script).await?;
        let mut sockets = socket::read(&tables, self.port, process.has_own_network);
        if !process.has_own_network && sockets.listens == Listens::Loopback {
            // A proxy of the host's own may stand before it.
            sockets.listens = Listens::Everybody;
        }
        if sockets.is_seen {
            return Ok(Some(sockets));
        }
        match self.process(container).await? {
            Some(again) if again.id == process.id => Err(RemoteError::NotReady {
                host: self.name.clone(),
                why: format!(
                    "{} may not see who is connected to the service: /proc hides the processes of other users (hidepid)",
                    self.session.user()
                ),
                advice: "try there: mount -o remount,hidepid=0 /proc, or let the user into the group that gid= of that mount names".into(),
            }),
            _ => Ok(None),
        }
    }

    async fn process(&self, container: &str) -> Result<Option<Process>, RemoteError> {
        let found = self.inspect(container).await?;
        Ok(found.and_then(|found| {
            let id = found.state?.pid.filter(|pid| *pid > 0)?;
            let mode = found.host_config.and_then(|config| config.network_mode);
            Some(Process {
                id,
                has_own_network: mode.as_deref() != Some("host"),
            })
        }))
    }

    /// Finds before any weight moves that the connections of what serves now could not be seen.
    pub(super) async fn check_sight(&self) -> Result<(), RemoteError> {
        let found = self.service_containers().await?;
        let Some(id) = found.current() else {
            return Ok(());
        };
        let Some(container) = self.container(id).await? else {
            return Ok(());
        };
        if !serves(&container) {
            return Ok(());
        }
        let sockets = self.sockets(id).await?;
        match sockets.and_then(|sockets| self.closed(sockets)) {
            Some(why) => Err(RemoteError::NotReady {
                host: self.name.clone(),
                why: format!("{why}, so nobody could say who is connected"),
                advice: "correct compose.port in the environment's file (the port of the container that serves now); where the service is down indeed, stop its container first".into(),
            }),
            None => Ok(()),
        }
    }

    /// Finds before any weight moves that nothing could say whether the release is healthy.
    pub(super) async fn check_health_check(&self, release: &Release) -> Result<(), RemoteError> {
        let reference = release.reference();
        let image = self.image(&reference).await?;
        let check = image.and_then(|image| image.config?.healthcheck);
        if self.probe.is_some() || check.is_some_and(|check| is_check(&check)) {
            return Ok(());
        }
        // The compose file may bring one of its own; where that cannot be told, the container will.
        if self.has_composed_check.get() != Some(false) {
            return Ok(());
        }
        Err(RemoteError::NoHealthCheck {
            host: self.name.clone(),
            reference,
        })
    }
}

/// A container's first process, as the host numbers it.
struct Process {
    id: i64,
    has_own_network: bool,
}

fn serves(container: &Container) -> bool {
    container.is_running && matches!(container.health, Health::Healthy | Health::None)
}

/// False for `HEALTHCHECK NONE`.
fn is_check(check: &HealthConfig) -> bool {
    let test = check.test.as_deref().unwrap_or_default();
    test.first().is_some_and(|kind| kind != "NONE")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_check_that_is_switched_off_is_none() {
        let check = |test: &[&str]| {
            is_check(&HealthConfig {
                test: Some(test.iter().map(|it| (*it).to_owned()).collect()),
                ..Default::default()
            })
        };
        assert!(check(&["CMD", "true"]));
        assert!(!check(&["NONE"]));
        assert!(!check(&[]));
    }
}
