//! The helper program's own parts; the server side is tested with the GitLab stand-in.

use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use super::archive::{pack, unpack};
use super::files::Selection;
use super::options::Options;

fn options(words: &[&str]) -> Options {
    Options::parse(
        &words
            .iter()
            .map(|&word| word.to_owned())
            .collect::<Vec<_>>(),
    )
    .unwrap()
}

#[test]
fn options_are_read_in_every_form() {
    let options = options(&["--path", "a", "--path=b", "--untracked", "--name", "x y"]);
    assert_eq!(options.all("path").collect::<Vec<_>>(), ["a", "b"]);
    assert!(options.is_on("untracked"));
    assert_eq!(options.one("name"), Some("x y"));
    assert!(Options::parse(&["--path".to_owned()]).is_err());
    assert!(Options::parse(&["path".to_owned()]).is_err());
}

fn checkout() -> tempfile::TempDir {
    let base = tempfile::tempdir().unwrap();
    for folder in ["out/empty", "out/deep/er", ".git"] {
        std::fs::create_dir_all(base.path().join(folder)).unwrap();
    }
    for file in [
        "out/tool",
        "out/deep/a.log",
        "out/deep/er/b.log",
        "top.txt",
        ".git/config",
    ] {
        std::fs::write(base.path().join(file), file).unwrap();
    }
    let mode = std::fs::Permissions::from_mode(0o755);
    std::fs::set_permissions(base.path().join("out/tool"), mode).unwrap();
    std::os::unix::fs::symlink("tool", base.path().join("out/link")).unwrap();
    base
}

#[track_caller]
fn check(words: &[&str], expected: &[&str]) {
    let base = checkout();
    let selection = Selection::gather(&options(words), base.path()).unwrap();
    let expected: BTreeSet<_> = expected
        .iter()
        .map(|path| Path::new(path).to_owned())
        .collect();
    assert_eq!(selection.paths, expected);
}

#[test]
fn patterns_choose_what_is_archived() {
    check(&["--path", "top.txt"], &["top.txt"]);
    check(&["--path", "*.txt", "--path", "nothing"], &["top.txt"]);
    check(
        &["--path", "out/**/*.log"],
        &["out/deep/a.log", "out/deep/er/b.log"],
    );
    check(
        &["--path", "out/deep/"],
        &[
            "out/deep",
            "out/deep/a.log",
            "out/deep/er",
            "out/deep/er/b.log",
        ],
    );
    check(
        &["--path", "out/deep", "--exclude", "out/deep/er"],
        &["out/deep", "out/deep/a.log"],
    );
    check(
        &["--path", "out/deep", "--exclude", "**/*.log"],
        &["out/deep", "out/deep/er"],
    );
    check(&["--path", "../elsewhere", "--path", "/etc/passwd"], &[]);
}

#[test]
fn an_archive_brings_back_files_permissions_links_and_empty_folders() {
    let base = checkout();
    let selection = Selection::gather(&options(&["--path", "out"]), base.path()).unwrap();
    let to = tempfile::tempdir().unwrap();
    unpack(&pack(&selection, base.path()).unwrap(), to.path()).unwrap();
    let at = |name: &str| to.path().join(name);
    assert_eq!(
        std::fs::read_to_string(at("out/deep/er/b.log")).unwrap(),
        "out/deep/er/b.log"
    );
    assert_eq!(
        std::fs::metadata(at("out/tool"))
            .unwrap()
            .permissions()
            .mode()
            & 0o777,
        0o755
    );
    assert_eq!(
        std::fs::read_link(at("out/link")).unwrap(),
        Path::new("tool")
    );
    assert!(at("out/empty").is_dir());
}

#[test]
fn a_missing_cache_is_a_warning_and_ends_as_a_failure() {
    let options = options(&["--file", "/nowhere/cache.zip"]);
    let error = super::restore(&options).unwrap_err();
    assert_eq!(
        super::last_line(&error),
        "\x1b[0;33mWARNING: Cache file does not exist                \x1b[0;m"
    );
}
