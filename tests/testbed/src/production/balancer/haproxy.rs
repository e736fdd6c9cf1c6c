//! The real balancer. In its words a pool is a "backend" and a member a "server"; nobody else here uses them so.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::background::{Process, wait_until};
use crate::machine::Machine;
use crate::serve::accepts;

/// One host behind the balancer.
#[derive(Debug, Clone)]
pub struct Member {
    /// `app-1`
    pub name: String,
    pub server_id: String,
    pub address: SocketAddr,
}

/// What HAProxy itself says of a member.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Condition {
    pub weight: u32,
    pub is_up: bool,
    /// Requests it is answering now.
    pub sessions: u32,
    /// Requests it was given since the start.
    pub requests: u32,
}

impl Member {
    /// What tells it from others in a group.
    pub(super) fn place(&self) -> Place {
        (self.server_id.clone(), self.address.port())
    }
}

/// A server and its port.
pub(super) type Place = (String, u16);

#[derive(Debug)]
pub(super) struct Haproxy {
    socket: PathBuf,
    _process: Process,
}

impl Haproxy {
    pub(super) fn start(
        machine: &Machine,
        address: SocketAddr,
        members: &[Member],
        seconds: &[Member],
    ) -> Result<Self> {
        let directory = machine.directory("balancer")?;
        let socket = directory.join("runtime.sock");
        let file = directory.join("haproxy.cfg");
        fs::write(&file, configuration(&socket, address, members, seconds))?;
        let log = directory.join("haproxy.log");
        let arguments = ["-db", "-f", &file.to_string_lossy()];
        let mut process = machine
            .background()
            .process(&log, "/usr/sbin/haproxy", &arguments)?;
        wait_until("HAProxy", Duration::from_secs(10), || {
            process.must_run()?;
            Ok(accepts(address))
        })?;
        Ok(Self {
            socket,
            _process: process,
        })
    }

    pub(super) fn socket(&self) -> &Path {
        &self.socket
    }
}

pub(super) fn set_weight(socket: &Path, name: &str, weight: u32) -> Result<()> {
    let answer = ask(socket, &format!("set server pool/{name} weight {weight}"))?;
    if answer.trim().is_empty() {
        return Ok(());
    }
    bail!(
        "HAProxy refuses weight {weight} for {name}: {}",
        answer.trim()
    );
}

/// Lets a member of the second ports in at a weight, or takes it out.
pub(super) fn set_state(socket: &Path, name: &str, weight: Option<u32>) -> Result<()> {
    set_weight(socket, name, weight.unwrap_or_default())?;
    let state = if weight.is_some() { "ready" } else { "maint" };
    let answer = ask(socket, &format!("set server pool/{name} state {state}"))?;
    if answer.trim().is_empty() {
        return Ok(());
    }
    bail!("HAProxy refuses {state} for {name}: {}", answer.trim());
}

pub(super) fn conditions(socket: &Path) -> Result<BTreeMap<String, Condition>> {
    let table = ask(socket, "show stat")?;
    let mut lines = table
        .lines()
        .map(|line| line.split(',').collect::<Vec<_>>());
    let header = lines.next().context("HAProxy shows no table")?;
    let column = |name: &str| {
        let position = header
            .iter()
            .position(|title| title.trim_start_matches("# ") == name);
        position.with_context(|| format!("HAProxy's table has no column {name}"))
    };
    let (pool, member) = (column("pxname")?, column("svname")?);
    let (weight, status, sessions) = (column("weight")?, column("status")?, column("scur")?);
    let requests = column("stot")?;
    let mut conditions = BTreeMap::new();
    for row in lines.filter(|row| row.get(pool) == Some(&"pool")) {
        let name = row.get(member).copied().unwrap_or_default();
        if name == "BACKEND" {
            continue;
        }
        let number = |place: usize| {
            row.get(place)
                .and_then(|text| text.parse().ok())
                .unwrap_or(0)
        };
        if row
            .get(status)
            .is_some_and(|text| text.starts_with("MAINT"))
        {
            continue;
        }
        let is_up = row.get(status).is_some_and(|text| text.starts_with("UP"));
        let condition = Condition {
            weight: number(weight),
            is_up,
            sessions: number(sessions),
            requests: number(requests),
        };
        conditions.insert(name.to_owned(), condition);
    }
    Ok(conditions)
}

fn ask(socket: &Path, command: &str) -> Result<String> {
    let mut stream =
        UnixStream::connect(socket).context("cannot reach HAProxy's runtime socket")?;
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    stream.write_all(format!("{command}\n").as_bytes())?;
    stream.shutdown(Shutdown::Write)?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}

/// No retries and no redispatch: a request that a deploy would have failed must be seen to fail. Connections to
/// hosts are closed after each answer, so that those that stay are requests and not a cache of idle ones.
fn configuration(
    socket: &Path,
    address: SocketAddr,
    members: &[Member],
    seconds: &[Member],
) -> String {
    let mut text = format!(
        "global\n  maxconn 2000\n  stats socket {} mode 600 level admin\n\
         defaults\n  mode http\n  option http-server-close\n  retries 0\n  timeout connect 2s\n  \
         timeout client 60s\n  timeout server 60s\n  timeout http-keep-alive 15s\n\
         frontend front\n  bind {address}\n  default_backend pool\n\
         backend pool\n  balance roundrobin\n  option httpchk GET /health\n  \
         default-server check inter 1s fastinter 300ms downinter 500ms fall 2 rise 2 weight 100\n",
        socket.display(),
    );
    for member in members {
        let _ = writeln!(text, "  server {} {}", member.name, member.address);
    }
    for member in seconds {
        let _ = writeln!(text, "  server {} {} disabled", member.name, member.address);
    }
    text
}
