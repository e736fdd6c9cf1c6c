//! The backends of a group, whichever product told them.

use crate::rollout::port::{Member, Weight};

/// A group as it was read.
#[derive(Debug)]
pub(in crate::balancer) struct Described {
    pub(super) balancer: String,
    pub(super) group: String,
    pub(super) backends: Vec<Backend>,
}

impl Described {
    pub(super) fn id(&self, backend: &Backend) -> Member {
        Member {
            balancer: self.balancer.clone(),
            group: self.group.clone(),
            server: backend.server(),
            port: backend.port,
        }
    }

    pub(super) fn find(&self, member: &Member) -> Option<&Backend> {
        let mut backends = self.backends.iter();
        backends.find(|it| self.id(it) == *member)
    }
}

/// How far the last change of a backend is, where its product tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::balancer) enum State {
    Settled,
    Joining,
    /// Its weight is on its way.
    Changing,
    Leaving,
}

/// One backend. A server may be in a group several times, at other ports and addresses.
#[derive(Debug)]
pub(in crate::balancer) struct Backend {
    pub(super) server_id: String,
    /// What tells the addresses of network interfaces and container instances apart.
    pub(super) address: Option<String>,
    pub(super) port: u16,
    pub(super) weight: Weight,
    /// Aliyun's word for what it is: `ecs`, `Eni`.
    pub(super) kind: Option<String>,
    pub(super) description: Option<String>,
    /// An address outside Aliyun's network.
    pub(super) is_remote: bool,
    pub(super) state: State,
}

impl Backend {
    fn name(&self) -> String {
        format!("{}:{}", self.server(), self.port)
    }

    pub(super) fn server(&self) -> String {
        match self.address() {
            Some(address) if address != self.server_id => format!("{}/{address}", self.server_id),
            _ => self.server_id.clone(),
        }
    }

    pub(super) fn address(&self) -> Option<&str> {
        let kind = self.kind.as_deref();
        let is_told_apart = kind.is_some_and(|kind| !kind.eq_ignore_ascii_case("ecs"));
        self.address.as_deref().filter(|_| is_told_apart)
    }

    /// True when it is there for good: its weight counts.
    pub(super) fn serves(&self) -> bool {
        matches!(self.state, State::Settled | State::Changing)
    }
}

pub(super) fn names(backends: &[Backend]) -> String {
    let names: Vec<_> = backends.iter().map(Backend::name).collect();
    if names.is_empty() {
        "nothing".into()
    } else {
        names.join(", ")
    }
}

/// A text that says something.
pub(super) fn present(text: Option<String>) -> Option<String> {
    text.filter(|text| !text.is_empty())
}
