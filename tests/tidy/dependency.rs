//! What the crates that are built may be: their licences, their source, and those that are refused. `cargo deny` says
//! the same, but takes minutes to build.

use std::{collections::BTreeSet, path::Path, process::Command};

use serde_json::Value;

const LICENCES: &[&str] = &[
    "0BSD",
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "BSL-1.0",
    "CDLA-Permissive-2.0",
    "ISC",
    "MIT",
    "Unicode-3.0",
    "Unlicense",
    "Zlib",
];

/// Each with the reason.
const REFUSED: &[(&str, &str)] = &[
    ("openssl-sys", "one TLS only, ring"),
    ("aws-lc-sys", "one TLS only, ring"),
    ("rsa", "RUSTSEC-2023-0071"),
];

/// The only source of crates that are not this workspace's own.
const SOURCE: &str = "registry+https://github.com/rust-lang/crates.io-index";

#[test]
fn every_crate_keeps_the_rules() {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version=1", "--locked", "--offline"])
        .arg("--filter-platform=x86_64-unknown-linux-gnu")
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
    let packages = metadata["packages"].as_array().unwrap();
    assert!(packages.len() > 100);
    let wrong: BTreeSet<String> = packages.iter().filter_map(wrong).collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn cargo_s_rust_version_is_the_toolchain_s() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let read = |name: &str| -> toml::Value {
        toml::from_str(&std::fs::read_to_string(root.join(name)).unwrap()).unwrap()
    };
    let channel = read("rust-toolchain.toml")["toolchain"]["channel"]
        .as_str()
        .unwrap()
        .to_owned();
    let version = read("Cargo.toml")["package"]["rust-version"]
        .as_str()
        .unwrap()
        .to_owned();
    assert_eq!(channel, format!("{version}.0"));
}

/// What is wrong with a package of `cargo metadata`.
fn wrong(package: &Value) -> Option<String> {
    let name = package["name"].as_str().unwrap();
    let source = package["source"].as_str()?;
    let licence = package["license"].as_str().unwrap_or("no licence");
    let refused = REFUSED.iter().find(|(refused, _)| *refused == name);
    if let Some((_, reason)) = refused {
        return Some(format!("{name} is refused: {reason}"));
    }
    if source != SOURCE {
        return Some(format!("{name} is from {source}"));
    }
    (!is_allowed(licence)).then(|| format!("{name} has the licence {licence}"))
}

/// Whether an expression of SPDX is met by licences that are allowed; it has no groups within groups.
fn is_allowed(expression: &str) -> bool {
    let (groups, rest) = take_groups(&expression.replace('/', " OR "));
    let is_met = |name: &str| match name
        .strip_prefix("group ")
        .and_then(|at| at.parse::<usize>().ok())
    {
        Some(at) => is_allowed(&groups[at]),
        None => LICENCES.contains(&name),
    };
    rest.split(" OR ")
        .any(|all| all.split(" AND ").all(|name| is_met(name.trim())))
}

/// The texts in parentheses, and the expression with `group N` for each.
fn take_groups(expression: &str) -> (Vec<String>, String) {
    let mut groups = Vec::new();
    let mut rest = String::new();
    let mut open = expression;
    while let Some((before, after)) = open.split_once('(') {
        let (group, after) = after.split_once(')').unwrap();
        rest.extend([before, "group ", &groups.len().to_string()]);
        groups.push(group.to_owned());
        open = after;
    }
    rest.push_str(open);
    (groups, rest)
}

#[track_caller]
fn check(name: &str, source: &str, licence: &str, expect: Option<&str>) {
    let package = serde_json::json!({"name": name, "source": source, "license": licence});
    assert_eq!(wrong(&package).as_deref(), expect);
}

#[test]
fn crates_that_break_a_rule_are_refused() {
    check("a", SOURCE, "MIT", None);
    check("a", SOURCE, "MIT/Apache-2.0", None);
    check("a", SOURCE, "GPL-3.0 OR MIT", None);
    check("a", SOURCE, "(MIT OR GPL-3.0) AND Unicode-3.0", None);
    check("a", SOURCE, "GPL-3.0", Some("a has the licence GPL-3.0"));
    check(
        "a",
        SOURCE,
        "MIT AND GPL-3.0",
        Some("a has the licence MIT AND GPL-3.0"),
    );
    check(
        "a",
        SOURCE,
        "(GPL-3.0 OR SSPL-1.0) AND MIT",
        Some("a has the licence (GPL-3.0 OR SSPL-1.0) AND MIT"),
    );
    check(
        "rsa",
        SOURCE,
        "MIT",
        Some("rsa is refused: RUSTSEC-2023-0071"),
    );
    check(
        "a",
        "git+https://example.com/a",
        "MIT",
        Some("a is from git+https://example.com/a"),
    );
}
