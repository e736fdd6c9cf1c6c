//! The levels, as ARCHITECTURE.md's table tells them.

use std::collections::BTreeMap;

/// Module to level; a module that is not named has its parent's.
pub(crate) struct Levels(BTreeMap<String, u8>);

impl Levels {
    /// Reads rows like ``| 2 plans | `rollout` `docker::{name,spec}` | … |``.
    pub(crate) fn read(markdown: &str) -> Self {
        let mut levels = BTreeMap::new();
        for row in markdown.lines().filter_map(|line| line.strip_prefix("| ")) {
            let mut cells = row.split(" | ");
            let level = cells
                .next()
                .and_then(|cell| cell.chars().next()?.to_digit(10));
            let (Some(level), Some(names)) = (level, cells.next()) else {
                continue;
            };
            for name in names.split('`').skip(1).step_by(2).flat_map(open) {
                let twice = levels.insert(name.clone(), u8::try_from(level).unwrap());
                assert!(twice.is_none(), "{name} stands twice in the table");
            }
        }
        assert!(!levels.is_empty(), "there is no table of levels");
        Self(levels)
    }

    pub(crate) fn of(&self, module: &str) -> Option<u8> {
        let mut name = module;
        loop {
            match (self.0.get(name), name.rsplit_once("::")) {
                (Some(level), _) => return Some(*level),
                (None, Some((parent, _))) => name = parent,
                (None, None) => return None,
            }
        }
    }

    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }
}

/// `a::{b,c}` is `a::b` and `a::c`; `a::*` is `a` with all below it.
fn open(name: &str) -> Vec<String> {
    match name.split_once('{') {
        Some((prefix, group)) => group
            .trim_end_matches('}')
            .split(',')
            .map(|item| format!("{prefix}{}", item.trim()))
            .collect(),
        None => vec![name.trim_end_matches("::*").to_owned()],
    }
}
