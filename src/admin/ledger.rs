//! `dockmaster ledger`: what was pushed, by which job, for which commit; and whether the files that say
//! so are as they were written.

use std::{fmt::Write as _, path::Path};

use crate::{
    config::Config,
    failure::Failure,
    store::ledger::{Ledger, Record},
};

/// Which pushes are wanted; `None` does not choose.
#[derive(Debug, Clone, Default)]
pub(crate) struct Filter {
    pub(crate) project: Option<i64>,
    /// The beginning of a commit's hash.
    pub(crate) commit: Option<String>,
    /// A part of `repository:tag@digest`.
    pub(crate) image: Option<String>,
}

impl Filter {
    fn takes(&self, record: &Record) -> bool {
        let is_commit = |wanted: &String| record.commit.starts_with(wanted.as_str());
        let is_image = |wanted: &String| name(record).contains(wanted.as_str());
        self.commit.as_ref().is_none_or(is_commit) && self.image.as_ref().is_none_or(is_image)
    }
}

/// The pushes as a table, or as JSON, one object a line.
pub(crate) fn list(config: &Path, filter: &Filter, is_json: bool) -> Result<String, Failure> {
    let config = Config::load(config)?;
    let all = Ledger::new(&config.state_dir).all(filter.project)?;
    let records: Vec<Record> = all.into_iter().filter(|it| filter.takes(it)).collect();
    if is_json {
        let lines = records.iter().map(serde_json::to_string);
        let lines: Result<Vec<String>, _> = lines.collect();
        return Ok(
            lines.map_err(Failure::system)?.join("\n") + if records.is_empty() { "" } else { "\n" }
        );
    }
    Ok(table(&records))
}

/// What is not as it was written, a line each; whether all is.
pub(crate) fn verify(config: &Path, project: Option<i64>) -> Result<(String, bool), Failure> {
    let config = Config::load(config)?;
    let mut text = String::new();
    let mut is_whole = true;
    for file in Ledger::new(&config.state_dir).verify(project)? {
        let path = file.path.display();
        let (lines, s) = (file.lines, if file.lines == 1 { "" } else { "s" });
        if file.flaws.is_empty() {
            let _ = writeln!(text, "{path}: {lines} line{s}, as written");
        }
        for flaw in &file.flaws {
            is_whole = false;
            let _ = writeln!(text, "{path}: {flaw}");
        }
    }
    if text.is_empty() {
        text.push_str("nothing was pushed yet\n");
    }
    Ok((text, is_whole))
}

fn name(record: &Record) -> String {
    format!("{}:{}@{}", record.image, record.tag, record.digest)
}

fn table(records: &[Record]) -> String {
    const HEAD: [&str; 8] = [
        "TIME",
        "PROJECT",
        "PIPELINE",
        "JOB",
        "REF",
        "PROTECTED",
        "COMMIT",
        "IMAGE",
    ];
    let mut rows = vec![HEAD.map(str::to_owned)];
    rows.extend(records.iter().map(row));
    let widths: Vec<usize> = (0..HEAD.len())
        .map(|column| rows.iter().map(|row| row[column].chars().count()).max())
        .map(Option::unwrap_or_default)
        .collect();
    let mut text = String::new();
    for row in rows {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(&widths) {
            let _ = write!(line, "{cell:width$}  ");
        }
        text += line.trim_end();
        text.push('\n');
    }
    text
}

fn row(record: &Record) -> [String; 8] {
    let protected = if record.is_protected { "yes" } else { "no" };
    [
        record.at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
        record.project.to_string(),
        record.pipeline.to_string(),
        record.job.to_string(),
        record.reference.clone(),
        protected.to_owned(),
        record.commit.chars().take(12).collect(),
        name(record),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(commit: &str, tag: &str) -> Record {
        Record {
            project: 42,
            commit: commit.repeat(40),
            reference: tag.into(),
            is_protected: tag == "v1",
            pipeline: 77,
            job: 1000,
            image: "harbor.example.com/test/app".into(),
            tag: tag.into(),
            digest: "sha256:ab".into(),
            manifest: None,
            scan: None,
            at: jiff::Timestamp::UNIX_EPOCH,
        }
    }

    #[test]
    fn pushes_read_as_a_table() {
        let text = table(&[record("a", "v1"), record("b", "nightly")]);
        let expected = "\
TIME                  PROJECT  PIPELINE  JOB   REF      PROTECTED  COMMIT        IMAGE
1970-01-01T00:00:00Z  42       77        1000  v1       yes        aaaaaaaaaaaa  harbor.example.com/test/app:v1@sha256:ab
1970-01-01T00:00:00Z  42       77        1000  nightly  no         bbbbbbbbbbbb  harbor.example.com/test/app:nightly@sha256:ab
";
        assert_eq!(text, expected);
    }

    #[test]
    fn a_filter_takes_what_it_names() {
        let is_taken = |commit: Option<&str>, image: Option<&str>| {
            let filter = Filter {
                project: None,
                commit: commit.map(str::to_owned),
                image: image.map(str::to_owned),
            };
            filter.takes(&record("a", "v1"))
        };
        assert!(is_taken(None, None));
        assert!(is_taken(Some("aaaa"), Some("test/app:v1")));
        assert!(!is_taken(Some("b"), None));
        assert!(!is_taken(None, Some("test/app:v2")));
    }
}
