//! A test that hangs names itself and ends its suite, where it would else hold up everything behind it in silence.

use std::{
    io::{self, Write as _},
    sync::mpsc::{self, RecvTimeoutError, Sender},
    thread,
    time::Duration,
};

/// Many times what the slowest test takes, waiting for its turn included.
const PATIENCE: Duration = Duration::from_mins(15);

/// While this lives, the test goes on. It is dropped when the test ends, by a panic, too.
#[derive(Debug)]
pub(super) struct Watched(#[expect(dead_code, reason = "its end is the message")] Sender<()>);

/// Watches the test of this path from here on.
pub(super) fn watch(path: &'static str) -> Watched {
    let (held, ended) = mpsc::channel::<()>();
    thread::spawn(move || {
        if ended.recv_timeout(PATIENCE) == Err(RecvTimeoutError::Timeout) {
            let minutes = PATIENCE.as_secs() / 60;
            // Who cannot read it sees the exit code.
            let _ = writeln!(io::stderr(), "{path} has not ended in {minutes} minutes");
            std::process::exit(101);
        }
    });
    Watched(held)
}
