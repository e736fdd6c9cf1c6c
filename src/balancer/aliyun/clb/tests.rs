use std::{
    cell::{Cell, RefCell},
    fs,
    os::unix::fs::PermissionsExt,
    rc::Rc,
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

use super::*;
use crate::failure::Class;

/// A clock that sleeps in no time and remembers for how long.
#[derive(Clone, Default)]
struct Leap(Rc<Cell<Duration>>);

impl Clock for Leap {
    fn now(&self) -> Duration {
        self.0.get()
    }

    async fn sleep(&self, duration: Duration) {
        self.0.set(self.0.get() + duration);
    }
}

/// What the API does next.
#[derive(Clone)]
enum Reply {
    /// Status, extra header lines, body.
    Answer(u16, &'static str, String),
    /// The connection is cut.
    Cut,
}

/// Serves one reply a connection, repeating the last, and records the requests.
async fn serve(listener: TcpListener, replies: Vec<Reply>, seen: Rc<RefCell<Vec<String>>>) {
    let mut next = 0;
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
        if let Reply::Answer(status, headers, body) = reply {
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
    clock: Leap,
    seen: Rc<RefCell<Vec<String>>>,
}

impl Scene {
    fn new(replies: impl IntoIterator<Item = Reply>) -> Self {
        Self {
            replies: replies.into_iter().collect(),
            clock: Leap::default(),
            seen: Rc::default(),
        }
    }

    /// Does something with a group of two hosts behind the scripted API.
    #[tokio::main(flavor = "current_thread")]
    async fn run<T>(&self, act: impl AsyncFnOnce(&Clb<Leap>) -> T) -> T {
        let account = tempfile::NamedTempFile::new().unwrap();
        fs::write(
            account.path(),
            r#"{"access-key-id":"id","access-key-secret":"secret","security-token":"token"}"#,
        )
        .unwrap();
        fs::set_permissions(account.path(), fs::Permissions::from_mode(0o600)).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let balancer = config::Balancer {
            kind: config::BalancerKind::ClbVserverGroup,
            region: "cn-hangzhou".into(),
            id: "rsp-1".into(),
            port: 3131,
            endpoint: Some(endpoint.parse().unwrap()),
            account: Some(account.path().to_owned()),
        };
        let hosts = ["app-1", "app-2"].map(|name| config::Host {
            name: name.into(),
            ssh: "deploy@10.0.0.11".parse().unwrap(),
            host_key: "ssh-ed25519 AAAA".into(),
            server_id: format!("i-{name}"),
        });
        let clb = Clb::open(&balancer, &hosts, self.clock.clone()).unwrap();
        tokio::select! {
            outcome = act(&clb) => outcome,
            () = serve(listener, self.replies.clone(), self.seen.clone()) => unreachable!(),
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

fn weight_of(value: u8) -> Weight {
    Weight::new(value).unwrap()
}

#[test]
fn weights_are_read_whether_they_come_as_numbers_or_strings() {
    let scene = Scene::new([ok(&pool_body(100, 50, 7))]);
    let pool = scene.run(async |clb| clb.pool().await).unwrap();
    assert_eq!(pool.weights["app-1"], weight_of(100));
    assert_eq!(pool.weights["app-2"], weight_of(50));
    assert_eq!(
        pool.strangers,
        [("i-app-1:9999".to_owned(), weight_of(7))],
        "another port of the same server is another backend"
    );
}

#[test]
fn a_write_names_one_backend_and_always_its_weight() {
    let scene = Scene::new([ok(&pool_body(100, 50, 0)), ok("{}")]);
    scene
        .run(async |clb| clb.set_weight("app-1", Weight::ZERO).await)
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

#[test]
fn the_last_backend_in_service_is_not_taken_out() {
    let scene = Scene::new([ok(&pool_body(100, 0, 0))]);
    let error = scene
        .run(async |clb| clb.set_weight("app-1", Weight::ZERO).await)
        .unwrap_err();
    assert!(matches!(error, AliyunError::LastBackend { .. }), "{error}");
    assert_eq!(scene.requests().len(), 1, "nothing was written");
}

#[test]
fn a_host_that_is_no_member_is_named_with_the_members() {
    let body = pool_body(100, 100, 0).replace("i-app-2", "i-other");
    let scene = Scene::new([ok(&body)]);
    let error = scene.run(async |clb| clb.pool().await).unwrap_err();
    assert_eq!(
        error.to_string(),
        "host app-2 (i-app-2:3131) is not in VServer group rsp-1; \
         it has: i-app-1:3131, i-app-1:9999, i-other:3131"
    );
}

#[test]
fn a_busy_balancer_is_asked_again_with_a_new_nonce() {
    let scene = Scene::new([
        refusal(409, "BackendServer.configuring"),
        refusal(449, "SystemBusy"),
        Reply::Cut,
        ok(&pool_body(1, 1, 1)),
    ]);
    scene.run(async |clb| clb.pool().await).unwrap();
    let nonce = |request: &String| {
        let is_nonce = |line: &&str| line.starts_with("x-acs-signature-nonce");
        request.lines().find(is_nonce).unwrap().to_owned()
    };
    let mut nonces: Vec<_> = scene.requests().iter().map(nonce).collect();
    assert_eq!(nonces.len(), 4);
    nonces.sort();
    nonces.dedup();
    assert_eq!(nonces.len(), 4);
}

#[test]
fn a_balancer_that_stays_busy_is_given_up_after_its_budget() {
    let scene = Scene::new([refusal(400, "OperationBusy")]);
    let error = scene.run(async |clb| clb.pool().await).unwrap_err();
    assert!(matches!(error, AliyunError::Busy { .. }), "{error}");
    let waited = scene.clock.now();
    assert!(waited <= Duration::from_mins(2), "{waited:?}");
    assert!(waited >= Duration::from_secs(105), "{waited:?}");
}

#[test]
fn a_throttled_call_waits_as_long_as_it_is_told() {
    let told = Reply::Answer(
        400,
        "x-acs-retry-after: 60000\r\n",
        error_body("Throttling.User"),
    );
    let scene = Scene::new([told, ok(&pool_body(1, 1, 1))]);
    scene.run(async |clb| clb.pool().await).unwrap();
    assert!(scene.clock.now() >= Duration::from_mins(1));
}

#[track_caller]
fn check_tried(status: u16, code: &str, tries: usize) -> AliyunError {
    let scene = Scene::new([refusal(status, code)]);
    let error = scene.run(async |clb| clb.pool().await).unwrap_err();
    assert_eq!(scene.requests().len(), tries, "{code}");
    assert_eq!(error.class(), Class::System);
    error
}

#[test]
fn what_waiting_cannot_cure_is_not_tried_again() {
    let error = check_tried(404, "InvalidParameter", 1);
    assert_eq!(
        error.to_string(),
        "Aliyun refuses DescribeVServerGroupAttribute: InvalidParameter: Why (HTTP 404, request R-1)"
    );
    let error = check_tried(403, "Forbidden.RAM", 1).to_string();
    assert!(error.contains("allow the account's RAM user"), "{error}");
    let error = check_tried(404, "InvalidAccessKeyId.NotFound", 1).to_string();
    assert!(error.contains("put a live access key into /"), "{error}");
    let error = check_tried(400, "SignatureDoesNotMatch", 1).to_string();
    assert!(error.contains("access-key-secret"), "{error}");
    check_tried(400, "InvalidTimeStamp.Expired", 1);
    check_tried(400, "SignatureNonceUsed", 2);
    check_tried(400, "InvalidSecurityToken.Expired", 2);
    check_tried(500, "InternalError", 4);
}

#[test]
fn a_silent_api_is_unreachable_and_its_address_is_said() {
    let scene = Scene::new([Reply::Cut]);
    let error = scene.run(async |clb| clb.pool().await).unwrap_err();
    let text = error.to_string();
    assert!(
        text.starts_with("cannot reach Aliyun's API at http://127.0.0.1:"),
        "{text}"
    );
}

#[test]
fn a_weight_above_100_is_not_believed() {
    let scene = Scene::new([ok(&pool_body(101, 1, 1))]);
    let error = scene.run(async |clb| clb.pool().await).unwrap_err();
    assert!(error.to_string().contains("101 is not a weight"), "{error}");
}

#[test]
fn regions_have_their_documented_address() {
    assert_eq!(
        endpoint("cn-hangzhou").unwrap().as_str(),
        "https://slb.aliyuncs.com/"
    );
    assert_eq!(
        endpoint("cn-chengdu").unwrap().as_str(),
        "https://slb.cn-chengdu.aliyuncs.com/"
    );
    assert!(endpoint("not a region").is_err());
}
