//! The git objects that a broker wants of a commit, as this job's checkout has them. Runs as the job: what it
//! says is believed for its hashes alone.

use std::{
    io::{BufRead, BufReader, Read, Write},
    path::Path,
    process::{Command, Stdio},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};

use super::commit::Object;
use crate::failure::{Failure, JobCode};

/// No object that is needed is larger: a folder of more has hundred thousand entries.
const LIMIT: u64 = 8 << 20;

/// The commit, its folders on the way to the files, and the files; what is not there is left out.
pub(super) fn collect(
    folder: &Path,
    commit: &str,
    paths: &[String],
) -> Result<Vec<Object>, Failure> {
    let failed = |error| Failure::system(error).during("cannot read the checkout with git");
    let mut names = vec![commit.to_owned(), format!("{commit}^{{tree}}")];
    for path in paths {
        let ends = path.match_indices('/').map(|(at, _)| at);
        let ends = ends.chain([path.len()]);
        names.extend(ends.map(|end| format!("{commit}:{}", &path[..end])));
    }
    names.dedup();
    let mut child = Command::new("git")
        .args(["--no-replace-objects", "-C"])
        .arg(folder)
        .args(["cat-file", "--batch"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .map_err(failed)?;
    let (Some(mut input), Some(output)) = (child.stdin.take(), child.stdout.take()) else {
        return Err(Failure::system("git has no pipes"));
    };
    let mut output = BufReader::new(output);
    let mut objects = Vec::new();
    for name in names {
        if writeln!(input, "{name}")
            .and_then(|()| input.flush())
            .is_err()
        {
            // A folder that is no checkout.
            break;
        }
        let mut head = String::new();
        output.read_line(&mut head).map_err(failed)?;
        let Some((kind, size)) = read_head(&head) else {
            continue;
        };
        if size > LIMIT {
            let text = format!("{name} has more than {} MB", LIMIT >> 20);
            return Err(Failure::build(JobCode::Malformed, text));
        }
        let mut body = Vec::new();
        // The content, and a line's end.
        let read = (&mut output).take(size + 1).read_to_end(&mut body);
        read.map_err(failed)?;
        body.pop();
        objects.push(Object {
            kind: kind.to_owned(),
            body: STANDARD.encode(body),
        });
    }
    drop((input, output));
    child.wait().map_err(failed)?;
    Ok(objects)
}

/// `ID KIND SIZE`, or `NAME missing`.
fn read_head(line: &str) -> Option<(&str, u64)> {
    let mut words = line.trim_end().rsplitn(3, ' ');
    let size = words.next()?.parse().ok()?;
    let kind = words.next()?;
    words.next()?;
    Some((kind, size))
}
