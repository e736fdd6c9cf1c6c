//! The table of what GitLab's docker executor does and the docker lane, too: its numbers add up, and each test that it
//! names is there.

use std::{collections::BTreeMap, fs, path::Path};

const CLASSES: [&str; 6] = [
    "same",
    "better",
    "differs",
    "refused",
    "missing",
    "not applicable",
];
const ENTRIES: usize = 196;

/// A row: its number, its class, what holds it.
struct Row<'a> {
    number: &'a str,
    class: &'a str,
    held: &'a str,
}

fn rows(text: &str) -> Vec<Row<'_>> {
    let row = |line| {
        let cells: Vec<&str> = str::split(line, '|').map(str::trim).collect();
        match cells.as_slice() {
            ["", number, _, class, _, held, ""] if number.parse::<usize>().is_ok() => Some(Row {
                number,
                class,
                held,
            }),
            _ => None,
        }
    };
    text.lines().filter_map(row).collect()
}

/// The tests that stand in a cell; other words may stand there in the same way.
fn names(held: &str) -> impl Iterator<Item = &str> {
    let marked = held.split('`').skip(1).step_by(2);
    marked.filter(|name| name.contains("::"))
}

/// The last column of the counts that a row belongs to.
fn column(held: &str) -> usize {
    match held {
        "–" => 4,
        "no test yet" => 3,
        held if held.starts_with("in part:") => 2,
        _ => 1,
    }
}

fn wrong(text: &str, exists: impl Fn(&str, &str) -> bool) -> Vec<String> {
    let rows = rows(text);
    let mut wrong = Vec::new();
    let mut counts: BTreeMap<&str, [usize; 5]> = BTreeMap::new();
    for (at, row) in rows.iter().enumerate() {
        if row.number != (at + 1).to_string() || !CLASSES.contains(&row.class) {
            wrong.push(format!("row {}: {}", row.number, row.class));
        }
        for name in [row.class, "all"] {
            let count = counts.entry(name).or_default();
            count[0] += 1;
            count[column(row.held)] += 1;
        }
        for name in names(row.held) {
            let (file, function) = name.split_once("::").unwrap_or((name, ""));
            if function.is_empty() || !exists(file, function) {
                wrong.push(format!("row {}: there is no test {name}", row.number));
            }
        }
    }
    for (class, count) in &counts {
        let count = count.map(|number| number.to_string()).join(" | ");
        let line = format!("| {class} | {count} |");
        if !text.lines().any(|written| written == line) {
            wrong.push(format!("the counts lack the line {line}"));
        }
    }
    wrong
}

#[test]
fn the_table_of_parity_adds_up_and_names_tests_that_are_there() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let text = fs::read_to_string(root.join("docs/docker-executor.md")).unwrap();
    assert_eq!(rows(&text).len(), ENTRIES);
    let exists = |file: &str, test: &str| {
        let source = fs::read_to_string(root.join(file)).unwrap_or_default();
        source.contains(&format!("fn {test}("))
    };
    let wrong = wrong(&text, exists);
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn a_table_that_does_not_add_up_is_refused() {
    let check = |text: &str, count: usize| {
        let wrong = wrong(text, |_, test| test == "there");
        assert_eq!(wrong.len(), count, "{wrong:?}");
    };
    let counts = "| same | 1 | 1 | 0 | 0 | 0 |\n| all | 1 | 1 | 0 | 0 | 0 |\n";
    check(&format!("| 1 | a | same | b | `f::there` |\n{counts}"), 0);
    check(&format!("| 1 | a | same | b | `f::gone` |\n{counts}"), 1);
    check(&format!("| 2 | a | same | b | `f::there` |\n{counts}"), 1);
    check(&format!("| 1 | a | same | b | no test yet |\n{counts}"), 2);
}
