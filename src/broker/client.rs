//! `dockmaster deploy`: asks the broker, prints what it says, ends with its code. Runs as the job.

use std::{
    fs,
    io::{self, BufRead, BufReader, Write},
    os::unix::{fs::PermissionsExt, net::UnixStream},
    path::Path,
};

use serde::Serialize;

use super::{
    objects,
    protocol::{Answer, Ending, Handed, Pages, Request},
};
use crate::{
    failure::{Failure, JobCode},
    paint,
};

/// What a report's files are called, for `artifacts: paths:`.
const HTML: &str = "rollout-report.html";
const JSON: &str = "rollout-report.json";

/// Asks for a rollout at `socket` (the job's `DOCKMASTER_SOCKET`); returns the exit code.
/// A report of the rollout is written into `folder`, as the job itself.
pub(crate) fn deploy(
    (socket, folder): (Option<&Path>, &Path),
    environment: Option<&str>,
    out: &mut dyn Write,
) -> i32 {
    let ending =
        ask((socket, folder), environment, out).unwrap_or_else(|failure| Ending::from(&failure));
    if !ending.message.is_empty() {
        // A closed log leaves the code to tell.
        let _ = writeln!(out, "{}", paint::red(&ending.message)).and_then(|()| out.flush());
    }
    ending.code
}

fn ask(
    (socket, folder): (Option<&Path>, &Path),
    environment: Option<&str>,
    out: &mut dyn Write,
) -> Result<Ending, Failure> {
    let socket = socket.ok_or_else(|| {
        let text = "`dockmaster deploy` works in jobs of a deploy lane only";
        Failure::build(JobCode::Malformed, text)
            .hint("try: give the job the tags of the runner that has that lane")
    })?;
    let lost = |error| Failure::system(error).during("cannot reach the broker");
    let stream = UnixStream::connect(socket).map_err(lost)?;
    let request = Request::Deploy {
        environment: environment.map(str::to_owned),
    };
    // Said at once: the broker looks at every host before it has a line of its own.
    let _ = writeln!(out, "Asking the broker for a rollout …").and_then(|()| out.flush());
    send(&stream, &request)?;
    for line in BufReader::new(&stream).lines() {
        match serde_json::from_str(&line.map_err(lost)?).map_err(Failure::system)? {
            Answer::Log { log } => {
                let _ = writeln!(out, "{log}").and_then(|()| out.flush());
            }
            Answer::Asked(asked) => {
                let objects = objects::collect(folder, &asked.commit, &asked.paths)?;
                send(&stream, &Handed { objects })?;
            }
            Answer::Report(pages) => {
                let text = match keep(folder, &pages) {
                    Ok(()) => format!("{HTML} and {JSON} are in {}", folder.display()),
                    // The rollout itself is not concerned.
                    Err(error) => format!("the report cannot be written: {error}"),
                };
                let _ = writeln!(out, "{text}").and_then(|()| out.flush());
            }
            Answer::Ending(ending) => return Ok(ending),
        }
    }
    Err(Failure::system("the broker ended without a word"))
}

fn send(mut stream: &UnixStream, what: &impl Serialize) -> Result<(), Failure> {
    let mut line = serde_json::to_string(what).map_err(Failure::system)?;
    line.push('\n');
    let sent = stream.write_all(line.as_bytes());
    sent.map_err(|error| Failure::system(error).during("cannot reach the broker"))
}

/// Replaces what is there, a link of the repository's too: nothing is written through one.
fn keep(folder: &Path, pages: &Pages) -> io::Result<()> {
    for (name, text) in [(HTML, &pages.report_html), (JSON, &pages.report_json)] {
        let mut file = tempfile::NamedTempFile::new_in(folder)?;
        file.write_all(text.as_bytes())?;
        let mode = fs::Permissions::from_mode(0o644);
        file.as_file().set_permissions(mode)?;
        file.persist(folder.join(name))
            .map_err(|error| error.error)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outside_a_deploy_job_the_message_says_where_it_works() {
        let mut out = Vec::new();
        assert_eq!(deploy((None, Path::new("/")), None, &mut out), 111);
        let text = String::from_utf8(out).unwrap();
        assert!(text.contains("deploy lane only"), "{text}");
    }

    #[test]
    fn a_broker_that_is_not_there_is_the_host_s_fault() {
        let mut out = Vec::new();
        assert_eq!(
            deploy(
                (Some(Path::new("/nonexistent/socket")), Path::new("/")),
                None,
                &mut out
            ),
            1
        );
        let text = String::from_utf8(out).unwrap();
        assert!(text.contains("cannot reach the broker"), "{text}");
    }

    #[test]
    fn a_report_replaces_a_link_and_writes_through_none() {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("precious");
        fs::write(&target, "mine").unwrap();
        std::os::unix::fs::symlink(&target, folder.path().join(HTML)).unwrap();
        let pages = Pages {
            report_html: "<p>".into(),
            report_json: "{}".into(),
        };
        keep(folder.path(), &pages).unwrap();
        let read = |name: &str| fs::read_to_string(folder.path().join(name)).unwrap();
        assert_eq!(
            (read("precious").as_str(), read(HTML).as_str()),
            ("mine", "<p>")
        );
        assert_eq!(read(JSON), "{}");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 3);
    }
}
