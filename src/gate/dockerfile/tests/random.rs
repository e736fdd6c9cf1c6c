//! What is written is read back as what was judged, whatever came in.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use super::Case;
use crate::gate::dockerfile::{Road, remote};

const PIECES: &[&str] = &[
    "FROM",
    "ADD",
    "COPY",
    "RUN",
    "ENV",
    "ARG",
    "ONBUILD",
    "LABEL",
    "CMD",
    " ",
    " ",
    " ",
    "\n",
    "\n",
    "\\\n",
    "\\",
    "`",
    "#",
    "# escape=`\n",
    "\r\n",
    "\t",
    "a",
    "b",
    "alpine",
    "AS",
    "x=1",
    "--from=",
    "--mount=type=bind,from=",
    "--network=host",
    "http://x/",
    "$X",
    "${X:-http://y/}",
    "\"",
    "'",
    "[",
    "]",
    ",",
    "<<EOF",
    "<<-E",
    "EOF",
    "E",
    "0",
    "/",
    ".",
    "\u{a0}",
    "\u{85}",
    "FROM alpine\n",
    "RUN <<EOF\n",
];

fn text() -> impl Strategy<Value = String> {
    let body = vec(select(PIECES), 0..40).prop_map(|pieces| pieces.concat());
    (any::<bool>(), body).prop_map(|(begins, body)| {
        if begins {
            format!("FROM alpine\n{body}")
        } else {
            body
        }
    })
}

/// A second reader, written apart from the first: the instructions of a text that has one a line.
fn instructions(text: &str) -> Vec<&str> {
    let lines = text.lines().map(str::trim);
    lines
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3000))]

    #[test]
    fn what_is_written_says_nothing_new(text in text()) {
        for road in [Road::Classic, Road::BuildKit] {
            let case = Case::new(road);
            let Ok(written) = case.rewritten(text.as_bytes()) else { continue };
            let judged = case.read(text.as_bytes()).unwrap();
            let mut case = Case::new(road);
            case.args.clear();
            let again = case.read(written.replace("LABEL dockmaster.cache=42-protected", "").as_bytes());
            let again = again.map_err(|denied| TestCaseError::fail(format!("{written:?}: {}", denied.message)))?;
            prop_assert_eq!(judged.pieces.len(), again.pieces.len(), "{:?}", written);
            prop_assert!(again.images().iter().all(|image| image.name.starts_with("image.invalid/")), "{:?}", written);
        }
    }

    #[test]
    fn no_line_of_the_classic_text_fetches(text in text()) {
        let Ok(written) = Case::new(Road::Classic).rewritten(text.as_bytes()) else { return Ok(()) };
        for line in instructions(&written) {
            let mut words = line.split_ascii_whitespace();
            let keyword = words.next().unwrap_or_default().to_ascii_lowercase();
            let words: Vec<&str> = words.collect();
            match keyword.as_str() {
                "from" => {
                    let base = words.iter().find(|word| !word.starts_with("--")).unwrap();
                    let is_ours = base.starts_with("image.invalid/") || *base == "scratch";
                    let is_stage = written.to_ascii_lowercase().contains(&format!(" as {base}"));
                    prop_assert!(is_ours || is_stage, "{:?}", written);
                }
                "add" => {
                    let bare = |word: &&&str| remote::is_remote(&word.replace(['"', '\'', '\\', '[', ','], ""));
                    prop_assert!(!words.iter().rev().skip(1).any(|word| bare(&word)), "{:?}", written);
                    prop_assert!(!words.iter().rev().skip(1).any(|word| word.starts_with('$')), "{:?}", written);
                }
                _ => {}
            }
        }
    }
}
