//! Which module uses which.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    path::Kind,
    tree::{Module, Tree},
};

/// Pairs of modules: who imports, and what.
pub(crate) type Edges = BTreeSet<(String, String)>;

/// The imports among files that are not tests.
pub(crate) fn edges(tree: &Tree) -> Edges {
    let mut edges = Edges::new();
    for (name, module) in tree.modules.iter().filter(|(_, module)| !module.is_test) {
        for mention in module.mentions.iter().filter(|mention| !mention.is_test) {
            if let Kind::Path { segments, alias } = &mention.kind {
                // A word alone is a variable, a function or a field; it names a module in a `use` line only.
                if segments.len() == 1 && alias.is_none() {
                    continue;
                }
                let target = resolve(tree, name, module, &mention.inside, segments);
                edges.extend(
                    target
                        .filter(|target| target != name)
                        .map(|target| (name.clone(), target)),
                );
            }
        }
    }
    edges
}

/// The file that a path of `name` leads to, if it is one of this crate.
fn resolve(
    tree: &Tree,
    name: &str,
    module: &Module,
    inside: &[String],
    segments: &[String],
) -> Option<String> {
    let own: Vec<String> = if matches!(name, "lib" | "main") {
        Vec::new()
    } else {
        name.split("::").map(str::to_owned).collect()
    };
    let mut base = [own, inside.to_vec()].concat();
    let mut rest = segments;
    match segments.first()?.as_str() {
        "crate" | "dockmaster" if segments.len() > 1 => base.clear(),
        "self" | "super" if segments.len() > 1 => {}
        child if inside.is_empty() && module.children.contains(child) => {
            return follow(tree, &[base, segments.to_vec()].concat());
        }
        _ => return None,
    }
    while let Some(first) = rest.first() {
        match first.as_str() {
            "super" => drop(base.pop()),
            "crate" | "dockmaster" | "self" => {}
            _ => break,
        }
        rest = &rest[1..];
    }
    follow(tree, &[base, rest.to_vec()].concat())
}

/// The deepest module of an absolute path; a name that this module itself imports leads on to where it is from.
fn follow(tree: &Tree, path: &[String]) -> Option<String> {
    let mut path = path.to_vec();
    for _ in 0..8 {
        let depth = (0..=path.len())
            .rev()
            .find(|depth| tree.modules.contains_key(&key(&path[..*depth])))?;
        let module = &tree.modules[&key(&path[..depth])];
        let Some(origin) = path.get(depth).and_then(|name| module.imports.get(name)) else {
            return Some(key(&path[..depth]));
        };
        let rest = path[depth + 1..].to_vec();
        path = match origin.first()?.as_str() {
            "crate" => [origin[1..].to_vec(), rest].concat(),
            "self" => [path[..depth].to_vec(), origin[1..].to_vec(), rest].concat(),
            "super" => {
                let ups = origin.iter().take_while(|word| *word == "super").count();
                [
                    path[..depth.checked_sub(ups)?].to_vec(),
                    origin[ups..].to_vec(),
                    rest,
                ]
                .concat()
            }
            child if module.children.contains(child) => {
                [path[..depth].to_vec(), origin.clone(), rest].concat()
            }
            _ => return Some(key(&path[..depth])),
        };
    }
    None
}

fn key(path: &[String]) -> String {
    if path.is_empty() {
        "lib".to_owned()
    } else {
        path.join("::")
    }
}

/// The edges that stand in a cycle.
pub(crate) fn cyclic(edges: &Edges) -> Edges {
    let mut next: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (from, to) in edges {
        next.entry(from).or_default().push(to);
    }
    let reaches = |from: &str, goal: &str| {
        let mut seen = BTreeSet::new();
        let mut open = vec![from];
        while let Some(node) = open.pop() {
            if node == goal {
                return true;
            }
            if seen.insert(node) {
                open.extend(next.get(node).into_iter().flatten());
            }
        }
        false
    };
    edges
        .iter()
        .filter(|(from, to)| reaches(to, from))
        .cloned()
        .collect()
}

/// The edges between the children of each module, each child with all that is below it.
pub(crate) fn folders(edges: &Edges) -> BTreeMap<String, Edges> {
    let mut folders: BTreeMap<String, Edges> = BTreeMap::new();
    for (from, to) in edges {
        let from: Vec<&str> = from.split("::").collect();
        let to: Vec<&str> = to.split("::").collect();
        let shared = from
            .iter()
            .zip(&to)
            .take_while(|(one, other)| one == other)
            .count();
        if let (Some(_), Some(_)) = (from.get(shared), to.get(shared)) {
            let pair = (from[..=shared].join("::"), to[..=shared].join("::"));
            folders
                .entry(from[..shared].join("::"))
                .or_default()
                .insert(pair);
        }
    }
    folders
}
