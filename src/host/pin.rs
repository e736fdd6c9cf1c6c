//! Finds the line of a compose file that names a service's image, so that the release can be written
//! there. What people write in other ways is left to them: Compose itself is asked afterwards what it
//! makes of the change. Pure.

/// What stands behind an image that was written here.
const NOTE: &str = "# the release, written by dockmaster";

/// A change of one line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Line {
    /// From 1 on.
    pub number: usize,
    /// True where the line comes before that one, and takes nobody's place.
    pub is_new: bool,
    pub text: String,
}

/// The change to one of a project's files, by its place among them: the last one that names the
/// image, or else the last one that has the service.
pub(super) fn pin(files: &[&str], service: &str, reference: &str) -> Option<(usize, Line)> {
    let found = files.iter().map(|text| find(text, service));
    let found: Vec<_> = found.enumerate().collect();
    let last = |is_new: bool| {
        let mut lines = found.iter().rev();
        lines
            .find_map(|(file, spot)| Some((*file, spot.as_ref().filter(|it| it.is_new == is_new)?)))
    };
    let (file, spot) = last(false).or_else(|| last(true))?;
    let indent = " ".repeat(spot.indent);
    let line = Line {
        number: spot.number,
        is_new: spot.is_new,
        text: format!("{indent}image: \"{reference}\"  {NOTE}"),
    };
    Some((file, line))
}

/// What the file that `pin` would change says now of the image.
pub(super) fn image<'a>(files: &[&'a str], service: &str) -> Option<&'a str> {
    let mut found = files.iter().rev();
    let spot = found.find_map(|text| find(text, service).filter(|spot| !spot.is_new))?;
    Some(spot.value.trim_matches(['"', '\'']))
}

/// The text with the change made, at the end of line that it has there.
pub(super) fn with_line(text: &str, line: &Line) -> String {
    let mut changed = String::new();
    for (number, old) in (1..).zip(text.split_inclusive('\n')) {
        if number != line.number {
            changed.push_str(old);
            continue;
        }
        changed.push_str(&line.text);
        changed.push_str(if old.ends_with("\r\n") { "\r\n" } else { "\n" });
        if line.is_new {
            changed.push_str(old);
        }
    }
    changed
}

/// True for a text that YAML and Compose read as nothing but itself.
pub(super) fn is_plain(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphanumeric())
        && text
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "._-/:@".contains(c))
}

struct Spot<'a> {
    number: usize,
    indent: usize,
    is_new: bool,
    value: &'a str,
}

/// A line that says something.
#[derive(Clone, Copy)]
pub(super) struct Row<'a> {
    number: usize,
    pub indent: usize,
    pub key: &'a str,
    pub value: &'a str,
}

pub(super) fn rows(text: &str) -> Vec<Row<'_>> {
    let lines = text.lines().enumerate();
    lines
        .filter_map(|(index, line)| row(index + 1, line))
        .collect()
}

fn row(number: usize, line: &str) -> Option<Row<'_>> {
    let said = line.trim_start_matches(' ');
    if said.trim().is_empty() || said.starts_with('#') || said.starts_with("---") {
        return None;
    }
    let (key, value) = match said.split_once(':') {
        Some((key, value)) if value.is_empty() || value.starts_with([' ', '\t']) => (key, value),
        _ => (said, ""),
    };
    Some(Row {
        number,
        indent: line.len() - said.len(),
        key: key.trim().trim_matches(['"', '\'']),
        value: without_comment(value),
    })
}

fn without_comment(value: &str) -> &str {
    let value = value.trim();
    if value.starts_with('#') {
        return "";
    }
    value.split(" #").next().unwrap_or_default().trim()
}

/// The rows that belong to the row before them, for they stand further in.
pub(super) fn inside<'a, 'b>(rows: &'b [Row<'a>], indent: usize) -> &'b [Row<'a>] {
    let end = rows.iter().position(|row| row.indent <= indent);
    &rows[..end.unwrap_or(rows.len())]
}

/// The part of a mapping that a key has, where its value stands on lines of its own.
fn part<'a, 'b>(rows: &'b [Row<'a>], key: &str) -> Option<&'b [Row<'a>]> {
    let level = rows.first()?.indent;
    let at = rows
        .iter()
        .position(|row| row.indent == level && row.key == key)?;
    // An anchor names what follows; anything else is a value.
    let is_block = rows[at].value.is_empty() || rows[at].value.starts_with('&');
    let is_one_word = !rows[at].value.contains(' ');
    (is_block && is_one_word).then(|| inside(&rows[at + 1..], level))
}

fn find<'a>(text: &'a str, service: &str) -> Option<Spot<'a>> {
    let rows = rows(text);
    // The oldest files have the services at the top.
    let has_services = rows
        .iter()
        .any(|row| row.indent == 0 && row.key == "services");
    let services = if has_services {
        part(&rows, "services")?
    } else {
        &rows
    };
    let ours = part(services, service)?;
    let first = ours.first()?;
    let image = ours
        .iter()
        .find(|row| row.indent == first.indent && row.key == "image");
    match image {
        // A value of several lines is not one line's to change.
        Some(row) if row.value.is_empty() || row.value.starts_with(['>', '|', '&']) => None,
        Some(row) => Some(Spot {
            number: row.number,
            indent: row.indent,
            is_new: false,
            value: row.value,
        }),
        None => Some(Spot {
            number: first.number,
            indent: first.indent,
            is_new: true,
            value: "",
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The files with the change made, the changed line alone.
    #[track_caller]
    fn check(files: &[&str], expect: Option<(usize, usize, bool, &str)>) {
        let found = pin(files, "app", "h/app@sha256:1");
        let found = found
            .as_ref()
            .map(|(file, it)| (*file, it.number, it.is_new, it.text.as_str()));
        let note = |text: &str| format!("{text}  {NOTE}");
        let expect = expect.map(|(file, number, is_new, text)| (file, number, is_new, note(text)));
        let expect = expect
            .as_ref()
            .map(|(file, number, is_new, text)| (*file, *number, *is_new, text.as_str()));
        assert_eq!(found, expect);
    }

    const BASE: &str = "version: \"3.7\"\nx-image: &x\n  image: other\nservices:\n  # image: old\n  db:\n    image: db\n  app:\n    \
                        labels:\n      image: no\n    image: h/app:v1 # by hand\n    command: |\n      image: no\nvolumes: {}\n";

    #[test]
    fn the_line_of_the_service_s_image_is_found() {
        check(
            &[BASE],
            Some((0, 11, false, "    image: \"h/app@sha256:1\"")),
        );
        let windows = BASE.replace('\n', "\r\n");
        check(
            &[&windows],
            Some((0, 11, false, "    image: \"h/app@sha256:1\"")),
        );
        check(
            &["services:\n    \"app\":\n        image: ${REGISTRY:?}/app:${TAG}\n"],
            Some((0, 3, false, "        image: \"h/app@sha256:1\"")),
        );
        check(
            &["app:\n  image: x\ndb:\n  image: y\n"],
            Some((0, 2, false, "  image: \"h/app@sha256:1\"")),
        );
    }

    #[test]
    fn the_last_file_that_names_the_image_holds() {
        let more = "services:\n  app:\n    mem_limit: 1g\n";
        check(
            &[BASE, more],
            Some((0, 11, false, "    image: \"h/app@sha256:1\"")),
        );
        let other = "services:\n  app:\n    mem_limit: 1g\n    image: h/app:prod\n";
        check(
            &[BASE, other],
            Some((1, 4, false, "    image: \"h/app@sha256:1\"")),
        );
    }

    #[test]
    fn a_service_without_an_image_gets_a_line() {
        let inherited = "services:\n  app: &app\n    <<: *x\n    ports: [\"1:1\"]\n";
        check(
            &[inherited],
            Some((0, 3, true, "    image: \"h/app@sha256:1\"")),
        );
        let more = "services:\n  app:\n    # more\n    mem_limit: 1g\n";
        check(
            &[inherited, more],
            Some((1, 4, true, "    image: \"h/app@sha256:1\"")),
        );
    }

    #[test]
    fn what_is_written_otherwise_is_left_alone() {
        check(&["services: {app: {image: x}}\n"], None);
        check(&["services:\n  app: {image: x}\n"], None);
        check(&["services:\n  app: *other\n"], None);
        check(&["services:\n  app:\n    image: >-\n      x\n"], None);
        check(&["services:\n  application:\n    image: x\n"], None);
        check(&[""], None);
    }

    #[test]
    fn nothing_that_yaml_or_compose_would_interpret_is_written() {
        for text in ["a\"b", "a\nb", "${HOME}", "", "-x", "a b", "a#b"] {
            assert!(!is_plain(text), "{text:?}");
        }
        assert!(is_plain("harbor.example.com:8443/test/app@sha256:01"));
        assert!(is_plain("sha256:0123"));
    }
}
