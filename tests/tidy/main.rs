//! What must never slip: import levels, cycles, unsafe code, printing, the environment. `proof` shows for each rule a
//! source tree that it refuses.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod dependency;
mod graph;
mod path;
mod proof;
mod rule;
mod table;
mod tree;

use std::{collections::BTreeSet, path::Path};

use table::Levels;
use tree::Tree;

/// Violations of today, each a line; the list only gets shorter. It is from 2026-11-27.
const ALLOWED: &str = include_str!("allowed.txt");

#[test]
fn the_source_keeps_the_rules() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let levels = Levels::read(&std::fs::read_to_string(root.join("ARCHITECTURE.md")).unwrap());
    let tree = Tree::load(&root.join("src"));
    let allowed: BTreeSet<String> = ALLOWED.lines().map(str::to_owned).collect();
    let found = rule::all(&tree, &levels);
    let new: Vec<&String> = found.difference(&allowed).collect();
    assert!(new.is_empty(), "these are not allowed:\n{new:#?}");
    let mended: Vec<&String> = allowed.difference(&found).collect();
    assert!(
        mended.is_empty(),
        "well done; delete these lines of tests/tidy/allowed.txt:\n{mended:#?}"
    );
}
