//! Runs a program and turns its failure into a sentence. Knows no program in particular but Docker's own.

use std::io::Write;
use std::process::{Command, Output, Stdio};

use anyhow::{Context, Result, bail};

/// Debian's client: the tests must not depend on which other `docker` comes first on PATH.
pub const DOCKER: &str = "/usr/bin/docker";

/// Standard output of a program that must succeed, without the last line end.
pub fn run(program: &str, arguments: &[&str]) -> Result<String> {
    feed(program, arguments, b"")
}

/// As `run`, with `input` on standard input.
pub fn feed(program: &str, arguments: &[&str], input: &[u8]) -> Result<String> {
    let output = feed_bytes(program, arguments, input)?;
    Ok(String::from_utf8_lossy(&output).trim_end().to_owned())
}

/// As `feed`, for a program whose output is no text.
pub fn feed_bytes(program: &str, arguments: &[&str], input: &[u8]) -> Result<Vec<u8>> {
    let output = attempt(program, arguments, input)?;
    if output.status.success() {
        return Ok(output.stdout);
    }
    let text = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    bail!(
        "{program} {}: {}\n{text}\n{errors}",
        arguments.join(" "),
        output.status
    );
}

/// The output of a program whatever its status.
pub fn attempt(program: &str, arguments: &[&str], input: &[u8]) -> Result<Output> {
    let mut command = Command::new(program);
    command.args(arguments);
    finish(command, input)
}

/// Runs a prepared command to its end with `input` on standard input.
pub fn finish(mut command: Command, input: &[u8]) -> Result<Output> {
    let program = command.get_program().to_string_lossy().into_owned();
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot start {program}"))?;
    if let Some(mut stdin) = child.stdin.take() {
        // A program that does not read its input to the end says so by its status.
        let _ = stdin.write_all(input);
    }
    child
        .wait_with_output()
        .with_context(|| format!("cannot wait for {program}"))
}

/// The machine's own Docker Engine.
pub fn docker(arguments: &[&str]) -> Result<String> {
    run(DOCKER, arguments)
}

/// Lines of a Docker listing; an engine that does not answer has nothing to list.
pub fn docker_lines(arguments: &[&str]) -> Vec<String> {
    let text = docker(arguments).unwrap_or_default();
    let mut lines: Vec<String> = text
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .map(str::to_owned)
        .collect();
    lines.sort();
    lines.dedup();
    lines
}
