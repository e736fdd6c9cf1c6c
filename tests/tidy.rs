//! What must never slip: import levels, unsafe only in `sys`, no printing, no environment but in `app`.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::{
    fs,
    path::{Path, PathBuf},
};

/// The levels of ARCHITECTURE.md. A module uses only what stands on its own level or lower.
const LEVELS: &[(u8, &[&str])] = &[
    (0, &["failure", "paint", "secret", "sys", "tls", "lease"]),
    (1, &["job", "config", "policy", "call"]),
    (
        2,
        &[
            "rollout",
            "docker/name",
            "docker/spec",
            "docker/reference",
            "gate/route",
            "gate/body",
        ],
    ),
    (
        3,
        &[
            "docker", "gate", "balancer", "host", "tls", "store", "sandbox", "broker",
        ],
    ),
    (3, &["log", "cancel"]),
    (4, &["stage", "admin"]),
    (5, &["cli", "app", "exit", "lib", "main"]),
];

#[test]
fn every_module_has_a_level_and_imports_none_above_it() {
    let mut wrong = Vec::new();
    for (path, text) in sources() {
        let module = module(&path);
        let Some(own) = level(&module) else {
            wrong.push(format!("{module} has no level in tests/tidy.rs"));
            continue;
        };
        for import in imports(&text) {
            match level(&import) {
                Some(other) if other > own => {
                    wrong.push(format!(
                        "{module} (level {own}) imports {import} (level {other})"
                    ));
                }
                _ => {}
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn unsafe_stands_in_sys_only() {
    let found: Vec<_> = sources()
        .into_iter()
        .filter(|(path, _)| !module(path).starts_with("sys"))
        .filter(|(_, text)| code(text).any(|line| line.contains("unsafe ")))
        .map(|(path, _)| path)
        .collect();
    assert!(found.is_empty(), "{found:?}");
}

#[test]
fn the_environment_is_read_in_app_only() {
    let found: Vec<_> = sources()
        .into_iter()
        .filter(|(path, _)| !matches!(module(path).as_str(), "app" | "main"))
        .filter(|(_, text)| code(text).any(|line| line.contains("env::var")))
        .map(|(path, _)| path)
        .collect();
    assert!(found.is_empty(), "{found:?}");
}

#[test]
fn the_job_s_variables_are_read_in_one_module_only() {
    let found: Vec<_> = sources()
        .into_iter()
        .filter(|(path, _)| module(path) != "call")
        .filter(|(_, text)| code(text).any(|line| line.contains("\"CUSTOM_ENV_")))
        .map(|(path, _)| path)
        .collect();
    assert!(found.is_empty(), "{found:?}");
}

/// Every source file but tests.
fn sources() -> Vec<(PathBuf, String)> {
    let mut files = Vec::new();
    let mut folders = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("src")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let is_test = path.to_string_lossy().contains("tests");
            if path.is_dir() && !is_test {
                folders.push(path);
            } else if path.extension().is_some_and(|end| end == "rs") && !is_test {
                let text = fs::read_to_string(&path).unwrap();
                files.push((path, text));
            }
        }
    }
    assert!(files.len() > 10);
    files
}

/// `src/docker/spec.rs` is `docker/spec`.
fn module(path: &Path) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let relative = path.strip_prefix(root).unwrap().with_extension("");
    relative
        .to_string_lossy()
        .trim_end_matches("/mod")
        .to_owned()
}

fn level(module: &str) -> Option<u8> {
    let named = |name: &str| module == name || module.starts_with(&format!("{name}/"));
    LEVELS
        .iter()
        .flat_map(|(level, names)| names.iter().map(move |name| (*level, *name)))
        .filter(|(_, name)| named(name))
        .max_by_key(|(_, name)| name.len())
        .map(|(level, _)| level)
}

/// The lines before the inline tests, without comments.
fn code(text: &str) -> impl Iterator<Item = &str> {
    text.lines()
        .take_while(|line| !line.starts_with("#[cfg(test)]"))
        .filter(|line| !line.trim_start().starts_with("//"))
}

/// The modules of this crate that a file names: `crate::a::b` is `a/b`, groups are opened.
fn imports(text: &str) -> Vec<String> {
    let text: String = code(text).collect::<Vec<_>>().join(" ");
    text.split("crate::")
        .skip(1)
        .flat_map(|rest| paths(rest, ""))
        .collect()
}

/// The paths that `text` begins with, each below `prefix`.
fn paths(text: &str, prefix: &str) -> Vec<String> {
    let text = text.trim_start();
    if let Some(group) = text.strip_prefix('{') {
        return items(group)
            .iter()
            .flat_map(|item| paths(item, prefix))
            .collect();
    }
    let end = text
        .find(|c: char| !c.is_alphanumeric() && c != '_')
        .unwrap_or(text.len());
    let path = format!("{prefix}{}", &text[..end]);
    match text[end..].strip_prefix("::") {
        Some(rest) if !path.contains('/') => {
            let mut found = paths(rest, &format!("{path}/"));
            found.push(path);
            found
        }
        _ => vec![path],
    }
}

/// The items of a group, up to its closing brace.
fn items(group: &str) -> Vec<String> {
    let mut depth = 0;
    let mut items = vec![String::new()];
    for c in group.chars() {
        match c {
            '}' if depth == 0 => break,
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                items.push(String::new());
                continue;
            }
            _ => {}
        }
        items.last_mut().unwrap().push(c);
    }
    items
}

#[test]
fn nested_groups_are_opened() {
    let found = imports("use crate::{a::{B, c}, d, e::f::G};\nlet x = crate::h::I;\n");
    for module in ["a", "d", "e", "e/f", "h"] {
        assert!(
            found.iter().any(|path| path == module),
            "{module} in {found:?}"
        );
    }
}
