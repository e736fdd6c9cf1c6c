//! The rules, as text. Pure.
//!
//! `DOCKMASTER` judges what a job sends through the host, `DOCKMASTER-HOST` what it sends to the host itself. Both
//! return what they let pass, so that whatever else the operator and Docker say of it still counts.

use std::{collections::BTreeSet, net::IpAddr};

use super::table::{Family, Table};
use crate::{config::Network, docker::name::BRIDGES, subnet::Range};

pub(super) const FORWARD: &str = "DOCKMASTER";
pub(super) const HOST: &str = "DOCKMASTER-HOST";
/// The chain that Docker leaves to the operator; without Docker's own rules the kernel's.
const OPERATORS: &str = "DOCKER-USER";

/// Where clouds hand out the host's own roles and keys.
const METADATA: &[(Family, &str)] = &[
    (Family::Four, "169.254.0.0/16"),
    (Family::Four, "100.100.100.200/32"),
    (Family::Six, "fd00:ec2::254/128"),
];

/// The rules of one family.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Plan {
    /// Interfaces from which a job speaks.
    bridges: Vec<String>,
    forward: Vec<String>,
    host: Vec<String>,
}

impl Plan {
    pub(crate) fn new(network: &Network, ports: &[u16], family: Family) -> Self {
        let mut bridges = vec![format!("{BRIDGES}+")];
        if !network.build_bridge.is_empty() {
            bridges.push(network.build_bridge.clone());
        }
        Self {
            bridges,
            forward: forward(network, family),
            host: host(ports, family),
        }
    }

    /// For people: what `plan` prints.
    pub(crate) fn text(&self, program: &str) -> String {
        let jumps = self.bridges.iter().flat_map(|bridge| {
            [(OPERATORS, FORWARD), ("INPUT", HOST)]
                .map(|(from, to)| format!("{program} {}\n", jump(from, bridge, to)))
        });
        let rules = self.rules().map(|rule| format!("{program} {rule}\n"));
        jumps.chain(rules).collect()
    }

    fn rules(&self) -> impl Iterator<Item = String> {
        let chains = [(FORWARD, &self.forward), (HOST, &self.host)].into_iter();
        chains.flat_map(|(chain, rules)| rules.iter().map(move |rule| format!("-A {chain} {rule}")))
    }

    /// The jumps into our chains.
    fn jumps(&self, table: &Table) -> Vec<String> {
        let from = entrance(table);
        let bridges = self.bridges.iter();
        bridges
            .flat_map(|bridge| [jump(from, bridge, FORWARD), jump("INPUT", bridge, HOST)])
            .collect()
    }

    /// Whether the kernel has exactly these rules.
    pub(super) fn stands(&self, table: &Table) -> bool {
        let is_ours = |rule: &&String| is_in(rule, FORWARD) || is_in(rule, HOST);
        let wanted: Vec<String> = self.rules().collect();
        let found: Vec<&String> = table.rules.iter().filter(is_ours).collect();
        let jumps: BTreeSet<String> = self.jumps(table).into_iter().collect();
        let there: BTreeSet<String> = table
            .rules
            .iter()
            .filter(|rule| is_jump(rule))
            .cloned()
            .collect();
        table.chains.contains(FORWARD)
            && table.chains.contains(HOST)
            && sorted_by_chain(found) == wanted
            && there == jumps
    }

    /// What brings the kernel from what it has to this plan, for its tool: all at once.
    pub(super) fn changes(&self, table: &Table) -> Vec<String> {
        // Naming a chain empties it.
        let chains = [FORWARD, HOST].map(|chain| format!(":{chain} - [0:0]"));
        let jumps = self.jumps(table);
        let stale = table
            .rules
            .iter()
            .filter(|rule| is_jump(rule) && !jumps.contains(rule));
        let stale = stale.map(|rule| rule.replacen("-A", "-D", 1));
        let missing = jumps.iter().filter(|jump| !table.rules.contains(jump));
        // First in the chain: what lets others pass must not let jobs pass before.
        let missing = missing.map(|jump| jump.replacen("-A", "-I", 1));
        chains
            .into_iter()
            .chain(stale)
            .chain(missing)
            .chain(self.rules())
            .collect()
    }
}

/// What takes all of ours away.
pub(super) fn removal(table: &Table) -> Vec<String> {
    let jumps = table.rules.iter().filter(|rule| is_jump(rule));
    let jumps = jumps.map(|rule| rule.replacen("-A", "-D", 1));
    let chains = [FORWARD, HOST]
        .into_iter()
        .filter(|chain| table.chains.contains(*chain));
    let chains: Vec<&str> = chains.collect();
    let emptied = chains.iter().map(|chain| format!("-F {chain}"));
    let removed = chains.iter().map(|chain| format!("-X {chain}"));
    jumps.chain(emptied).chain(removed).collect()
}

fn jump(from: &str, bridge: &str, to: &str) -> String {
    format!("-A {from} -i {bridge} -j {to}")
}

fn is_in(rule: &str, chain: &str) -> bool {
    rule.strip_prefix("-A ")
        .and_then(|rest| rest.strip_prefix(chain))
        .is_some_and(|rest| rest.starts_with(' '))
}

fn is_jump(rule: &str) -> bool {
    rule.ends_with(&format!(" -j {FORWARD}")) || rule.ends_with(&format!(" -j {HOST}"))
}

fn entrance(table: &Table) -> &'static str {
    if table.chains.contains(OPERATORS) {
        OPERATORS
    } else {
        "FORWARD"
    }
}

/// The kernel's tool lists chains in an order of its own.
fn sorted_by_chain(rules: Vec<&String>) -> Vec<String> {
    let (forward, host): (Vec<_>, Vec<_>) =
        rules.into_iter().partition(|rule| is_in(rule, FORWARD));
    forward.into_iter().chain(host).cloned().collect()
}

/// Answers to what others began, and to what a job may begin, pass.
const ANSWERS: &str = "-m conntrack --ctstate RELATED,ESTABLISHED -j RETURN";

fn reject(family: Family) -> &'static str {
    match family {
        Family::Four => "-j REJECT --reject-with icmp-port-unreachable",
        Family::Six => "-j REJECT --reject-with icmp6-port-unreachable",
    }
}

fn forward(network: &Network, family: Family) -> Vec<String> {
    let no = reject(family);
    let of_family =
        |range: &&Range| matches!(range.address, IpAddr::V4(_)) == (family == Family::Four);
    let to = |range: &Range, end: &str| match range.length {
        0 => end.to_owned(),
        _ => format!("-d {range} {end}"),
    };
    let mut rules = vec![ANSWERS.to_owned()];
    rules.extend(metadata(family));
    // A job's own network. Docker keeps networks from each other.
    rules.push(format!("-o {BRIDGES}+ -j RETURN"));
    if !network.build_bridge.is_empty() {
        // Steps of two builds meet nowhere.
        let bridge = &network.build_bridge;
        rules.push(format!("-i {bridge} -o {bridge} {no}"));
    }
    let allowed = network.allow.iter().filter(of_family);
    rules.extend(allowed.map(|range| to(range, "-j RETURN")));
    let denied = network.deny.iter().filter(of_family);
    rules.extend(denied.map(|range| to(range, no)));
    if !network.internet {
        rules.push(no.to_owned());
    }
    rules
}

fn host(ports: &[u16], family: Family) -> Vec<String> {
    let mut rules = vec![ANSWERS.to_owned()];
    rules.extend(metadata(family));
    if family == Family::Six {
        // Without it no neighbour is found.
        rules.push("-p ipv6-icmp -j RETURN".to_owned());
    }
    let ports: BTreeSet<u16> = ports.iter().copied().collect();
    for port in ports {
        rules.push(format!("-p tcp -m tcp --dport {port} -j RETURN"));
        if port == 53 {
            rules.push(format!("-p udp -m udp --dport {port} -j RETURN"));
        }
    }
    rules.push(reject(family).to_owned());
    rules
}

fn metadata(family: Family) -> impl Iterator<Item = String> {
    let own = METADATA.iter().filter(move |(known, _)| *known == family);
    own.map(move |(_, range)| format!("-d {range} {}", reject(family)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn network(text: &str) -> Network {
        toml::from_str(text).unwrap()
    }

    fn table(lines: &str) -> Table {
        Table::read(lines)
    }

    const DOCKERS: &str = "-P INPUT ACCEPT\n-P FORWARD DROP\n-N DOCKER-USER\n-A FORWARD -j DOCKER-USER\n-A DOCKER-USER -j RETURN\n";

    /// What the tool would print after these changes.
    fn after(table: &Table, changes: &[String]) -> Table {
        let mut table = table.clone();
        for change in changes {
            if let Some(chain) = change.strip_prefix(':') {
                let name = chain.split(' ').next().unwrap();
                table.rules.retain(|rule| !is_in(rule, name));
                table.chains.insert(name.to_owned());
            } else if let Some(rule) = change.strip_prefix("-D") {
                table.rules.retain(|known| known != &format!("-A{rule}"));
            } else if let Some(rule) = change.strip_prefix("-I") {
                table.rules.insert(0, format!("-A{rule}"));
            } else if let Some(name) = change.strip_prefix("-F ") {
                table.rules.retain(|rule| !is_in(rule, name));
            } else if let Some(name) = change.strip_prefix("-X ") {
                table.chains.remove(name);
            } else {
                table.rules.push(change.clone());
            }
        }
        table
    }

    #[test]
    fn what_is_applied_stands_and_what_is_removed_leaves_nothing() {
        let plan = Plan::new(&network(""), &[443], Family::Four);
        let before = table(DOCKERS);
        assert!(!plan.stands(&before));
        let applied = after(&before, &plan.changes(&before));
        assert!(plan.stands(&applied));
        let other = Plan::new(
            &network("build-bridge = \"\"\ninternet = false\n"),
            &[443],
            Family::Four,
        );
        assert!(!other.stands(&applied));
        let changed = after(&applied, &other.changes(&applied));
        assert!(other.stands(&changed));
        let removed = after(&changed, &removal(&changed));
        assert_eq!(
            (removed.rules, removed.chains),
            (before.rules, before.chains)
        );
    }

    #[test]
    fn a_rule_that_somebody_took_out_or_put_in_is_seen() {
        let plan = Plan::new(&network(""), &[443], Family::Four);
        let applied = after(&table(DOCKERS), &plan.changes(&table(DOCKERS)));
        for at in 0..applied.rules.len() {
            let mut less = applied.clone();
            let rule = less.rules.remove(at);
            assert_eq!(plan.stands(&less), !rule.contains("DOCKMASTER"), "{rule}");
        }
        let mut more = applied.clone();
        more.rules.insert(3, format!("-A {FORWARD} -j RETURN"));
        assert!(!plan.stands(&more));
    }

    #[test]
    fn metadata_is_out_of_reach_before_anything_is_allowed() {
        let all = network("allow = [\"0.0.0.0/0\"]\ndeny = [\"10.1.2.3/8\"]\ninternet = false\n");
        let plan = Plan::new(&all, &[443, 53, 443], Family::Four);
        assert_eq!(
            plan.forward,
            [
                "-m conntrack --ctstate RELATED,ESTABLISHED -j RETURN",
                "-d 169.254.0.0/16 -j REJECT --reject-with icmp-port-unreachable",
                "-d 100.100.100.200/32 -j REJECT --reject-with icmp-port-unreachable",
                "-o dm-+ -j RETURN",
                "-i docker0 -o docker0 -j REJECT --reject-with icmp-port-unreachable",
                "-j RETURN",
                "-d 10.0.0.0/8 -j REJECT --reject-with icmp-port-unreachable",
                "-j REJECT --reject-with icmp-port-unreachable",
            ]
        );
        assert_eq!(
            plan.host[3..],
            [
                "-p tcp -m tcp --dport 53 -j RETURN",
                "-p udp -m udp --dport 53 -j RETURN",
                "-p tcp -m tcp --dport 443 -j RETURN",
                "-j REJECT --reject-with icmp-port-unreachable",
            ]
        );
    }

    #[test]
    fn without_docker_s_chain_the_kernel_s_own_is_the_entrance() {
        let plan = Plan::new(&network(""), &[], Family::Six);
        let changes = plan.changes(&table("-P INPUT ACCEPT\n-P FORWARD ACCEPT\n"));
        assert!(
            changes.contains(&"-I FORWARD -i dm-+ -j DOCKMASTER".to_owned()),
            "{changes:?}"
        );
        assert!(changes.contains(&"-A DOCKMASTER-HOST -p ipv6-icmp -j RETURN".to_owned()));
    }
}
