use super::*;

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Note {
    text: String,
}

fn note(text: &str) -> Note {
    let text = text.into();
    Note { text }
}

fn lines(folder: &tempfile::TempDir) -> Lines {
    Lines {
        path: folder.path().join("a/notes.jsonl"),
        mode: 0o600,
    }
}

#[test]
fn a_torn_last_line_never_happened_and_spoils_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let lines = lines(&folder);
    lines.append(&note("one")).unwrap();
    let first = fs::read(&lines.path).unwrap().len();
    lines.append(&note("two")).unwrap();
    let text = fs::read(&lines.path).unwrap();
    for end in first..text.len() {
        fs::write(&lines.path, &text[..end]).unwrap();
        assert_eq!(lines.read::<Note>().unwrap(), [note("one")]);
        lines.append(&note("three")).unwrap();
        assert_eq!(lines.read::<Note>().unwrap(), [note("one"), note("three")]);
    }
}

#[test]
fn a_line_that_cannot_be_flushed_is_not_taken_for_written() {
    let folder = tempfile::tempdir().unwrap();
    let lines = lines(&folder);
    fs::create_dir(folder.path().join("a")).unwrap();
    // It takes every write and refuses every flush.
    std::os::unix::fs::symlink("/dev/null", &lines.path).unwrap();
    let error = lines.append(&note("one")).unwrap_err();
    assert!(matches!(error, StoreError::Write { .. }), "{error}");
}

#[test]
fn a_newer_format_is_refused_with_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let lines = lines(&folder);
    lines.append(&note("one")).unwrap();
    let text = fs::read_to_string(&lines.path).unwrap();
    assert_eq!(text, "{\"format\":1,\"text\":\"one\"}\n");
    let newer = "{\"format\":2,\"words\":[]}\n";
    fs::write(&lines.path, format!("{text}{newer}")).unwrap();
    let error = lines.read::<Note>().unwrap_err().to_string();
    let expect = "notes.jsonl is written in format 2 in line 2, by a newer dockmaster; this one knows formats up to 1: update it on this host";
    assert!(error.ends_with(expect), "{error}");
}

#[test]
fn a_damaged_line_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let lines = lines(&folder);
    lines.append(&note("one")).unwrap();
    lines.append(&note("two")).unwrap();
    let text = fs::read_to_string(&lines.path).unwrap();
    fs::write(&lines.path, text.replacen("two\"", "two", 1)).unwrap();
    let error = lines.read::<Note>().unwrap_err().to_string();
    assert!(
        error.ends_with("notes.jsonl is damaged in line 2"),
        "{error}"
    );
}
