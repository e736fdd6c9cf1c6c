use std::fs;

use super::*;

fn record(pipeline: i64, digest: &str, is_protected: bool) -> Record {
    Record {
        project: 42,
        commit: "a".into(),
        reference: "v1".into(),
        is_protected,
        pipeline,
        job: 1,
        image: "h/app".into(),
        tag: "v1".into(),
        digest: digest.into(),
        manifest: None,
        scan: None,
        at: jiff::Timestamp::UNIX_EPOCH,
    }
}

const WANTED: Wanted<'static> = Wanted {
    project: 42,
    commit: "a",
    image: "h/app",
    pipeline: 77,
    reference: "v1",
};

#[track_caller]
fn check(records: &[Record], expected: Option<&str>) {
    let folder = tempfile::tempdir().unwrap();
    let ledger = Ledger::new(folder.path());
    for record in records {
        ledger.append(record).unwrap();
    }
    let mut found = ledger.pushed(WANTED).unwrap();
    assert_eq!(found.pop().map(|record| record.digest).as_deref(), expected);
}

#[test]
fn the_pushes_of_the_own_pipeline_count_or_else_those_of_the_newest() {
    check(&[], None);
    check(&[record(76, "a", true)], Some("a"));
    check(&[record(77, "a", true), record(77, "b", true)], Some("b"));
    check(&[record(77, "a", true), record(78, "b", true)], Some("a"));
    check(&[record(75, "a", true), record(76, "b", true)], Some("b"));
}

#[test]
fn without_a_push_of_the_own_pipeline_those_of_the_own_ref_come_first() {
    let on_branch = Record {
        reference: "main".into(),
        ..record(79, "c", true)
    };
    check(&[record(76, "a", true), on_branch.clone()], Some("a"));
    check(&[record(77, "b", true), on_branch.clone()], Some("b"));
    check(&[on_branch], Some("c"));
}

#[test]
fn what_an_unprotected_ref_pushed_is_not_deployed() {
    check(&[record(77, "a", false)], None);
    check(&[record(77, "a", true), record(77, "b", false)], Some("a"));
}

#[test]
fn another_commit_s_image_is_not_deployed() {
    let mut other = record(77, "a", true);
    other.commit = "b".into();
    let mut image = record(77, "a", true);
    image.image = "h/other".into();
    let mut project = record(77, "a", true);
    project.project = 43;
    check(&[other, image, project], None);
}

#[test]
fn a_line_reads_as_documented() {
    let folder = tempfile::tempdir().unwrap();
    Ledger::new(folder.path())
        .append(&record(77, "sha256:1", true))
        .unwrap();
    let text = std::fs::read_to_string(folder.path().join("ledger/42.jsonl")).unwrap();
    assert_eq!(
        text,
        "{\"format\":2,\"number\":1,\"before\":\"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855\",\"project\":42,\"commit\":\"a\",\"ref\":\"v1\",\"protected\":true,\
         \"pipeline\":77,\"job\":1,\"image\":\"h/app\",\"tag\":\"v1\",\
         \"digest\":\"sha256:1\",\"at\":\"1970-01-01T00:00:00Z\"}\n"
    );
}

#[test]
fn a_ledger_of_the_first_release_is_read() {
    let state = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/store/format-1");
    let commits = ["a", "b"].map(|letter| letter.repeat(40));
    let found = commits.map(|commit| {
        let wanted = Wanted {
            commit: &commit,
            image: "harbor.example.com/test/app",
            ..WANTED
        };
        let mut found = Ledger::new(&state).pushed(wanted).unwrap();
        found.pop().map(|record| record.digest)
    });
    assert_eq!(found, [Some("sha256:v1".into()), None]);
}

/// A ledger of five lines, the first of format 1, as bytes of each line.
fn five(folder: &Path) -> Vec<String> {
    let state = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/store/format-1");
    let old = fs::read_to_string(state.join("ledger/42.jsonl")).unwrap();
    let old = old.lines().next().unwrap();
    fs::create_dir(folder.join("ledger")).unwrap();
    fs::write(file(folder), format!("{old}\n")).unwrap();
    for digest in ["2", "3", "4", "5"] {
        Ledger::new(folder)
            .append(&record(77, digest, true))
            .unwrap();
    }
    let text = fs::read_to_string(file(folder)).unwrap();
    text.lines().map(str::to_owned).collect()
}

fn file(folder: &Path) -> PathBuf {
    folder.join("ledger/42.jsonl")
}

/// What is said of five lines after a change.
#[track_caller]
fn check_flaws(change: impl FnOnce(&mut Vec<String>), expected: &[&str]) {
    let folder = tempfile::tempdir().unwrap();
    let mut lines = five(folder.path());
    change(&mut lines);
    let text = lines.join("\n") + "\n";
    fs::write(file(folder.path()), text).unwrap();
    let ledger = Ledger::new(folder.path());
    let verified = ledger.verify(None).unwrap().remove(0);
    let flaws: Vec<String> = verified.flaws.iter().map(ToString::to_string).collect();
    assert_eq!(flaws, expected);
    // And no deploy takes a digest from such a file.
    assert_eq!(ledger.pushed(WANTED).is_err(), !expected.is_empty());
}

#[test]
fn an_edited_missing_or_moved_line_is_named() {
    let edit = |line: &mut String| {
        *line = line
            .replace("sha256:1", "sha256:6")
            .replace("\"v1\"", "\"v6\"");
    };
    check_flaws(|_| {}, &[]);
    check_flaws(
        |lines| edit(&mut lines[0]),
        &["line 1 was changed after it was written"],
    );
    check_flaws(
        |lines| edit(&mut lines[2]),
        &["line 3 was changed after it was written"],
    );
    check_flaws(
        |lines| edit(&mut lines[4]),
        &["line 5 was changed after it was written"],
    );
    check_flaws(
        |lines| drop(lines.remove(2)),
        &["line number 3 is missing before line 3"],
    );
    check_flaws(
        |lines| drop(lines.drain(1..3)),
        &["the lines number 2 to 3 are missing before line 2"],
    );
    check_flaws(
        |lines| lines.swap(2, 3),
        &[
            "line number 3 is missing before line 3",
            "line 4 stands out of order: it was number 3",
            "line number 4 is missing before line 5",
        ],
    );
    check_flaws(
        |lines| drop(lines.remove(4)),
        &["line number 5 is missing at the end"],
    );
    check_flaws(
        |lines| drop(lines.drain(1..)),
        &["the lines number 1 to 5 are missing at the end"],
    );
    check_flaws(
        |lines| lines.insert(3, lines[2].clone()),
        &["line 4 stands out of order: it was number 3"],
    );
}

#[test]
fn a_ledger_without_its_end_does_not_pass_for_whole() {
    let folder = tempfile::tempdir().unwrap();
    five(folder.path());
    fs::remove_file(file(folder.path()).with_extension("end")).unwrap();
    let verified = Ledger::new(folder.path())
        .verify(Some(42))
        .unwrap()
        .remove(0);
    let flaw = verified.flaws[0].to_string();
    assert!(
        flaw.ends_with("42.end is missing, which says where it ends"),
        "{flaw}"
    );
}

#[test]
fn a_line_that_a_crash_kept_from_its_end_is_no_flaw() {
    let folder = tempfile::tempdir().unwrap();
    five(folder.path());
    let end = file(folder.path()).with_extension("end");
    let before = fs::read(&end).unwrap();
    let ledger = Ledger::new(folder.path());
    ledger.append(&record(77, "6", true)).unwrap();
    fs::write(&end, before).unwrap();
    assert_eq!(ledger.verify(None).unwrap()[0].flaws, []);
    ledger.append(&record(77, "7", true)).unwrap();
    let verified = ledger.verify(None).unwrap().remove(0);
    assert_eq!((verified.lines, verified.flaws), (7, vec![]));
}

#[test]
fn writers_side_by_side_keep_one_chain() {
    let folder = tempfile::tempdir().unwrap();
    std::thread::scope(|scope| {
        for pipeline in 0..4 {
            let ledger = Ledger::new(folder.path());
            scope.spawn(move || {
                for _ in 0..10 {
                    ledger.append(&record(pipeline, "a", true)).unwrap();
                }
            });
        }
    });
    let verified = Ledger::new(folder.path()).verify(None).unwrap().remove(0);
    assert_eq!((verified.lines, verified.flaws), (40, vec![]));
}
