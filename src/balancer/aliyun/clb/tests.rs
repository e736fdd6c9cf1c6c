use std::{fs, time::Duration};

use super::*;
use crate::{
    balancer::aliyun::scene::{
        self, Reply, error_body, header, ok, pairs, query, refusal, weight_of,
    },
    rollout::port::{Balancer, Fault, Retry},
};

struct Scene(scene::Scene);

impl Scene {
    fn new(replies: impl IntoIterator<Item = Reply>) -> Self {
        Self(scene::Scene::new(replies))
    }

    /// Does something with a `VServer` group.
    fn run<T>(&self, act: impl AsyncFnOnce(&mut Group<Clb>) -> T) -> T {
        self.0.run(Clb::vserver_group, act)
    }

    fn requests(&self) -> Vec<String> {
        self.0.requests()
    }
}

fn member(server: &str, port: u16) -> Member {
    scene::member("lb-1", server, port)
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

#[test]
fn weights_are_read_whether_they_come_as_numbers_or_strings() {
    let scene = Scene::new([ok(pool_body(100, 50, 7))]);
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
    let scene = Scene::new([ok(pool_body(100, 50, 0)), ok("{}")]);
    scene
        .run(async |clb| clb.set_weight(&member("i-app-1", 3131), Weight::ZERO).await)
        .unwrap();
    let requests = scene.requests();
    let expect = pairs(&[
        (
            "BackendServers",
            r#"[{"Description":"web","Port":"3131","ServerId":"i-app-1","Type":"ecs","Weight":"0"}]"#,
        ),
        ("RegionId", "cn-hangzhou"),
        ("VServerGroupId", "rsp-1"),
    ]);
    assert_eq!(query(&requests[1]), expect);
    for line in [
        "x-acs-action: SetVServerGroupAttribute",
        "x-acs-version: 2014-05-15",
        "x-acs-security-token: token",
        "x-acs-accesskey-id: id",
        "authorization: ACS3-HMAC-SHA256 Credential=id,SignedHeaders=host;x-acs-accesskey-id;\
         x-acs-action;x-acs-content-sha256;x-acs-date;x-acs-security-token;\
         x-acs-signature-nonce;x-acs-version,Signature=",
    ] {
        assert!(requests[1].contains(line), "{line}\n{}", requests[1]);
    }
}

#[test]
fn a_second_port_comes_in_without_weight_as_the_backend_that_its_machine_has() {
    let scene = Scene::new([ok(pool_body(100, 50, 0)), ok("{}")]);
    let second = member("i-app-1", 3132);
    scene.run(async |clb| clb.join(&second).await).unwrap();
    let requests = scene.requests();
    assert!(requests[1].contains("x-acs-action: AddVServerGroupBackendServers"));
    let entry =
        r#"[{"Description":"web","Port":"3132","ServerId":"i-app-1","Type":"ecs","Weight":"0"}]"#;
    assert_eq!(query(&requests[1])[0].1, entry);
}

#[test]
fn what_is_in_or_out_of_the_group_already_is_not_asked_for() {
    let scene = Scene::new([ok(pool_body(100, 50, 0))]);
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
    let scene = Scene::new([ok(pool_body(100, 50, 0))]);
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
    let scene = Scene::new([ok(pool_body(100, 0, 0))]);
    let error = scene
        .run(async |clb| clb.set_weight(&member("i-app-1", 3131), Weight::ZERO).await)
        .unwrap_err();
    assert!(matches!(error, BalancerError::LastMember { .. }), "{error}");
    assert_eq!(scene.requests().len(), 1, "nothing was written");
}

#[test]
fn a_host_that_is_no_member_is_named_with_the_members() {
    let body = pool_body(100, 100, 0).replace("i-app-2", "i-other");
    let scene = Scene::new([ok(body)]);
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
        clb.calls.api.limit = Duration::from_millis(50);
        clb.pool().await
    });
    assert_eq!(error.unwrap_err().retry(), Retry::SOON);
}

#[test]
fn a_security_token_that_was_replaced_is_used_at_once() {
    let scene = Scene::new([ok(pool_body(1, 1, 1))]);
    scene.run(async |clb| {
        clb.pool().await.unwrap();
        let account = clb.calls.api.account.clone();
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
    let mut environment = scene::environment("http://127.0.0.1:1", "/nowhere".as_ref());
    environment.balancer.id.clear();
    environment.balancer.account = None;
    environment.hosts[1].server_id.clear();
    let error = Clb::vserver_group(&environment).err().unwrap();
    assert_eq!(
        error.to_string(),
        "environments/production.toml: missing: balancer.id, balancer.account, \
         hosts.server-id of `app-2`"
    );
}

#[test]
fn a_weight_above_100_is_not_believed() {
    let scene = Scene::new([ok(pool_body(101, 1, 1))]);
    let error = scene.run(async |clb| clb.pool().await).unwrap_err();
    assert!(error.to_string().contains("101 is not a weight"), "{error}");
}

#[test]
fn a_post_says_how_long_it_is() {
    let scene = Scene::new([ok(pool_body(1, 1, 1))]);
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
        let scene = Scene::new([ok(body), ok("{}")]);
        let write = async |clb: &mut Group<Clb>| {
            clb.set_weight(&member("i-app-1", 3131), Weight::ZERO).await
        };
        scene.run(write).unwrap();
        let entry = query(&scene.requests()[1]).remove(0).1;
        assert_eq!(entry.contains("Description"), is_sent, "{entry}");
    }
}

#[test]
fn a_nonce_that_was_used_is_replaced_at_once_also_after_a_busy_answer() {
    let scene = Scene::new([
        refusal(409, "BackendServer.configuring"),
        refusal(400, "SignatureNonceUsed"),
        ok(pool_body(1, 1, 1)),
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
        ok(pool_body(1, 1, 1)),
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

/// A load balancer's description, and its `VServer` groups with the listeners that send to them.
fn default_bodies(listeners: &str, used: &str) -> [Reply; 2] {
    let described = format!(
        r#"{{"RequestId":"R","LoadBalancerId":"rsp-1","ListenerPortsAndProtocol":{{"ListenerPortAndProtocol":[{listeners}]}},
        "BackendServers":{{"BackendServer":[
        {{"ServerId":"i-app-1","ServerIp":"10.0.0.11","Weight":100,"Type":"ecs","Description":""}},
        {{"ServerId":"i-app-2","ServerIp":"10.0.0.12","Weight":"50","Type":"ecs","Description":""}}]}}}}"#
    );
    let groups = format!(
        r#"{{"RequestId":"R","VServerGroups":{{"VServerGroup":[{{"VServerGroupId":"rsp-9","AssociatedObjects":{{"Listeners":{{"Listener":[{used}]}},"Rules":{{"Rule":[]}}}}}}]}}}}"#
    );
    [ok(described), ok(groups)]
}

const HTTP: &str = r#"{"ListenerPort":80,"ListenerProtocol":"http"}"#;
const HTTPS: &str = r#"{"ListenerPort":443,"ListenerProtocol":"https"}"#;

#[test]
fn the_default_group_is_read_and_written_without_ports() {
    let [described, groups] = default_bodies(
        &format!("{HTTP},{HTTPS}"),
        r#"{"Port":80,"Protocol":"http"}"#,
    );
    let scene = scene::Scene::new([described.clone(), groups, described, ok("{}")]);
    let own = |pool: &crate::rollout::port::Pool| pool.own["app-1"].clone();
    scene
        .run(Clb::default_group, async |clb| {
            let pool = clb.pool().await?;
            assert_eq!(pool.weight("app-1"), Some(weight_of(100)));
            assert_eq!(pool.weight("app-2"), Some(weight_of(50)));
            assert_eq!(own(&pool), scene::member("rsp-1", "i-app-1", 3131));
            let pool = clb.pool().await?;
            clb.set_weight(&own(&pool), Weight::ZERO).await
        })
        .unwrap();
    let expect = [
        "DescribeLoadBalancerAttribute",
        "DescribeVServerGroups",
        "DescribeLoadBalancerAttribute",
        "SetBackendServers",
    ];
    assert_eq!(scene.actions(), expect, "who sends to it is asked once");
    let expect = pairs(&[
        (
            "BackendServers",
            r#"[{"ServerId":"i-app-1","Type":"ecs","Weight":"0"}]"#,
        ),
        ("LoadBalancerId", "rsp-1"),
        ("RegionId", "cn-hangzhou"),
    ]);
    assert_eq!(query(&scene.requests()[3]), expect);
}

#[test]
fn a_default_group_that_no_listener_sends_to_is_refused() {
    let scene = scene::Scene::new(default_bodies(HTTP, r#"{"Port":80,"Protocol":"HTTP"}"#));
    let error = scene.run(Clb::default_group, async |clb| clb.pool().await);
    let error = error.unwrap_err();
    assert_eq!(error.retry(), Retry::Never, "{error}");
    assert!(
        error.to_string().contains("kind = \"clb-vserver-group\""),
        "{error}"
    );
}

#[test]
fn a_refused_right_is_named_with_its_action() {
    for (open, right) in [
        (
            Clb::vserver_group as fn(&_) -> _,
            "slb:SetVServerGroupAttribute",
        ),
        (Clb::default_group, "slb:SetBackendServers"),
    ] {
        let scene = scene::Scene::new([refusal(403, "Forbidden.RAM")]);
        let error = scene.run(open, async |clb| clb.pool().await).unwrap_err();
        assert!(error.to_string().contains(right), "{error}");
        assert!(header(&scene.requests()[0], "authorization").is_some());
    }
}
