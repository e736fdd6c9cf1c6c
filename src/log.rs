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
    sync::{Mutex, Notify},
};

use crate::paint;

/// The job's log.
pub(crate) struct Log {
    sink: Mutex<Box<dyn AsyncWrite + Unpin>>,
    is_broken: Cell<bool>,
    /// Whether the last line has ended.
    is_at_start: Cell<bool>,
    ended: Notify,
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
            is_at_start: Cell::new(true),
            ended: Notify::new(),
        }
    }

    /// Writes the job's own output, unchanged.
    pub(crate) async fn write(&self, bytes: &[u8]) {
        if self.is_broken.get() {
            return;
        }
        let mut sink = self.sink.lock().await;
        self.put(&mut *sink, bytes).await;
    }

    /// Writes lines of somebody else's, never into a line of the job's: what the runner hides could stand there, and it
    /// would be hidden no more.
    pub(crate) async fn beside(&self, lines: &[u8]) {
        loop {
            let ended = self.ended.notified();
            if self.is_broken.get() {
                return;
            }
            let mut sink = self.sink.lock().await;
            if self.is_at_start.get() {
                return self.put(&mut *sink, lines).await;
            }
            drop(sink);
            ended.await;
        }
    }

    /// Ends the line that the job left open.
    pub(crate) async fn end_line(&self) {
        if !self.is_at_start.get() {
            self.write(b"\n").await;
        }
    }

    async fn put(&self, sink: &mut (dyn AsyncWrite + Unpin), bytes: &[u8]) {
        let written = match sink.write_all(bytes).await {
            Ok(()) => sink.flush().await,
            Err(error) => Err(error),
        };
        if let Err(error) = written {
            tracing::warn!(%error, "the job's log is closed");
            self.is_broken.set(true);
        }
        if let Some(last) = bytes.last() {
            self.is_at_start.set(*last == b'\n');
        }
        if self.is_at_start.get() || self.is_broken.get() {
            self.ended.notify_waiters();
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
