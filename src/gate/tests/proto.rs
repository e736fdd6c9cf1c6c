//! Every field that `BuildKit` has is named by a table here, so that a new one is decided on and not overlooked.

use crate::gate::build::known::Table;
use crate::gate::build::{llb, solve};

/// Written by scripts/buildkit-fields.
const FIELDS: &str = include_str!("../../../tests/golden/gate/buildkit-fields.txt");

fn unnamed<R>(table: &Table<R>) -> Vec<&'static str> {
    let start = format!("{} ", table.message);
    let all: Vec<&str> = FIELDS
        .lines()
        .filter(|line| line.starts_with(&start))
        .collect();
    assert!(
        !all.is_empty(),
        "{} is no message of BuildKit's",
        table.message
    );
    let known = |line: &&str| {
        let mut words = line.split(' ').skip(1);
        let number = words.next().map(str::parse::<u64>);
        let name = words.next().unwrap();
        let fits = |field: &&(u64, &str, R)| number == Some(Ok(field.0)) && name == field.1;
        table.fields.iter().any(|field| fits(&field))
    };
    all.into_iter().filter(|line| !known(line)).collect()
}

#[test]
fn every_field_of_a_judged_message_is_named_by_a_table() {
    let solve = solve::TABLES.iter().flat_map(|table| unnamed(table));
    let llb = llb::TABLES.iter().flat_map(|table| unnamed(table));
    let all: Vec<&str> = solve.chain(llb).collect();
    assert!(all.is_empty(), "{all:#?}");
}
