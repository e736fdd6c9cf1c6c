//! `dockmaster deploy`: asks the broker, prints what it says, ends with its code. Runs as the job.

use std::{
    io::{BufRead, BufReader, Write},
    os::unix::net::UnixStream,
    path::Path,
};

use super::protocol::{Answer, Ending, Request};
use crate::{
    failure::{Failure, JobCode},
    paint,
};

/// Asks for a rollout at `socket` (the job's `DOCKMASTER_SOCKET`); returns the exit code.
pub(crate) fn deploy(socket: Option<&Path>, environment: Option<&str>, out: &mut dyn Write) -> i32 {
    let ending = ask(socket, environment, out).unwrap_or_else(|failure| Ending::from(&failure));
    if !ending.message.is_empty() {
        // A closed log leaves the code to tell.
        let _ = writeln!(out, "{}", paint::red(&ending.message)).and_then(|()| out.flush());
    }
    ending.code
}

fn ask(
    socket: Option<&Path>,
    environment: Option<&str>,
    out: &mut dyn Write,
) -> Result<Ending, Failure> {
    let socket = socket.ok_or_else(|| {
        let text = "`dockmaster deploy` works in jobs of a deploy lane only";
        Failure::build(JobCode::Malformed, text)
            .hint("try: give the job the tags of the runner that has that lane")
    })?;
    let lost = |error| Failure::system(error).during("cannot reach the broker");
    let mut stream = UnixStream::connect(socket).map_err(lost)?;
    let request = Request::Deploy {
        environment: environment.map(str::to_owned),
    };
    // Said at once: the broker looks at every host before it has a line of its own.
    let _ = writeln!(out, "Asking the broker for a rollout …").and_then(|()| out.flush());
    let mut line = serde_json::to_string(&request).map_err(Failure::system)?;
    line.push('\n');
    stream.write_all(line.as_bytes()).map_err(lost)?;
    for line in BufReader::new(stream).lines() {
        match serde_json::from_str(&line.map_err(lost)?).map_err(Failure::system)? {
            Answer::Log { log } => {
                let _ = writeln!(out, "{log}").and_then(|()| out.flush());
            }
            Answer::Ending(ending) => return Ok(ending),
        }
    }
    Err(Failure::system("the broker ended without a word"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outside_a_deploy_job_the_message_says_where_it_works() {
        let mut out = Vec::new();
        assert_eq!(deploy(None, None, &mut out), 111);
        let text = String::from_utf8(out).unwrap();
        assert!(text.contains("deploy lane only"), "{text}");
    }

    #[test]
    fn a_broker_that_is_not_there_is_the_host_s_fault() {
        let mut out = Vec::new();
        assert_eq!(
            deploy(Some(Path::new("/nonexistent/socket")), None, &mut out),
            1
        );
        let text = String::from_utf8(out).unwrap();
        assert!(text.contains("cannot reach the broker"), "{text}");
    }
}
