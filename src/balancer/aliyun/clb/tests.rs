use std::{cell::RefCell, fs, os::unix::fs::PermissionsExt, path::Path, rc::Rc, time::Duration};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

use super::*;
use crate::rollout::port::{Fault, Retry};

/// An environment with two hosts; `endpoint` and `account` are where a test has them.
fn environment(endpoint: &str, account: &Path) -> Environment {
    let mut text =
        include_str!("../../../../runner-config/environments/production.toml").to_owned();
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

const ACCOUNT: &str =
    r#"{"access-key-id":"id","access-key-secret":"secret","security-token":"token"}"#;

/// What the API does next.
#[derive(Clone)]
enum Reply {
    /// Status, extra header lines, body.
    Answer(u16, &'static str, String),
    /// The account has another token by now, and the old one is refused.
    Renewed(String),
    /// The connection is cut.
    Cut,
    /// Nothing, for ever.
    Silence,
}

/// Serves one reply a connection, repeating the last, and records the requests.
async fn serve(listener: TcpListener, account: &Path, scene: &Scene) {
    let mut next = 0;
    let Scene { replies, seen } = scene;
    loop {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut request = String::new();
        let mut buffer = [0; 4096];
        while !request.contains("\r\n\r\n") {
            let read = stream.read(&mut buffer).await.unwrap();
            assert!(read > 0, "the request is complete");
            request += std::str::from_utf8(&buffer[..read]).unwrap();
        }
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

struct Scene {
    replies: Vec<Reply>,
    seen: Rc<RefCell<Vec<String>>>,
}

impl Scene {
    fn new(replies: impl IntoIterator<Item = Reply>) -> Self {
        Self {
            replies: replies.into_iter().collect(),
            seen: Rc::default(),
        }
    }

    /// Does something with a group of two hosts behind the scripted API.
    #[tokio::main(flavor = "current_thread")]
    async fn run<T>(&self, act: impl AsyncFnOnce(&mut Clb) -> T) -> T {
        let account = tempfile::NamedTempFile::new().unwrap();
        fs::write(account.path(), ACCOUNT).unwrap();
        fs::set_permissions(account.path(), fs::Permissions::from_mode(0o600)).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let mut clb = Clb::open(&environment(&endpoint, account.path())).unwrap();
        tokio::select! {
            outcome = act(&mut clb) => outcome,
            () = serve(listener, account.path(), self) => unreachable!(),
        }
    }

    fn requests(&self) -> Vec<String> {
        self.seen.borrow().clone()
    }
}

fn ok(body: &str) -> Reply {
    Reply::Answer(200, "", body.into())
}

fn refusal(status: u16, code: &str) -> Reply {
    Reply::Answer(status, "", error_body(code))
}

fn error_body(code: &str) -> String {
    format!(
        r#"{{"RequestId":"R-1","HostId":"slb.aliyuncs.com","Code":"{code}","Message":"Why.","Recommend":"https://x"}}"#
    )
}

/// The pool as Aliyun writes it: weights once as a number, once as a string.
fn pool_body(first: u8, second: u8, stranger: u8) -> String {
    format!(
        r#"{{"RequestId":"R","LoadBalancerId":"lb-1","VServerGroupId":"rsp-1","BackendServers":{{"BackendServer":[
        {{"ServerId":"i-app-1","ServerIp":"10.0.0.11","Port":3131,"Weight":{first},"Type":"ecs","Description":"web"}},
        {{"ServerId":"i-app-1","ServerIp":"10.0.0.11","Port":9999,"Weight":{stranger},"Type":"ecs"}},
        {{"ServerId":"i-app-2","ServerIp":"10.0.0.12","Port":"3131","Weight":"{second}","Type":"ecs"}}]}}}}"#
    )
}

fn member(server: &str, port: u16) -> Member {
    Member {
        balancer: "lb-1".into(),
        group: "rsp-1".into(),
        server: server.into(),
        port,
    }
}

fn weight_of(value: u8) -> Weight {
    Weight::new(value).unwrap()
}

#[test]
fn weights_are_read_whether_they_come_as_numbers_or_strings() {
    let scene = Scene::new([ok(&pool_body(100, 50, 7))]);
    let pool = scene.run(async |clb| clb.pool().await).unwrap();
    assert_eq!(pool.weight("app-1"), Some(weight_of(100)));
    assert_eq!(pool.weight("app-2"), Some(weight_of(50)));
    let siblings: Vec<_> = pool.siblings("app-1").collect();
    let expect = member("i-app-1", 9999);
    assert_eq!(siblings, [(&expect, weight_of(7))]);
    assert_eq!(pool.strangers().count(), 0, "it is the same machine");
}

#[test]
fn a_write_names_one_backend_and_always_its_weight() {
    let scene = Scene::new([ok(&pool_body(100, 50, 0)), ok("{}")]);
    scene
        .run(async |clb| clb.set_weight(&member("i-app-1", 3131), Weight::ZERO).await)
        .unwrap();
    let requests = scene.requests();
    let line = requests[1].lines().next().unwrap();
    let query = line
        .strip_prefix("POST /?")
        .and_then(|line| line.strip_suffix(" HTTP/1.1"))
        .unwrap();
    let sent: Vec<_> = url::form_urlencoded::parse(query.as_bytes()).collect();
    let sent: Vec<_> = sent.iter().map(|(k, v)| (k.as_ref(), v.as_ref())).collect();
    assert_eq!(
        sent,
        [
            (
                "BackendServers",
                r#"[{"Description":"web","Port":"3131","ServerId":"i-app-1","Type":"ecs","Weight":"0"}]"#
            ),
            ("RegionId", "cn-hangzhou"),
            ("VServerGroupId", "rsp-1"),
        ]
    );
    for header in [
        "x-acs-action: SetVServerGroupAttribute",
        "x-acs-version: 2014-05-15",
        "x-acs-security-token: token",
        "x-acs-accesskey-id: id",
        "authorization: ACS3-HMAC-SHA256 Credential=id,SignedHeaders=host;x-acs-accesskey-id;\
         x-acs-action;x-acs-content-sha256;x-acs-date;x-acs-security-token;\
         x-acs-signature-nonce;x-acs-version,Signature=",
    ] {
        assert!(requests[1].contains(header), "{header}\n{}", requests[1]);
    }
}

#[track_caller]
fn sent(request: &str) -> Vec<(String, String)> {
    let line = request.lines().next().unwrap();
    let query = line
        .strip_prefix("POST /?")
        .and_then(|line| line.strip_suffix(" HTTP/1.1"))
        .unwrap();
    let sent = url::form_urlencoded::parse(query.as_bytes());
    sent.into_owned().collect()
}

#[test]
fn a_second_port_comes_in_without_weight_as_the_backend_that_its_machine_has() {
    let scene = Scene::new([ok(&pool_body(100, 50, 0)), ok("{}")]);
    let second = member("i-app-1", 3132);
    scene.run(async |clb| clb.join(&second).await).unwrap();
    let requests = scene.requests();
    assert!(requests[1].contains("x-acs-action: AddVServerGroupBackendServers"));
    let entry =
        r#"[{"Description":"web","Port":"3132","ServerId":"i-app-1","Type":"ecs","Weight":"0"}]"#;
    assert_eq!(sent(&requests[1])[0].1, entry);
}

#[test]
fn what_is_in_or_out_of_the_group_already_is_not_asked_for() {
    let scene = Scene::new([ok(&pool_body(100, 50, 0))]);
    scene
        .run(async |clb| {
            clb.join(&member("i-app-1", 9999)).await?;
            clb.leave(&member("i-app-2", 9999)).await
        })
        .unwrap();
    assert_eq!(scene.requests().len(), 2, "it was only looked");
    let error = scene.run(async |clb| clb.join(&member("i-other", 3132)).await);
    let error = error.unwrap_err().to_string();
    assert!(
        error.contains("i-other:3132 is not behind the balancer"),
        "{error}"
    );
}

#[test]
fn one_read_serves_one_write() {
    let scene = Scene::new([ok(&pool_body(100, 50, 0))]);
    scene
        .run(async |clb| {
            clb.pool().await?;
            clb.set_weight(&member("i-app-1", 3131), weight_of(10))
                .await?;
            clb.set_weight(&member("i-app-1", 3131), weight_of(20))
                .await
        })
        .unwrap();
    let actions: Vec<_> = scene
        .requests()
        .iter()
        .map(|it| it.contains("SetVServer"))
        .collect();
    assert_eq!(actions, [false, true, false, true]);
}

#[test]
fn the_last_backend_in_service_is_not_taken_out() {
    let scene = Scene::new([ok(&pool_body(100, 0, 0))]);
    let error = scene
        .run(async |clb| clb.set_weight(&member("i-app-1", 3131), Weight::ZERO).await)
        .unwrap_err();
    assert!(matches!(error, BalancerError::LastMember { .. }), "{error}");
    assert_eq!(scene.requests().len(), 1, "nothing was written");
}

#[test]
fn a_host_that_is_no_member_is_named_with_the_members() {
    let body = pool_body(100, 100, 0).replace("i-app-2", "i-other");
    let scene = Scene::new([ok(&body)]);
    let pool = scene.run(async |clb| clb.pool().await).unwrap();
    assert_eq!(
        pool.weight("app-1"),
        Some(weight_of(100)),
        "the others go on"
    );
    assert_eq!(pool.weight("app-2"), None);
    assert_eq!(pool.own["app-2"], member("i-app-2", 3131));
    let write = scene.run(async |clb| {
        let gone = member("i-app-2", 3131);
        clb.set_weight(&gone, Weight::ZERO).await
    });
    assert_eq!(
        write.unwrap_err().to_string(),
        "i-app-2:3131 is not behind the balancer; rsp-1 has: \
         i-app-1:3131, i-app-1:9999, i-other:3131"
    );
}

#[track_caller]
fn check_refused(reply: Reply, retry: Retry, expect: &str) {
    let scene = Scene::new([reply]);
    let error = scene.run(async |clb| clb.pool().await).unwrap_err();
    assert_eq!(scene.requests().len(), 1, "an adapter tries once: {error}");
    assert_eq!(error.retry(), retry, "{error}");
    assert!(error.to_string().contains(expect), "{error}");
}

#[test]
fn a_failed_call_is_made_once_and_says_whether_to_try_again() {
    check_refused(
        refusal(404, "InvalidParameter"),
        Retry::Never,
        "the balancer refuses DescribeVServerGroupAttribute: InvalidParameter: Why (HTTP 404, request R-1)",
    );
    check_refused(refusal(403, "Forbidden.RAM"), Retry::Never, "RAM user");
    let told = "x-acs-retry-after: 60000\r\n";
    check_refused(
        Reply::Answer(400, told, error_body("Throttling.User")),
        Retry::After(Duration::from_mins(1)),
        "Throttling.User",
    );
    check_refused(
        Reply::Cut,
        Retry::SOON,
        "cannot reach the balancer's API at http://127.0.0.1:",
    );
}

#[test]
fn an_api_that_never_answers_is_given_up() {
    let scene = Scene::new([Reply::Silence]);
    let error = scene.run(async |clb| {
        clb.api.limit = Duration::from_millis(50);
        clb.pool().await
    });
    assert_eq!(error.unwrap_err().retry(), Retry::SOON);
}

#[test]
fn a_security_token_that_was_replaced_is_used_at_once() {
    let scene = Scene::new([ok(&pool_body(1, 1, 1))]);
    scene.run(async |clb| {
        clb.pool().await.unwrap();
        let account = clb.api.account.clone();
        let text = fs::read_to_string(&account).unwrap();
        fs::write(&account, text.replace("\"token\"", "\"fresh\"")).unwrap();
        clb.pool().await.unwrap();
    });
    let requests = scene.requests();
    assert!(requests[0].contains("x-acs-security-token: token"));
    assert!(requests[1].contains("x-acs-security-token: fresh"));
}

#[test]
fn all_missing_keys_are_named_at_once() {
    let mut environment = environment("http://127.0.0.1:1", Path::new("/nowhere"));
    environment.balancer.id.clear();
    environment.balancer.account = None;
    environment.hosts[1].server_id.clear();
    let error = Clb::open(&environment).err().unwrap();
    assert_eq!(
        error.to_string(),
        "environments/production.toml: missing: balancer.id, balancer.account, \
         hosts.server-id of `app-2`"
    );
}

#[test]
fn a_weight_above_100_is_not_believed() {
    let scene = Scene::new([ok(&pool_body(101, 1, 1))]);
    let error = scene.run(async |clb| clb.pool().await).unwrap_err();
    assert!(error.to_string().contains("101 is not a weight"), "{error}");
}

#[test]
fn a_post_says_how_long_it_is() {
    let scene = Scene::new([ok(&pool_body(1, 1, 1))]);
    scene.run(async |clb| clb.pool().await).unwrap();
    let request = scene.requests().remove(0).to_lowercase();
    assert!(request.contains("\r\ncontent-length: 0\r\n"), "{request}");
    assert!(!request.contains("transfer-encoding"), "{request}");
}

#[test]
fn a_description_that_may_not_be_written_is_left_out() {
    for (description, is_sent) in [
        ("web_1", true),
        ("生产", true),
        ("a b", false),
        ("&lt;web&gt;", false),
        (&"w".repeat(81), false),
    ] {
        let body = pool_body(100, 50, 0).replace(r#""web""#, &format!(r#""{description}""#));
        let scene = Scene::new([ok(&body), ok("{}")]);
        let write =
            async |clb: &mut Clb| clb.set_weight(&member("i-app-1", 3131), Weight::ZERO).await;
        scene.run(write).unwrap();
        let entry = sent(&scene.requests()[1]).remove(0).1;
        assert_eq!(entry.contains("Description"), is_sent, "{entry}");
    }
}

#[test]
fn a_nonce_that_was_used_is_replaced_at_once_also_after_a_busy_answer() {
    let scene = Scene::new([
        refusal(409, "BackendServer.configuring"),
        refusal(400, "SignatureNonceUsed"),
        ok(&pool_body(1, 1, 1)),
    ]);
    scene.run(async |clb| {
        clb.pool().await.unwrap_err();
        clb.pool().await.unwrap();
    });
    assert_eq!(scene.requests().len(), 3);
    let scene = Scene::new([refusal(400, "SignatureNonceUsed")]);
    let error = scene.run(async |clb| clb.pool().await).unwrap_err();
    assert_eq!(error.retry(), Retry::SOON, "{error}");
    assert_eq!(scene.requests().len(), 2, "once more, and no oftener");
}

#[test]
fn a_token_that_was_renewed_meanwhile_is_used_at_once_also_after_a_busy_answer() {
    let scene = Scene::new([
        refusal(409, "BackendServer.configuring"),
        Reply::Renewed(error_body("InvalidSecurityToken.Expired")),
        ok(&pool_body(1, 1, 1)),
    ]);
    scene.run(async |clb| {
        clb.pool().await.unwrap_err();
        clb.pool().await.unwrap();
    });
    let requests = scene.requests();
    assert!(requests[1].contains("x-acs-security-token: token"));
    assert!(requests[2].contains("x-acs-security-token: fresh"));
    // One that nobody renewed is a person's turn.
    let scene = Scene::new([refusal(400, "InvalidSecurityToken.Expired")]);
    let error = scene.run(async |clb| clb.pool().await).unwrap_err();
    assert_eq!(error.retry(), Retry::Never, "{error}");
    assert_eq!(scene.requests().len(), 1, "{error}");
}
