//! Where Chinese is spoken, nothing that a rollout says is left in English.

use std::collections::BTreeSet;

use super::{
    kit::{Break, Manner},
    scenes::{log, three},
};
use crate::lang::{Language, speak};

/// What is the same in both languages: commands, and what others said.
const SHARED: [&str; 4] = [
    "dockmaster rollout recover production",
    "log: cannot open the database",
    "docker rm NAME",
    "pulling",
];

/// Chinese until it is dropped.
struct Chinese;

impl Chinese {
    fn spoken() -> Self {
        speak(Language::Chinese);
        Self
    }
}

impl Drop for Chinese {
    fn drop(&mut self) {
        speak(Language::English);
    }
}

/// True where two English words stand beside each other.
fn is_english(line: &str) -> bool {
    let line = SHARED
        .iter()
        .fold(line.to_owned(), |line, it| line.replace(it, "#"));
    let is_word = |word: &str| word.len() > 1 && word.chars().all(|c| c.is_ascii_lowercase());
    let words: Vec<_> = line.split(' ').map(is_word).collect();
    words.windows(2).any(|pair| pair[0] && pair[1])
}

#[test]
fn whatever_happens_it_is_told_in_chinese() {
    let _chinese = Chinese::spoken();
    let faults = [
        Break::Busy,
        Break::Refuse,
        Break::LoseAnswer,
        Break::Stranger,
        Break::TakeOut("app-2"),
        Break::PutIn("app-1"),
        Break::Stray("app-2"),
        Break::Sever,
        Break::Revoke,
        Break::Close,
        Break::Hang(20),
        Break::Fill,
        Break::CrashAfter,
        Break::Stop,
        Break::StopNow,
        Break::Flap,
        Break::Die,
    ];
    let mut english = BTreeSet::new();
    for manner in [
        Manner::HealthyAfter(2),
        Manner::UnhealthyAfter(4),
        Manner::Uncheckable,
    ] {
        for fault in faults {
            for at in (1..120).step_by(9) {
                let sim = three();
                sim.behave("v2", manner);
                sim.faults.borrow_mut().push((at, fault));
                let refusal = sim.roll_out("v2").and_then(Result::err);
                let mut told: Vec<_> = refusal
                    .iter()
                    .map(|error| crate::failure::chain(error))
                    .collect();
                sim.revive();
                let refusal = sim.recover().and_then(Result::err);
                told.extend(refusal.iter().map(|error| crate::failure::chain(error)));
                told.extend(log(&sim).lines().map(str::to_owned));
                english.extend(told.into_iter().filter(|line| is_english(line)));
            }
        }
    }
    assert!(english.is_empty(), "{english:#?}");
}

#[test]
fn a_good_release_reads_as_a_story_in_chinese() {
    let _chinese = Chinese::spoken();
    let sim = three();
    sim.roll_out("v2").unwrap().unwrap();
    insta::assert_snapshot!(log(&sim));
}

#[test]
fn a_bad_release_reads_as_a_story_in_chinese() {
    let _chinese = Chinese::spoken();
    let sim = three();
    sim.behave("v2", Manner::UnhealthyAfter(5));
    sim.roll_out("v2").unwrap().unwrap();
    insta::assert_snapshot!(log(&sim));
}
