//! What must never slip: import levels, cycles, unsafe code, printing, the environment. `proof` shows for each rule a
//! source tree that it refuses.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod dependency;
mod graph;
mod parity;
mod path;
mod proof;
mod rule;
mod table;
mod tree;

use std::path::Path;

use table::Levels;
use tree::Tree;

#[test]
fn the_source_keeps_the_rules() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let levels = Levels::read(&std::fs::read_to_string(root.join("ARCHITECTURE.md")).unwrap());
    let tree = Tree::load(&root.join("src"));
    let found = rule::all(&tree, &levels);
    assert!(found.is_empty(), "these are not allowed:\n{found:#?}");
}
