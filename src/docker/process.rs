//! What runs in a container: its streams, its exit code, its end.

use std::{pin::Pin, time::Duration};

use bollard::{
    container::LogOutput,
    errors::Error as BollardError,
    exec::{CreateExecOptions, StartExecOptions, StartExecResults},
    query_parameters::{
        AttachContainerOptionsBuilder, StopContainerOptionsBuilder, WaitContainerOptionsBuilder,
    },
};
use bytes::Bytes;
use futures_util::{Stream, StreamExt, TryStreamExt};
use tokio::io::{AsyncWrite, AsyncWriteExt};

use super::{
    engine::Engine,
    fault::{EngineError, failed, start_error, unless},
};

/// The two ends of a running process: its output, both streams as one, and its input.
pub(crate) struct Session {
    pub(crate) output: Pin<Box<dyn Stream<Item = Result<Bytes, EngineError>>>>,
    pub(crate) input: Pin<Box<dyn AsyncWrite + Send>>,
}

impl Session {
    fn new(
        output: impl Stream<Item = Result<LogOutput, BollardError>> + 'static,
        input: Pin<Box<dyn AsyncWrite + Send>>,
    ) -> Self {
        let output = output
            .map_ok(LogOutput::into_bytes)
            .map_err(|source| failed("stream the job's output")(source));
        Self {
            output: Box::pin(output),
            input,
        }
    }
}

impl Engine {
    /// Starts a container.
    pub(crate) async fn start(&self, id: &str) -> Result<(), EngineError> {
        let started = self.docker.start_container(id, None).await;
        started.map_err(start_error)
    }

    /// Attaches to a container that is not started yet: nothing of its output is lost.
    pub(crate) async fn attach(&self, id: &str) -> Result<Session, EngineError> {
        let options = AttachContainerOptionsBuilder::new()
            .stream(true)
            .stdin(true)
            .stdout(true)
            .stderr(true)
            .build();
        let attached = self.docker.attach_container(id, Some(options)).await;
        let ends = attached.map_err(failed("attach to the container"))?;
        Ok(Session::new(ends.output, ends.input))
    }

    /// Starts a process in a running container; the id of the exec and its two ends.
    pub(crate) async fn exec(
        &self,
        container: &str,
        command: Vec<String>,
    ) -> Result<(String, Session), EngineError> {
        let error = || failed("start a process in the container");
        let options = CreateExecOptions {
            attach_stdin: Some(true),
            attach_stdout: Some(true),
            attach_stderr: Some(true),
            cmd: Some(command),
            ..CreateExecOptions::default()
        };
        let start = StartExecOptions {
            output_capacity: Some(64 * 1024),
            ..StartExecOptions::default()
        };
        let exec = self.docker.create_exec(container, options).await;
        let exec = exec.map_err(error())?;
        let started = self.docker.start_exec(&exec.id, Some(start)).await;
        match started.map_err(error())? {
            StartExecResults::Attached { output, input } => {
                Ok((exec.id, Session::new(output, input)))
            }
            StartExecResults::Detached => Err(error()(stream_error("not attached"))),
        }
    }

    /// Runs a command whose output nobody needs, to its end.
    pub(crate) async fn exec_silently(
        &self,
        container: &str,
        command: Vec<String>,
    ) -> Result<(), EngineError> {
        let (_, mut session) = self.exec(container, command).await?;
        while session.output.next().await.is_some() {}
        Ok(())
    }

    /// The exit code of an exec that has ended.
    pub(crate) async fn exec_code(&self, exec: &str) -> Result<i64, EngineError> {
        let inspect = self.docker.inspect_exec(exec).await;
        inspect
            .and_then(|inspect| {
                let running = || stream_error("the process has not ended");
                inspect.exit_code.ok_or_else(running)
            })
            .map_err(failed("ask for an exit code"))
    }

    /// Waits for a container's end; its exit code.
    pub(crate) async fn wait(&self, id: &str) -> Result<i64, EngineError> {
        let options = WaitContainerOptionsBuilder::new()
            .condition("not-running")
            .build();
        let code = match self.docker.wait_container(id, Some(options)).next().await {
            Some(Ok(response)) => Ok(response.status_code),
            Some(Err(BollardError::DockerContainerWaitError { code, .. })) => Ok(code),
            Some(Err(source)) => Err(source),
            None => Err(stream_error("no answer")),
        };
        code.map_err(failed("wait for the container"))
    }

    /// Stops a container: SIGTERM to its first process, SIGKILL after `grace`. Stopped or gone
    /// already is fine.
    pub(crate) async fn stop(&self, id: &str, grace: Duration) -> Result<(), EngineError> {
        let seconds = i32::try_from(grace.as_secs()).unwrap_or(i32::MAX);
        let options = StopContainerOptionsBuilder::new().t(seconds).build();
        let stopped = self.docker.stop_container(id, Some(options)).await;
        unless(&[304, 404], stopped)
            .map(drop)
            .map_err(failed("stop the container"))
    }
}

/// Writes a script into a process and closes its input.
pub(crate) async fn feed(mut input: Pin<Box<dyn AsyncWrite + Send>>, script: &[u8]) {
    // A process that does not read its input to the end is the author's choice, not an error.
    if input.write_all(script).await.is_ok() {
        let _ = input.shutdown().await;
    }
}

fn stream_error(why: &str) -> BollardError {
    BollardError::DockerStreamError { error: why.into() }
}
