//! The rules. Each returns its violations, one line each. Tests inside a file may import what they like; what a file
//! does beyond its own memory is judged there too.

use std::collections::BTreeSet;

use crate::{
    graph::{self, Edges},
    path::{Kind, Mention},
    table::Levels,
    tree::Tree,
};

type Found = BTreeSet<String>;

pub(crate) fn all(tree: &Tree, levels: &Levels) -> Found {
    let edges = graph::edges(tree);
    [
        placed(tree, levels),
        upward(&edges, levels),
        cycles(&edges),
        folder_cycles(&edges, tree),
        unsafe_code(tree),
        environment(tree),
        job_variables(tree),
        printing(tree),
        languages(tree),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// Every module stands in the table and every name of the table is a module.
pub(crate) fn placed(tree: &Tree, levels: &Levels) -> Found {
    let lost = tree
        .lost
        .iter()
        .map(|file| format!("no `mod` line names {file}"));
    let files = tree.modules.iter().filter(|(_, module)| !module.is_test);
    let missing = files
        .filter(|(name, _)| levels.of(name).is_none())
        .map(|(name, _)| format!("{name} has no level in ARCHITECTURE.md"));
    let unknown = levels
        .names()
        .filter(|name| !tree.modules.contains_key(*name))
        .map(|name| format!("{name} of ARCHITECTURE.md's levels is no module"));
    lost.chain(missing).chain(unknown).collect()
}

/// A module imports its own level or lower.
pub(crate) fn upward(edges: &Edges, levels: &Levels) -> Found {
    edges
        .iter()
        .filter_map(|(from, to)| {
            let (own, other) = (levels.of(from)?, levels.of(to)?);
            (other > own).then(|| format!("{from} ({own}) imports {to} ({other}), a level above"))
        })
        .collect()
}

/// No files import each other in a circle.
pub(crate) fn cycles(edges: &Edges) -> Found {
    graph::cyclic(edges)
        .into_iter()
        .map(|(from, to)| format!("{from} imports {to}, which leads back to it"))
        .collect()
}

/// No folders import each other in a circle.
pub(crate) fn folder_cycles(edges: &Edges, tree: &Tree) -> Found {
    let is_folder = |name: &str| {
        tree.modules
            .get(name)
            .is_some_and(|module| !module.children.is_empty())
    };
    graph::folders(edges)
        .values()
        .flat_map(graph::cyclic)
        .filter(|(from, to)| is_folder(from) || is_folder(to))
        .map(|(from, to)| format!("folder {from} imports {to}, which leads back to it"))
        .collect()
}

/// `unsafe` stands in `sys` only.
pub(crate) fn unsafe_code(tree: &Tree) -> Found {
    outside(
        tree,
        &["sys"],
        "has unsafe code",
        |kind| matches!(kind, Kind::Word(word) if word == "unsafe"),
    )
}

/// The process's environment is read and written in `app` only.
pub(crate) fn environment(tree: &Tree) -> Found {
    const NAMES: &[&str] = &["var", "vars", "var_os", "vars_os", "set_var", "remove_var"];
    outside(tree, &["app"], "uses the environment", |kind| {
        ends(kind, "env", NAMES)
    })
}

/// The job's variables are read in `call` only.
pub(crate) fn job_variables(tree: &Tree) -> Found {
    outside(
        tree,
        &["call"],
        "names a variable of the job",
        |kind| matches!(kind, Kind::Word(word) if word.trim_start_matches(['b', 'c', 'r', '#']).starts_with("\"CUSTOM_ENV_")),
    )
}

/// Where people are told of rollouts.
const SPOKEN: &[&str] = &[
    "rollout",
    "broker::history",
    "broker::precedence",
    "broker::rollback",
    "broker::status",
];

/// What a rollout says stands in `both!` or `word!`, which take a second language.
pub(crate) fn languages(tree: &Tree) -> Found {
    let is_spoken = |name: &str| {
        let mut spoken = SPOKEN.iter();
        spoken.any(|it| name == *it || name.starts_with(&format!("{it}::")))
    };
    let modules = tree.modules.iter();
    let modules = modules.filter(|(name, module)| !module.is_test && is_spoken(name));
    let mut found = Found::new();
    for (name, module) in modules {
        let before = std::iter::once(None).chain(module.mentions.iter().map(Some));
        for (before, mention) in before.zip(&module.mentions) {
            if let Kind::Word(text) = &mention.kind
                && !mention.is_test
                && is_sentence(text)
                && !before.is_some_and(is_translated)
            {
                found.insert(format!("{name} says {text} in one language"));
            }
        }
    }
    found
}

/// True for a text with two words of plain English side by side; a command is none.
fn is_sentence(literal: &str) -> bool {
    let is_word = |word: &str| word.len() > 1 && word.chars().all(|sign| sign.is_ascii_lowercase());
    let text = literal.trim_matches('"');
    let words: Vec<_> = text.split(' ').map(is_word).collect();
    // What holds Chinese signs is the other half of a pair.
    let is_chinese = |sign: char| ('\u{3000}'..='\u{9fff}').contains(&sign);
    literal.starts_with('"')
        && !text.contains(is_chinese)
        && !text.starts_with("dockmaster ")
        && words.windows(2).any(|pair| pair[0] && pair[1])
}

/// True where what follows has another language beside it, or is for readers of the source.
fn is_translated(before: &Mention) -> bool {
    match &before.kind {
        Kind::Word(word) => matches!(word.as_str(), "both!" | "word!"),
        Kind::Path { segments, .. } => {
            matches!(segments.last().map(String::as_str), Some("doc" | "reason"))
        }
        Kind::Child { .. } => false,
    }
}

/// Standard output and error are written where a process speaks to its caller: the program itself, the
/// config stage, and the two processes that dockmaster starts of itself, each in one file.
pub(crate) fn printing(tree: &Tree) -> Found {
    const MACROS: &[&str] = &["print!", "println!", "eprint!", "eprintln!", "dbg!"];
    outside(
        tree,
        &[
            "app",
            "exit",
            "log",
            "stage::config",
            "broker::stream",
            "sandbox::stream",
        ],
        "prints",
        |kind| {
            ends(kind, "io", &["stdout", "stderr"])
                || matches!(kind, Kind::Word(word) if MACROS.contains(&word.as_str()))
        },
    )
}

/// Files outside `rooms` that do what they must not, tests in a file included.
fn outside(tree: &Tree, rooms: &[&str], what: &str, is_it: impl Fn(&Kind) -> bool) -> Found {
    let is_room = |name: &str| {
        rooms
            .iter()
            .any(|room| name == *room || name.starts_with(&format!("{room}::")))
    };
    tree.modules
        .iter()
        .filter(|(name, _)| !is_room(name))
        .filter(|(_, module)| {
            module
                .mentions
                .iter()
                .any(|mention: &Mention| is_it(&mention.kind))
        })
        .map(|(name, _)| format!("{name} {what}"))
        .collect()
}

/// Whether a path has `module::name` in it, for one of the names.
fn ends(kind: &Kind, module: &str, names: &[&str]) -> bool {
    let Kind::Path { segments, .. } = kind else {
        return false;
    };
    segments
        .windows(2)
        .any(|pair| pair[0] == module && names.contains(&pair[1].as_str()))
}
