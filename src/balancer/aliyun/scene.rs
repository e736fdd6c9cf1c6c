//! For the tests of this folder: an API that answers as it is told, and remembers what it was asked.

use std::{cell::RefCell, fs, os::unix::fs::PermissionsExt, path::Path, rc::Rc};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

use super::group::Group;
use crate::{
    balancer::error::BalancerError,
    config::Environment,
    rollout::port::{Member, Weight},
};

pub(super) const ACCOUNT: &str =
    r#"{"access-key-id":"id","access-key-secret":"secret","security-token":"token"}"#;

/// An environment with two hosts; `endpoint` and `account` are where a test has them.
pub(super) fn environment(endpoint: &str, account: &Path) -> Environment {
    let mut text = include_str!("../../../runner-config/environments/production.toml").to_owned();
    for (from, to) in [
        (
            "# endpoint = \"https://slb.aliyuncs.com\"",
            format!("endpoint = \"{endpoint}\""),
        ),
        (
            "/etc/dockmaster/secrets/aliyun.json",
            account.display().to_string(),
        ),
        ("rsp-0123456789abc", "rsp-1".into()),
        ("i-bp1aaaaaaaaaaaaaaaa", "i-app-".into()),
    ] {
        assert!(text.contains(from), "{from}");
        text = text.replace(from, &to);
    }
    let mut environment: Environment = toml::from_str(&text).unwrap();
    environment.name = "production".into();
    environment.hosts.truncate(2);
    environment
}

/// What the API does next.
#[derive(Clone)]
pub(super) enum Reply {
    /// Status, extra header lines, body.
    Answer(u16, &'static str, String),
    /// The account has another token by now, and the old one is refused.
    Renewed(String),
    /// The connection is cut.
    Cut,
    /// Nothing, for ever.
    Silence,
}

pub(super) fn ok(body: impl Into<String>) -> Reply {
    Reply::Answer(200, "", body.into())
}

pub(super) fn refusal(status: u16, code: &str) -> Reply {
    Reply::Answer(status, "", error_body(code))
}

pub(super) fn error_body(code: &str) -> String {
    format!(
        r#"{{"RequestId":"R-1","HostId":"slb.aliyuncs.com","Code":"{code}","Message":"Why.","Recommend":"https://x"}}"#
    )
}

/// Serves one reply a connection, repeating the last, and records the requests.
async fn serve(listener: TcpListener, account: &Path, scene: &Scene) {
    let mut next = 0;
    let Scene { replies, seen } = scene;
    loop {
        let (mut stream, _) = listener.accept().await.unwrap();
        let request = read(&mut stream).await;
        seen.borrow_mut().push(request);
        let reply = &replies[next.min(replies.len() - 1)];
        next += 1;
        let answer = match reply {
            Reply::Answer(status, headers, body) => Some((*status, *headers, body)),
            Reply::Renewed(body) => {
                fs::write(account, ACCOUNT.replace("\"token\"", "\"fresh\"")).unwrap();
                Some((400, "", body))
            }
            Reply::Cut => None,
            Reply::Silence => std::future::pending().await,
        };
        if let Some((status, headers, body)) = answer {
            let head = format!(
                "HTTP/1.1 {status} x\r\nconnection: close\r\n{headers}content-length: {}\r\n\r\n",
                body.len()
            );
            stream.write_all(head.as_bytes()).await.unwrap();
            stream.write_all(body.as_bytes()).await.unwrap();
        }
    }
}

/// A request with the whole of its body.
async fn read(stream: &mut TcpStream) -> String {
    let mut request = String::new();
    let mut buffer = [0; 4096];
    loop {
        let read = stream.read(&mut buffer).await.unwrap();
        assert!(read > 0, "the request is complete");
        request += std::str::from_utf8(&buffer[..read]).unwrap();
        if let Some((head, body)) = request.split_once("\r\n\r\n") {
            let mut lines = head.lines();
            let length = lines.find_map(|line| line.strip_prefix("content-length: "));
            if body.len() == length.map_or(0, |length| length.parse().unwrap()) {
                return request;
            }
        }
    }
}

pub(super) struct Scene {
    replies: Vec<Reply>,
    seen: Rc<RefCell<Vec<String>>>,
}

impl Scene {
    pub(super) fn new(replies: impl IntoIterator<Item = Reply>) -> Self {
        Self {
            replies: replies.into_iter().collect(),
            seen: Rc::default(),
        }
    }

    /// Does something with a group of two hosts behind the scripted API.
    #[tokio::main(flavor = "current_thread")]
    pub(super) async fn run<C, T>(
        &self,
        open: impl Fn(&Environment) -> Result<Group<C>, BalancerError>,
        act: impl AsyncFnOnce(&mut Group<C>) -> T,
    ) -> T {
        let account = tempfile::NamedTempFile::new().unwrap();
        fs::write(account.path(), ACCOUNT).unwrap();
        fs::set_permissions(account.path(), fs::Permissions::from_mode(0o600)).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let mut group = open(&environment(&endpoint, account.path())).unwrap();
        tokio::select! {
            outcome = act(&mut group) => outcome,
            () = serve(listener, account.path(), self) => unreachable!(),
        }
    }

    pub(super) fn requests(&self) -> Vec<String> {
        self.seen.borrow().clone()
    }

    /// What was asked, in order.
    pub(super) fn actions(&self) -> Vec<String> {
        let action = |request: &String| header(request, "x-acs-action").unwrap().to_owned();
        self.seen.borrow().iter().map(action).collect()
    }
}

pub(super) fn header<'a>(request: &'a str, name: &str) -> Option<&'a str> {
    let lines = request.lines();
    let mut fields = lines.filter_map(|line| line.split_once(": "));
    fields.find_map(|(field, value)| (field == name).then_some(value))
}

type Pairs = Vec<(String, String)>;

/// The parameters in a request's query.
#[track_caller]
pub(super) fn query(request: &str) -> Pairs {
    let line = request.lines().next().unwrap();
    let target = line.strip_prefix("POST /").unwrap();
    let target = target.strip_suffix(" HTTP/1.1").unwrap();
    decoded(target.trim_start_matches('?'))
}

/// The parameters in a request's body.
#[track_caller]
pub(super) fn form(request: &str) -> Pairs {
    decoded(request.split_once("\r\n\r\n").unwrap().1)
}

fn decoded(text: &str) -> Pairs {
    let pairs = url::form_urlencoded::parse(text.as_bytes());
    pairs.into_owned().collect()
}

pub(super) fn pairs(pairs: &[(&str, &str)]) -> Pairs {
    let own = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
    pairs.iter().map(own).collect()
}

pub(super) fn member(balancer: &str, server: &str, port: u16) -> Member {
    Member {
        balancer: balancer.into(),
        group: "rsp-1".into(),
        server: server.into(),
        port,
    }
}

pub(super) fn weight_of(value: u8) -> Weight {
    Weight::new(value).unwrap()
}
