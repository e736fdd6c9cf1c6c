//! Each rule refuses a source tree that breaks it, and accepts one that does not.

use std::{collections::BTreeSet, fs};

use crate::{graph, rule, table::Levels, tree::Tree};

const TABLE: &str = "| level | modules | what |\n|---|---|---|\n| 0 leaves | `low` `sys` | x |\n\
    | 2 plans | `mid` `mid::{deep,other}` | x |\n| 3 | `call` `app` `high` `lib` | x |\n";

fn tree(files: &[(&str, &str)]) -> Tree {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in files {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    Tree::load(folder.path())
}

#[track_caller]
fn check(found: &BTreeSet<String>, expect: &[&str]) {
    let expect: BTreeSet<String> = expect.iter().map(|line| (*line).to_owned()).collect();
    assert_eq!(found, &expect);
}

/// What `upward` finds in `mid`, beside a `high` above it and a `low` below it.
#[track_caller]
fn check_mid(text: &str, expect: &[&str]) {
    let tree = tree(&[
        ("lib.rs", "mod high; mod low; mod mid;"),
        (
            "high.rs",
            "pub struct High; pub mod inner { pub struct Inner; }",
        ),
        ("low.rs", "pub struct Low;"),
        (
            "mid/mod.rs",
            "pub use deep::Deep; pub use crate::high::High; mod deep;",
        ),
        ("mid/deep.rs", text),
    ]);
    let edges = graph::edges(&tree)
        .into_iter()
        .filter(|(from, _)| from == "mid::deep")
        .collect();
    check(&rule::upward(&edges, &Levels::read(TABLE)), expect);
}

const UPWARD: &[&str] = &["mid::deep (2) imports high (3), a level above"];

#[test]
fn an_upward_import_is_refused_however_it_is_written() {
    check_mid("use crate::high::High;", UPWARD);
    check_mid("use super::super::high::High;", UPWARD);
    check_mid("use crate::{low::Low, high::{self, inner::Inner}};", UPWARD);
    check_mid("use super::super::{high::High as Low};", UPWARD);
    check_mid("use super::High;", UPWARD);
    check_mid("fn f() { let it = crate::high::inner::Inner; }", UPWARD);
    check_mid(
        "fn f() { tokio::select! { it = crate::high::call() => {} } }",
        UPWARD,
    );
    check_mid(
        "mod inline { use super::super::super::high::High; }",
        UPWARD,
    );
    check_mid(
        "#[cfg(test)]\nuse crate::low::Low;\nuse crate::high::High;",
        UPWARD,
    );
    check_mid(
        "#[cfg(test)]\nmod tests { use super::*; }\nuse crate::high::High;",
        UPWARD,
    );
}

#[test]
fn imports_of_the_same_level_or_lower_are_accepted() {
    check_mid(
        "use crate::low::Low; use super::Deep; use self::inner::It; mod inner { pub struct It; }",
        &[],
    );
    check_mid(
        "// crate::high::High\nconst TEXT: &str = \"crate::high::High\";",
        &[],
    );
    check_mid("pub(in crate::high) struct It;", &[]);
    check_mid("use high::High;", &[]);
}

#[test]
fn tests_in_a_file_may_import_what_they_like() {
    check_mid("#[cfg(test)]\nmod tests { use crate::high::High; }", &[]);
    check_mid("#[cfg(test)]\nuse crate::high::High;", &[]);
}

#[test]
fn a_module_that_the_table_does_not_name_is_refused() {
    let tree = tree(&[
        ("lib.rs", "mod low; mod stray;"),
        ("low.rs", ""),
        ("stray.rs", ""),
        ("orphan.rs", ""),
    ]);
    let levels = Levels::read("| 0 | `low` `gone` | x |\n| 3 | `lib` | x |\n");
    check(
        &rule::placed(&tree, &levels),
        &[
            "gone of ARCHITECTURE.md's levels is no module",
            "no `mod` line names orphan.rs",
            "stray has no level in ARCHITECTURE.md",
        ],
    );
}

#[test]
fn a_cycle_between_files_is_refused() {
    let tree = tree(&[
        ("lib.rs", "mod low; mod mid; mod high;"),
        ("low.rs", "use crate::high;"),
        (
            "mid/mod.rs",
            "mod deep; mod other; use deep::It; pub struct Outer;",
        ),
        ("mid/deep.rs", "use super::Outer;"),
        ("mid/other.rs", "use super::Outer;"),
        ("high.rs", ""),
    ]);
    check(
        &rule::cycles(&graph::edges(&tree)),
        &[
            "mid imports mid::deep, which leads back to it",
            "mid::deep imports mid, which leads back to it",
        ],
    );
}

#[test]
fn a_name_that_a_parent_passes_on_is_no_cycle() {
    let tree = tree(&[
        ("lib.rs", "mod mid;"),
        (
            "mid/mod.rs",
            "mod deep; mod other; pub use deep::Deep; pub use other::Other;",
        ),
        ("mid/deep.rs", "use super::Other;"),
        ("mid/other.rs", ""),
    ]);
    check(&rule::cycles(&graph::edges(&tree)), &[]);
}

#[test]
fn a_word_that_is_a_child_s_name_too_is_no_import() {
    let mid = |text: &str| {
        let text = format!("mod deep; pub struct Outer; {text}");
        let files = [
            ("lib.rs", "mod mid;"),
            ("mid/mod.rs", &text),
            ("mid/deep.rs", "use super::Outer;"),
        ];
        rule::cycles(&graph::edges(&tree(&files))).len()
    };
    assert_eq!(mid("fn deep() {}"), 0);
    assert_eq!(mid("fn f(deep: Outer) { deep.deep(); }"), 0);
    assert_eq!(mid("fn f() { deep::g(); }"), 2);
    assert_eq!(mid("use deep as other;"), 2);
    assert_eq!(mid("use deep::{self as other};"), 2);
}

#[test]
fn a_cycle_between_folders_is_refused_though_no_files_make_one() {
    let files = |last: &'static str| {
        [
            ("lib.rs", "mod low; mod mid;"),
            ("low/mod.rs", "mod one; mod two;"),
            ("low/one.rs", "use crate::mid::deep;"),
            ("low/two.rs", ""),
            ("mid/mod.rs", "mod deep; mod other;"),
            ("mid/deep.rs", ""),
            ("mid/other.rs", last),
        ]
    };
    let bad = tree(&files("use crate::low::two;"));
    let edges = graph::edges(&bad);
    check(&rule::cycles(&edges), &[]);
    check(
        &rule::folder_cycles(&edges, &bad),
        &[
            "folder low imports mid, which leads back to it",
            "folder mid imports low, which leads back to it",
        ],
    );
    let good = tree(&files(""));
    check(&rule::folder_cycles(&graph::edges(&good), &good), &[]);
}

#[test]
fn all_rules_are_asked() {
    let bad = tree(&[
        ("lib.rs", "mod high; mod low;"),
        (
            "low/mod.rs",
            "mod one; use crate::high::High;
            fn f() { unsafe { println!(\"a\"); std::env::var(\"CUSTOM_ENV_A\"); } }",
        ),
        ("low/one.rs", ""),
        ("high/mod.rs", "mod other; use crate::low; pub struct High;"),
        ("high/other.rs", ""),
        ("orphan.rs", ""),
    ]);
    let levels = Levels::read("| 0 | `low` | x |\n| 3 | `lib` `high` | x |\n");
    check(
        &rule::all(&bad, &levels),
        &[
            "folder high imports low, which leads back to it",
            "folder low imports high, which leads back to it",
            "high imports low, which leads back to it",
            "low (0) imports high (3), a level above",
            "low has unsafe code",
            "low imports high, which leads back to it",
            "low names a variable of the job",
            "low prints",
            "low uses the environment",
            "no `mod` line names orphan.rs",
        ],
    );
}

/// One rule over one file, where it is refused and where it is accepted.
#[track_caller]
fn check_rooms(judge: fn(&Tree) -> BTreeSet<String>, room: &str, what: &str, texts: &[&str]) {
    for text in texts {
        let lib = format!("mod {room}; mod low;");
        let room = format!("{room}.rs");
        let refused = tree(&[("lib.rs", &lib), (&room, ""), ("low.rs", text)]);
        check(&judge(&refused), &[&format!("low {what}")]);
        let accepted = tree(&[
            ("lib.rs", &lib),
            (&room, text),
            (
                "low.rs",
                "/// unsafe println!() env::var \"CUSTOM_ENV_A\"\nstruct It;",
            ),
        ]);
        check(&judge(&accepted), &[]);
    }
}

#[test]
fn unsafe_code_outside_sys_is_refused() {
    let texts = [
        "fn f() { unsafe { g() } }",
        "#[cfg(test)]\nuse a::B;\nunsafe fn f() {}",
        "#[cfg(test)]\nmod tests { fn f() { unsafe { g() } } }",
    ];
    check_rooms(rule::unsafe_code, "sys", "has unsafe code", &texts);
}

#[test]
fn the_environment_outside_app_is_refused() {
    let texts = [
        "fn f() { std::env::var(\"A\"); }",
        "use std::env; fn f() { for (k, v) in env::vars_os() {} }",
        "use std::{env::{temp_dir, var_os}, fs};",
        "#[cfg(test)]\nmod tests { fn f() { std::env::set_var(\"A\", \"b\"); } }",
    ];
    check_rooms(rule::environment, "app", "uses the environment", &texts);
}

#[test]
fn the_job_s_variables_outside_call_are_refused() {
    let texts = [
        "const NAME: &str = \"CUSTOM_ENV_CI_JOB_ID\";",
        "const NAME: &[u8] = b\"CUSTOM_ENV_\";",
    ];
    check_rooms(
        rule::job_variables,
        "call",
        "names a variable of the job",
        &texts,
    );
}

#[test]
fn printing_outside_its_rooms_is_refused() {
    let texts = [
        "fn f() { println!(\"a\"); }",
        "fn f() { eprintln!(\"a\"); }",
        "use std::io; fn f() { io::stdout().write_all(b\"a\"); }",
        "use std::io::{self, stderr};",
        "fn f() { tokio::io::stdout(); }",
    ];
    check_rooms(rule::printing, "exit", "prints", &texts);
}

#[test]
fn what_a_rollout_says_in_one_language_is_refused() {
    let tree = tree(&[
        ("lib.rs", "mod rollout; mod other;"),
        ("other.rs", "fn f() { say(\"it is well\"); }"),
        (
            "rollout.rs",
            "//! A head of words.\n/// Some more words.\nfn f() { say(\"it is well\"); \
             both!(\"it is good {x}\", \"好\"); say(&format!(\"{x} is bad\")); \
             say(\"dockmaster rollout recover\"); word!(\"so it is\", \"是\"); }\n\
             #[cfg(test)] mod tests { fn f() { say(\"of a test\"); } }",
        ),
    ]);
    check(
        &rule::languages(&tree),
        &[
            "rollout says \"it is well\" in one language",
            "rollout says \"{x} is bad\" in one language",
        ],
    );
}
