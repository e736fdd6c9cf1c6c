//! The kernel's table of TCP sockets, `/proc/<pid>/net/tcp` and `tcp6`: who listens, who is connected.

/// The state ESTABLISHED.
const ESTABLISHED: &str = "01";

/// The state LISTEN.
const LISTEN: &str = "0A";

/// What both tables of one network namespace say of a port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Sockets {
    /// True when there was a table at all: another user's process may be hidden (hidepid), and a
    /// process that has just ended has none.
    pub(super) is_seen: bool,
    pub(super) listens: Listens,
    /// Connections made to the port that are established.
    pub(super) established: u64,
}

/// Who can reach a port.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Listens {
    Nobody,
    /// Whoever is in the same network namespace.
    Loopback,
    Everybody,
}

/// Reads what both tables say of `port`. Their rows may come in one text; lines that are no rows are
/// left out.
///
/// With `is_own_namespace` the table is the container's own: who comes over its loopback there is
/// the image's HEALTHCHECK, which goes on for as long as the container lives.
pub(super) fn read(tables: &str, port: u16, is_own_namespace: bool) -> Sockets {
    let ours = || {
        let rows = tables.lines().filter_map(row);
        rows.filter(|row| row.local_port == port)
    };
    let is_far = |row: &Row<'_>| !(is_own_namespace && is_loopback(row.peer));
    let established = ours().filter(|row| row.state == ESTABLISHED && is_far(row));
    let listeners = ours().filter(|row| row.state == LISTEN);
    let reach = listeners.map(|row| {
        if is_loopback(row.local) {
            Listens::Loopback
        } else {
            Listens::Everybody
        }
    });
    Sockets {
        is_seen: tables.lines().any(|line| line.contains("local_address")),
        listens: reach.max().unwrap_or(Listens::Nobody),
        established: established.count().try_into().unwrap_or(u64::MAX),
    }
}

struct Row<'a> {
    /// Addresses are in hexadecimal, each 32-bit word in the machine's own byte order.
    local: &'a str,
    local_port: u16,
    peer: &'a str,
    state: &'a str,
}

fn row(line: &str) -> Option<Row<'_>> {
    let mut words = line.split_whitespace();
    let number = words.next()?.strip_suffix(':')?;
    number.parse::<u64>().ok()?;
    let (local, local_port) = words.next()?.split_once(':')?;
    let (peer, _) = words.next()?.split_once(':')?;
    let state = words.next()?;
    Some(Row {
        local,
        local_port: u16::from_str_radix(local_port, 16).ok()?,
        peer,
        state,
    })
}

/// True for 127.0.0.0/8, the same mapped into IPv6, and `::1`, on little-endian machines: on others
/// the probe is counted, which only makes a drain longer.
fn is_loopback(peer: &str) -> bool {
    let is_v4 = |address: &str| address.len() == 8 && address.ends_with("7F");
    let mapped = peer.strip_prefix("0000000000000000FFFF0000");
    is_v4(peer) || mapped.is_some_and(is_v4) || peer == "00000000000000000000000001000000"
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Port 3131 is 0C3B.
    const TCP: &str = "\
  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 00000000:0C3B 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1 1 0 100 0 0 10 0
   1: 020011AC:0C3B 010011AC:D2F0 01 00000000:00000000 00:00000000 00000000     0        0 2 1 0 20 4 30 10 -1
   2: 0100007F:0C3B 0100007F:D2F2 01 00000000:00000000 00:00000000 00000000     0        0 3 1 0 20 4 30 10 -1
   3: 0100007F:D2F2 0100007F:0C3B 01 00000000:00000000 00:00000000 00000000     0        0 4 1 0 20 4 30 10 -1
   4: 020011AC:0C3B 010011AC:D2F4 06 00000000:00000000 03:00000000 00000000     0        0 0 3 0
";
    const TCP6: &str = "\
  sl  local_address                         remote_address                        st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 00000000000000000000000000000000:0C3B 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 5 1 0 100 0 0 10 0
   1: 0000000000000000FFFF0000020011AC:0C3B 0000000000000000FFFF000009001DAC:8B1C 01 00000000:00000000 00:00000000 00000000     0        0 6 1 0 20 4 30 10 -1
   2: 0000000000000000FFFF00000100007F:0C3B 0000000000000000FFFF00000100007F:8B1E 01 00000000:00000000 00:00000000 00000000     0        0 7 1 0 20 4 30 10 -1
   3: 00000000000000000000000001000000:0C3B 00000000000000000000000001000000:8B20 01 00000000:00000000 00:00000000 00000000     0        0 8 1 0 20 4 30 10 -1
";

    fn established(tables: &str, port: u16, is_own_namespace: bool) -> u64 {
        read(tables, port, is_own_namespace).established
    }

    #[test]
    fn established_connections_to_the_port_are_counted_in_both_tables() {
        let both = format!("Welcome to app-1\n{TCP}{TCP6}");
        assert_eq!(established(&both, 3131, true), 2);
        assert_eq!(established(TCP, 8080, true), 0);
    }

    #[test]
    fn on_the_host_s_own_network_loopback_may_be_a_proxy_and_counts() {
        assert_eq!(established(TCP, 3131, false), 2);
        assert_eq!(established(TCP6, 3131, false), 3);
    }

    #[test]
    fn what_is_not_seen_is_not_nothing() {
        assert!(!read("", 3131, true).is_seen);
        assert!(!read("Welcome to app-1\n", 3131, true).is_seen);
        assert!(read(TCP, 3131, true).is_seen);
    }

    #[test]
    fn who_listens_where_is_told_apart() {
        assert_eq!(read(TCP, 3131, true).listens, Listens::Everybody);
        assert_eq!(read(TCP6, 3131, true).listens, Listens::Everybody);
        assert_eq!(read(TCP, 8080, true).listens, Listens::Nobody);
        let inside = TCP.replace("00000000:0C3B", "0100007F:0C3B");
        assert_eq!(read(&inside, 3131, true).listens, Listens::Loopback);
        let mapped = TCP6.replace(
            "00000000000000000000000000000000:0C3B",
            "00000000000000000000000001000000:0C3B",
        );
        assert_eq!(read(&mapped, 3131, true).listens, Listens::Loopback);
    }
}
