//! Which other files a compose file names that Compose would read from the host, found in its text: what `config` prints
//! does not tell them. Pure.

use super::pin::{Row, inside, rows};

/// The compose files that `extends` and `include` take in. Where a line may name one, it counts.
pub(super) fn taken_in(text: &str) -> Vec<String> {
    let rows = rows(text);
    let mut files = Vec::new();
    for (at, row) in rows.iter().enumerate() {
        let after = &rows[at + 1..];
        if row.key == "extends" && is_block(row) {
            let named = inside(after, row.indent).iter();
            files.extend(named.filter(|it| it.key == "file").map(|it| bare(it.value)));
        } else if row.key == "extends" {
            files.extend(flow_file(row.value));
        } else if row.key == "include" && row.indent == 0 {
            files.extend(listed(row, after).filter(|it| !it.is_empty()));
        }
    }
    files
}

/// The files that `env_file` names.
pub(super) fn env_files(text: &str) -> Vec<String> {
    let rows = rows(text);
    let mut files = Vec::new();
    for (at, row) in rows.iter().enumerate() {
        if row.key == "env_file" {
            files.extend(listed(row, &rows[at + 1..]).filter(|it| !it.is_empty()));
        }
    }
    files
}

fn is_block(row: &Row<'_>) -> bool {
    row.value.is_empty() || row.value.starts_with('&')
}

fn bare(text: &str) -> String {
    let sides = |c: char| c.is_whitespace() || "\"'[]{},".contains(c);
    text.trim_matches(sides).to_owned()
}

/// `{file: a.yml, service: app}`
fn flow_file(value: &str) -> Option<String> {
    let (_, after) = value.split_once("file")?;
    let after = after.trim_start_matches(['"', '\'']).trim_start();
    let named = after.strip_prefix(':')?;
    named.split([',', '}']).next().map(bare)
}

/// A value, or the entries of a list, or the `path` of each.
fn listed<'a>(row: &Row<'a>, after: &[Row<'a>]) -> impl Iterator<Item = String> {
    let of_list = |it: &&Row<'_>| it.indent > row.indent || it.key.starts_with("- ");
    let entries: Vec<_> = after
        .iter()
        .take_while(|it| of_list(it) && it.indent >= row.indent)
        .map(entry)
        .collect();
    let own = row.value.split(',').map(path);
    own.chain(entries.into_iter().flatten())
        .collect::<Vec<_>>()
        .into_iter()
}

fn entry(row: &Row<'_>) -> Vec<String> {
    let key = row.key.trim_start_matches("- ").trim();
    match bare(key).as_str() {
        "path" => row.value.split(',').map(path).collect(),
        "project_directory" | "required" | "format" | "env_file" => Vec::new(),
        _ => vec![path(key)],
    }
}

/// `a.yml`, also within `{path: a.yml}`.
fn path(text: &str) -> String {
    let text = bare(text);
    match text.split_once(": ") {
        Some((_, path)) => bare(path),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_that_extends_and_include_take_in_are_found() {
        for (text, expect) in [
            (
                "services:\n  app:\n    extends:\n      service: x\n      file: \"../a.yml\"\n    image: y\n",
                ["../a.yml"].as_slice(),
            ),
            (
                "services:\n  app:\n    extends: {file: 'a.yml', service: x}\n  web:\n    extends: {service: x, \"file\": b.yml}\n",
                &["a.yml", "b.yml"],
            ),
            ("services:\n  app:\n    extends: {service: web}\n", &[]),
            ("services:\n  app:\n    extends:\n      service: web\n", &[]),
            (
                "include:\n- a.yml\n- \"b/c.yml\"\nservices: {}\n",
                &["a.yml", "b/c.yml"],
            ),
            (
                "include:\n  - path: a.yml\n    project_directory: x\n  - path:\n      - b.yml\n",
                &["a.yml", "b.yml"],
            ),
            ("include: [a.yml, 'b.yml']\n", &["a.yml", "b.yml"]),
            ("include:\n  - oci://h/x:1\n", &["oci://h/x:1"]),
            (
                "services:\n  app:\n    environment:\n      include: x\n      file: y\n",
                &[],
            ),
        ] {
            assert_eq!(taken_in(text), expect, "{text}");
        }
    }

    #[test]
    fn env_files_are_found() {
        for (text, expect) in [
            (
                "services:\n  app:\n    env_file: .prod.env\n",
                [".prod.env"].as_slice(),
            ),
            (
                "services:\n  app:\n    env_file:\n    - a.env\n    - path: b.env\n      required: false\n    image: x\n",
                &["a.env", "b.env"],
            ),
            (
                "services:\n  app:\n    env_file: [a.env, \"b.env\"]\n",
                &["a.env", "b.env"],
            ),
        ] {
            assert_eq!(env_files(text), expect, "{text}");
        }
    }
}
