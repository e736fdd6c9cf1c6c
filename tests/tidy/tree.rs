//! The modules of a crate, found as the compiler finds them: by their `mod` lines.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use crate::path::{Kind, Mention, read};

/// One source file.
pub(crate) struct Module {
    pub(crate) is_test: bool,
    pub(crate) mentions: Vec<Mention>,
    pub(crate) children: BTreeSet<String>,
    /// What a `use` line brings into this module, by name.
    pub(crate) imports: BTreeMap<String, Vec<String>>,
}

/// By path, as `docker::spec`; the roots are `lib` and `main`.
#[derive(Default)]
pub(crate) struct Tree {
    pub(crate) modules: BTreeMap<String, Module>,
    /// Files that no `mod` line names.
    pub(crate) lost: Vec<String>,
}

impl Tree {
    pub(crate) fn load(source: &Path) -> Self {
        let mut tree = Self::default();
        let mut known = BTreeSet::new();
        for root in ["lib", "main"] {
            let file = source.join(root).with_extension("rs");
            if file.exists() {
                tree.add(root, &file, source, false, &mut known);
            }
        }
        tree.lost = files(source)
            .into_iter()
            .filter(|file| !known.contains(file))
            .map(|file| file.strip_prefix(source).unwrap().display().to_string())
            .collect();
        tree
    }

    fn add(
        &mut self,
        name: &str,
        file: &Path,
        folder: &Path,
        is_test: bool,
        known: &mut BTreeSet<PathBuf>,
    ) {
        known.insert(file.to_owned());
        let text = fs::read_to_string(file).unwrap();
        let mentions = read(&text, &file.display().to_string());
        let prefix = if matches!(name, "lib" | "main") {
            String::new()
        } else {
            format!("{name}::")
        };
        let mut module = Module {
            is_test,
            mentions: Vec::new(),
            children: BTreeSet::new(),
            imports: BTreeMap::new(),
        };
        for mention in &mentions {
            match &mention.kind {
                Kind::Child { name: child, at } => {
                    module.children.insert(child.clone());
                    let paths = match at {
                        Some(at) => vec![file.with_file_name(at)],
                        None => vec![
                            folder.join(child).with_extension("rs"),
                            folder.join(child).join("mod.rs"),
                        ],
                    };
                    let path = paths.into_iter().find(|path| path.exists());
                    let path = path.unwrap_or_else(|| panic!("{prefix}{child} has no file"));
                    self.add(
                        &format!("{prefix}{child}"),
                        &path,
                        &folder.join(child),
                        is_test || mention.is_test,
                        known,
                    );
                }
                Kind::Path {
                    segments,
                    alias: Some(alias),
                } if mention.inside.is_empty() => {
                    module.imports.insert(alias.clone(), segments.clone());
                }
                Kind::Path { .. } | Kind::Word(_) => {}
            }
        }
        module.mentions = mentions;
        self.modules.insert(name.to_owned(), module);
    }
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(self::files(&path));
        } else if path.extension().is_some_and(|end| end == "rs") {
            files.push(path);
        }
    }
    files
}
