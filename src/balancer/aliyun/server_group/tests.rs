use super::*;
use crate::{
    balancer::aliyun::scene::{Scene, form, header, member, ok, pairs, query, refusal, weight_of},
    rollout::port::{Balancer, Fault, Retry},
};

type Open = fn(&Environment) -> Result<Group<ServerGroup>, BalancerError>;

const KINDS: [(&str, Open); 2] = [("alb", ServerGroup::alb), ("nlb", ServerGroup::nlb)];

/// A group's servers: id, port, weight, state.
fn servers(servers: &[(&str, u16, u8, &str)]) -> String {
    let server = |(id, port, weight, state): &(&str, u16, u8, &str)| {
        serde_json::json!({
            "ServerGroupId": "rsp-1", "ServerId": id, "ServerType": "Ecs", "ServerIp": "10.0.0.1",
            "Port": port, "Weight": weight, "Status": state, "Description": "web",
        })
    };
    let servers: Vec<_> = servers.iter().map(server).collect();
    serde_json::json!({"RequestId": "R", "TotalCount": servers.len(), "Servers": servers})
        .to_string()
}

fn two(first: (u8, &str)) -> String {
    let (weight, state) = first;
    servers(&[
        ("i-app-1", 3131, weight, state),
        ("i-app-2", 3131, 50, "Available"),
    ])
}

#[test]
fn every_page_is_read() {
    for (kind, open) in KINDS {
        let first = servers(&[("i-app-1", 3131, 100, "Available")]);
        let first = first.replace("\"RequestId\"", "\"NextToken\":\"more\",\"RequestId\"");
        let second = servers(&[("i-app-2", 3131, 7, "Available")]);
        let scene = Scene::new([ok(first), ok(second)]);
        let pool = scene.run(open, async |it| it.pool().await).unwrap();
        assert_eq!(pool.weight("app-1"), Some(weight_of(100)));
        assert_eq!(pool.weight("app-2"), Some(weight_of(7)));
        assert_eq!(pool.own["app-2"], member(kind, "i-app-2", 3131));
        let request = &scene.requests()[1];
        let sent = [query(request), form(request)].concat();
        assert!(
            sent.contains(&("NextToken".into(), "more".into())),
            "{sent:?}"
        );
    }
}

#[test]
fn each_parameter_of_a_write_is_where_the_vendor_s_sdk_has_it() {
    let list = two((100, "Available"));
    let server = [
        ("Servers.1.Description", "web"),
        ("Servers.1.Port", "3131"),
        ("Servers.1.ServerId", "i-app-1"),
        ("Servers.1.ServerType", "Ecs"),
        ("Servers.1.Weight", "0"),
    ];
    let scope = [("RegionId", "cn-hangzhou"), ("ServerGroupId", "rsp-1")];
    for (kind, open) in KINDS {
        let scene = Scene::new([ok(list.as_str()), ok(r#"{"JobId":"j-1"}"#)]);
        let write = async |it: &mut Group<ServerGroup>| {
            let first = member(kind, "i-app-1", 3131);
            it.set_weight(&first, Weight::ZERO).await
        };
        scene.run(open, write).unwrap();
        let request = &scene.requests()[1];
        let expect = match kind {
            "alb" => (pairs(&scope[1..]), pairs(&server)),
            _ => (Vec::new(), pairs(&[&scope[..], &server].concat())),
        };
        assert_eq!((query(request), form(request)), expect, "{kind}");
        assert_eq!(header(request, "x-acs-action"), Some(UPDATE));
        let kind = header(request, "content-type");
        assert_eq!(kind, Some("application/x-www-form-urlencoded"));
        let signed = header(request, "authorization").unwrap();
        assert!(
            signed.contains("SignedHeaders=content-type;host;"),
            "{signed}"
        );
    }
}

#[test]
fn a_second_port_comes_in_without_weight_and_goes() {
    for (kind, open) in KINDS {
        let second = member(kind, "i-app-1", 3132);
        let there = servers(&[
            ("i-app-1", 3131, 100, "Available"),
            ("i-app-1", 3132, 0, "Available"),
        ]);
        let list = two((100, "Available"));
        let scene = Scene::new([ok(list), ok("{}"), ok(there), ok("{}")]);
        let moves = async |it: &mut Group<ServerGroup>| {
            it.join(&second).await?;
            it.leave(&second).await
        };
        scene.run(open, moves).unwrap();
        assert_eq!(scene.actions(), [LIST, ADD, LIST, REMOVE]);
        let sent = |number: usize| {
            let request = &scene.requests()[number];
            [query(request), form(request)].concat()
        };
        let weight = ("Servers.1.Weight".to_owned(), "0".to_owned());
        assert!(sent(1).contains(&weight), "{:?}", sent(1));
        assert!(!sent(3).iter().any(|(name, _)| name == "Servers.1.Weight"));
        assert!(sent(3).contains(&("Servers.1.Port".into(), "3132".into())));
        let is_in_query = !query(&scene.requests()[3]).is_empty();
        assert_eq!(is_in_query, kind == "alb");
    }
}

#[test]
fn a_weight_on_its_way_is_neither_the_old_one_nor_the_new() {
    let replies = [
        ok(two((0, "Configuring"))),
        ok(two((0, "something-new"))),
        ok(two((0, "Available"))),
    ];
    let scene = Scene::new(replies);
    scene.run(ServerGroup::alb, async |it| {
        for _ in 0..2 {
            let error = it.pool().await.unwrap_err();
            assert!(matches!(error.retry(), Retry::After(_)), "{error}");
            assert!(error.to_string().contains("rsp-1"), "{error}");
        }
        assert_eq!(it.pool().await.unwrap().weight("app-1"), Some(Weight::ZERO));
    });
    // Of others it is what it is.
    let list = servers(&[
        ("i-app-1", 3131, 100, "Available"),
        ("i-other", 3131, 70, "Configuring"),
    ]);
    let scene = Scene::new([ok(list)]);
    let pool = scene
        .run(ServerGroup::alb, async |it| it.pool().await)
        .unwrap();
    assert_eq!(pool.foreign_capacity(), 70);
}

#[test]
fn who_comes_or_goes_is_not_there() {
    for state in ["Adding", "Removing"] {
        let list = servers(&[
            ("i-app-1", 3131, 100, "Available"),
            ("i-app-1", 3132, 0, state),
            ("i-app-2", 3131, 100, state),
        ]);
        let scene = Scene::new([ok(list)]);
        scene.run(ServerGroup::alb, async |it| {
            let pool = it.pool().await.unwrap();
            assert_eq!(
                (pool.weight("app-1"), pool.weight("app-2")),
                (Some(weight_of(100)), None)
            );
            assert_eq!(pool.weights.len(), 1, "{state}");
            let first = member("alb", "i-app-1", 3131);
            let error = it.set_weight(&first, Weight::ZERO).await.unwrap_err();
            assert!(matches!(error, BalancerError::LastMember { .. }), "{error}");
            let second = member("alb", "i-app-1", 3132);
            match it.join(&second).await {
                Ok(()) => assert_eq!(state, "Adding"),
                Err(error) => {
                    assert_eq!(state, "Removing", "{error}");
                    assert!(matches!(error.retry(), Retry::After(_)), "{error}");
                }
            }
        });
        let writes = scene.actions().into_iter().filter(|it| it != LIST);
        assert_eq!(writes.count(), 0, "{state}");
    }
}

/// What is said of two hosts by one listener, with a check that is on or off.
fn health(ill: &str, enabled: &str) -> Vec<crate::balancer::aliyun::scene::Reply> {
    let group = r#"{"ServerGroups":[{"ServerGroupId":"rsp-1","RelatedLoadBalancerIds":["lb-1"]}]}"#;
    let listeners = r#"{"Listeners":[{"ListenerId":"lsn-1","ListenerStatus":"Running"},
        {"ListenerId":"lsn-2","ListenerStatus":"Running"},{"ListenerId":"lsn-3","ListenerStatus":"Stopped"}]}"#;
    let other = r#"{"ListenerHealthStatus":[{"ServerGroupInfos":[{"ServerGroupId":"rsp-2","HealthCheckEnabled":"on","NonNormalServers":[]}]}]}"#;
    let own = format!(
        r#"{{"ListenerHealthStatus":[],"RuleHealthStatus":[{{"ServerGroupInfos":[{{"ServerGroupId":"rsp-1",{enabled}"NonNormalServers":[{ill}]}}]}}]}}"#
    );
    [
        group,
        listeners,
        other,
        own.as_str(),
        &two((100, "Available")),
    ]
    .map(ok)
    .into()
}

#[track_caller]
fn check_health(ill: &str, enabled: &str, expect: [Option<Health>; 2]) {
    let scene = Scene::new(health(ill, enabled));
    let members = ["i-app-1", "i-app-2", "i-gone"].map(|id| member("alb", id, 3131));
    let said = scene.run(ServerGroup::alb, async |it| it.health(&members).await);
    let said = said.unwrap();
    let of = |at: usize| said.get(&members[at]).copied();
    assert_eq!([of(0), of(1)], expect, "{ill} {enabled}");
    assert_eq!(of(2), None, "who is not there is not healthy");
}

#[test]
fn healthy_is_who_is_there_and_named_by_no_listener() {
    let healthy = Some(Health::Healthy);
    let on = r#""HealthCheckEnabled":"on","#;
    let ill = |state: &str| {
        format!(r#"{{"ServerId":"i-app-1","ServerIp":"10.0.0.1","Port":3131,"Status":"{state}"}}"#)
    };
    check_health("", on, [healthy, healthy]);
    check_health("", "", [healthy, healthy]);
    check_health(&ill("Initial"), on, [Some(Health::Starting), healthy]);
    check_health(&ill("Unhealthy"), on, [Some(Health::Unhealthy), healthy]);
    check_health(&ill("Unused"), on, [Some(Health::Unhealthy), healthy]);
    check_health(&ill("Unavailable"), on, [None, healthy]);
    let elsewhere = ill("Unhealthy").replace("3131", "80");
    check_health(&elsewhere, on, [healthy, healthy]);
    let on = r#""HeathCheckEnabled":true,"#;
    check_health(&ill("Unhealthy"), on, [Some(Health::Unhealthy), healthy]);
    for off in [
        r#""HeathCheckEnabled":false,"#,
        r#""HealthCheckEnabled":"off","#,
    ] {
        check_health(&ill("Unavailable"), off, [None, None]);
    }
}

#[test]
fn listeners_that_send_elsewhere_are_asked_once() {
    let mut replies = health("", r#""HealthCheckEnabled":"on","#);
    let own = replies[3].clone();
    replies.extend([own, ok(two((100, "Available")))]);
    let scene = Scene::new(replies);
    let members = [member("alb", "i-app-1", 3131)];
    scene
        .run(ServerGroup::alb, async |it| {
            it.health(&members).await?;
            it.health(&members).await
        })
        .unwrap();
    let expect = [GROUPS, LISTENERS, HEALTH, HEALTH, LIST, HEALTH, LIST];
    assert_eq!(scene.actions(), expect);
}

#[test]
fn a_refused_right_is_named_with_its_action() {
    for (kind, open) in KINDS {
        let scene = Scene::new([refusal(403, "NoPermission")]);
        let error = scene.run(open, async |it| it.pool().await).unwrap_err();
        let right = format!("{kind}:UpdateServerGroupServersAttribute");
        assert!(error.to_string().contains(&right), "{error}");
        assert_eq!(error.retry(), Retry::Never);
    }
}
