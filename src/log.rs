//! The job's log: one stream, written as fast as the runner reads it.
//!
//! A runner that is gone, or that cannot write its own log, closes the pipe. That is never an error
//! here: `cancel` watches whether the runner is still there, and the job goes on without a log.

use std::{
    cell::Cell,
    io,
    os::fd::{AsFd, OwnedFd},
};

use tokio::{
    fs::File,
    io::{AsyncWrite, AsyncWriteExt},
    net::unix::pipe,
    sync::Mutex,
};

use crate::paint;

/// The job's log.
pub(crate) struct Log {
    sink: Mutex<Box<dyn AsyncWrite + Unpin>>,
    is_broken: Cell<bool>,
}

impl Log {
    /// The process's standard output: a pipe to the runner, or a terminal when tried by hand.
    pub(crate) fn stdout() -> io::Result<Self> {
        let copy = io::stdout().as_fd().try_clone_to_owned()?;
        Ok(Self::new(copy))
    }

    /// Standard error: the config stage's log, whose standard output is parsed as JSON.
    pub(crate) fn stderr() -> io::Result<Self> {
        let copy = io::stderr().as_fd().try_clone_to_owned()?;
        Ok(Self::new(copy))
    }

    fn new(stream: OwnedFd) -> Self {
        // A pipe can be written without a thread; anything else goes through tokio's file.
        let sink: Box<dyn AsyncWrite + Unpin> =
            match stream.try_clone().and_then(pipe::Sender::from_owned_fd) {
                Ok(pipe) => Box::new(pipe),
                Err(_) => Box::new(File::from_std(stream.into())),
            };
        Self {
            sink: Mutex::new(sink),
            is_broken: Cell::new(false),
        }
    }

    /// Writes the job's own output, unchanged.
    pub(crate) async fn write(&self, bytes: &[u8]) {
        if self.is_broken.get() {
            return;
        }
        let mut sink = self.sink.lock().await;
        let written = match sink.write_all(bytes).await {
            Ok(()) => sink.flush().await,
            Err(error) => Err(error),
        };
        if let Err(error) = written {
            tracing::warn!(%error, "the job's log is closed");
            self.is_broken.set(true);
        }
    }

    /// Writes one line of ours.
    pub(crate) async fn say(&self, line: &str) {
        self.write(format!("{line}\n").as_bytes()).await;
    }

    /// Writes one line that the author should not miss.
    pub(crate) async fn warn(&self, line: &str) {
        self.say(&paint::yellow(&format!("WARNING: {line}"))).await;
    }
}
