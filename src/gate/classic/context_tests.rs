//! Archives as clients send them, and what the engine finds in them.

use std::collections::BTreeMap;
use std::io::Read;

use bytes::Bytes;
use tar::{Builder, EntryType, Header};

use super::*;

fn archive(files: &[(&str, &str)]) -> Vec<u8> {
    let mut builder = Builder::new(Vec::new());
    for (path, content) in files {
        let mut header = Header::new_gnu();
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        builder
            .append_data(&mut header, path, content.as_bytes())
            .unwrap();
    }
    builder.into_inner().unwrap()
}

fn link(path: &str, target: &str) -> Vec<u8> {
    let mut builder = Builder::new(Vec::new());
    let mut header = Header::new_gnu();
    header.set_entry_type(EntryType::Symlink);
    header.set_size(0);
    builder.append_link(&mut header, path, target).unwrap();
    builder.into_inner().unwrap()
}

/// What the engine finds, the last of each name, with the archive fed in pieces of this length.
fn passed(
    bytes: &[u8],
    dockerfile: &str,
    length: usize,
) -> Result<BTreeMap<String, String>, String> {
    let mut context = Context::new(dockerfile);
    let mut out = Vec::new();
    for part in bytes.chunks(length) {
        for bytes in context.take(Bytes::copy_from_slice(part))? {
            out.extend_from_slice(&bytes);
        }
    }
    let found = context.found()?;
    let text = [b"was ", found.content.as_slice()].concat();
    out.extend_from_slice(&context.end(&found, ".dockmaster-1", &text)?);
    let mut files = BTreeMap::new();
    for entry in tar::Archive::new(out.as_slice()).entries().unwrap() {
        let mut entry = entry.unwrap();
        let path = clean(&entry.path().unwrap().to_string_lossy());
        let mut text = String::new();
        entry.read_to_string(&mut text).unwrap();
        files.insert(path, text);
    }
    Ok(files)
}

#[track_caller]
fn check(files: &[(&str, &str)], dockerfile: &str, expected: &[(&str, &str)]) {
    for length in [1, 511, 512, 100_000] {
        let found = passed(&archive(files), dockerfile, length).unwrap();
        let expected = expected
            .iter()
            .map(|(path, text)| ((*path).to_owned(), (*text).to_owned()));
        assert_eq!(found, expected.collect(), "{length}");
    }
}

#[test]
fn the_engine_gets_our_dockerfile_and_everything_else_as_it_was() {
    let long = format!("{}/file", "d".repeat(180));
    check(
        &[
            ("a", "1"),
            ("./Dockerfile", "FROM x"),
            ("empty", ""),
            (&long, "2"),
        ],
        "",
        &[
            (".dockerignore", ".dockerignore\n.dockmaster-*\n"),
            (".dockmaster-1", "was FROM x"),
            ("Dockerfile", "FROM x"),
            ("a", "1"),
            (&long, "2"),
            ("empty", ""),
        ],
    );
}

#[test]
fn a_dockerfile_that_is_left_out_stays_out() {
    check(
        &[
            (".dockerignore", "*file\n"),
            ("docker/Dockerfile", "FROM y"),
            ("Dockerfile", "FROM z"),
        ],
        "./docker/../docker/Dockerfile",
        &[
            (".dockerignore", "*file\n\n.dockmaster-*\n"),
            (".dockmaster-1", "was FROM y"),
            ("Dockerfile", "FROM z"),
            ("docker/Dockerfile", "FROM y"),
        ],
    );
    check(
        &[("Dockerfile", "FROM z"), (".dockerignore", "Dockerfile")],
        "Dockerfile",
        &[
            (".dockerignore", "Dockerfile\n.dockmaster-*\n"),
            (".dockmaster-1", "was FROM z"),
        ],
    );
}

#[test]
fn the_last_of_two_counts_and_a_small_name_if_there_is_no_other() {
    check(
        &[
            ("Dockerfile", "FROM a"),
            ("x", ""),
            ("Dockerfile", "FROM b"),
        ],
        "",
        &[
            (".dockerignore", ".dockerignore\n.dockmaster-*\n"),
            (".dockmaster-1", "was FROM b"),
            ("Dockerfile", "FROM b"),
            ("x", ""),
        ],
    );
    check(
        &[("dockerfile", "FROM a")],
        "Dockerfile",
        &[
            (".dockerignore", ".dockerignore\n.dockmaster-*\n"),
            (".dockmaster-1", "was FROM a"),
            ("dockerfile", "FROM a"),
        ],
    );
}

#[test]
fn an_archive_may_end_where_its_last_file_does() {
    let files = |last| [("Dockerfile", "FROM a"), ("x", "1"), last];
    for (files, end) in [
        (files(("y", "22")), 3 * 1024 - 510),
        (files(("y", "22")), 3 * 1024 - 100),
        (files((".dockerignore", "a\n")), 3 * 1024 - 510),
    ] {
        let whole = passed(&archive(&files), "", 100).unwrap();
        let cut = passed(&archive(&files)[..end], "", 100).unwrap();
        assert_eq!(cut, whole);
    }
}

#[test]
fn what_is_no_context_is_refused_in_words() {
    let refused = |bytes: &[u8], words: &str| {
        let why = passed(bytes, "", 100).unwrap_err();
        assert!(why.contains(words), "{why}");
    };
    refused(
        &archive(&[("a", "")]),
        "Cannot locate specified Dockerfile: Dockerfile",
    );
    refused(&[b'F'; 600], "not a tar archive");
    refused(&archive(&[("Dockerfile", "FROM a")])[..517], "cut off");
    refused(
        &archive(&[("Dockerfile", "FROM a"), ("a", "1")])[..1536],
        "cut off",
    );
    refused(&link("Dockerfile", "x"), "is a link");
    let large = "x".repeat(1024 * 1024 + 1);
    refused(&archive(&[("Dockerfile", &large)]), "larger than 1 MiB");
}
