//! The reduction of what Compose prints, by the host's own tools: each generation's print of one project.

use std::{
    io::Write,
    process::{Command, Stdio},
};

use super::*;

const FIRST: &str = include_str!("first.yml");
const SECOND: &str = include_str!("second.yml");

/// What the script makes of a print: lines of the file, and what it says.
fn reduced(print: &str) -> (String, Vec<String>) {
    let (functions, _) = TEXT
        .split_once("\n# What Compose makes of the files now")
        .unwrap();
    let program = format!("{functions}\nreduced app 3131 3132 shop h/app@sha256:1");
    let mut child = Command::new("sh")
        .args(["-c", &program])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child
        .stdin
        .take()
        .unwrap()
        .write_all(print.as_bytes())
        .unwrap();
    let output = child.wait_with_output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let file = text.lines().filter_map(|line| line.strip_prefix("bridge "));
    let said = text
        .lines()
        .filter_map(|line| line.strip_prefix("dockmaster "));
    (
        file.collect::<Vec<_>>().join("\n"),
        said.map(str::to_owned).collect(),
    )
}

#[track_caller]
fn check(from: &str, to: &str, expect: &str) {
    for print in [FIRST, SECOND] {
        assert!(print.contains(from) || to.is_empty(), "{from}");
        let (_, said) = reduced(&print.replace(from, to));
        assert!(said.iter().any(|it| it == expect), "{said:?}");
    }
}

#[test]
fn one_service_is_left_with_its_image_its_port_and_what_it_shares() {
    let (first, said) = reduced(&FIRST.replace("    - 127.0.0.1:9131:9131/tcp\n", ""));
    assert_eq!(said, ["sister db"]);
    insta::assert_snapshot!("first", first);
    let (second, _) = reduced(SECOND);
    insta::assert_snapshot!("second", second);
}

#[test]
fn another_published_port_has_no_partner() {
    let (_, said) = reduced(FIRST);
    assert_eq!(said[0], "bridge-refuse ports 127.0.0.1:9131:9131/tcp");
    let (_, said) = reduced(SECOND);
    assert_eq!(said[0], "bridge-refuse ports 9131");
}

#[test]
fn the_second_instance_listens_at_the_address_of_the_first_one() {
    let of_first = |published: &str| {
        let print = FIRST.replace("    - 127.0.0.1:9131:9131/tcp\n", "");
        let long = "    - published: 3131\n      target: 3131\n";
        reduced(&print.replace(long, &format!("    - {published}\n"))).0
    };
    for (published, expect) in [
        ("10.0.0.11:3131:3131/tcp", "\"10.0.0.11:3132:3131\""),
        ("3131:3131", "\"3132:3131\""),
        ("'[fd00::1]:3131:3131'", "\"[fd00::1]:3132:3131\""),
    ] {
        let file = of_first(published);
        assert!(file.contains(expect), "{published}: {file}");
    }
    let entry = "        target: 3131\n";
    for (address, expect) in [
        ("10.0.0.11", "10.0.0.11:3132:3131"),
        ("fd00::1", "[fd00::1]:3132:3131"),
    ] {
        let print = SECOND.replacen(entry, &format!("        host_ip: {address}\n{entry}"), 1);
        let (file, _) = reduced(&print);
        assert!(file.contains(expect), "{file}");
    }
}

#[test]
fn what_can_be_there_once_only_is_named() {
    let restart = "    restart: always\n";
    for (key, expect) in [
        (
            "    network_mode: host\n",
            "bridge-refuse network_mode host",
        ),
        (
            "    network_mode: service:db\n",
            "bridge-refuse network_mode service:db",
        ),
        ("    pid: service:db\n", "bridge-refuse pid service:db"),
        (
            "    ipc: \"container:db\"\n",
            "bridge-refuse ipc container:db",
        ),
        (
            "    volumes_from:\n    - db\n",
            "bridge-refuse volumes_from is set",
        ),
        (
            "    mac_address: 02:42:ac:11:00:03\n",
            "bridge-refuse mac_address is set",
        ),
    ] {
        check(restart, &format!("{key}{restart}"), expect);
    }
    check(
        "      front:\n        aliases:\n",
        "      front:\n        ipv4_address: 10.9.0.5\n        aliases:\n",
        "bridge-refuse networks ipv4_address 10.9.0.5",
    );
    check(
        "  app:\n",
        "  other:\n",
        "bridge-refuse service app is not there",
    );
}

#[test]
fn nothing_that_yaml_would_interpret_gets_into_the_file() {
    assert!(plain("h:8443/p/app@sha256:0123").is_some());
    for reference in ["a\"b", "a\nb", "${HOME}", "", "-x", "a b", "a#b"] {
        assert_eq!(plain(reference), None, "{reference:?}");
    }
}

#[test]
fn what_speaks_against_a_second_instance_is_told_with_the_service() {
    let listens = || Answer::Listens;
    assert_eq!(objection(&[listens()], "app"), None);
    let single = Answer::Single("it has container_name shop".into());
    let (why, advice) = objection(&[listens(), single], "app").unwrap();
    assert!(
        why.contains("`app` cannot run twice") && why.ends_with("container_name shop"),
        "{why}"
    );
    assert!(advice.contains("stop-first"), "{advice}");
    assert_eq!(reached_by(&[listens()], "app"), None);
    let sisters = ["web", "cron"].map(|name| Answer::Sister(name.into()));
    let why = reached_by(&sisters, "app").unwrap();
    assert!(
        why.starts_with("web, cron would reach both instances by the name `app`"),
        "{why}"
    );
}
