//! What the engine was asked to make is waited for, so that cleanup finds it. The engine here is a
//! stand-in: the real one cannot be stopped in the middle of making something.

use std::{
    io::{ErrorKind, Read, Write},
    os::unix::net::{UnixListener, UnixStream},
    process::Stdio,
    sync::mpsc::{Receiver, Sender, channel},
    thread,
    time::Duration,
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use super::Attempt;

/// How long the stand-in waits for a client that hangs up.
const PATIENCE: Duration = Duration::from_secs(3);

/// An engine that is just making a network.
struct StandIn {
    /// Told when it is asked for a network.
    asked: Sender<()>,
    /// Told whether the client waited for it.
    waited: Sender<bool>,
}

impl StandIn {
    fn serve(self, listener: &UnixListener) {
        for stream in listener.incoming() {
            self.answer(stream.unwrap());
        }
    }

    fn answer(&self, mut stream: UnixStream) {
        let head = head(&mut stream);
        let answer = if head.contains("/networks/create") {
            self.asked.send(()).unwrap();
            self.waited.send(is_waiting(&mut stream)).unwrap();
            r#"{"Id":"network","Warning":""}"#
        } else if head.contains("/version") {
            r#"{"ApiVersion":"1.41"}"#
        } else if head.contains("/info") {
            "{}"
        } else if head.contains("/images/") {
            r#"{"Id":"sha256:3d4890f522153d4890f522153d4890f522153d4890f522153d4890f522150000"}"#
        } else {
            "[]"
        };
        let length = answer.len();
        // A client that hung up hears nothing.
        let _ = write!(
            stream,
            "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{answer}"
        );
    }
}

fn head(stream: &mut UnixStream) -> String {
    let mut text = Vec::new();
    let mut byte = [0];
    while !text.ends_with(b"\r\n\r\n") && stream.read(&mut byte).unwrap() == 1 {
        text.push(byte[0]);
    }
    String::from_utf8(text).unwrap()
}

/// False as soon as the client has hung up.
fn is_waiting(stream: &mut UnixStream) -> bool {
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut bytes = [0; 4096];
    loop {
        match stream.read(&mut bytes) {
            Ok(0) => return false,
            Ok(_) => {}
            Err(error) => return error.kind() == ErrorKind::WouldBlock,
        }
    }
}

fn attempt() -> (Attempt, Receiver<()>, Receiver<bool>) {
    let attempt = Attempt::new("");
    let folder = attempt.folder.path().display().to_string();
    let config = format!(
        "state-dir = \"{folder}\"\nrun-dir = \"{folder}/run\"\n[lanes.docker]\nkind = \"docker\"\n\
         docker-host = \"unix://{folder}/engine.sock\"\npull-policy = \"if-not-present\"\n\
         helper-image = \"alpine:latest\"\nshared-images = [\"*\"]\n"
    );
    attempt.write("config.toml", &config);
    let listener = UnixListener::bind(attempt.path("engine.sock")).unwrap();
    let ((asked, is_asked), (waited, has_waited)) = (channel(), channel());
    thread::spawn(move || StandIn { asked, waited }.serve(&listener));
    (attempt, is_asked, has_waited)
}

#[test]
fn a_cancelled_prepare_waits_for_what_the_engine_is_making() {
    let (attempt, is_asked, has_waited) = attempt();
    let child = attempt
        .command(&["--lane", "docker", "prepare"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    is_asked.recv_timeout(Duration::from_mins(1)).unwrap();
    kill(Pid::from_raw(child.id().cast_signed()), Signal::SIGTERM).unwrap();
    assert!(has_waited.recv().unwrap(), "the driver went away");
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("cancelled"), "{text}");
    let left = std::fs::read_dir(attempt.path("run/making")).unwrap();
    assert_eq!(left.count(), 0, "the note stays only after a kill");
}
