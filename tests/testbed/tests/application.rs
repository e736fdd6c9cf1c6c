//! The stand-in for Node.js does what the real one does with the application.

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command};
use std::time::Duration;

use testbed::application::Application;
use testbed::background::wait_until;
use testbed::serve::{accepts, free_port};
use testbed::trial::NoFixture;

testbed::tests![
    NoFixture; [];
    the_stand_in_answers_its_version_and_finishes_requests_when_it_is_told_to_end,
    the_real_one_does_the_same: [Node],
];

const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const SOON: Duration = Duration::from_secs(10);

struct Service {
    child: Child,
    address: SocketAddr,
}

impl Service {
    fn start(node: &str, project: &Path) -> Self {
        let port = free_port(LOOPBACK).unwrap();
        let mut command = Command::new(node);
        command
            .arg("bin/www.js")
            .current_dir(project)
            .env("PORT", port.to_string());
        let child = command.spawn().unwrap();
        let address = SocketAddr::new(LOOPBACK, port);
        wait_until("the service", SOON, || Ok(accepts(address))).unwrap();
        Self { child, address }
    }

    fn send(&self, path: &str) -> TcpStream {
        let mut stream = TcpStream::connect(self.address).unwrap();
        write!(
            stream,
            "GET {path} HTTP/1.1\r\nHost: app\r\nConnection: close\r\n\r\n"
        )
        .unwrap();
        stream
    }

    /// Status and body.
    fn get(&self, path: &str) -> (String, String) {
        receive(self.send(path))
    }

    /// SIGTERM while one request is under way and one connection is idle; the answer and the exit code.
    fn end(mut self) -> (String, Option<i32>) {
        let mut idle = TcpStream::connect(self.address).unwrap();
        write!(idle, "GET / HTTP/1.1\r\nHost: app\r\n\r\n").unwrap();
        assert!(idle.read(&mut [0; 1024]).unwrap() > 0);
        let stream = self.send("/?wait=700");
        // An answer on a later connection says that the request before it has arrived.
        self.get("/health");
        testbed::command::run("kill", &[&self.child.id().to_string()]).unwrap();
        let (_, body) = receive(stream);
        (body, self.child.wait().unwrap().code())
    }
}

fn receive(mut stream: TcpStream) -> (String, String) {
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    let status = head.split_whitespace().nth(1).unwrap().to_owned();
    let is_chunked = head.to_lowercase().contains("transfer-encoding: chunked");
    let body = if is_chunked {
        body.lines().nth(1).unwrap()
    } else {
        body.trim_end()
    };
    (status, body.to_owned())
}

fn check(node: &str) {
    let folder = tempfile::tempdir().unwrap();
    let directory = folder.path().join("application");
    Application::new("v1.2.3")
        .write(&directory, "base")
        .unwrap();
    let service = Service::start(node, &directory);
    assert_eq!(service.get("/"), ("200".into(), "1.2.3".into()));
    assert_eq!(service.get("/health"), ("200".into(), "ok".into()));
    assert_eq!(service.end(), ("1.2.3".into(), Some(0)));
    Application::unhealthy("v1.2.4")
        .write(&directory, "base")
        .unwrap();
    let service = Service::start(node, &directory);
    assert_eq!(service.get("/").0, "200");
    assert_eq!(service.get("/health").0, "503");
    assert_eq!(service.end(), ("1.2.4".into(), Some(0)));
    Application::private("v1.2.5")
        .write(&directory, "base")
        .unwrap();
    let service = Service::start(node, &directory);
    assert_eq!(service.get("/health").0, "200");
    assert_eq!(service.end(), ("1.2.5".into(), Some(0)));
}

fn the_stand_in_answers_its_version_and_finishes_requests_when_it_is_told_to_end(_: &NoFixture) {
    check(env!("CARGO_BIN_EXE_stand-in-node"));
}

fn the_real_one_does_the_same(_: &NoFixture) {
    check("node");
}
