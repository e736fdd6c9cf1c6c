//! The kernel's table of TCP sockets, `/proc/<pid>/net/tcp` and `tcp6`, as far as a drain needs it.

/// The state ESTABLISHED.
const ESTABLISHED: &str = "01";

/// Counts the established connections that were made to `port`. Rows of both tables may come in one
/// text; lines that are no rows are left out.
///
/// With `is_own_namespace` the table is the container's own: who comes over its loopback there is
/// the image's HEALTHCHECK, which goes on for as long as the container lives.
pub(super) fn established(tables: &str, port: u16, is_own_namespace: bool) -> u64 {
    let rows = tables.lines().filter_map(row);
    let ours = rows
        .filter(|row| row.state == ESTABLISHED && row.local_port == port)
        .filter(|row| !(is_own_namespace && is_loopback(row.peer)));
    ours.count().try_into().unwrap_or(u64::MAX)
}

struct Row<'a> {
    local_port: u16,
    /// In hexadecimal, each 32-bit word in the machine's own byte order.
    peer: &'a str,
    state: &'a str,
}

fn row(line: &str) -> Option<Row<'_>> {
    let mut words = line.split_whitespace();
    let number = words.next()?.strip_suffix(':')?;
    number.parse::<u64>().ok()?;
    let (_, local_port) = words.next()?.split_once(':')?;
    let (peer, _) = words.next()?.split_once(':')?;
    let state = words.next()?;
    Some(Row {
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

    #[test]
    fn established_connections_to_the_port_are_counted_in_both_tables() {
        let both = format!("Welcome to app-1\n{TCP}{TCP6}");
        assert_eq!(established(&both, 3131, true), 2);
        assert_eq!(established(TCP, 8080, true), 0);
        assert_eq!(established("", 3131, true), 0);
    }

    #[test]
    fn on_the_host_s_own_network_loopback_may_be_a_proxy_and_counts() {
        assert_eq!(established(TCP, 3131, false), 2);
        assert_eq!(established(TCP6, 3131, false), 3);
    }
}
