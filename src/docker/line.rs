//! The lines that a container writes, as the engine keeps them.

use bollard::query_parameters::LogsOptionsBuilder;
use futures_util::{Stream, StreamExt};

use super::{
    engine::Engine,
    fault::{EngineError, failed},
};

/// A line without its end, or a piece of a longer one, and when the engine got it: times of equal form, so that the
/// earlier one is the smaller text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Line {
    pub(crate) at: String,
    pub(crate) text: Vec<u8>,
}

/// Which lines.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wanted {
    /// Seconds of the world's clock: those since then, and others of the same second.
    pub(crate) since: i32,
    /// Whether to wait for what is written from now on.
    pub(crate) is_live: bool,
}

impl Engine {
    /// The lines of a container, both streams as one.
    pub(crate) fn lines(
        &self,
        id: &str,
        wanted: Wanted,
    ) -> impl Stream<Item = Result<Line, EngineError>> + use<> {
        let options = LogsOptionsBuilder::new()
            .follow(wanted.is_live)
            .since(wanted.since)
            .stdout(true)
            .stderr(true)
            .timestamps(true)
            .build();
        let frames = self.docker.logs(id, Some(options));
        frames.map(|frame| match frame {
            Ok(frame) => Ok(read(&frame.into_bytes())),
            Err(source) => Err(failed("read a service's log")(source)),
        })
    }
}

fn read(frame: &[u8]) -> Line {
    let at = frame
        .iter()
        .position(|byte| *byte == b' ')
        .unwrap_or(frame.len());
    let (time, rest) = frame.split_at(at);
    let text = rest.strip_prefix(b" ").unwrap_or(rest);
    let text = text.strip_suffix(b"\n").unwrap_or(text);
    let text = text.strip_suffix(b"\r").unwrap_or(text);
    Line {
        at: String::from_utf8_lossy(time).into_owned(),
        text: text.to_vec(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_begins_with_its_time() {
        let check = |frame: &str, at: &str, text: &str| {
            let line = read(frame.as_bytes());
            assert_eq!(
                (line.at.as_str(), line.text.as_slice()),
                (at, text.as_bytes())
            );
        };
        check(
            "2026-11-28T12:00:00.000000001Z a b\r\n",
            "2026-11-28T12:00:00.000000001Z",
            "a b",
        );
        check(
            "2026-11-28T12:00:00.000000001Z \n",
            "2026-11-28T12:00:00.000000001Z",
            "",
        );
        check("odd", "odd", "");
    }
}
