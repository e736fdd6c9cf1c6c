//! The folder of a Dockerfile between an engine and a client that both speak as the real ones do.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE;
use bytes::Bytes;
use h2::client::SendRequest;
use h2::{RecvStream, SendStream};
use hyper::{Request, Response};
use tokio::io::{DuplexStream, duplex};

use super::folder::{Rewrite, answer};
use super::packet::{Packet, Stat};
use crate::gate::build::wire::push_bytes;
use crate::gate::refusal::Denied;
use crate::gate::tunnel::{Call, Inbox, accept, connect, ended, framed, send_all};

/// Writes `FROM` in small letters, and refuses what holds `evil`.
struct Small;

impl Rewrite for Small {
    fn is_wanted(&self, path: &str) -> bool {
        path == "Dockerfile"
    }

    async fn rewrite(&self, content: &[u8]) -> Result<Vec<u8>, Denied> {
        let text = String::from_utf8_lossy(content);
        if text.contains("evil") {
            return Err(Denied::forbidden("evil is not allowed"));
        }
        Ok(text.replace("FROM", "from this:").into_bytes())
    }

    fn mark(&self, content: &[u8]) -> u64 {
        content.len() as u64
    }
}

type Files = Vec<(&'static str, u64, &'static str)>;

/// A client that has these files: path, mode, and content or where a link leads.
async fn serve(wire: DuplexStream, files: Files) {
    let mut server = accept(wire).await.unwrap();
    let mut tasks = Vec::new();
    while let Some(Ok((request, mut respond))) = server.accept().await {
        assert_eq!(request.headers()["dir-name"], "dockerfile");
        let files = files.clone();
        tasks.push(tokio::spawn(async move {
            let mut body = request.into_body();
            let mut send = respond.send_response(Response::new(()), false).unwrap();
            for (path, mode, content) in &files {
                let is_link = *mode >> 27 & 1 == 1;
                let stat = Stat {
                    path: (*path).to_owned(),
                    mode: *mode,
                    size: content.len() as u64,
                    modified: 1,
                    link: if is_link {
                        (*content).to_owned()
                    } else {
                        String::new()
                    },
                };
                say(&mut send, &Packet::Stat(stat)).await;
            }
            say(&mut send, &Packet::LastStat).await;
            let mut inbox = Inbox::default();
            while let Some(Packet::Request(id)) = hear(&mut inbox, &mut body).await {
                let content = files[id as usize].2.as_bytes();
                for part in content.chunks(content.len() / 1000 + 3) {
                    say(&mut send, &Packet::Data(id, part.to_vec())).await;
                }
                say(&mut send, &Packet::Data(id, Vec::new())).await;
            }
            say(&mut send, &Packet::Finished).await;
            send.send_trailers(ended(0, "")).unwrap();
        }));
    }
}

async fn say(to: &mut SendStream<Bytes>, packet: &Packet) {
    send_all(to, framed(&packet.write())).await.unwrap();
}

async fn hear(inbox: &mut Inbox, from: &mut RecvStream) -> Option<Packet> {
    let message = inbox.next(from).await.unwrap()?;
    Some(Packet::read(&message).unwrap())
}

/// A sender to whoever serves the other end.
async fn reach(wire: DuplexStream) -> SendRequest<Bytes> {
    let (sender, connection) = connect(wire).await.unwrap();
    tokio::spawn(connection);
    sender
}

/// What the engine gets: each path with its time, size and content; or the refusal.
async fn received(files: Files) -> Result<Vec<(String, u64, u64, String)>, String> {
    let (client, gate_client) = duplex(64 * 1024);
    let (engine, gate_engine) = duplex(64 * 1024);
    tokio::spawn(serve(client, files));
    tokio::spawn(async move {
        let client = reach(gate_client).await;
        let mut engine = accept(gate_engine).await.unwrap();
        while let Some(Ok((request, respond))) = engine.accept().await {
            let client = client.clone();
            tokio::spawn(async move {
                answer(Call::new(request, respond), client, &Small)
                    .await
                    .unwrap();
            });
        }
    });
    let mut request = Request::new(());
    *request.uri_mut() = "http://engine/moby.filesync.v1.FileSync/DiffCopy"
        .parse()
        .unwrap();
    request
        .headers_mut()
        .insert("dir-name", "dockerfile".parse().unwrap());
    let sender = reach(engine).await.ready().await.unwrap();
    let (response, mut send) = { sender }.send_request(request, false).unwrap();
    let mut body = response.await.unwrap().into_body();
    let (mut inbox, mut stats) = (Inbox::default(), Vec::new());
    loop {
        match hear(&mut inbox, &mut body).await.unwrap() {
            Packet::Stat(stat) => stats.push(stat),
            Packet::Failed(text) => return Err(text),
            _ => break,
        }
    }
    let mut all = Vec::new();
    for (at, stat) in stats.into_iter().enumerate() {
        let mut content = Vec::new();
        if stat.is_file() {
            say(&mut send, &Packet::Request(u32::try_from(at).unwrap())).await;
            while let Some(Packet::Data(id, data)) = hear(&mut inbox, &mut body).await {
                assert_eq!(id as usize, at);
                if data.is_empty() {
                    break;
                }
                content.extend(data);
            }
        }
        let content = String::from_utf8(content).unwrap();
        all.push((stat.path, stat.modified, stat.size, content + &stat.link));
    }
    say(&mut send, &Packet::Finished).await;
    assert_eq!(hear(&mut inbox, &mut body).await, Some(Packet::Finished));
    assert_eq!(hear(&mut inbox, &mut body).await, None);
    assert_eq!(body.trailers().await.unwrap().unwrap()["grpc-status"], "0");
    Ok(all)
}

const LINK: u64 = 1 << 27 | 0o777;

#[tokio::test]
async fn a_dockerfile_reaches_the_engine_as_it_was_written_anew() {
    let files = vec![
        ("Dockerfile", 0o644, "FROM a\n"),
        ("Dockerfile.dockerignore", 0o644, "FROM"),
        ("a", 1 << 31 | 0o755, ""),
        ("a/dockerfile", 0o644, "evil"),
        ("b", LINK, "a/dockerfile"),
        ("pipe", 1 << 25, ""),
    ];
    let (file, list, folder, link) = ("Dockerfile", "Dockerfile.dockerignore", "a", "b");
    let item =
        |path: &str, size: u64, content: &str| (path.to_owned(), size, size, content.to_owned());
    assert_eq!(
        received(files).await.unwrap(),
        [
            item(file, 13, "from this: a\n"),
            item(list, 4, "FROM"),
            (folder.to_owned(), 1, 0, String::new()),
            (link.to_owned(), 1, 12, "a/dockerfile".to_owned()),
        ]
    );
}

#[tokio::test]
async fn what_the_engine_would_read_unjudged_is_refused() {
    for (files, word) in [
        (
            vec![("Dockerfile", 0o644, "FROM evil\n")],
            "evil is not allowed",
        ),
        // Nobody knows which one the engine reads.
        (vec![("other", 0o644, "FROM evil\n")], "evil is not allowed"),
        (
            vec![
                ("Dockerfile", LINK, "x.dockerignore"),
                ("x.dockerignore", 0o644, "FROM evil"),
            ],
            "is a link to a .dockerignore",
        ),
    ] {
        let said = received(files).await.unwrap_err();
        assert!(said.contains(word), "{said}");
    }
}

#[tokio::test]
async fn a_folder_that_is_no_dockerfile_s_is_not_kept_in_memory() {
    static LARGE: std::sync::LazyLock<String> = std::sync::LazyLock::new(|| "x".repeat(17 << 20));
    let said = received(vec![("Dockerfile", 0o644, LARGE.as_str())]).await;
    assert!(said.unwrap_err().contains("too large"));
}

#[tokio::test]
async fn a_client_is_asked_for_its_account_as_the_engine_would_ask() {
    let (client, gate) = duplex(64 * 1024);
    let asked = tokio::spawn(async move {
        let mut server = accept(client).await.unwrap();
        let (request, mut respond) = server.accept().await.unwrap().unwrap();
        let path = request.uri().path().to_owned();
        let answering = tokio::spawn(async move {
            let mut body = request.into_body();
            let said = Inbox::default().next(&mut body).await.unwrap().unwrap();
            let mut send = respond.send_response(Response::new(()), false).unwrap();
            let (mut account, name) = (Vec::new(), b"robot$ci");
            push_bytes(&mut account, 1, name);
            push_bytes(&mut account, 2, b"secret");
            send_all(&mut send, framed(&account)).await.unwrap();
            send.send_trailers(ended(0, "")).unwrap();
            said
        });
        while server.accept().await.is_some() {}
        (path, answering.await.unwrap())
    });
    let sender = reach(gate).await;
    let headers = super::login::header(sender, "harbor.example.com").await;
    let (path, said) = asked.await.unwrap();
    let mut expect = Vec::new();
    push_bytes(&mut expect, 1, b"harbor.example.com");
    assert_eq!(
        (path.as_str(), said.to_vec()),
        ("/moby.filesync.v1.Auth/Credentials", expect)
    );
    let account = URL_SAFE
        .decode(headers["x-registry-auth"].as_bytes())
        .unwrap();
    let account: serde_json::Value = serde_json::from_slice(&account).unwrap();
    assert_eq!(account["username"], "robot$ci");
    assert_eq!(account["password"], "secret");
}
